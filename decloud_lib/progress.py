"""Progress of long work: a bar on a terminal, a log line every tenth in a pod."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)
T = TypeVar("T")


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
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=label, unit=unit, leave=False)
        return
    start, shown = time.monotonic(), 0
    for done, item in enumerate(items, start=1):
        yield item
        tenth = 10 * done // max(total, 1)
        if tenth > shown and total >= 10:
            shown = tenth
            logger.info("%s: %d of %d (%.0f s)", label, done, total, time.monotonic() - start)
