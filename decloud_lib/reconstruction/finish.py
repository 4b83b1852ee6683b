"""From the network's estimate to the pixels of an output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.masks import all_nodata, close_mask, erode_mask
from decloud_lib.arrays.windows import trim
from decloud_lib.errors import ModelFolderError
from decloud_lib.types import Array, Window

NodataRule = Literal["required", "historic"]
OutputType = Literal["int16", "uint16"]

#: Smallest and largest value of an output pixel with data, DN; never the no-data value.
DN_RANGE = (bands.S2_NODATA + 1, int(np.iinfo(np.int16).max))
#: Gaps up to this radius are closed by the existing system before it takes away the surroundings.
CLOSING_PX = 5
#: No data of an output of each type.
OUTPUT_NODATA: dict[OutputType, int] = {"int16": bands.S2_NODATA, "uint16": 0}


class Finisher(Protocol):
    """Makes pixels of an output: `Finish`, or what builds on it."""

    def place(self, window: Window) -> Window:
        """Return where a window of 10 m pixels lies in the output."""

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W, C) pixels of that place."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Makes one window of an output: trimmed, in DN, rounded, clamped, no data marked.

    Attributes
    ----------
    margin_px : what surrounds each window in the network's input and output, 10 m pixels
    factor : side of a pixel of this output, 10 m pixels
    rule : `required` = no data exactly where an image that the network takes has none;
        `historic` = the existing system's: gaps of the 10 m images are closed (5 px), then all
        pixels within `erosion_px` of one without data are taken away
    erosion_px : see `rule`; the margin must reach 10 px farther
    shown_by : keys of images of which one that shows the ground is enough; empty = no image may be
        without data
    """

    margin_px: int
    factor: int = 1
    rule: NodataRule = "required"
    erosion_px: int = 0
    shown_by: tuple[str, ...] = ()

    def place(self, window: Window) -> Window:
        """Return where a window of 10 m pixels lies in this output: its whole pixels."""
        row, col = window.row // self.factor, window.col // self.factor
        end_row = (window.row + window.height) // self.factor
        end_col = (window.col + window.width) // self.factor
        return Window(row, col, end_row - row, end_col - col)

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Finish one window.

        Parameters
        ----------
        window
            Where the result belongs, 10 m pixels.
        estimate
            (H, W, C) float32 reflectance 0..1 at the output's resolution, with the margin.
        inputs
            What the network took, stored values with the margin, by key.

        Returns
        -------
        (H, W, C) int16 DN of `place(window)`; -10000 = no data.

        Raises
        ------
        ModelFolderError
            The network gave values that are no numbers.
        """
        shape = self.place(window).shape
        # 10000 is exact in float32, 1e-4 is not.
        scale = np.float32(1 / bands.S2_SCALE)
        dn = trim(estimate, self.margin_px // self.factor, shape) * scale
        # Both say it of all: what is no number is the least and the greatest of anything.
        if not np.isfinite([dn.min(), dn.max()]).all():
            raise ModelFolderError(
                f"the network gave values that are no numbers (NaN or infinite) in {window}; "
                "its weights are broken: train or export it again"
            )
        np.rint(dn, out=dn)
        pixels = np.clip(dn, *DN_RANGE, out=dn).astype(np.int16)
        lost = self.coarse(self.nodata(window, inputs), shape)
        np.copyto(pixels, np.int16(bands.S2_NODATA), where=lost[..., None])
        return pixels

    def coarse(self, mask: Array, shape: tuple[int, int]) -> Array:
        """Return (H, W) bool of this output's pixels: True where one of the 10 m pixels is set."""
        if self.factor == 1:
            return mask
        fine = mask[: shape[0] * self.factor, : shape[1] * self.factor]
        cells = fine.reshape(shape[0], self.factor, shape[1], self.factor)
        return np.asarray(cells.any(axis=(1, 3)))

    def nodata(self, window: Window, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W) bool of 10 m pixels, True = no data by the rule, without the margin."""
        if self.rule == "required":
            return trim(self.missing(inputs), self.margin_px, window.shape)
        valid = close_mask(~self.missing(inputs), CLOSING_PX)
        return ~trim(erode_mask(valid, self.erosion_px), self.margin_px, window.shape)

    def _one_of(self, inputs: Mapping[str, Array]) -> Array:
        """Return where none of the images of `shown_by` shows the ground."""
        hidden = []
        for key in self.shown_by:
            lost = all_nodata(inputs[key], bands.S2_NODATA)
            mask = inputs.get(key.replace("s2_", "s2_cld10m_"))
            hidden.append(lost if mask is None else lost | (mask[..., 0] != 0))
        return np.asarray(np.logical_and.reduce(hidden))

    def missing(self, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W) bool of 10 m pixels with the margin, True = an input has no data there.

        The historic rule looks at images of 10 m only.
        """
        if self.shown_by:
            return self._one_of(inputs)
        found: Array | None = None
        for key, pixels in sorted(inputs.items()):
            nodata, factor = _nodata_of(key)
            if nodata is None or (factor > 1 and self.rule == "historic"):
                continue
            mask = all_nodata(pixels, nodata).repeat(factor, axis=0).repeat(factor, axis=1)
            found = mask if found is None else found | mask
        if found is None:
            key = next(key for key in inputs if "timestamp" not in key)
            pixels, factor = inputs[key], input_factor(key)
            found = np.zeros((pixels.shape[0] * factor, pixels.shape[1] * factor), dtype=bool)
        return found


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Turns what another finisher makes into unsigned values; used as it is.

    No data becomes 0, and values below 1 become 1, so that 0 stays no data: the existing system
    does so for ESA's products.
    """

    signed: Finisher

    def place(self, window: Window) -> Window:
        """Return where a window of 10 m pixels lies in this output."""
        return self.signed.place(window)

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W, C) uint16 DN; 0 = no data."""
        pixels = self.signed(window, estimate, inputs)
        nothing = all_nodata(pixels, bands.S2_NODATA)[:, :, np.newaxis]
        return np.where(nothing, OUTPUT_NODATA["uint16"], np.maximum(pixels, 1)).astype(np.uint16)


def input_factor(key: str) -> int:
    """Return the side of the pixels of an input, 10 m pixels."""
    return 2 if key == "dem" or "_20m" in key else 1


def _nodata_of(key: str) -> tuple[int | None, int]:
    """Return the no-data value of an input and the side of its pixels, 10 m pixels."""
    if "timestamp" in key:
        return None, 1
    kinds = {"s1": bands.S1_NODATA, "s2": bands.S2_NODATA}
    return kinds.get(key.partition("_")[0]), input_factor(key)
