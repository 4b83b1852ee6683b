"""Foreign errors turned into ours: what was found, what was expected, what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from decloud_lib.errors import AlreadyExistsError, StorageError

_MISSING = {"404", "NoSuchKey", "NotFound"}
_EXISTS = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
_REFUSED = {
    "403",
    "Forbidden",
    "AccessDenied",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "ExpiredToken",
    "InvalidToken",
}
_ELSEWHERE = {
    "301",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraint",
}


class MissingFileError(StorageError):
    """There is no such file or object."""


@contextmanager
def os_errors(uri: str) -> Iterator[None]:
    """Turn what the file system says about a URI into our errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingFileError(f"{uri}: there is no such file; check the path") from error
    except FileExistsError as error:
        raise AlreadyExistsError(f"{uri}: exists already and must not be replaced") from error
    except PermissionError as error:
        message = f"{uri}: the file system gives no permission ({error.filename or error})"
        raise StorageError(f"{message}; check the owner and the mode") from error
    except NotADirectoryError as error:
        message = f"{uri}: a part of the path is a file where a folder is expected"
        raise StorageError(f"{message}; use another path or move the file away") from error
    except IsADirectoryError as error:
        message = f"{uri}: is a folder where a file is expected"
        raise StorageError(f"{message}; name a file, or use another path") from error
    except OSError as error:
        raise StorageError(f"{uri}: {error.strerror or error}; check disk and path") from error


@contextmanager
def s3_errors(uri: str, server: str) -> Iterator[None]:
    """Turn what the S3 client says about a URI into our errors.

    Parameters
    ----------
    uri
        What the request is about.
    server
        The endpoint, for the messages.
    """
    from boto3.exceptions import Boto3Error  # here, as in `client`: local work needs no boto3

    try:
        yield
    except ClientError as error:
        raise _of_answer(uri, server, error) from error
    except ParamValidationError as error:
        # What follows is a regular expression of ten lines' length.
        reason = str(error).removeprefix("Parameter validation failed:").split(": Bucket name")[0]
        message = f"{uri}: no S3 server has such names: {reason.strip()}"
        raise StorageError(f"{message}; expected s3://bucket/prefix") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        message = f"{uri}: no credentials for {server}"
        raise StorageError(
            f"{message}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from error
    except ProfileNotFound as error:
        message = f"{uri}: AWS_PROFILE names no profile of ~/.aws/config ({error})"
        raise StorageError(f"{message}; check the name, or unset it") from error
    except (BotoCoreError, Boto3Error) as error:
        message = f"{uri}: cannot talk to the S3 server at {server}: {error}"
        raise StorageError(f"{message}; check that it runs, and AWS_ENDPOINT_URL") from error


def code_of(error: ClientError) -> str:
    """Return the code of a server's answer; for an answer without a body the HTTP status."""
    return error.response.get("Error", {}).get("Code", "")


def _of_answer(uri: str, server: str, error: ClientError) -> StorageError:
    code = code_of(error)
    if code == "NoSuchBucket":
        bucket = uri.split("/")[2]
        message = f"{uri}: there is no bucket {bucket!r} at {server}"
        return StorageError(f"{message}; create it or check the name")
    if code in _MISSING and error.operation_name.startswith("List"):
        # A missing bucket has a code of its own.
        message = f"{uri}: {server} does not answer as an S3 server does ({code})"
        return StorageError(f"{message}; check AWS_ENDPOINT_URL")
    if code in _MISSING:
        return MissingFileError(f"{uri}: there is no such file; check the path")
    if code in _EXISTS:
        return AlreadyExistsError(f"{uri}: exists already and must not be replaced")
    if code in _REFUSED:
        message = f"{uri}: the S3 server at {server} refuses these credentials ({code})"
        todo = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do there"
        return StorageError(f"{message}; {todo}")
    if code in _ELSEWHERE:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region", "the bucket's region")
        message = f"{uri}: the bucket belongs to another region ({code})"
        return StorageError(f"{message}; set AWS_REGION to {region}")
    said = error.response.get("Error", {}).get("Message", "")
    text = f"{uri}: the S3 server at {server} answered {code or 'an error'} ({said or error})"
    busy = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return StorageError(f"{text}; {'try again later' if busy else 'check the name'}")
