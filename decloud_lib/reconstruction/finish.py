"""From the network's estimate to the pixels of the output."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.arrays.windows import trim
from decloud_lib.errors import ModelFolderError
from decloud_lib.types import Array, Window

#: Smallest and largest value of an output pixel with data, DN; never the no-data value.
DN_RANGE = (bands.S2_NODATA + 1, int(np.iinfo(np.int16).max))


@dataclass(frozen=True, slots=True)
class Finish:
    """Makes one window of the output: trimmed, in DN, rounded, clamped, no data marked.

    Attributes
    ----------
    margin_px : what surrounds each window in the network's input and output, pixels
    """

    margin_px: int

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Finish one window.

        Parameters
        ----------
        window
            Where the result belongs.
        estimate
            (H, W, C) float32 reflectance 0..1, with the margin.
        inputs
            What the network took, stored values with the margin, by key.

        Returns
        -------
        (H, W, C) int16 DN without the margin; -10000 exactly where one of the 10 m Sentinel-1 or
        Sentinel-2 inputs has no data in any band.

        Raises
        ------
        ModelFolderError
            The network gave values that are no numbers.
        """
        # 10000 is exact in float32, 1e-4 is not.
        dn = np.rint(trim(estimate, self.margin_px, window.shape) * np.float32(1 / bands.S2_SCALE))
        if not np.isfinite(dn).all():
            raise ModelFolderError(
                f"the network gave values that are no numbers (NaN or infinite) in {window}; "
                "its weights are broken: train or export it again"
            )
        pixels = np.clip(dn, *DN_RANGE).astype(np.int16)
        pixels[self.nodata(window, inputs)] = bands.S2_NODATA
        return pixels

    def nodata(self, window: Window, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W) bool, True where a required 10 m image has no data, without the margin."""
        mask = np.zeros(window.shape, dtype=bool)
        for key, pixels in sorted(inputs.items()):
            nodata = _nodata_of(key)
            if nodata is not None:
                mask |= all_nodata(trim(pixels, self.margin_px, window.shape), nodata)
        return mask


def _nodata_of(key: str) -> int | None:
    if key.startswith("s2_20m_") or "timestamp" in key:
        return None
    return {"s1": bands.S1_NODATA, "s2": bands.S2_NODATA}.get(key.partition("_")[0])
