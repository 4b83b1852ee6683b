"""Models of five dates: two before the image to rebuild, itself as far as visible, two after.

Any of the others may be missing, and radar images too.
"""

from collections.abc import Sequence
from datetime import timedelta

from decloud_lib.arrays.pairing import nearest, ordered
from decloud_lib.bands import S1_BANDS, S2_10M_BANDS, S2_NODATA
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.reconstruction.clear_dates import ClearDates, Constant, Seen
from decloud_lib.reconstruction.inputs import SceneInputs, milliseconds, times_ms
from decloud_lib.reconstruction.readers import Image
from decloud_lib.reconstruction.sources import (
    Date,
    Optical,
    Single,
    Source,
    mask_image,
    s1_image,
    s2_image,
)
from decloud_lib.reconstruction.synthesis import score

DATES = ("tm2", "tm1", "t", "tp1", "tp2")
KEYS = tuple(f"s2_{kind}{name}" for name in DATES for kind in ("", "cld10m_", "timestamp_"))
FITTED_KEYS = (*KEYS, "s1_tm1", "s1_t", "s1_tp1")
COMPOSED_KEYS = (
    *("s2_t", "s2_cld10m_t", "s2_timestamp_t", "s1_t"),
    *(f"{kind}_{side}1" for side in ("tm", "tp") for kind in ("s2", "s2_timestamp", "s1")),
    *("s2_tm2", "s2_tp2"),
)
#: Says that any of the dates around and any radar image may be missing.
PARTIAL = "partial"
ROLES = frozenset(
    {"s2_t", "observed_cloud", "s2_tm1", "s2_tp1", "s1_tm1", "s1_t", "s1_tp1", PARTIAL}
)
_HALF_LIFE = timedelta(days=20)
"""A date so much farther away must be twice as clear to be preferred."""


def takes_five_dates(contract: ModelContract) -> bool:
    """Say whether a model takes the dates, masks and times of `KEYS`."""
    return set(KEYS) <= set(contract.input_keys)


def shown_by(contract: ModelContract, *, composed: bool) -> tuple[str, ...]:
    """Return the images of which one is enough for an estimate; none: all that the model takes.

    Parameters
    ----------
    contract
        Of the model.
    composed
        Whether the dates around are composed pixel by pixel.
    """
    if not takes_five_dates(contract):
        return ()
    return ("s2_tm1", "s2_tp1") if composed else ("s2_tm2", "s2_tm1", "s2_tp1", "s2_tp2")


def composed_sources(inputs: SceneInputs, max_gap_hours: float) -> list[Source]:
    """Make sources that compose the two nearest clear dates of each side pixel by pixel.

    For estimates that take the date of each pixel.
    """
    gap_ms = round(max_gap_hours * 3_600_000)
    sources = _date("t", inputs.target, _partner(inputs, inputs.target, gap_ms))
    for side, images in (("tm", inputs.s2_before), ("tp", inputs.s2_after)):
        order = ordered(times_ms(images), "abs", milliseconds(inputs.target.acquired))
        dates = [images[position] for position in order]
        seen = (Seen(_optical(item), _partner(inputs, item, gap_ms)) for item in dates)
        sources.append(ClearDates(side, tuple(seen)))
    return sources


def single_date_sources(inputs: SceneInputs, max_gap_hours: float) -> list[Source]:
    """Make sources for a network, which takes one time per date: two whole dates of each side."""
    gap_ms = round(max_gap_hours * 3_600_000)
    dates = dict(zip(("tm1", "tm2"), choose_two(inputs.target, inputs.s2_before), strict=False))
    dates |= dict(zip(("tp1", "tp2"), choose_two(inputs.target, inputs.s2_after), strict=False))
    dates["t"] = inputs.target
    sources: list[Source] = []
    for name in DATES:
        item = dates.get(name)
        if item is not None:
            sources += _date(name, item, _partner(inputs, item, gap_ms))
            continue
        sources += [
            Constant(f"s2_{name}", len(S2_10M_BANDS), S2_NODATA, "int16"),
            Constant(f"s2_cld10m_{name}", 1, 1, "uint8"),
            Date(f"s2_timestamp_{name}", milliseconds(inputs.target.acquired)),
            Constant(f"s1_{name}", len(S1_BANDS), 0, "uint16"),
        ]
    return sources


def choose_two(target: PreparedS2, images: Sequence[PreparedS2]) -> list[PreparedS2]:
    """Choose the two dates of one side that show most and lie nearest; the nearer one first.

    A date counts by its clear share, halved for every 20 days of distance.
    """
    if len(images) > 2:
        shares = [1.0 - item.cloud_fraction - item.nodata_fraction for item in score(images)]
        away = [abs(item.acquired - target.acquired) / _HALF_LIFE for item in images]
        worth = [share * 0.5**far for share, far in zip(shares, away, strict=True)]
        best = sorted(range(len(images)), key=lambda number: (-worth[number], away[number]))
        images = [images[number] for number in best[:2]]
    return sorted(images, key=lambda item: abs(item.acquired - target.acquired))


def _date(name: str, item: PreparedS2, sar: Image | None) -> list[Source]:
    time_ms = milliseconds(item.acquired)
    radar: Source = Constant(f"s1_{name}", len(S1_BANDS), 0, "uint16")
    return [
        Single(f"s2_{name}", s2_image(item.stack_10m)),
        Single(f"s2_cld10m_{name}", mask_image(item.cloud_mask)),
        Date(f"s2_timestamp_{name}", time_ms),
        radar if sar is None else Single(f"s1_{name}", sar),
    ]


def _partner(inputs: SceneInputs, item: PreparedS2, gap_ms: int) -> Image | None:
    """Return the radar image nearest to an optical one, None where there is none in the gap."""
    radar: list[PreparedS1] = [*inputs.s1_before, *inputs.s1, *inputs.s1_after]
    found = nearest(times_ms(radar), milliseconds(item.acquired), 1, (-gap_ms, gap_ms))
    return s1_image(radar[found[0]].uri) if len(found) else None


def _optical(item: PreparedS2) -> Optical:
    return Optical(
        s2_image(item.stack_10m), milliseconds(item.acquired), mask_image(item.cloud_mask)
    )
