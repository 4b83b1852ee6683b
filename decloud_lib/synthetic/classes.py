"""Kinds of land, and the crops that arable land may carry."""

from dataclasses import dataclass
from enum import IntEnum


class LandClass(IntEnum):
    """What covers the ground; up to `LAST_PARCEL` each parcel has a life of its own."""

    ARABLE = 0
    MEADOW = 1
    ORCHARD = 2
    BROADLEAF = 3
    CONIFER = 4
    LAST_PARCEL = 4
    HEDGE = 5
    GARDEN = 6
    WATER = 7
    ROAD = 8
    TRACK = 9
    TILES = 10
    CONCRETE = 11
    HALL = 12


@dataclass(frozen=True, slots=True)
class Crop:
    """Calendar of one annual crop, in days of the harvest year (negative: the year before)."""

    share: float
    """Relative frequency."""
    sown: float
    """First green, day."""
    winter: float
    """Green cover before growth in spring, 0-1."""
    rise: float
    """Middle of the growth, day."""
    rise_days: float
    """How long the growth takes (logistic scale)."""
    full: float
    """Green cover at the peak, 0-1."""
    ripen: float
    """Middle of ripening, day."""
    ripen_days: float
    """How long ripening takes (logistic scale)."""
    harvest: float
    """Day of harvest."""
    stubble: float
    """Dry cover left by the harvest, 0-1."""
    near_infrared: float
    """B8 of the full canopy, reflectance."""
    vv_db: float
    """Change of VV by the full canopy, dB (upright stems attenuate, broad leaves scatter)."""
    ratio_db: float
    """Change of VH/VV by the full canopy, dB."""
    flower: float = 0.0
    """Strength of yellow flowers, 0-1."""


#: Common crops of the plains of western Europe with their usual dates.
CROPS: dict[str, Crop] = {
    "winter wheat": Crop(0.30, -55, 0.45, 78, 11, 0.95, 178, 7, 199, 0.75, 0.47, -2.6, 3.0),
    "winter barley": Crop(0.10, -70, 0.55, 70, 11, 0.93, 160, 7, 181, 0.75, 0.45, -2.4, 3.4),
    "rapeseed": Crop(0.11, -115, 0.75, 70, 12, 0.93, 172, 8, 193, 0.65, 0.46, 0.6, 4.6, 1.0),
    "maize": Crop(0.20, 128, 0.0, 166, 8, 0.94, 250, 11, 278, 0.50, 0.44, 0.9, 3.4),
    "sunflower": Crop(0.07, 125, 0.0, 162, 8, 0.85, 228, 8, 256, 0.35, 0.46, 1.2, 3.6),
    "sugar beet": Crop(0.10, 112, 0.0, 158, 9, 0.95, 300, 25, 292, 0.20, 0.56, 1.0, 3.8),
    "potato": Crop(0.07, 125, 0.0, 164, 7, 0.93, 242, 10, 262, 0.10, 0.54, 0.8, 3.2),
    "peas": Crop(0.05, 80, 0.0, 122, 8, 0.90, 172, 6, 184, 0.35, 0.46, 0.2, 3.2),
}
