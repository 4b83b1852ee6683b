"""The steps of the system: one file = one configuration class + one function."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from decloud_lib import storage
from decloud_lib.manifest import Manifest

Mode = Literal["convert", "statistics-only"]
"""What a preparation writes: images and statistics, or statistics of images left as delivered."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A product that could not be prepared, and was left out so that the others could be."""

    item: str
    """URI of the product as it was delivered."""
    reason: str
    """The error's text."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a preparation comes from and leads to, before anything is done."""

    manifest_uri: str
    planned: Manifest
    outputs: tuple[str, ...]
    """URIs, in the order in which they are named in the stage."""

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Make the outputs inside this context: after an error none of them is left."""
        # From here on the output is incomplete until its manifest is there again.
        storage.delete(self.manifest_uri)
        try:
            yield
        except BaseException:
            for uri in self.outputs:
                storage.delete(uri)
            raise


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What a preparation did."""

    made: tuple[str, ...]
    """URIs of what was made: rasters, or product folders."""
    reused: int
    """Outputs that were complete already, made from the same inputs and settings."""
    quarantined: tuple[Quarantined, ...] = ()
    """What was left out, with the reason."""
