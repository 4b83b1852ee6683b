"""The course of a training, with a trainer that needs no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from decloud_lib.errors import ConfigError
from decloud_lib.learning.course import Data, EpochReport, Rules, follow
from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved


@dataclass
class FakeTrainer:
    """Its only weight is the number of epochs it has seen."""

    losses: Sequence[float]
    weight: float = 0.0
    orders: list[int] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)

    def train_epoch(
        self, samples: int, _epoch: int, elapsed: Callable[[], float]
    ) -> dict[str, float]:
        self.elapsed.append(elapsed())
        self.orders.append(samples)
        self.weight += 1.0
        return {"loss": 1.0}

    def evaluate(self, _samples: object) -> dict[str, float]:
        return {"loss": self.losses[int(self.weight) - 1], "psnr_db": self.weight}

    def state(self) -> list[np.ndarray]:
        return [np.array(self.weight)]

    def restore(self, state: list[np.ndarray]) -> None:
        self.weight = float(state[0])

    weights, set_weights = state, restore


def run(
    trainer: FakeTrainer, rules: Rules, checkpoints: Checkpoints | None = None
) -> tuple[Progress, list[EpochReport]]:
    reports: list[EpochReport] = []
    saved = checkpoints.load("w") if checkpoints else Saved(Progress(work="w"))
    data = Data("train", lambda epoch: epoch, {"valid": object()})
    return follow(trainer, data, rules, saved, checkpoints, reports.append), reports


def test_each_epoch_is_told_which_share_of_the_training_is_over() -> None:
    trainer = FakeTrainer([0.1] * 4)
    run(trainer, Rules(epochs=4))
    assert trainer.elapsed == [0.0, 0.25, 0.5, 0.75]
    hurried = FakeTrainer([0.1] * 4)
    run(hurried, Rules(epochs=4, time_limit_s=1e-9))
    assert hurried.elapsed[0] >= 1.0


def test_it_ends_with_the_last_epoch_and_reports_each() -> None:
    trainer = FakeTrainer([0.3, 0.2, 0.4])
    progress, reports = run(trainer, Rules(epochs=3))
    assert (progress.epoch, trainer.weight, trainer.orders) == (3, 3.0, [0, 1, 2])
    assert reports[0].named("train") == {
        "train/train/loss": 1.0,
        "valid/valid/loss": 0.3,
        "valid/valid/psnr_db": 1.0,
    }
    assert progress.metrics["valid/valid/loss"] == 0.4


def test_the_best_weights_are_kept() -> None:
    trainer = FakeTrainer([0.3, 0.2, 0.4])
    progress, _ = run(trainer, Rules(epochs=3, keep_best=True))
    assert (progress.best_epoch, trainer.weight) == (2, 2.0)
    assert progress.metrics["valid/valid/loss"] == 0.2


def test_more_decibels_are_better() -> None:
    trainer = FakeTrainer([0.3, 0.2, 0.4])
    progress, _ = run(trainer, Rules(epochs=3, keep_best=True, monitor="val_psnr_db"))
    assert progress.best_epoch == 3


def test_it_stops_early_without_a_real_gain() -> None:
    losses = [0.3 - 1e-6 * epoch for epoch in range(30)]
    progress, _ = run(FakeTrainer(losses), Rules(epochs=30, stop_early=True))
    assert progress.epoch == 11


def test_the_time_limit_ends_it_after_an_epoch() -> None:
    progress, _ = run(FakeTrainer([0.1] * 5), Rules(epochs=5, time_limit_s=1e-9))
    assert progress.epoch == 1


def test_an_interrupted_course_ends_like_a_whole_one(tmp_path: object) -> None:
    losses = [0.3, 0.2, 0.4, 0.5]
    whole, _ = run(FakeTrainer(losses), Rules(epochs=4, keep_best=True))
    checkpoints = Checkpoints(f"{tmp_path}/ckpt")
    run(FakeTrainer(losses), Rules(epochs=3, keep_best=True), checkpoints)
    second = FakeTrainer(losses)
    progress, reports = run(second, Rules(epochs=4, keep_best=True), checkpoints)
    assert second.orders == [3]
    assert second.weight == 2.0
    assert progress.model_copy(update={"seconds": whole.seconds}) == whole
    assert len(reports) == 1


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
