"""Steps of a training: what a batch does to the weights, and what is summed up."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from decloud_lib.models import registry
from decloud_lib.models.failures import LossError, TrainingError
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.training import CHECK_EVERY, Optimisation, Trainer
from decloud_lib.models.weighting import HIDDEN, TARGET_HIDDEN, PixelWeights

HOW = Optimisation(1e-2, seed=1)


def build_tiny(spec: ModelSpec) -> keras.Model:
    inputs = make_inputs(["s2_t"])
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(normalise(inputs)["s2_t"])
    return keras.Model(inputs, {"s2_target": x})


def build_with_20m(spec: ModelSpec) -> keras.Model:
    inputs = make_inputs(["s2_t", "s2_20m_t"])
    scaled = normalise(inputs)
    outputs = {
        "s2_target": keras.layers.Conv2D(4, 1)(scaled["s2_t"]),
        "s2_20m_target": keras.layers.Conv2D(6, 1)(scaled["s2_20m_t"]),
    }
    return keras.Model(inputs, outputs)


TINY = ModelDefinition("tiny", build_tiny, ("s2_t",))
WITH_20M = ModelDefinition(
    "with_20m", build_with_20m, ("s2_t", "s2_20m_t"), ("s2_target", "s2_20m_target")
)


def samples(n: int = 6, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 4000, (n, 12, 12, 4)).astype("float32")
    hidden = (rng.uniform(size=(n, 12, 12, 1)) < 0.4).astype("float32") * 5
    target = (image * 0.9e-4 + rng.normal(0, 0.01, image.shape)).astype("float32")
    return {"s2_t": image, HIDDEN: hidden, TARGET_HIDDEN: 5 - hidden}, {"s2_target": target}


def batches(batch: int = 2, n: int = 6, **changes: np.ndarray) -> tf.data.Dataset:
    inputs, targets = samples(n)
    return tf.data.Dataset.from_tensor_slices((inputs, targets | changes)).batch(batch)


def trained(how: Optimisation, data: tf.data.Dataset, epochs: int = 2) -> Trainer:
    trainer = Trainer(TINY, ModelSpec(), how)
    for _ in range(epochs):
        list(trainer.train(data, 0))
    return trainer


def assert_same_weights(first: Trainer, second: Trainer, atol: float = 0.0) -> None:
    for one, other in zip(first.weights(), second.weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=0)


def test_the_loss_and_its_gradient_are_those_of_plain_adam() -> None:
    trainer = Trainer(TINY, ModelSpec(), HOW)
    model = trainer.model
    kernel, bias = (weight.copy() for weight in trainer.weights())
    inputs, targets = samples(2)
    list(trainer.train(batches(2, 2), 0))
    expected = build_tiny(ModelSpec())
    expected.set_weights([kernel, bias])
    with tf.GradientTape() as tape:
        estimate = expected({"s2_t": inputs["s2_t"]})["s2_target"]
        loss = tf.reduce_mean(tf.abs(targets["s2_target"] - estimate))
    gradients = tape.gradient(loss, expected.trainable_variables)
    assert trainer.scores()["loss"] == pytest.approx(float(loss), rel=1e-6)
    assert trainer.scores()["mae"] == pytest.approx(float(loss), rel=1e-6)
    # The first step of Adam goes by the learning rate against each gradient's sign.
    for before, after, gradient in zip((kernel, bias), model.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(after, before - 1e-2 * np.sign(gradient), atol=1e-4)


def test_uneven_batches_count_by_their_samples() -> None:
    whole, parts = (Trainer(TINY, ModelSpec(), HOW) for _ in range(2))
    assert whole.evaluate(batches(6)) == pytest.approx(parts.evaluate(batches(4)), rel=1e-6)


def test_a_step_is_traced_once_for_all_sizes_of_a_batch() -> None:
    trainer = trained(HOW, batches(4))  # batches of 4 and 2
    (function,) = trainer._functions.values()
    assert function.experimental_get_tracing_count() == 1


def test_a_state_brings_back_everything() -> None:
    whole = trained(HOW, batches(2), epochs=1)
    steps = whole.train(batches(2), 0)
    next(steps)
    next(steps)
    state = whole.state()
    list(steps)
    resumed = Trainer(TINY, ModelSpec(), replace(HOW, seed=99))
    resumed.restore(state)
    assert list(resumed.train(batches(2).skip(2), 2)) == [3]
    assert_same_weights(whole, resumed)
    assert resumed.scores() == whole.scores()


def test_the_state_of_another_network_is_refused() -> None:
    other = Trainer(WITH_20M, ModelSpec(), HOW)
    with pytest.raises(TrainingError, match=r"does not fit model tiny with .* of another model"):
        Trainer(TINY, ModelSpec(), HOW).restore(other.state())


def test_another_training_gives_weights_and_optimiser_but_not_its_rate() -> None:
    first = trained(HOW, batches())
    second = Trainer(TINY, ModelSpec(), replace(HOW, learning_rate=1e-3, all_metrics=True))
    second.begin_from(first.state())
    assert_same_weights(first, second)
    assert float(second._optimiser.learning_rate) == pytest.approx(1e-3)
    assert int(second._optimiser.iterations) == 6
    third = Trainer(TINY, ModelSpec(), HOW)
    third.begin_from(first.weights())
    assert_same_weights(first, third)
    assert int(third._optimiser.iterations) == 0


def test_the_rate_of_each_batch_is_asked_for() -> None:
    trainer = Trainer(TINY, ModelSpec(), HOW)
    before = trainer.weights()
    list(trainer.train(batches(), 0, lambda _: 0.0))
    for one, other in zip(before, trainer.weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_clipping_bounds_the_gradient() -> None:
    """Adam hides the length of a gradient, but not in its second moment."""

    def moment(how: Optimisation) -> float:
        trainer = trained(how, batches(), epochs=1)
        squares = [v for v in trainer._optimiser.variables if "velocity" in v.path]
        return float(sum(np.sum(v.numpy()) for v in squares))

    clipped = moment(replace(HOW, clip_norm=1e-3))
    # Three steps with a norm of 1e-3: each adds (1 - beta2) of the square.
    assert clipped == pytest.approx(3 * 1e-3 * 1e-6, rel=0.01)
    assert moment(HOW) > 100 * clipped
    assert_same_weights(
        trained(HOW, batches()), trained(replace(HOW, clip_norm=1e9), batches()), atol=1e-7
    )


def test_mixed_precision_computes_in_bfloat16_and_exports_float32() -> None:
    trainer = trained(replace(HOW, mixed_precision=True), batches(), epochs=20)
    assert trainer._network.get_layer("conv").compute_dtype == "bfloat16"
    assert trainer.model.get_layer("conv").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    for exported, weight in zip(trainer.model.get_weights(), trainer.weights(), strict=True):
        assert exported.dtype == np.float32
        np.testing.assert_array_equal(exported, weight)
    plain = trained(HOW, batches(), epochs=20)
    assert trainer.scores()["loss"] == pytest.approx(plain.scores()["loss"], rel=0.1)


def expected_loss(trainer: Trainer, weigh: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    inputs, targets = samples()
    error = np.abs(trainer.estimate(inputs)["s2_target"] - targets["s2_target"]).mean(-1)
    hidden = inputs[HIDDEN][..., 0] > 0
    target_hidden = inputs[TARGET_HIDDEN][..., 0] > 0
    weights = weigh(hidden, target_hidden).astype("float64")
    return float(np.mean((error * weights).sum((1, 2)) / weights.sum((1, 2))))


@pytest.mark.parametrize(
    ("weights", "weigh"),
    [
        (PixelWeights(hidden=1.0, clear=0.0), lambda hidden, _: hidden),
        (PixelWeights(hidden=5.0, clear=1.0), lambda hidden, _: 1 + 4 * hidden),
        (PixelWeights(clear_target_only=True), lambda _, target: ~target),
        (PixelWeights(3.0, 1.0, True), lambda hidden, target: (1 + 2 * hidden) * ~target),
    ],
)
def test_the_loss_follows_the_weights(
    weights: PixelWeights, weigh: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    trainer = Trainer(TINY, ModelSpec(), replace(HOW, weights=weights, partial=True))
    found = trainer.evaluate(batches(4))
    assert found["loss"] == pytest.approx(expected_loss(trainer, weigh), rel=1e-5)
    hidden = expected_loss(trainer, lambda hidden, _: hidden)
    clear = expected_loss(trainer, lambda hidden, _: ~hidden)
    assert found["mae_hidden"] == pytest.approx(hidden, rel=1e-5)
    assert found["mae_clear"] == pytest.approx(clear, rel=1e-5)


def test_all_outputs_are_scored_and_masks_fit_their_resolution() -> None:
    how = replace(HOW, weights=PixelWeights(1.0, 0.0), partial=True, all_metrics=True)
    trainer = Trainer(WITH_20M, ModelSpec(), how)
    rng = np.random.default_rng(0)
    inputs, targets = samples()
    inputs["s2_20m_t"] = rng.uniform(0, 4000, (6, 16, 16, 6)).astype("float32")
    inputs["s2_t"] = np.zeros((6, 32, 32, 4), "float32")
    mask = np.zeros((6, 32, 32, 1), "float32")
    mask[:, 5, 9] = 1  # in the pixel (2, 4) at 20 m
    inputs |= {HIDDEN: mask}
    del inputs[TARGET_HIDDEN]
    targets = {
        "s2_target": np.zeros((6, 32, 32, 4), "float32"),
        "s2_20m_target": np.zeros((6, 16, 16, 6), "float32"),
    }
    found = trainer.evaluate(tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(4))
    assert len(found) == 1 + 2 * 12
    estimate = trainer.estimate(inputs)["s2_20m_target"]
    expected = np.abs(estimate[:, 2, 4]).mean()
    assert found["s2_20m_target_mae_hidden"] == pytest.approx(expected, rel=1e-5)
    both = found["mae_hidden"] + found["s2_20m_target_mae_hidden"]
    assert found["loss"] == pytest.approx(both, rel=1e-5)


@pytest.mark.parametrize("bad", [0, 3, CHECK_EVERY + 7])
def test_the_batch_whose_loss_is_no_number_is_named(bad: int) -> None:
    _, targets = samples(2 * CHECK_EVERY)
    targets["s2_target"][bad, 3, 3, 1] = np.nan
    trainer = Trainer(TINY, ModelSpec(), HOW)
    with pytest.raises(
        LossError, match=f"batch {bad + 1} of the epoch, or a weight, is nan"
    ) as caught:
        list(trainer.train(batches(1, 2 * CHECK_EVERY, **targets), 0))
    assert caught.value.step == bad


def test_weights_that_are_no_numbers_are_found_though_the_loss_is_one() -> None:
    # Endless times nothing: a gradient clipped to that length is no number.
    trainer = Trainer(TINY, ModelSpec(), replace(HOW, clip_norm=np.inf))
    with pytest.raises(LossError, match="batch 1 of the epoch"):
        list(trainer.train(batches(2, 2), 0))
    assert np.isfinite(trainer.scores()["loss"])


def test_one_cpu_can_be_asked_for() -> None:
    assert trained(replace(HOW, strategy="singlecpu"), batches()).devices == 1


def test_a_deterministic_model_is_scored_too() -> None:
    definition = registry.get("crga_os2_gapfilling")
    trainer = Trainer(definition, ModelSpec(), HOW)
    image = np.full((2, 16, 16, 4), 1000.0, "float32")
    inputs = {"s2_tm1": image, "s2_tp1": image * 2}
    for day, key in enumerate(("tm1", "target", "tp1")):
        inputs[f"s2_timestamp_{key}"] = np.full(2, 1.6e9 + 86400.0 * day)
    targets = {"s2_target": np.full((2, 16, 16, 4), 0.16, "float32")}
    data = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(2)
    assert trainer.evaluate(data)["mae"] == pytest.approx(0.01, rel=1e-4)


def test_a_model_may_bring_its_own_loss() -> None:
    def loss(inputs: dict, targets: dict, outputs: dict) -> tf.Tensor:
        return tf.reduce_sum(tf.square(targets["s2_target"] - outputs["s2_target"]), (1, 2, 3))

    trainer = Trainer(replace(TINY, loss=loss), ModelSpec(), HOW)
    found = trainer.evaluate(batches(4))
    assert found["loss"] == pytest.approx(found["mse_dn2"] * 1e-8 * 12 * 12 * 4, rel=1e-4)
