"""One network being trained: an epoch, an evaluation, and its state as arrays."""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import keras
import tensorflow as tf

from decloud_lib.errors import DecloudError
from decloud_lib.models.quality import make_metrics
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.types import Array

logger = logging.getLogger(__name__)

Strategy = Literal["mirrored", "singlecpu"]
Schedule = Literal["constant", "cosine"]
_LINE_EVERY_S = 30.0


class TrainingError(DecloudError):
    """A training that cannot go on."""


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How a network is trained."""

    learning_rate: float
    """Per device."""
    seed: int
    all_metrics: bool = False
    strategy: Strategy = "mirrored"
    schedule: Schedule = "constant"


class Trainer:
    """A network, its optimiser and its metrics."""

    def __init__(
        self, definition: ModelDefinition, spec: ModelSpec, optimisation: Optimisation
    ) -> None:
        """Build and compile the network, with the seed, under the strategy."""
        self._strategy = _strategy(optimisation.strategy)
        self._targets = definition.target_keys
        self._schedule = optimisation.schedule
        self._rate = optimisation.learning_rate * self.workers
        keras.utils.set_random_seed(optimisation.seed)
        with self._strategy.scope():
            self.model = definition.build(spec)
            self.model.compile(
                optimizer=keras.optimizers.Adam(self._rate),
                loss=dict.fromkeys(self._targets, "mae"),
                metrics={
                    key: make_metrics(all_metrics=optimisation.all_metrics) for key in self._targets
                },
                # Compiling with XLA is slower on a CPU, and takes longer than a small training.
                jit_compile="auto" if devices(optimisation.strategy) else False,
            )

    @property
    def workers(self) -> int:
        """Number of devices that share a batch."""
        return int(self._strategy.num_replicas_in_sync)

    def train_epoch(
        self, samples: tf.data.Dataset, epoch: int, elapsed: Callable[[], float]
    ) -> dict[str, float]:
        """Pass once over the samples and return the loss and the metrics.

        Parameters
        ----------
        samples
            Batches of (inputs by key, targets by key).
        epoch
            Number of the epoch, from 0, for the log.
        elapsed
            Share of the whole training that is over, 0-1, asked at each batch.

        Raises
        ------
        TrainingError
            The loss is no number any more, or there is no batch.
        """
        rate = self._rate if self._schedule == "cosine" else None
        callbacks = [_ProgressLine(epoch), _Pace(elapsed, rate)]
        try:
            with _unknown_length():
                history = self.model.fit(samples, verbose=0, shuffle=False, callbacks=callbacks)
            scores = self._named({name: values[-1] for name, values in history.history.items()})
            loss = scores["loss"]
        except (StopIteration, KeyError) as error:
            raise TrainingError("the training records hold no batch; check the sampling") from error
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {epoch + 1}; lower the learning rate, "
                f"and check the records for values that are not finite"
            )
        return scores

    def evaluate(self, samples: tf.data.Dataset) -> dict[str, float]:
        """Return the loss and the metrics over samples, without training."""
        with _unknown_length():
            return self._named(self.model.evaluate(samples, verbose=0, return_dict=True))

    def estimate(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Estimate the targets of a batch: key -> (N, H, W, C) stored values, by target key."""
        tensors = {key: tf.constant(inputs[key]) for key in self.model.input}
        return {key: value.numpy() for key, value in self.model(tensors, training=False).items()}

    def state(self) -> list[Array]:
        """Return weights and optimiser variables, in a fixed order."""
        return [variable.numpy() for variable in self._variables()]

    def restore(self, state: Sequence[Array]) -> None:
        """Set weights and optimiser variables.

        Raises
        ------
        TrainingError
            The state is that of another network.
        """
        variables = self._variables()
        shapes = [tuple(variable.shape) for variable in variables]
        found = [tuple(array.shape) for array in state]
        if shapes != found:
            raise TrainingError(
                f"a checkpoint with {len(found)} arrays does not fit model {self.model.name} with "
                f"{len(shapes)} variables; it is of another model: use another --ckpt-dir"
            )
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)

    def weights(self) -> list[Array]:
        """Return the weights of the network alone."""
        return [variable.numpy() for variable in self.model.variables]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Set the weights of the network alone."""
        for variable, array in zip(self.model.variables, weights, strict=True):
            variable.assign(array)

    def _variables(self) -> list[keras.Variable]:
        if not self.model.optimizer.built:
            with self._strategy.scope():
                self.model.optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *self.model.optimizer.variables]

    def _named(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Drop the target's key from the metric names of a network with one output."""
        prefix = f"{self._targets[0]}_" if len(self._targets) == 1 else ""
        return {name.removeprefix(prefix): float(value) for name, value in scores.items()}


def metric_names(*, all_metrics: bool) -> tuple[str, ...]:
    """Return the names that an epoch of a network with one output reports."""
    return ("loss", *(metric.name for metric in make_metrics(all_metrics=all_metrics)))


def devices(strategy: Strategy) -> int:
    """Return the number of GPUs that a strategy uses; 0 for the CPU."""
    return len(tf.config.list_logical_devices("GPU")) if strategy == "mirrored" else 0


def _strategy(name: Strategy) -> tf.distribute.Strategy:
    if name == "singlecpu" and devices("mirrored"):
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    if devices(name) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextmanager
def _unknown_length() -> Iterator[None]:
    """Let a pass end where the records end: their files do not say how many samples they hold."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        yield


class _ProgressLine(keras.callbacks.Callback):  # type: ignore[misc]
    """Says now and then how far a long epoch is; short ones pass in silence."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch
        self._next = time.monotonic() + _LINE_EVERY_S

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Log a line when the time has come."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_EVERY_S
        loss = (logs or {}).get("loss", math.nan)
        logger.info("epoch %d: %d batches, loss %.5f", self._epoch + 1, batch + 1, loss)


class _Pace(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training when its time is over, and lets the learning rate fall until then.

    Parameters
    ----------
    elapsed
        Share of the whole training that is over, 0-1.
    full_rate
        The rate falls from here to zero along half a cosine; None leaves it alone.
    """

    def __init__(self, elapsed: Callable[[], float], full_rate: float | None) -> None:
        super().__init__()
        self._elapsed, self._full_rate = elapsed, full_rate

    def on_train_batch_begin(self, *_: object, **__: object) -> None:
        """Set the rate of the batch."""
        if self._full_rate is not None:
            share = min(self._elapsed(), 1.0)
            rate = self._full_rate * 0.5 * (1.0 + math.cos(math.pi * share))
            self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, *_: object, **__: object) -> None:
        """End the epoch early when the time is over."""
        self.model.stop_training = self._elapsed() >= 1.0
