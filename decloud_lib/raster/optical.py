"""Delivered optical products read by window: the same values whatever the family.

What `prepare_s2` writes and what a view shows are both read here, so they cannot differ.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.encode import dn_table
from decloud_lib.arrays.masks import scl_table
from decloud_lib.bands import (
    ELEMENTARY_PATCH_PX,
    S2_10M_BANDS,
    S2_20M_STACK_BANDS,
    S2_NODATA,
)
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.products.optical import OpticalProduct, OpticalSettings
from decloud_lib.raster.read import RasterOpener, RasterReader, check_same_grid, open_raster
from decloud_lib.types import Array, Grid, Window

_CLOUD, _EDGE, _CLASSES = "cloud mask", "edge mask", "scene classification"
#: Type of the stored values of each family's reflectance.
_STORED = {"theia": "int16", "esa": "uint16", "stac": "uint16"}


@dataclass(frozen=True, slots=True)
class OpticalPart:
    """One of the rasters that a product is prepared to, read straight from the delivery."""

    uri: str
    grid: Grid
    bands: tuple[str, ...]
    nodata: float | None
    dtype: str
    source: Callable[[Window, Sequence[str]], Array]

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        """Return (H, W, C) pixels of a window that lies inside the grid."""
        if missing := [name for name in names or () if name not in self.bands]:
            raise MissingBandError(
                f"{self.uri}: band {missing[0]} is missing; found {', '.join(self.bands)}"
            )
        return self.source(window, names or self.bands)


@dataclass(frozen=True, slots=True)
class Strip:
    """The same ground of all rasters that a product is prepared to."""

    stack_10m: Array
    """(H, W, 4) int16."""
    stack_20m: Array
    """(H / 2, W / 2, 6) int16."""
    cloud: Array
    """(H, W) uint8."""
    edge: Array
    """(H, W) uint8."""


class OpticalReader:
    """The open files of a delivered product; made by `open_delivered`.

    Attributes
    ----------
    product : OpticalProduct
        What is read.
    grid_10m, grid_20m : Grid
        Grids of the fine and of the coarse bands.
    block_rows, mask_block_rows : list of int
        Rows of a block of each file, of the masks' files, in 10 m pixels.
    """

    def __init__(
        self, product: OpticalProduct, readers: dict[str, RasterReader], settings: OpticalSettings
    ) -> None:
        self.product = product
        self._readers = readers
        self._cloud_bits = np.uint8(settings.cloud_bits)
        self._classes = scl_table(settings.cloud_classes)
        # Theia's stored values are DN already.
        self._tables = (
            {}
            if product.family == "theia"
            else {
                name: dn_table(band.scale, band.offset, band.nodata)
                for name, band in product.bands.items()
            }
        )
        coarse = {*S2_20M_STACK_BANDS, _CLASSES}
        self._check_content()
        fine = [role for role in readers if role not in coarse]
        self.grid_10m = check_same_grid({readers[role].uri: readers[role].grid for role in fine})
        if min(self.grid_10m.shape) < ELEMENTARY_PATCH_PX:
            raise ProductError(
                f"{product.uri}: found {self.grid_10m.height} x {self.grid_10m.width} px, "
                f"expected at least one patch of {ELEMENTARY_PATCH_PX} px"
            )
        self.grid_20m = check_same_grid(
            {f"{readers[fine[0]].uri} at half the resolution": self.grid_10m.coarsened(2)}
            | {readers[role].uri: readers[role].grid for role in readers if role in coarse}
        )
        rows = {
            role: reader.block_shape[0] * (1 + (role in coarse)) for role, reader in readers.items()
        }
        self.block_rows = list(rows.values())
        self.mask_block_rows = [rows[role] for role in rows if role in self._mask_roles()]

    def read(self, window: Window) -> Strip:
        """Read the same ground of everything.

        Parameters
        ----------
        window
            Full width, 10 m pixels; its first row is even.
        """
        coarse = Window(window.row // 2, 0, window.height // 2, self.grid_20m.width)
        fine, edge = self._stored(S2_10M_BANDS, window), None
        if _EDGE not in self._readers:
            edge = self._without_data(fine, window)
        return Strip(
            self._dn(S2_10M_BANDS, fine),
            self._dn(S2_20M_STACK_BANDS, self._stored(S2_20M_STACK_BANDS, coarse)),
            self.cloud(window),
            self.edge(window) if edge is None else edge,
        )

    def cloud(self, window: Window) -> Array:
        """Return (H, W) uint8 bit field at 10 m: not 0 = counts as cloud or shadow."""
        if _CLOUD in self._readers:
            return self._plane(_CLOUD, window) & self._cloud_bits
        return self._classes[self._fine_classes(window)]

    def edge(self, window: Window) -> Array:
        """Return (H, W) uint8 at 10 m: not 0 = outside the image."""
        if _EDGE in self._readers:
            return self._plane(_EDGE, window)
        return self._without_data(self._stored(S2_10M_BANDS, window), window)

    def part(self, name: str, uri: str) -> OpticalPart:
        """Return `stack_10m`, `stack_20m`, `cloud_mask` or `edge_mask` as an image called `uri`."""
        masks: dict[str, tuple[str, Callable[[Window], Array]]] = {
            "cloud_mask": ("CLM", self.cloud),
            "edge_mask": ("EDG", self.edge),
        }
        if name in masks:
            band, mask = masks[name]

            def plane(window: Window, names: Sequence[str]) -> Array:  # noqa: ARG001
                return mask(window)[..., np.newaxis]

            return OpticalPart(uri, self.grid_10m, (band,), None, "uint8", plane)

        def stack(window: Window, names: Sequence[str]) -> Array:
            return self._dn(names, self._stored(names, window))

        bands, grid = (
            (S2_10M_BANDS, self.grid_10m)
            if name == "stack_10m"
            else (S2_20M_STACK_BANDS, self.grid_20m)
        )
        return OpticalPart(uri, grid, bands, S2_NODATA, "int16", stack)

    def _stored(self, names: Sequence[str], window: Window) -> Array:
        """Read bands as they are stored, as (C, H, W)."""
        planes = np.empty((len(names), *window.shape), _STORED[self.product.family])
        for name, plane in zip(names, planes, strict=True):
            self._readers[name].read_plane(window, plane)
        return planes

    def _dn(self, names: Sequence[str], stored: Array) -> Array:
        """Turn (C, H, W) stored values into (H, W, C) int16 DN."""
        if not self._tables:
            return np.moveaxis(stored, 0, -1)
        planes = np.empty(stored.shape, np.int16)
        for name, values, plane in zip(names, stored, planes, strict=True):
            # "clip" writes straight to the plane; a 16-bit value is never outside the table.
            np.take(self._tables[name], values, out=plane, mode="clip")
        return np.moveaxis(planes, 0, -1)

    def _without_data(self, stored: Array, window: Window) -> Array:
        """Make an edge mask, 1 where a 10 m band or the classification has no data."""
        hit = self._fine_classes(window) == 0
        for name, values in zip(S2_10M_BANDS, stored, strict=True):
            hit |= values == self.product.bands[name].nodata
        return np.asarray(hit, np.uint8)

    def _fine_classes(self, window: Window) -> Array:
        """Return (H, W) uint8: the 20 m classes of a 10 m window, also from an odd pixel on."""
        row, col = window.row // 2, window.col // 2
        height = -(-(window.row + window.height) // 2) - row
        width = -(-(window.col + window.width) // 2) - col
        # The last row or column of an odd number of pixels has no 20 m pixel of its own.
        height, width = (
            min(height, self.grid_20m.height - row),
            min(width, self.grid_20m.width - col),
        )
        classes = self._plane(_CLASSES, Window(row, col, height, width))
        fine = classes.repeat(2, axis=0).repeat(2, axis=1)
        top, left = window.row - 2 * row, window.col - 2 * col
        fine = fine[top : top + window.height, left : left + window.width]
        missing = (window.height - fine.shape[0], window.width - fine.shape[1])
        return (
            np.pad(fine, ((0, missing[0]), (0, missing[1])), mode="edge") if any(missing) else fine
        )

    def _plane(self, role: str, window: Window) -> Array:
        plane = np.empty(window.shape, np.uint8)
        self._readers[role].read_plane(window, plane)
        return plane

    def _mask_roles(self) -> set[str]:
        roles = {_CLOUD, _EDGE, _CLASSES} & self._readers.keys()
        return roles if _EDGE in roles else roles | set(S2_10M_BANDS)

    def _check_content(self) -> None:
        for role, reader in self._readers.items():
            dtype = _STORED[self.product.family] if role in self.product.bands else "uint8"
            if reader.dtype != dtype or len(reader.bands) != 1:
                raise ProductError(
                    f"{reader.uri}: found {len(reader.bands)} band(s) of {reader.dtype}, expected "
                    f"one of {dtype}: is this a {self.product.family.upper()} L2A product?"
                )


@contextmanager
def open_delivered(
    product: OpticalProduct,
    settings: OpticalSettings,
    parts: Sequence[str] = (),
    opener: RasterOpener = open_raster,
) -> Iterator[OpticalReader]:
    """Open the files of a delivered product.

    Parameters
    ----------
    product
        What `open_optical` found.
    settings
        How it is read.
    parts
        Only the files behind these parts (`stack_20m`, `cloud_mask` ...) and the grid; all where
        empty.
    opener
        Opens a file.

    Raises
    ------
    ProductError
        A file that is no raster, damaged, or of another type.
    GridMismatchError
        Files that do not lie on each other.
    """
    masks = {
        _CLOUD: product.cloud_mask,
        _EDGE: product.edge_mask,
        _CLASSES: product.scene_classification,
    }
    paths = {name: band.path for name, band in product.bands.items()}
    paths |= {role: path for role, path in masks.items() if path is not None}
    wanted = _roles_of(parts, product) if parts else set(paths)
    with ExitStack() as stack:
        readers = {
            role: stack.enter_context(opener(path))
            for role, path in paths.items()
            if role in wanted
        }
        yield OpticalReader(product, readers, settings)


def _roles_of(parts: Sequence[str], product: OpticalProduct) -> set[str]:
    """Return the files behind some parts; always a 10 m band, which gives the grid."""
    from_bands = product.edge_mask is None
    behind = {
        "stack_10m": set(S2_10M_BANDS),
        "stack_20m": set(S2_20M_STACK_BANDS),
        "cloud_mask": {_CLASSES} if product.cloud_mask is None else {_CLOUD},
        "edge_mask": {_CLASSES, *S2_10M_BANDS} if from_bands else {_EDGE},
    }
    found: set[str] = {S2_10M_BANDS[0]} if product.cloud_mask is None else {_CLOUD}
    for part in parts:
        found |= behind[part]
    return found
