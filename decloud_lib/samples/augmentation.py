"""Samples turned and mirrored: the same scene, seen from another side."""

from collections.abc import Mapping

import tensorflow as tf

_Arrays = Mapping[str, tf.Tensor]


def turned(batches: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """Mirror and turn each sample at random, all of its images together.

    Parameters
    ----------
    batches
        (inputs, targets), dictionaries by key: (N, H, W, C) images at any resolution, which are
        turned alike, and (N,) numbers, which stay.
    seed
        The same seed turns the same sample of the same batch in the same way.

    Returns
    -------
    The same batches, each sample in one of the eight positions of a square, equally often; images
    that are not square are only mirrored.
    """

    def turn(index: tf.Tensor, batch: tuple[_Arrays, _Arrays]) -> tuple[_Arrays, _Arrays]:
        inputs, targets = batch
        samples = tf.shape(next(iter(targets.values())))[0]
        # One draw per sample: transpose, mirror left-right, mirror up-down.
        seeds = tf.stack([tf.constant(seed, tf.int64), index])
        flags = tf.random.stateless_uniform((samples, 3), seeds) < 0.5
        return (
            {key: _turn(array, flags) for key, array in inputs.items()},
            {key: _turn(array, flags) for key, array in targets.items()},
        )

    return batches.enumerate().map(turn, num_parallel_calls=2, deterministic=True)


def _turn(array: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    if array.shape.rank != 4:
        return array
    chosen = [flag[:, tf.newaxis, tf.newaxis, tf.newaxis] for flag in tf.unstack(flags, axis=1)]
    if array.shape[1] == array.shape[2]:
        array = tf.where(chosen[0], tf.transpose(array, (0, 2, 1, 3)), array)
    array = tf.where(chosen[1], tf.reverse(array, [2]), array)
    return tf.where(chosen[2], tf.reverse(array, [1]), array)
