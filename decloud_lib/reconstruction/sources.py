"""What the network reads, composed window by window out of the images around a date."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.composite import UNFILLED, FirstUsable, Layer, of_chosen
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.arrays.pairing import Pair
from decloud_lib.reconstruction.readers import Image, ReaderPool
from decloud_lib.types import Array, Window

_LAYERS = {
    "s1": Layer(len(bands.S1_BANDS), np.uint16, bands.S1_NODATA),
    "s2": Layer(len(bands.S2_10M_BANDS), np.int16, bands.S2_NODATA),
}


class Source(Protocol):
    """One or several inputs of a network."""

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Return (H, W, C) stored values by sample key, of a window that may reach outside.

        Dates are int64 milliseconds, (H, W, 1), or (1, 1, 1) where all pixels have the same.
        """


def s1_image(uri: str) -> Image:
    """Describe a prepared Sentinel-1 file."""
    return Image(uri, bands.S1_BANDS, bands.S1_BANDS, fill=bands.S1_NODATA)


def s2_image(uri: str) -> Image:
    """Describe a prepared 10 m stack."""
    return Image(uri, bands.S2_10M_BANDS, bands.S2_10M_BANDS, fill=bands.S2_NODATA)


def s2_20m_image(uri: str) -> Image:
    """Describe a prepared 20 m stack, in the order in which networks take it."""
    return Image(uri, bands.S2_20M_STACK_BANDS, bands.S2_20M_STACK_BANDS, 2, bands.S2_NODATA)


def dem_image(uri: str) -> Image:
    """Describe a prepared elevation raster."""
    return Image(uri, bands.DEM_BANDS, bands.DEM_BANDS, factor=2)


def mask_image(uri: str) -> Image:
    """Describe a prepared mask: one band, whatever its name; beyond it all counts as set."""
    return Image(uri, (), (), fill=1)


@dataclass(frozen=True, slots=True)
class Single:
    """An image as it is."""

    key: str
    image: Image

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Read the window."""
        return {self.key: pool.read(self.image, window)}


@dataclass(frozen=True, slots=True)
class SarMosaic:
    """Several SAR images, first in the list on top; 0 is transparent."""

    key: str
    images: tuple[Image, ...]

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Read the window of the mosaic."""
        return {self.key: pool.read_mosaic(self.images, window)}


@dataclass(frozen=True, slots=True)
class Optical:
    """One optical date."""

    image: Image
    time_ms: int
    """Milliseconds since the epoch."""
    cloud_mask: Image | None = None
    """Non-zero = cloud or shadow."""
    coarse: Image | None = None
    """Its 20 m bands, where the network wants them."""


@dataclass(frozen=True, slots=True)
class PairMosaic:
    """Optical images and, where the network wants them, the SAR images that go with them.

    At each pixel the first pair whose images both have data there; where `clear_first`, the first
    such pair without a cloud, and only in places without one the first pair with data.

    Attributes
    ----------
    suffix : `tm1` or `tp1`
    pairs : in order of preference; `Pair.sar` is not looked at without SAR images
    with_dates : give the optical date of each pixel too, as `s2_timestamp_<suffix>`
    with_20m : give the 20 m bands too, as `s2_20m_<suffix>`: each pixel of the date that the 10 m
        pixel in its upper left corner has
    """

    suffix: str
    optical: tuple[Optical, ...]
    sar: tuple[Image, ...]
    pairs: tuple[Pair, ...]
    clear_first: bool
    with_dates: bool = False
    with_20m: bool = False

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Compose the window; reads only the dates that can still fill a pixel."""
        layers = {"s2": _LAYERS["s2"]} | ({"s1": _LAYERS["s1"]} if self.sar else {})
        best = FirstUsable(window.shape, layers)
        fallback = FirstUsable(window.shape, layers) if self.clear_first else best
        read = lru_cache(maxsize=None)(lambda image: pool.read(image, window))
        for number, pair in enumerate(self.pairs):
            if best.is_full:
                break
            clear = self._clear(pool, window, pair) if self.clear_first else None
            wanted = best.open if clear is None else best.open & (clear | fallback.open)
            if not wanted.any():
                continue
            pixels = {"s2": read(self.optical[pair.optical].image)}
            usable = ~all_nodata(pixels["s2"], bands.S2_NODATA)
            if self.sar:
                pixels["s1"] = read(self.sar[pair.sar])
                usable &= ~all_nodata(pixels["s1"], bands.S1_NODATA)
            if clear is not None:
                fallback.add(number, pixels, usable & ~clear)
                usable &= clear
            best.add(number, pixels, usable)
        if fallback is not best:
            best.fill_from(fallback)
        found = {f"{name}_{self.suffix}": value for name, value in best.pixels.items()}
        if self.with_dates:
            found[f"s2_timestamp_{self.suffix}"] = self._times(best.chosen)
        if self.with_20m:
            found[f"s2_20m_{self.suffix}"] = self._coarse(pool, window, best.chosen[::2, ::2])
        return found

    def _coarse(self, pool: ReaderPool, window: Window, chosen: Array) -> Array:
        shape = (*chosen.shape, len(bands.S2_20M_STACK_BANDS))
        pixels = np.full(shape, bands.S2_NODATA, np.int16)
        for number in np.unique(chosen[chosen != UNFILLED]):
            image = self.optical[self.pairs[number].optical].coarse
            assert image is not None
            here = (chosen == number)[:, :, np.newaxis]
            np.copyto(pixels, pool.read(image, window), where=here, casting="unsafe")
        return pixels

    def _clear(self, pool: ReaderPool, window: Window, pair: Pair) -> Array:
        mask = self.optical[pair.optical].cloud_mask
        if mask is None:
            return np.ones(window.shape, dtype=bool)
        return np.asarray(pool.read(mask, window)[:, :, 0] == 0)

    def _times(self, chosen: Array) -> Array:
        # A pixel without a date gets that of the first pair: it becomes no data in the output.
        times = [self.optical[pair.optical].time_ms for pair in self.pairs]
        return of_chosen(times, chosen)[:, :, np.newaxis]


@dataclass(frozen=True, slots=True)
class Date:
    """The same date for all pixels."""

    key: str
    time_ms: int

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Return the one date, (1, 1, 1): it counts for the whole window."""
        del pool, window
        return {self.key: np.full((1, 1, 1), self.time_ms, dtype=np.int64)}


@dataclass(frozen=True, slots=True)
class SceneReader:
    """Reads all inputs of a network for one window; one per thread.

    Attributes
    ----------
    sources : what is read, as far as it is wanted
    keys : what is wanted
    pool : the open images
    check : changes what was read of a window, such as `recheck.recheck`
    """

    sources: Sequence[Source]
    keys: tuple[str, ...]
    pool: ReaderPool
    check: Callable[[dict[str, Array]], None] | None = None

    def read(self, window: Window) -> dict[str, Array]:
        """Return what the network takes, by key."""
        found: dict[str, Array] = {}
        for source in self.sources:
            if not isinstance(source, Single) or source.key in self.keys:
                found |= source.read(self.pool, window)
        if self.check is not None:
            self.check(found)
        return {key: found[key] for key in self.keys}

    def close(self) -> None:
        """Close the files."""
        self.pool.close()
