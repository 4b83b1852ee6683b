"""From the network's estimate to the pixels of an output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.masks import all_nodata, close_mask, erode_mask
from decloud_lib.arrays.windows import trim
from decloud_lib.errors import ModelFolderError
from decloud_lib.types import Array, Window

NodataRule = Literal["required", "historic"]

#: Smallest and largest value of an output pixel with data, DN; never the no-data value.
DN_RANGE = (bands.S2_NODATA + 1, int(np.iinfo(np.int16).max))
#: Gaps up to this radius are closed by the existing system before it takes away the surroundings.
CLOSING_PX = 5


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
        dn = np.rint(trim(estimate, self.margin_px // self.factor, shape) * scale)
        if not np.isfinite(dn).all():
            raise ModelFolderError(
                f"the network gave values that are no numbers (NaN or infinite) in {window}; "
                "its weights are broken: train or export it again"
            )
        pixels = np.clip(dn, *DN_RANGE).astype(np.int16)
        nodata = self.nodata(window, inputs)
        if self.factor > 1:
            fine = nodata[: shape[0] * self.factor, : shape[1] * self.factor]
            cells = fine.reshape(shape[0], self.factor, shape[1], self.factor)
            nodata = np.asarray(cells.any(axis=(1, 3)))
        pixels[nodata] = bands.S2_NODATA
        return pixels

    def nodata(self, window: Window, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W) bool of 10 m pixels, True = no data by the rule, without the margin."""
        masks = self._one_of(inputs) or [
            all_nodata(pixels, nodata).repeat(factor, axis=0).repeat(factor, axis=1)
            for key, pixels in sorted(inputs.items())
            for nodata, factor in [_nodata_of(key)]
            if nodata is not None and (factor == 1 or self.rule == "required")
        ]
        if self.rule == "required":
            masks = [trim(mask, self.margin_px, window.shape) for mask in masks]
            return np.asarray(np.logical_or.reduce(masks)) if masks else _none(window.shape)
        if not masks:
            return _none(window.shape)
        valid = close_mask(~np.logical_or.reduce(masks), CLOSING_PX)
        return ~trim(erode_mask(valid, self.erosion_px), self.margin_px, window.shape)

    def _one_of(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return where none of the images of `shown_by` shows the ground, as a list."""
        hidden = []
        for key in self.shown_by:
            lost = all_nodata(inputs[key], bands.S2_NODATA)
            mask = inputs.get(key.replace("s2_", "s2_cld10m_"))
            hidden.append(lost if mask is None else lost | (mask[..., 0] != 0))
        return [np.logical_and.reduce(hidden)] if hidden else []


def _none(shape: tuple[int, int]) -> Array:
    return np.zeros(shape, dtype=bool)


def _nodata_of(key: str) -> tuple[int | None, int]:
    """Return the no-data value of an input and the side of its pixels, 10 m pixels."""
    if "timestamp" in key:
        return None, 1
    kinds = {"s1": bands.S1_NODATA, "s2": bands.S2_NODATA}
    return kinds.get(key.partition("_")[0]), 2 if key.startswith("s2_20m_") else 1
