"""Pictures that a command makes on demand."""

from typing import Annotated

from pydantic import AfterValidator

from decloud_lib import storage
from decloud_lib.errors import OutputConflictError

_END = ".png"


def _check_end(uri: str) -> str:
    if not uri.lower().endswith(_END):
        raise ValueError(f"expected a name that ends with {_END}")
    return uri


PictureUri = Annotated[str, AfterValidator(_check_end)]
"""Where a PNG goes."""


def write_picture(uri: str, png: bytes, *, overwrite: bool) -> None:
    """Write a PNG; the same picture may be there already.

    Raises
    ------
    OutputConflictError
        Another one is there and `overwrite` is off.
    """
    if not overwrite and storage.stat(uri) is not None and storage.read_bytes(uri) != png:
        raise OutputConflictError(
            f"{uri}: another picture is there; use another name, or --overwrite"
        )
    storage.write_bytes(uri, png)
