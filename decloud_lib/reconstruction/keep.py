"""Observed clear pixels that are kept beside what a network estimates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.composite import clear_weight
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.arrays.windows import trim
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.products.prepared import PreparedS2
from decloud_lib.reconstruction.finish import Finish
from decloud_lib.reconstruction.sources import (
    Single,
    mask_image,
    s2_20m_image,
    s2_image,
)
from decloud_lib.types import Array, Window

#: Keys of what is read only to be kept; no network takes them.
CLOUD_KEY, _OBSERVED = "observed_cloud", {1: "observed_10m", 2: "observed_20m"}
_SERVED = {1: "s2_t", 2: "s2_20m_t"}


@dataclass(frozen=True, slots=True)
class KeepClear:
    """Keeps clear observed pixels, with a smooth transition towards the network's estimate.

    Attributes
    ----------
    margin_px : what surrounds each window in the inputs, 10 m pixels; at least `feather_px`
    feather_px : width of the transition, 10 m pixels
    observed : key of the observed image, by the side of its pixels in 10 m pixels
    """

    margin_px: int
    feather_px: int
    observed: Mapping[int, str]

    def weight(self, window: Window, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W) float32, how much of the observed 10 m pixels is kept, without margin."""
        clear = inputs[CLOUD_KEY][:, :, 0] == 0
        clear &= ~all_nodata(inputs[self.observed[1]], bands.S2_NODATA)
        return trim(clear_weight(clear, self.feather_px), self.margin_px, window.shape)

    def coarse_weight(self, finish: Finish, window: Window, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W) float32, the weight of the pixels of an output: the least of its own."""
        place, factor = finish.place(window), finish.factor
        weight = self.weight(window, inputs)
        if factor > 1:
            fine = weight[: place.height * factor, : place.width * factor]
            cells = fine.reshape(place.height, factor, place.width, factor)
            weight = cells.min(axis=(1, 3))
        return weight

    def blend(
        self, finish: Finish, window: Window, pixels: Array, inputs: Mapping[str, Array]
    ) -> Array:
        """Return finished pixels with the observed ones where they are clear, int16 DN.

        A pixel that is no data for the network but clear in the image is kept whole.
        """
        place, factor = finish.place(window), finish.factor
        weight = self.coarse_weight(finish, window, inputs)
        seen = trim(inputs[self.observed[factor]], self.margin_px // factor, place.shape)
        weight = np.where(all_nodata(seen, bands.S2_NODATA), 0, weight)[:, :, np.newaxis]
        mixed = np.rint(weight * seen + (1 - weight) * pixels).astype(np.int16)
        lost = all_nodata(pixels, bands.S2_NODATA)[:, :, np.newaxis]
        return np.where(lost, np.where(weight > 0, seen, pixels), mixed).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Kept:
    """Finishes a window with the clear observed pixels in it; used as `Finish` is."""

    finish: Finish
    keep: KeepClear

    def place(self, window: Window) -> Window:
        """Return where a window of 10 m pixels lies in this output."""
        return self.finish.place(window)

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W, C) int16 DN; -10000 = neither network nor clear observation."""
        pixels = self.finish(window, estimate, inputs)
        return self.keep.blend(self.finish, window, pixels, inputs)


def observed_sources(
    contract: ModelContract, target: PreparedS2, *, cloud: bool
) -> tuple[list[Single], dict[int, str]]:
    """Return what must be read of the date itself, beside what the network takes.

    Parameters
    ----------
    contract
        What the network takes and gives.
    target
        The date.
    cloud
        To keep its clear pixels: its mask, and its image at the resolution of each output. Else
        only the 10 m image, to be shown.

    Returns
    -------
    The sources, and the key of the observed image by the side of its pixels.
    """
    images = {1: s2_image(target.stack_10m), 2: s2_20m_image(target.stack_20m)}
    sources = [Single(CLOUD_KEY, mask_image(target.cloud_mask))] if cloud else []
    keys: dict[int, str] = {}
    for factor in {1, *(item.factor for item in contract.outputs if cloud)}:
        served = _SERVED[factor] in contract.input_keys
        keys[factor] = _SERVED[factor] if served else _OBSERVED[factor]
        if not served:
            sources.append(Single(keys[factor], images[factor]))
    return sources, keys
