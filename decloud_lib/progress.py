"""Progress of long work: a bar on a terminal, a log line every tenth in a pod."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)
T = TypeVar("T")

_silent = False

#: Fewer items than this are not worth a line each.
_LINES_FROM = 10
#: However slow the items are, a pod's log shows a sign of life so often, seconds.
_SILENCE_S = 60.0


def silence() -> None:
    """Show nothing from now on in this process: another one shows the progress of its work."""
    global _silent
    _silent = True


def track(
    items: Iterable[T],
    total: int,
    label: str,
    unit: str = "item",
    pixels: Callable[[T], int] | None = None,
) -> Iterator[T]:
    """Yield the items and show how far the work is.

    Parameters
    ----------
    items
        What is worked on.
    total
        Their number; 0 where only signs of life are wanted.
    label
        What the work is, for the bar or the log line.
    unit
        What one item is called.
    pixels
        How many pixels an item has: the speed is shown in Mpixel/s.
    """
    if _silent:
        yield from items
        return
    if sys.stderr.isatty():
        yield from _bar(items, total, label, unit, pixels)
        return
    start = last = time.monotonic()
    shown = count = 0
    for done, item in enumerate(items, start=1):
        # The work on the item happens here: it is counted when the caller comes back.
        yield item
        count += pixels(item) if pixels is not None else 0
        tenth = 10 * done // max(total, 1)
        now = time.monotonic()
        if (total >= _LINES_FROM and tenth > shown) or now - last >= _SILENCE_S:
            shown, last = tenth, now
            seconds = now - start
            rate = f", {_speed(count, seconds)}" if count else ""
            left = f", {seconds * (total - done) / done:.0f} s left" if done < total else ""
            of = f"of {total}" if total else "done"
            logger.info("%s: %d %s (%.0f s%s%s)", label, done, of, seconds, rate, left)


def _bar(
    items: Iterable[T], total: int, label: str, unit: str, pixels: Callable[[T], int] | None
) -> Iterator[T]:
    start, count = time.monotonic(), 0
    with tqdm(items, total=total, desc=label, unit=unit, leave=False) as bar:
        for item in bar:
            yield item
            if pixels is not None:
                count += pixels(item)
                bar.set_postfix_str(_speed(count, time.monotonic() - start))


def _speed(count: int, seconds: float) -> str:
    return f"{count / 1e6 / max(seconds, 1e-9):.2f} Mpixel/s"
