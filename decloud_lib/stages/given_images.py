"""Images that a user names one by one: prepared ones, or products as they were delivered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.prepared import (
    PreparedS1,
    PreparedS2,
    list_s1,
    list_s2,
    open_s1,
    open_s2,
)
from decloud_lib.reconstruction.gather import listed_uris
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2

Image = TypeVar("Image", PreparedS1, PreparedS2)

FOLDER = "delivered"


@dataclass(frozen=True, slots=True)
class GivenImages:
    """Opens images that were named; a delivered product is read where it is.

    Only its statistics and the view of it (`raster.views`) are written, the first time.

    Attributes
    ----------
    folder : where they are written, a folder for each product
    """

    folder: str

    @classmethod
    def beside(cls, output: str) -> "GivenImages":
        """Return what writes into `delivered` beside an output."""
        return cls(storage.join(storage.parent_of(output), FOLDER))

    def s2(self, uris: Sequence[str]) -> list[PreparedS2]:
        """Open optical products: prepared, Theia or ESA, folders or `.zip`, or STAC items.

        Raises
        ------
        ProductError
            Neither a prepared product nor a delivered one; damaged.
        """

        def count(uri: str, root: str) -> None:
            prepare_s2(PrepareS2Config(in_image=(uri,), out_s2_dir=root, mode="statistics-only"))

        return [self._open(uri, open_s2, count, list_s2) for uri in listed_uris(uris)]

    def s1(self, uris: Sequence[str]) -> list[PreparedS1]:
        """Open radar images: prepared, or the VH or VV file of a pair of S1Tiling.

        Raises
        ------
        ProductError
            Neither a prepared image nor a delivered one; damaged.
        """

        def count(uri: str, root: str) -> None:
            prepare_s1(PrepareS1Config(input_s1_vh=(uri,), out_s1_dir=root, mode="statistics-only"))

        return [self._open(uri, open_s1, count, list_s1) for uri in listed_uris(uris)]

    def _open(
        self,
        uri: str,
        open_prepared: Callable[[str], Image],
        count: Callable[[str, str], None],
        listing: Callable[[str], list[Image]],
    ) -> Image:
        try:
            return open_prepared(uri)
        except ProductError as no_prepared:
            if not _may_be_delivered(uri):
                raise
            root = storage.join(self.folder, storage.name_of(uri))
            try:
                count(uri, root)
            except ProductError as no_delivered:
                if str(no_delivered) == str(no_prepared):
                    raise
                raise ProductError(
                    f"{uri}: not a prepared image ({no_prepared}), nor one as it was delivered "
                    f"({no_delivered})"
                ) from no_delivered
            (found,) = listing(root)
            return found


def _may_be_delivered(uri: str) -> bool:
    """Say whether something is there without statistics; with some it is prepared, and damaged."""
    if storage.stat(uri) is not None:
        return True
    files = [storage.name_of(entry.uri) for entry in storage.list_files(uri)]
    return bool(files) and not any("_stats." in name for name in files)
