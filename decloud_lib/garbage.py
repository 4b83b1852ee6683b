"""Python's search for garbage, paused where it costs and finds nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: a third of the time where a million objects are made to stay.

    So it is when MLflow is imported and when it answers with many runs, and with long listings.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
