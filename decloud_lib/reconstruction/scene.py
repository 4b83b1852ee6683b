"""From a model's contract and the images around a date to the sources of the network."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from decloud_lib.arrays.pairing import Pair, nearest, ordered, pairs_within_gap
from decloud_lib.errors import ConfigError, ModelFolderError, NoSampleError
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.reconstruction.closed_form import CONTRACTS
from decloud_lib.reconstruction.five_dates import (
    ROLES,
    composed_sources,
    single_date_sources,
    takes_five_dates,
)
from decloud_lib.reconstruction.inputs import (
    WITHOUT_RADAR,
    SceneInputs,
    milliseconds,
    times_ms,
)
from decloud_lib.reconstruction.sources import (
    Date,
    Optical,
    PairMosaic,
    SarMosaic,
    Single,
    Source,
    dem_image,
    mask_image,
    s1_image,
    s2_20m_image,
    s2_image,
)

Priority = Literal["closest_clear", "closest", "farthest"]

#: The keys that can be made out of prepared products, and the images that each needs.
_AT_DATE = ("s1_t", "s1_target", "s2_t", "s2_20m_t", "s2_timestamp_t", "s2_timestamp_target", "dem")
_AROUND = tuple(
    f"{kind}_{side}" for side in ("tm1", "tp1") for kind in ("s1", "s2", "s2_timestamp", "s2_20m")
)
SERVABLE_KEYS = (*_AT_DATE, *_AROUND)


def roles_of(contract: ModelContract) -> frozenset[str]:
    """Return which images a network needs: its keys, and `s2_<side>` for a date of that side.

    Raises
    ------
    ModelFolderError
        The network takes something that cannot be made out of prepared products.
    """
    if takes_five_dates(contract):
        return ROLES
    unknown = [key for key in contract.input_keys if key not in SERVABLE_KEYS]
    if unknown:
        raise ModelFolderError(
            f"model {contract.name} takes {', '.join(unknown)}, which the reconstruction cannot "
            f"make; it makes {', '.join(SERVABLE_KEYS)}: use a model with these inputs"
        )
    keys = set(contract.input_keys)
    if "s1_target" in keys:  # what the samples of some layouts call the radar image of the date
        keys.add("s1_t")
    for side in ("tm1", "tp1"):
        if keys & {f"{kind}_{side}" for kind in ("s1", "s2_timestamp", "s2_20m")}:
            keys.add(f"s2_{side}")
    return frozenset(keys)


def make_sources(
    contract: ModelContract, inputs: SceneInputs, priority: Priority, max_gap_hours: float
) -> list[Source]:
    """Make the sources of all inputs of a network.

    Parameters
    ----------
    contract
        What the network takes.
    inputs
        The images around the date.
    priority
        Which of several dates before (or after) comes first at a pixel: the closest one without
        clouds, the closest one, or the farthest one (as the existing system does).
    max_gap_hours
        Largest time between a SAR image and its optical image, hours, included.

    Raises
    ------
    ConfigError
        A list or file that the network needs was not given.
    NoSampleError
        No SAR image lies within the gap of an optical one.
    ModelFolderError
        The network takes something that cannot be made.
    """
    if takes_five_dates(contract):
        return _five_dates(contract, inputs, max_gap_hours)
    roles = roles_of(contract)
    target = inputs.target
    now_ms = milliseconds(target.acquired)
    sources: list[Source] = []
    dates = roles & {"s2_timestamp_t", "s2_timestamp_target"}
    sources += [Date(key, now_ms) for key in sorted(dates)]
    if "s2_t" in roles:
        sources.append(Single("s2_t", s2_image(target.stack_10m)))
    if "s2_20m_t" in roles:
        sources.append(Single("s2_20m_t", s2_20m_image(target.stack_20m)))
    if "dem" in roles:
        if inputs.dem is None:
            raise ConfigError(f"model {contract.name} needs an elevation raster; give --dem")
        sources.append(Single("dem", dem_image(inputs.dem)))
    if "s1_t" in roles:
        key = "s1_target" if "s1_target" in roles else "s1_t"
        sources.append(_sar_mosaic(contract, key, inputs.s1, now_ms))
    for side, optical, sar in (
        ("tm1", inputs.s2_before, inputs.s1_before),
        ("tp1", inputs.s2_after, inputs.s1_after),
    ):
        if f"s2_{side}" in roles:
            images = sar if f"s1_{side}" in roles else None
            pairs = _pairs(side, (optical, images), now_ms, priority, max_gap_hours)
            mosaic = _pair_mosaic(side, optical, images, pairs, priority)
            sources.append(
                replace(
                    mosaic,
                    with_dates=f"s2_timestamp_{side}" in roles,
                    with_20m=f"s2_20m_{side}" in roles,
                )
            )
    return sources


def limit_radar(sources: Sequence[Source], per_date: int) -> list[Source]:
    """Leave at most so many radar images beside each optical date, the closest ones.

    Several fill each other's gaps; networks were trained with one.
    """
    found: list[Source] = []
    for source in sources:
        if isinstance(source, SarMosaic):
            found.append(replace(source, images=source.images[:per_date]))
        elif isinstance(source, PairMosaic) and source.sar:
            seen: Counter[int] = Counter()
            pairs = []
            for pair in source.pairs:  # of one date, the closest first
                seen[pair.optical] += 1
                if seen[pair.optical] <= per_date:
                    pairs.append(pair)
            found.append(replace(source, pairs=tuple(pairs)))
        else:
            found.append(source)
    return found


def _five_dates(contract: ModelContract, inputs: SceneInputs, max_gap_hours: float) -> list[Source]:
    if not inputs.s2_before and not inputs.s2_after:
        raise ConfigError(
            f"model {contract.name} needs S2 images before or after the date; "
            "give --il-s2before, --il-s2after or --s2-dir"
        )
    sources = composed_sources if contract.name in CONTRACTS else single_date_sources
    return sources(inputs, max_gap_hours)


def _sar_mosaic(
    contract: ModelContract, key: str, images: tuple[PreparedS1, ...], now_ms: int
) -> SarMosaic:
    if not images:
        raise ConfigError(
            f"model {contract.name} needs SAR images at the date; give --il-s1 or --s1-dir"
        )
    span = (-(2**62), 2**62)
    order = nearest(times_ms(images), now_ms, len(images), span)
    return SarMosaic(key, tuple(s1_image(images[position].uri) for position in order))


def _pairs(
    side: str,
    lists: tuple[Sequence[PreparedS2], Sequence[PreparedS1] | None],
    now_ms: int,
    priority: Priority,
    max_gap_hours: float,
) -> list[Pair]:
    optical, sar = lists
    word = "before" if side == "tm1" else "after"
    if not optical or (sar is not None and not sar):
        sensor = "s2" if not optical else "s1"
        raise ConfigError(
            f"the model needs {sensor.upper()} images {word} the date; "
            f"give --il-{sensor}{word} or --s1-dir and --s2-dir"
        )
    farthest: Literal["asc", "des"] = "asc" if side == "tm1" else "des"
    order = farthest if priority == "farthest" else "abs"
    dates = times_ms(optical)
    if sar is None:
        return [Pair(index, -1) for index in ordered(dates, order, now_ms)]
    gap_ms = round(max_gap_hours * 3_600_000)
    pairs = pairs_within_gap(dates, times_ms(sar), gap_ms, order, now_ms)
    if not pairs:
        raise NoSampleError(
            f"none of the {len(sar)} S1 images {word} the date lies within {max_gap_hours:g} h of "
            f"one of the {len(optical)} S2 images; give closer S1 dates, raise --maxgap, or use a "
            f"model that needs no radar ({', '.join(WITHOUT_RADAR)})"
        )
    return pairs


def _pair_mosaic(
    side: str,
    optical: Sequence[PreparedS2],
    sar: Sequence[PreparedS1] | None,
    pairs: list[Pair],
    priority: Priority,
) -> PairMosaic:
    dates = times_ms(optical)
    return PairMosaic(
        suffix=side,
        optical=tuple(
            Optical(
                s2_image(item.stack_10m),
                int(time),
                mask_image(item.cloud_mask),
                s2_20m_image(item.stack_20m),
            )
            for item, time in zip(optical, dates, strict=True)
        ),
        sar=tuple(s1_image(item.uri) for item in sar or ()),
        pairs=tuple(pairs),
        clear_first=priority == "closest_clear",
    )
