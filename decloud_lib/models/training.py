"""One network being trained: steps on one or many devices, an evaluation, its state as arrays.

The loop is our own, because that of Keras 3 cannot run on several machines. What is summed over an
epoch stays on the devices; the host reads it now and then.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from decloud_lib.models.devices import Strategy, is_chief, open_strategy
from decloud_lib.models.epoch_scores import EpochScores
from decloud_lib.models.failures import LossError, TrainingError
from decloud_lib.models.optimiser import make_optimiser, precision
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.weighting import PixelWeights, weighted_mean
from decloud_lib.types import Array

CHECK_EVERY = 50
"""Steps between two looks at the loss: each look waits for the device."""
_WORKERS_CLOCK_STEPS = 10

_Arrays = dict[str, tf.Tensor]


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How a network is trained."""

    learning_rate: float
    """Per device where it is scaled."""
    seed: int
    all_metrics: bool = False
    strategy: Strategy = "mirrored"
    clip_norm: float | None = None
    """Longest gradient over all weights together; longer ones are shortened to it."""
    mixed_precision: bool = False
    """Compute in bfloat16; weights, loss and scores stay float32."""
    scale_rate: bool = True
    """Multiply the learning rate with the number of devices."""
    weights: PixelWeights = field(default_factory=PixelWeights)
    partial: bool = False
    """Follow the pixels under cloud, and the clear ones, apart; the samples hold the mask."""


