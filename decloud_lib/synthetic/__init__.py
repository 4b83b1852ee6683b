"""Synthetic Sentinel series in delivery layout, made from a seed.

For the demo, the tests and the benchmarks. `make_products` writes a series and the truth under its
clouds; `Scene` gives the same images as arrays.

The figures of a long series (levels, spreads, correlations, changes, clouds, backscatter) lie
within a factor of 1.5 of those of 16 months of real images of farmland. On purpose it differs in:

* radar dates: one pass every 6 days by default, where the real place has two passes that lie 1 and
  5 days apart; one regular pass is the usual case, and `s1_ascending` adds a second one;
* the kind of place: villages cover some percent of a scene, not a third of it as of the real place,
  so the mean of VV is 0.8 dB lower; decibels are compared as power;
* the autocorrelation at 16 px, which is near zero in reality, is compared by difference (0.15).
"""

from decloud_lib.synthetic.config import SyntheticConfig
from decloud_lib.synthetic.scene import OpticalView, Scene
from decloud_lib.synthetic.schedule import OpticalDate, RadarDate
from decloud_lib.synthetic.series import (
    SyntheticOptical,
    SyntheticRadar,
    SyntheticSeries,
    describe_series,
    make_products,
)
from decloud_lib.synthetic.sky import Sky
from decloud_lib.synthetic.surface import BANDS

__all__ = [
    "BANDS",
    "OpticalDate",
    "OpticalView",
    "RadarDate",
    "Scene",
    "Sky",
    "SyntheticConfig",
    "SyntheticOptical",
    "SyntheticRadar",
    "SyntheticSeries",
    "describe_series",
    "make_products",
]
