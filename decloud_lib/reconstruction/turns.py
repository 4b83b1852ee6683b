"""Several dates under way at once: one uses the network, the next is read, the last is written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Lock

from decloud_lib.errors import DecloudError
from decloud_lib.models.contract import ModelOutput
from decloud_lib.reconstruction.network import Estimator
from decloud_lib.types import Array, Window


class StoppedError(DecloudError):
    """Other work was stopped, and this with it."""


class Turns:
    """Lets one date use the network at a time, from its first window to its last.

    Attributes
    ----------
    dates : how many are under way at once
    """

    def __init__(self, dates: int = 1) -> None:
        self.dates = dates
        self._network = Lock()
        self._stopped = Event()

    def stop(self) -> None:
        """Let all that use the network, or wait for it, fail at their next window."""
        self._stopped.set()

    @contextmanager
    def take(self, estimator: Estimator, calls: int) -> Iterator[Estimator]:
        """Give an estimator that waits for its turn at the first call, and ends it after the last.

        Parameters
        ----------
        estimator
            What is called.
        calls
            How often it will be called.
        """
        turn = _Turn(self._network, self._stopped, estimator, calls)
        try:
            yield turn
        finally:
            turn.end()


class _Turn:
    def __init__(self, network: Lock, stopped: Event, estimator: Estimator, calls: int) -> None:
        self._network, self._stopped = network, stopped
        self._estimator, self._left = estimator, calls
        self._mine = False

    @property
    def input_keys(self) -> tuple[str, ...]:
        return self._estimator.input_keys

    @property
    def outputs(self) -> tuple[ModelOutput, ...]:
        return self._estimator.outputs

    def __call__(
        self, windows: Sequence[Window], readings: Sequence[Mapping[str, Array]]
    ) -> list[Array]:
        if not self._mine:
            self._network.acquire()
            self._mine = True
        if self._stopped.is_set():
            raise StoppedError("stopped, as the work around it was")
        found = self._estimator(windows, readings)
        self._left -= 1
        if not self._left:
            self.end()
        return found

    def end(self) -> None:
        if self._mine:
            self._mine = False
            self._network.release()
