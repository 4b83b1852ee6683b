import io
import logging
import sys

import pytest

from decloud_lib import progress
from decloud_lib.progress import track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pod_logs_a_line_every_tenth(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(track(iter(range(25)), 25, "patches")) == list(range(25))
    counts = [int(text.split(": ")[1].split(" of ")[0]) for text in caplog.messages]
    assert counts == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert all(text.startswith("patches: ") for text in caplog.messages)


def test_a_few_items_are_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(track("abc", 3, "few")) == ["a", "b", "c"]
    assert list(track([], 0, "none")) == []
    assert caplog.messages == []


def test_slow_items_are_not_silent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter(range(0, 1000, 45))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    list(track("abcd", 4, "slow"))
    assert caplog.messages == [
        "slow: 2 of 4 (90 s, 90 s left)",
        "slow: 4 of 4 (180 s)",
    ]


def test_work_on_pixels_says_how_fast_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter(range(0, 1000, 50))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    list(track([3, 5, 2], 3, "windows", pixels=lambda item: item * 10**6))
    assert caplog.messages[0] == "windows: 2 of 3 (100 s, 0.08 Mpixel/s, 50 s left)"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    list(track([3, 5, 2], 3, "windows", pixels=lambda item: item * 10**6))
    assert "Mpixel/s" in terminal.getvalue()


def test_a_total_that_is_too_small_is_no_error() -> None:
    assert len(list(track(range(30), 10, "more than said"))) == 30


def test_a_terminal_shows_a_bar(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track(range(20), 20, "windows", "window")) == list(range(20))
    assert "windows" in terminal.getvalue()
    assert "/20" in terminal.getvalue()
    assert caplog.messages == []


def test_an_error_in_the_work_passes_through() -> None:
    def work() -> None:
        for item in track(range(20), 20, "work"):
            if item == 3:
                raise KeyError(item)

    with pytest.raises(KeyError):
        work()
