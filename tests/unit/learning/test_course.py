"""The course of a training, with a trainer that needs no network."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError
from decloud_lib.learning.course import Course, Data, EpochReport, Rules, Watch
from decloud_lib.learning.schedule import Schedule
from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved

STEPS = 4


@dataclass
class FakeTrainer:
    """Its only weight is the number of batches it has seen."""

    losses: Sequence[float]
    """Of the validation after each epoch."""
    full_rate: float = 1.0
    is_chief: bool = True
    clock_steps: int = 1
    weight: float = 0.0
    batches: list[tuple[int, int]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    stop_at: tuple[int, int] | None = None
    """Epoch and batch at which the process dies."""

    def train(
        self, samples: Iterable[tuple[int, int]], first: int, rate: Callable[[int], float] | None
    ) -> Iterator[int]:
        for step, batch in enumerate(samples, start=first):
            if batch == self.stop_at:
                raise KeyboardInterrupt
            if rate is not None:
                self.rates.append(rate(step))
            self.batches.append(batch)
            self.weight += 1.0
            yield step + 1

    @property
    def rate(self) -> float:
        return self.rates[-1]

    def agreed(self, seconds: float) -> float:
        return seconds

    def check(self) -> None:
        pass

    def scores(self) -> dict[str, float]:
        return {"loss": 1.0}

    def evaluate(self, _samples: object) -> dict[str, float]:
        epochs = int(self.weight) // STEPS
        return {"loss": self.losses[epochs - 1], "psnr_db": float(epochs)}

    def state(self) -> list[np.ndarray]:
        return [np.array(self.weight)]

    def restore(self, state: list[np.ndarray]) -> None:
        self.weight = float(state[0])

    weights, set_weights = state, restore


class Witness(Watch):
    def __init__(self) -> None:
        self.reports: list[EpochReport] = []
        self.steps: list[tuple[int, int]] = []

    def on_step(self, epoch: int, step: int) -> None:
        self.steps.append((epoch, step))

    def on_epoch(self, report: EpochReport) -> None:
        self.reports.append(report)


def run(
    trainer: FakeTrainer, rules: Rules, checkpoints: Checkpoints | None = None
) -> tuple[Progress, list[EpochReport]]:
    witness = Witness()
    first = Progress(work="w")
    saved = checkpoints.load(first) if checkpoints else Saved(first)

    def samples(epoch: int, start: int) -> list[tuple[int, int]]:
        return [(epoch, step) for step in range(start, STEPS)]

    data = Data("train", samples, STEPS, {"valid": object()})
    return Course(trainer, data, rules, checkpoints, witness).follow(saved), witness.reports


def test_the_rate_falls_over_the_batches_of_all_epochs() -> None:
    trainer = FakeTrainer([0.1] * 2)
    _, reports = run(trainer, Rules(epochs=2, schedule=Schedule("cosine")))
    expected = [0.5 + 0.5 * math.cos(math.pi * step / 8) for step in range(8)]
    assert trainer.rates == pytest.approx(expected)
    assert [item.train["learning_rate"] for item in reports] == trainer.rates[STEPS - 1 :: STEPS]
    hurried = FakeTrainer([0.1] * 2)
    run(hurried, Rules(epochs=2, time_limit_s=1e-9, schedule=Schedule("cosine")))
    assert hurried.rates == [0.0]


def test_it_ends_with_the_last_epoch_and_reports_each() -> None:
    trainer = FakeTrainer([0.3, 0.2, 0.4])
    progress, reports = run(trainer, Rules(epochs=3))
    assert (progress.epoch, trainer.weight) == (3, 12.0)
    assert trainer.batches == [(epoch, step) for epoch in range(3) for step in range(STEPS)]
    assert reports[0].named("train") == {
        "train/train/loss": 1.0,
        "valid/valid/loss": 0.3,
        "valid/valid/psnr_db": 1.0,
    }
    assert progress.metrics["valid/valid/loss"] == 0.4


def test_the_best_weights_are_kept() -> None:
    trainer = FakeTrainer([0.3, 0.2, 0.4])
    progress, _ = run(trainer, Rules(epochs=3, keep_best=True))
    assert (progress.best_epoch, trainer.weight) == (2, 8.0)
    assert progress.metrics["valid/valid/loss"] == 0.2


def test_more_decibels_are_better() -> None:
    trainer = FakeTrainer([0.3, 0.2, 0.4])
    progress, _ = run(trainer, Rules(epochs=3, keep_best=True, monitor="val_psnr_db"))
    assert progress.best_epoch == 3


def test_it_stops_early_without_a_real_gain() -> None:
    losses = [0.3 - 1e-6 * epoch for epoch in range(30)]
    progress, _ = run(FakeTrainer(losses), Rules(epochs=30, stop_early=True))
    assert progress.epoch == 11


def test_the_time_limit_ends_it_within_an_epoch() -> None:
    trainer = FakeTrainer([0.1] * 5)

    def evaluate(_samples: object) -> dict[str, float]:
        return {"loss": 0.1}

    trainer.evaluate = evaluate  # type: ignore[method-assign]
    progress, _ = run(trainer, Rules(epochs=5, time_limit_s=1e-9))
    assert (progress.epoch, trainer.weight) == (1, 1.0)


def test_workers_end_at_the_batch_where_they_agree_on_the_time() -> None:
    trainer = FakeTrainer([0.1] * 5, clock_steps=3)
    # The first worker is slow, this one is not.
    trainer.agreed = lambda _seconds: 100.0 if trainer.weight >= 2.0 else 0.0  # type: ignore[method-assign]
    progress, _ = run(trainer, Rules(epochs=5, time_limit_s=60.0))
    assert (progress.epoch, trainer.weight) == (1, 3.0)


@pytest.mark.parametrize("stop_at", [(0, 0), (0, 3), (1, 0), (1, 1), (2, 2), (3, 3)])
def test_a_training_that_dies_anywhere_ends_like_a_whole_one(
    tmp_path: Path, stop_at: tuple[int, int]
) -> None:
    losses = [0.3, 0.2, 0.4, 0.5]
    rules = Rules(epochs=4, keep_best=True, checkpoint_steps=2)
    whole, _ = run(FakeTrainer(losses), rules)
    checkpoints = Checkpoints(f"{tmp_path}/ckpt")
    with pytest.raises(KeyboardInterrupt):
        run(FakeTrainer(losses, stop_at=stop_at), rules, checkpoints)
    second = FakeTrainer(losses)
    progress, reports = run(second, rules, checkpoints)
    # It begins at the last multiple of two batches before it died.
    assert second.batches[0] == (stop_at[0], stop_at[1] // 2 * 2)
    assert second.weight == 8.0
    assert progress.model_copy(update={"seconds": whole.seconds}) == whole
    assert len(reports) == 4 - stop_at[0]


def test_only_the_chief_writes_states(tmp_path: Path) -> None:
    checkpoints = Checkpoints(f"{tmp_path}/ckpt")
    run(FakeTrainer([0.1] * 2, is_chief=False), Rules(epochs=2, checkpoint_steps=1), checkpoints)
    assert checkpoints.last() is None


def test_the_clock_keeps_states_too(tmp_path: Path) -> None:
    checkpoints = Checkpoints(f"{tmp_path}/ckpt", keep=99)
    with pytest.raises(KeyboardInterrupt):
        run(FakeTrainer([0.1], stop_at=(0, 3)), Rules(epochs=1, checkpoint_s=0.0), checkpoints)
    kept = sorted(path.name for path in (tmp_path / "ckpt").iterdir())
    assert kept == [f"epoch-00000-step-000000{step}.npz" for step in range(4)]


@pytest.mark.parametrize(
    ("schedule", "epochs", "share", "expected"),
    [
        (Schedule(), 7.0, 0.7, 1.0),
        (Schedule("cosine"), 5.0, 0.5, 0.5),
        (Schedule("cosine"), 5.0, 2.0, 0.0),
        (Schedule("step", step_epochs=3, step_factor=0.1), 2.9, 0.3, 1.0),
        (Schedule("step", step_epochs=3, step_factor=0.1), 6.0, 0.6, 0.01),
        (Schedule(warmup_epochs=2.0), 0.5, 0.05, 0.25),
        (Schedule("cosine", warmup_epochs=2.0), 1.0, 0.5, 0.25),
    ],
)
def test_schedules(schedule: Schedule, epochs: float, share: float, expected: float) -> None:
    assert schedule.factor(epochs, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("monitor", "validated", "message"),
    [("val_beauty", True, "no such value"), ("val_loss", False, "needs a validation set")],
)
def test_a_value_that_is_never_there_is_refused(
    monitor: str, validated: bool, message: str
) -> None:
    rules = Rules(epochs=1, keep_best=True, monitor=monitor)
    with pytest.raises(ConfigError, match=message):
        rules.check(("loss", "psnr_db"), validated=validated)