class Trainer:
    """A network, its optimiser and its scores."""

    def __init__(
        self, definition: ModelDefinition, spec: ModelSpec, optimisation: Optimisation
    ) -> None:
        """Build the network and the optimiser, with the seed, under the strategy."""
        self._definition, self._spec, self._how = definition, spec, optimisation
        self._strategy = open_strategy(optimisation.strategy)
        self._functions: dict[tuple[bool, str], Callable[..., tf.Tensor]] = {}
        self._losses: list[tuple[int, tf.Tensor]] = []
        keras.utils.set_random_seed(optimisation.seed)
        with self._strategy.scope(), precision(mixed=optimisation.mixed_precision):
            self._network = definition.build(spec)
            self._optimiser = make_optimiser(self.full_rate, optimisation.clip_norm)
            if self._network.trainable_variables:
                self._optimiser.build(self._network.trainable_variables)
            self._trained, self._evaluated = (
                EpochScores(
                    definition.target_keys,
                    all_metrics=optimisation.all_metrics,
                    partial=optimisation.partial,
                )
                for _ in range(2)
            )

    @property
    def devices(self) -> int:
        """Number of devices that share a batch."""
        return int(self._strategy.num_replicas_in_sync)

    @property
    def is_chief(self) -> bool:
        """Say whether this process writes; of several workers one does."""
        return is_chief(self._strategy)

    @property
    def clock_steps(self) -> int:
        """Steps between two looks at the clock: workers must wait for each other to agree on it."""
        return _WORKERS_CLOCK_STEPS if self._strategy.cluster_resolver is not None else 1

    def agreed(self, seconds: float) -> float:
        """Return the seconds that the first worker has; all of them must ask at the same step."""
        if self._strategy.cluster_resolver is None:
            return seconds
        part = seconds / len(self._strategy.extended.worker_devices) if self.is_chief else 0.0
        return float(self._sum(tf.constant(part, tf.float64)))

    @property
    def full_rate(self) -> float:
        """Learning rate before any schedule."""
        return self._how.learning_rate * (self.devices if self._how.scale_rate else 1)

    @property
    def rate(self) -> float:
        """Learning rate of the last batch."""
        return float(self._optimiser.learning_rate.numpy())

    @property
    def model(self) -> keras.Model:
        """The network in float32, as it is exported."""
        if not self._how.mixed_precision:
            return self._network
        model = self._definition.build(self._spec)
        for variable, trained in zip(model.variables, self._network.variables, strict=True):
            variable.assign(trained.numpy())
        return model

    def train(
        self, samples: tf.data.Dataset, first: int, rate: Callable[[int], float] | None = None
    ) -> Iterator[int]:
        """Train on one batch after the other.

        Parameters
        ----------
        samples
            Batches of (inputs by key, targets by key), for all devices together.
        first
            Number of the first batch in its epoch: what was summed before it is kept; 0 begins an
            epoch.
        rate
            Number of a batch -> its learning rate; None keeps the rate.

        Yields
        ------
        Number of batches of the epoch that are done.

        Raises
        ------
        LossError
            The loss of a batch, or a weight after it, is no number; found out some batches later.
        """
        if not first:
            self._trained.reset()
        self._losses.clear()
        step = self._function(samples, training=True)
        for index, batch in enumerate(self._spread(samples), start=first):
            if rate is not None:
                self._optimiser.learning_rate = rate(index)
            self._losses.append((index, step(*batch)))
            if len(self._losses) >= CHECK_EVERY:
                self.check()
            yield index + 1
        self.check()

    def check(self) -> None:
        """Look at the losses of the batches since the last look.

        Raises
        ------
        LossError
            One of them is no number.
        """
        losses, self._losses = self._losses, []
        for index, loss in losses:
            if not math.isfinite(value := float(loss)):
                raise LossError(index, value)

    def scores(self) -> dict[str, float]:
        """Return the loss and the scores over the batches of the epoch so far."""
        return self._trained.read()

    def evaluate(self, samples: tf.data.Dataset) -> dict[str, float]:
        """Return the loss and the scores over samples, without training."""
        self._evaluated.reset()
        step = self._function(samples, training=False)
        for batch in self._spread(samples):
            step(*batch)
        return self._evaluated.read()

    def estimate(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Estimate the targets of a batch: key -> (N, H, W, C) stored values, by output key."""
        tensors = {key: tf.constant(inputs[key]) for key in self._network.input}
        outputs = self._network(tensors, training=False)
        return {key: tf.cast(value, tf.float32).numpy() for key, value in outputs.items()}

    def state(self) -> list[Array]:
        """Return weights, random state, optimiser and sums of the epoch, in a fixed order.

        Of several workers all must ask at the same step.
        """
        sums = self._trained.sums.read_value()
        return [*(variable.numpy() for variable in self._variables()), sums.numpy()]

    def restore(self, state: Sequence[Array]) -> None:
        """Go on from a state.

        Raises
        ------
        TrainingError
            The state is that of another network.
        """
        self._assign([*self._variables(), self._trained.sums], state)

    def begin_from(self, state: Sequence[Array]) -> None:
        """Take weights and, where they are there, optimiser variables from another training.

        Learning rate and epoch stay those of this one.

        Raises
        ------
        TrainingError
            The state is that of another network.
        """
        if len(state) == len(self._network.variables):
            self._assign(self._network.variables, state)
        else:
            self._assign(self._variables(), state[:-1])
        self._optimiser.learning_rate = self.full_rate

    def weights(self) -> list[Array]:
        """Return the weights of the network alone."""
        return [variable.numpy() for variable in self._network.variables]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Set the weights of the network alone."""
        for variable, array in zip(self._network.variables, weights, strict=True):
            variable.assign(array)

    @cached_property
    def _sum(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return the function that sums a float64 number over all devices of all workers."""

        def summed(part: tf.Tensor) -> tf.Tensor:
            parts = self._strategy.run(tf.identity, args=(part,))
            return self._strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)

        signature = [tf.TensorSpec((), tf.float64)]
        compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
            summed, input_signature=signature, autograph=False
        )
        return compiled

    def _assign(self, variables: Sequence[Any], state: Sequence[Array]) -> None:
        shapes = [tuple(variable.shape) for variable in variables]
        found = [tuple(array.shape) for array in state]
        if shapes != found:
            raise TrainingError(
                f"a checkpoint with {len(found)} arrays does not fit model {self._definition.name} "
                f"with {len(shapes)}; it is of another model: use another checkpoint folder"
            )
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)

    def _variables(self) -> list[keras.Variable]:
        return [*self._network.variables, *self._optimiser.variables]

    def _spread(self, samples: tf.data.Dataset) -> Any:
        """Return an iterable over batches, each cut into a share per device where there are many.

        Every worker reads the same batches and takes its part of each, so a step on many devices
        sees exactly the samples that the step of one device would see.
        """
        if not self._is_spread:
            return samples
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        filled = samples.map(self._filled).with_options(options)
        return self._strategy.experimental_distribute_dataset(filled)

    def _filled(self, inputs: _Arrays, targets: _Arrays) -> tuple[_Arrays, _Arrays, tf.Tensor]:
        """Repeat a sample, without counting it, until all devices have an equal share.

        Not every layer can take an empty share.
        """
        samples = tf.shape(next(iter(targets.values())))[0]
        more = tf.math.floormod(-samples, self.devices)
        index = tf.concat([tf.range(samples), tf.zeros(more, tf.int32)], axis=0)
        counted = tf.concat([tf.ones(samples), tf.zeros(more)], axis=0)
        return (
            {key: tf.gather(array, index) for key, array in inputs.items()},
            {key: tf.gather(array, index) for key, array in targets.items()},
            counted,
        )

    @property
    def _is_spread(self) -> bool:
        return self.devices > 1 or self._strategy.cluster_resolver is not None

    def _function(self, samples: tf.data.Dataset, *, training: bool) -> Callable[..., tf.Tensor]:
        """Return the compiled step for batches of these shapes; traced once."""
        key = (training, str(samples.element_spec))
        if key not in self._functions:
            replica = self._train_replica if training else self._valid_replica

            def step(*batch: Any) -> tf.Tensor:
                losses = self._strategy.run(replica, args=batch)
                return self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

            signature = None if self._is_spread else samples.element_spec
            self._functions[key] = tf.function(
                step, input_signature=signature, autograph=False, reduce_retracing=signature is None
            )
        return self._functions[key]

    def _train_replica(
        self, inputs: _Arrays, targets: _Arrays, counted: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Do one device's part of a step and return its part of the mean loss."""
        context = tf.distribute.get_replica_context()
        variables = [variable.value for variable in self._network.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = self._outputs(inputs, training=True)
            per_image = self._loss(inputs, targets, outputs)
            counted = tf.ones_like(per_image) if counted is None else counted
            images = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(counted))
            # The mean over the whole batch, however it is cut into shares.
            loss = tf.reduce_sum(per_image * counted) / images
        gradients = tape.gradient(loss, variables)
        self._optimiser.apply(gradients, self._network.trainable_variables)
        self._trained.add((inputs, targets, outputs), per_image, counted)
        # Weights that are no numbers need not show in a loss: an activation can make zero of them.
        total = tf.add_n([tf.reduce_sum(item.value) for item in self._network.trainable_variables])
        return loss + 0.0 * total

    def _valid_replica(
        self, inputs: _Arrays, targets: _Arrays, counted: tf.Tensor | None = None
    ) -> tf.Tensor:
        outputs = self._outputs(inputs, training=False)
        per_image = self._loss(inputs, targets, outputs)
        counted = tf.ones_like(per_image) if counted is None else counted
        self._evaluated.add((inputs, targets, outputs), per_image, counted)
        return tf.reduce_sum(per_image)

    def _outputs(self, inputs: _Arrays, *, training: bool) -> _Arrays:
        # Samples may hold more than the network asks for, such as masks.
        wanted = {key: inputs[key] for key in self._network.input}
        outputs = self._network(wanted, training=training)
        return {key: tf.cast(value, tf.float32) for key, value in outputs.items()}

    def _loss(self, inputs: _Arrays, targets: _Arrays, outputs: _Arrays) -> tf.Tensor:
        """Return the loss of each sample, (N,).

        That of the model's definition; else the mean absolute error, summed over the targets.
        """
        if self._definition.loss is not None:
            return self._definition.loss(inputs, targets, outputs)
        losses = []
        for key in self._definition.target_keys:
            weights = self._how.weights.of(inputs, outputs[key])
            losses.append(weighted_mean(tf.abs(targets[key] - outputs[key]), weights))
        return tf.add_n(losses)
