"""The S3 client that the AWS variables describe.

boto3 is imported when there is something to ask a bucket: it takes longer than what a command on
local files imports otherwise.
"""

import os
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decloud_lib.errors import StorageError
from decloud_lib.storage.failures import s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Variables = tuple[tuple[str, str], ...]

#: An unreachable server is given up after at most 4 x 3 s of trying and 1 + 2 + 4 s of waiting.
_SETTINGS: dict[str, Any] = {
    "connect_timeout": 3,
    "read_timeout": 60,
    "retries": {"total_max_attempts": 4, "mode": "standard"},
    "max_pool_connections": 32,
    # Other S3 servers than Amazon's stumble over the newer checksums.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


def variables() -> Variables:
    """Return what decides where requests go and who signs them."""
    names = ("AWS_", "HOME")
    return tuple(sorted(item for item in _environment().items() if item[0].startswith(names)))


def client() -> "S3Client":
    """Return the client for the present AWS variables; it may be used by many threads."""
    return _cached_client(os.getpid(), variables())


def endpoint() -> str | None:
    """Return the address of the S3 server, or None for Amazon's own."""
    environment = _environment()
    named = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if named:
        return named
    settings = environment.get("AWS_CONFIG_FILE", "~/.aws/config")
    if not os.access(Path(settings).expanduser(), os.R_OK):
        return None
    # A profile can name a server too; the client knows.
    with s3_errors(settings, "AWS"):
        address = client().meta.endpoint_url
    return None if "amazonaws.com" in address else address


def server() -> str:
    """Return the address of the S3 server for messages."""
    environment = _environment()
    named = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    return named or "AWS, or the profile's server (AWS_ENDPOINT_URL is not set)"


def variable(name: str) -> str | None:
    """Return an environment variable, or None when it is not set."""
    return _environment().get(name)


def use_environment(values: dict[str, str]) -> None:
    """Set variables in this process and those it will start, for instance a server's address."""
    _environment().update(values)


def _environment() -> "os._Environ[str]":
    return os.environ


@lru_cache(maxsize=8)
def _cached_client(_pid: int, settings: Variables) -> "S3Client":
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import InvalidRegionError

    values = dict(settings)
    # A session of its own: the default one is not safe to share between threads. boto3 reads
    # AWS_DEFAULT_REGION only, GDAL both.
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    session = boto3.session.Session(botocore_session=core, region_name=values.get("AWS_REGION"))
    try:
        made: S3Client = session.client("s3", config=Config(**_SETTINGS))
    except InvalidRegionError as error:
        raise StorageError(
            f"AWS_REGION: {error}; expected such as us-east-1 or eu-west-3"
        ) from error
    except ValueError as error:
        raise StorageError(
            f"the S3 server cannot be named so ({error}); expected AWS_ENDPOINT_URL as "
            "http://host:port or https://host"
        ) from error
    if "amazonaws.com" not in made.meta.endpoint_url:
        # Bucket names are no host names on other servers.
        config = Config(**_SETTINGS, s3={"addressing_style": "path"})
        made = session.client("s3", config=config)
    return made


def _moment(value: str) -> datetime:
    """Read a time of an answer: botocore's own way takes most of the time of a long listing."""
    if str(value).endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    from botocore.utils import parse_timestamp

    found: datetime = parse_timestamp(value)
    return found
