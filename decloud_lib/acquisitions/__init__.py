"""Acquisition layouts: which images a training sample consists of."""

from decloud_lib.acquisitions.acquisition_factory import (
    AcquisitionFactory,
    load_layout,
    shipped_layouts,
)
from decloud_lib.acquisitions.sensing_layout import (
    AcquisitionsLayout,
    RandomInt,
    S1Acquisition,
    S2Acquisition,
)

__all__ = [
    "AcquisitionFactory",
    "AcquisitionsLayout",
    "RandomInt",
    "S1Acquisition",
    "S2Acquisition",
    "load_layout",
    "shipped_layouts",
]
