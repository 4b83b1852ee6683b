"""Which images a reconstruction uses, and how the dates around it are chosen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np

from decloud_lib.arrays.pairing import nearest
from decloud_lib.errors import NoSampleError
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.types import Array

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: How many dates before, at and after the image to rebuild are considered at most.
MAX_DATES = 12
#: Models without a network, which do not need radar images.
WITHOUT_RADAR = ("linear_gap_filling", "nearest_date", "gapfilling_fitted")
_NO_RADAR = f"use a model that needs no radar: --savedmodel {', '.join(WITHOUT_RADAR)}, and others"
_CHECK_S1 = f"check --s1-dir, run prepare-s1, or {_NO_RADAR}"
_CHECK_S2 = "check --s2-dir, or run prepare-s2"

Dated = TypeVar("Dated", PreparedS1, PreparedS2)


@dataclass(frozen=True, slots=True)
class Span:
    """How far from the image to rebuild the dates of one side may lie, both ends included."""

    min_days: float = 0.0
    """Days."""
    max_days: float = 30.0
    """Days."""

    def __str__(self) -> str:
        return f"{self.min_days:g} to {self.max_days:g} days"


@dataclass(frozen=True, slots=True)
class Search:
    """Bounds of the choice of dates."""

    before: Span
    after: Span
    max_gap_hours: float
    """Largest time between a SAR image and the optical image it belongs to, hours, included."""


@dataclass(frozen=True, slots=True)
class SceneInputs:
    """All images that one reconstruction may read."""

    target: PreparedS2
    """The image to rebuild; gives the grid and the date."""
    s2_before: tuple[PreparedS2, ...] = ()
    s1_before: tuple[PreparedS1, ...] = ()
    s1: tuple[PreparedS1, ...] = ()
    s2_after: tuple[PreparedS2, ...] = ()
    s1_after: tuple[PreparedS1, ...] = ()
    dem: str | None = None

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the URIs by role, for the provenance of the output."""
        roles: dict[str, Sequence[PreparedS1 | PreparedS2]] = {
            "in_s2": (self.target,),
            "il_s2before": self.s2_before,
            "il_s1before": self.s1_before,
            "il_s1": self.s1,
            "il_s2after": self.s2_after,
            "il_s1after": self.s1_after,
        }
        found = {role: tuple(item.uri for item in items) for role, items in roles.items() if items}
        return found | ({"dem": (self.dem,)} if self.dem else {})


def milliseconds(time: datetime) -> int:
    """Return a time as milliseconds since the epoch, exactly."""
    return (time - EPOCH) // timedelta(milliseconds=1)


def times_ms(items: Iterable[PreparedS1 | PreparedS2]) -> Array:
    """Return the acquisition times as (N,) int64 milliseconds."""
    return np.array([milliseconds(item.acquired) for item in items], dtype=np.int64)


def spans_of_layout(layout: Mapping[str, Any] | None) -> tuple[Span, Span]:
    """Return the spans before and after that a network was trained with.

    Parameters
    ----------
    layout
        The acquisition layout in its JSON form; the acquisitions `tm1` and `tp1` count, and `tm2`
        and `tp2` where it has them.

    Returns
    -------
    The spans before and after; 0 to 30 days where the layout does not say.
    """
    return _joined(layout, "tm1", "tm2"), _joined(layout, "tp1", "tp2")


def replace_span(span: Span, min_days: float | None, max_days: float | None) -> Span:
    """Return the span with the bounds that a user gave."""
    return Span(
        span.min_days if min_days is None else min_days,
        span.max_days if max_days is None else max_days,
    )


def choose(
    target: PreparedS2,
    s1: Sequence[PreparedS1],
    s2: Sequence[PreparedS2],
    search: Search,
    roles: frozenset[str],
) -> SceneInputs:
    """Choose the dates around the image to rebuild.

    Before and after: the 12 closest optical dates within the span (strictly before and after) that
    have a SAR image within the gap, with all these SAR images. At the date: the 12 closest SAR
    images within the gap. The existing system takes the 12 closest SAR images of each side
    instead, which may leave the farther optical dates without a partner.

    Parameters
    ----------
    target
        The image to rebuild; skipped where it stands among `s2`.
    s1, s2
        The candidates, any order.
    search
        Spans and gap.
    roles
        Which are needed: `s2_tm1`, `s1_tm1`, `s1_t`, `s2_tp1`, `s1_tp1`.

    Raises
    ------
    NoSampleError
        A needed side stays empty; says what was there.
    """
    others = [item for item in s2 if item.name != target.name]
    gap_ms = round(search.max_gap_hours * 3_600_000)
    sides: dict[str, Any] = {}
    for suffix, span, sign in (("tm1", search.before, -1), ("tp1", search.after, 1)):
        if f"s2_{suffix}" not in roles:
            continue
        optical = _side(target, others, span, sign)
        sar: tuple[PreparedS1, ...] = ()
        if f"s1_{suffix}" in roles:
            optical, sar = _with_sar(target, optical, s1, gap_ms)
        word = "before" if sign < 0 else "after"
        sides |= {f"s2_{word}": tuple(optical[:MAX_DATES]), f"s1_{word}": sar}
    if "s1_t" in roles:
        sides["s1"] = _sar_at(target, s1, gap_ms)
    return SceneInputs(target=target, **sides)


