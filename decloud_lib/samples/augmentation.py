"""Samples changed at random on their way into a training, in a way that a seed repeats."""

from collections.abc import Callable, Mapping

import tensorflow as tf

Arrays = Mapping[str, tf.Tensor]
Simulate = Callable[[Arrays, Arrays, tf.Tensor], tuple[Arrays, Arrays]]
"""(inputs, targets, seed) of one sample -> the changed sample; the seed is (2,) int32."""

_WORKERS = 2


def turned(batches: tf.data.Dataset, seed: int, first: int = 0) -> tf.data.Dataset:
    """Mirror and turn each sample at random, all of its images together.

    Parameters
    ----------
    batches
        (inputs, targets), dictionaries by key: (N, H, W, C) images at any resolution, which are
        turned alike, and (N,) numbers, which stay.
    seed
        The same seed turns the same sample of the same batch in the same way.
    first
        Number of the first batch.

    Returns
    -------
    The same batches, each sample in one of the eight positions of a square, equally often; images
    that are not square are only mirrored.
    """

    def turn(index: tf.Tensor, batch: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
        inputs, targets = batch
        samples = tf.shape(next(iter(targets.values())))[0]
        # One draw per sample: transpose, mirror left-right, mirror up-down.
        seeds = tf.stack([tf.constant(seed, tf.int64), index])
        flags = tf.random.stateless_uniform((samples, 3), seeds) < 0.5
        return (
            {key: _turn(array, flags) for key, array in inputs.items()},
            {key: _turn(array, flags) for key, array in targets.items()},
        )

    numbered = batches.enumerate(first)
    return numbered.map(turn, num_parallel_calls=_WORKERS, deterministic=True)


def simulated(
    batches: tf.data.Dataset, simulate: Simulate, seed: int, batch: int, first: int = 0
) -> tf.data.Dataset:
    """Change each sample by a function of a network, such as one that lays a gap over a date.

    Parameters
    ----------
    batches
        (inputs, targets) by key.
    simulate
        Changes one sample, without batch axis.
    seed
        The same seed changes the same sample in the same way, whatever the size of the batches.
    batch
        Samples of a batch.
    first
        Number of the first batch.
    """

    def change(index: tf.Tensor, sample: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
        inputs, targets = sample
        return simulate(inputs, targets, tf.stack([seed, tf.cast(index, tf.int32)]))

    samples = batches.unbatch().enumerate(first * batch)
    changed = samples.map(change, num_parallel_calls=_WORKERS, deterministic=True)
    return changed.batch(batch).prefetch(_WORKERS)


def _turn(array: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    if array.shape.rank != 4:
        return array
    chosen = [flag[:, tf.newaxis, tf.newaxis, tf.newaxis] for flag in tf.unstack(flags, axis=1)]
    if array.shape[1] == array.shape[2]:
        array = tf.where(chosen[0], tf.transpose(array, (0, 2, 1, 3)), array)
    array = tf.where(chosen[1], tf.reverse(array, [2]), array)
    return tf.where(chosen[2], tf.reverse(array, [1]), array)
