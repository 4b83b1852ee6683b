"""What a listing says about one stored file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file."""

    uri: str
    size: int
    """Bytes."""
    etag: str
    """Changes with the content: the S3 ETag, or size and modification time of a local file."""