def choose_some(
    target: PreparedS2,
    s1: Sequence[PreparedS1],
    s2: Sequence[PreparedS2],
    search: Search,
    roles: frozenset[str],
) -> SceneInputs:
    """Choose the dates around for a model that does without a side, and without SAR images.

    Before and after: the 12 closest optical dates within the span, and all SAR images within the
    gap of one of them or of the date. Parameters as for `choose`.

    Raises
    ------
    NoSampleError
        Both sides are needed and stay empty.
    """
    others = [item for item in s2 if item.name != target.name]
    gap_ms = round(search.max_gap_hours * 3_600_000)
    before, after = (
        _within(target, others, span, sign)[:MAX_DATES] if f"s2_{suffix}" in roles else []
        for suffix, span, sign in (("tm1", search.before, -1), ("tp1", search.after, 1))
    )
    if {"s2_tm1", "s2_tp1"} <= roles and not before and not after:
        raise _no_date(target, others, f"{search.before} before or {search.after} after")
    return SceneInputs(
        target=target,
        s2_before=tuple(before),
        s1_before=_sar_beside(before, s1, gap_ms),
        s1=_sar_beside([target], s1, gap_ms),
        s2_after=tuple(after),
        s1_after=_sar_beside(after, s1, gap_ms),
    )


def _side(
    target: PreparedS2, others: Sequence[PreparedS2], span: Span, sign: int
) -> list[PreparedS2]:
    found = _within(target, others, span, sign)
    if not found:
        raise _no_date(target, others, f"{span} {'before' if sign < 0 else 'after'}")
    return found


def _within(
    target: PreparedS2, others: Sequence[PreparedS2], span: Span, sign: int
) -> list[PreparedS2]:
    low, high = (round(days * 86_400_000) for days in (span.min_days, span.max_days))
    low = max(low, 1)  # strictly before or after
    return _nearest(target, others, len(others), (low, high) if sign > 0 else (-high, -low))


def _no_date(target: PreparedS2, others: Sequence[PreparedS2], where: str) -> NoSampleError:
    return NoSampleError(
        f"no S2 date {where} {_when(target)} ({target.name}); found {_listed(others)}; "
        + ("prepare more dates or widen --min-days and --max-days" if others else _CHECK_S2)
    )


def _with_sar(
    target: PreparedS2, optical: list[PreparedS2], s1: Sequence[PreparedS1], gap_ms: int
) -> tuple[list[PreparedS2], tuple[PreparedS1, ...]]:
    partners = {item.name: _nearest(item, s1, MAX_DATES, (-gap_ms, gap_ms)) for item in optical}
    kept = [item for item in optical if partners[item.name]][:MAX_DATES]
    if not kept:
        raise NoSampleError(
            f"no S1 image within {gap_ms / 3_600_000:g} h of an S2 date "
            f"({_listed(optical)}) around {_when(target)}; found S1 {_listed(s1)}; "
            + (f"prepare more S1 dates, raise --maxgap, or {_NO_RADAR}" if s1 else _CHECK_S1)
        )
    return kept, _sar_beside(kept, s1, gap_ms)


def _sar_beside(
    optical: Sequence[PreparedS2], s1: Sequence[PreparedS1], gap_ms: int
) -> tuple[PreparedS1, ...]:
    found = (_nearest(item, s1, MAX_DATES, (-gap_ms, gap_ms)) for item in optical)
    used = {sar.uri: sar for partners in found for sar in partners}
    return tuple(sorted(used.values(), key=lambda item: (item.acquired, item.uri)))


def _sar_at(target: PreparedS2, s1: Sequence[PreparedS1], gap_ms: int) -> tuple[PreparedS1, ...]:
    found = _nearest(target, s1, MAX_DATES, (-gap_ms, gap_ms))
    if not found:
        raise NoSampleError(
            f"no S1 image within {gap_ms / 3_600_000:g} h of {_when(target)} ({target.name}); "
            f"found S1 {_listed(s1)}; "
            + (f"prepare more S1 dates, raise --maxgap, or {_NO_RADAR}" if s1 else _CHECK_S1)
        )
    return tuple(found)


def _nearest(
    around: PreparedS2, items: Sequence[Dated], count: int, bounds: tuple[int, int]
) -> list[Dated]:
    positions = nearest(times_ms(items), milliseconds(around.acquired), count, bounds)
    return [items[position] for position in positions]


def _joined(layout: Mapping[str, Any] | None, *names: str) -> Span:
    """Return the shortest span that holds those of all these acquisitions that the layout has."""
    known = [name for name in names if name in (layout or {})] or names[:1]
    spans = [_span(layout, name) for name in known]
    return Span(min(span.min_days for span in spans), max(span.max_days for span in spans))


def _span(layout: Mapping[str, Any] | None, name: str) -> Span:
    entry = (layout or {}).get(name)
    if not isinstance(entry, Mapping):
        return Span()
    ends = [entry.get(f"timeframe_{end}_hours") for end in ("start", "end")]
    days = sorted(abs(float(value)) / 24 for value in ends if value is not None)
    return Span(days[0], days[1]) if len(days) == 2 else Span()


def _listed(items: Sequence[PreparedS1] | Sequence[PreparedS2]) -> str:
    if not items:
        return "none"
    days = sorted({f"{item.acquired:%Y-%m-%d}" for item in items})
    return ", ".join(days) if len(days) <= 6 else f"{len(days)} dates from {days[0]} to {days[-1]}"


def _when(item: PreparedS2) -> str:
    return f"{item.acquired:%Y-%m-%d %H:%M}"
