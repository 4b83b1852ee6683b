"""Progress of long work: a bar on a terminal, a log line every tenth in a pod."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
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


def track(items: Iterable[T], total: int, label: str, unit: str = "item") -> Iterator[T]:
    """Yield the items and show how far the work is.

    Parameters
    ----------
    items
        What is worked on.
    total
        Their number.
    label
        What the work is, for the bar or the log line.
    unit
        What one item is called.
    """
    if _silent:
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=label, unit=unit, leave=False)
        return
    start = last = time.monotonic()
    shown = 0
    for done, item in enumerate(items, start=1):
        # The work on the item happens here: it is counted when the caller comes back.
        yield item
        tenth = 10 * done // max(total, 1)
        now = time.monotonic()
        if (total >= _LINES_FROM and tenth > shown) or now - last >= _SILENCE_S:
            shown, last = tenth, now
            logger.info("%s: %d of %d (%.0f s)", label, done, total, now - start)
