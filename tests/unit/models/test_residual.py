from pathlib import Path

import numpy as np
import pytest

from decloud_lib.arrays.fitting import fill_gap
from decloud_lib.arrays.temporal import find_neighbours
from decloud_lib.errors import ConfigError
from decloud_lib.models import registry
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.shipped import load_weights, read_weights, write_weights
from decloud_lib.models.store import ServedModel, serve_by_name, serve_definition
from decloud_lib.types import Array
from tests.unit.models.five_dates import five_dates, some_hidden

NEIGHBOURS = ("tm2", "tm1", "tp1", "tp2")


def reference(inputs: dict[str, Array]) -> Array:
    """Return what `arrays.fitting` makes of a sample."""
    images = [inputs[f"s2_{name}"][0] / 1e4 for name in NEIGHBOURS]
    usable = [
        (inputs[f"s2_cld10m_{name}"][0, ..., 0] == 0) & (inputs[f"s2_{name}"][0] > -10_000).all(-1)
        for name in NEIGHBOURS
    ]
    now = inputs["s2_timestamp_t"][0]
    days = [(inputs[f"s2_timestamp_{name}"][0] - now) / 86_400 for name in NEIGHBOURS]
    neighbours = find_neighbours(images, usable, days)
    radar = [inputs[f"s1_{name}"][0] / 65_535 for name in ("tm1", "t", "tp1")]
    change = radar[1] - (radar[0] + (radar[2] - radar[0]) * neighbours.ratio)
    visible = inputs["s2_cld10m_t"][0, ..., 0] == 0
    return fill_gap(neighbours, change, inputs["s2_t"][0] / 1e4, visible)


@pytest.fixture(scope="module")
def fitted() -> ServedModel:
    return serve_definition(registry.get("gapfilling_fitted"))


@pytest.fixture(scope="module")
def untrained() -> ServedModel:
    return serve_definition(registry.get("residual"))


@pytest.fixture(scope="module")
def perturbed() -> ServedModel:
    """Return a network whose last layer is not 0 any more."""
    import tensorflow as tf

    definition, spec = registry.get("residual"), ModelSpec()
    model = definition.build(spec)
    rng = np.random.default_rng(0)
    for variable in model.get_layer("correction_and_scale").variables:
        variable.assign(rng.normal(0.0, 0.1, variable.shape))
    names = {"s2_t": "s2_estim", "s2_t_scale": "s2_estim_scale"}

    def predict(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(inputs, training=False)
        return {names[key]: value for key, value in outputs.items()}

    return ServedModel(definition.contract(spec), tf.function(predict))


def test_the_fit_in_the_graph_is_that_of_the_arrays(fitted: ServedModel) -> None:
    for seed in (1, 2):
        inputs, _ = five_dates(seed, some_hidden(seed))
        found = fitted.predict(inputs)["s2_estim"][0]
        np.testing.assert_allclose(found, reference(inputs), atol=5e-5)


def test_the_fit_in_the_graph_follows_the_masks_of_the_neighbours(fitted: ServedModel) -> None:
    inputs, _ = five_dates(3, some_hidden(3))
    inputs["s2_cld10m_tm1"][0, :32] = 1
    inputs["s2_tp1"][0, :, :20] = -10_000
    found = fitted.predict(inputs)["s2_estim"][0]
    np.testing.assert_allclose(found, reference(inputs), atol=5e-5)


def test_the_fit_beats_linear_interpolation_under_the_gap(fitted: ServedModel) -> None:
    gains = []
    for seed in (1, 2, 3):
        hidden = some_hidden(seed)
        inputs, truth = five_dates(seed, hidden)
        everything, _ = five_dates(seed, np.ones((64, 64), bool))
        errors = [
            np.mean((fitted.predict(given)["s2_estim"][0] - truth)[hidden] ** 2)
            for given in (everything, inputs)
        ]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 1.0


@pytest.mark.parametrize("name", ["fitted", "untrained"])
def test_a_date_wholly_hidden_is_linear_interpolation_before_training(
    request: pytest.FixtureRequest, name: str
) -> None:
    inputs, _ = five_dates(1, np.ones((64, 64), bool))
    ages = [
        inputs["s2_timestamp_t"] - inputs["s2_timestamp_tm1"],
        inputs["s2_timestamp_tp1"] - inputs["s2_timestamp_t"],
    ]
    ratio = ages[0] / (ages[0] + ages[1])
    before, after = (inputs[f"s2_{key}"] / 1e4 for key in ("tm1", "tp1"))
    found = request.getfixturevalue(name).predict(inputs)["s2_estim"]
    np.testing.assert_allclose(found, before + (after - before) * ratio, atol=1e-6)


def test_the_network_begins_with_a_better_estimate_than_the_fit(
    fitted: ServedModel, untrained: ServedModel
) -> None:
    gains = []
    for seed in (1, 2, 3):
        hidden = some_hidden(seed)
        inputs, truth = five_dates(seed, hidden)
        found = untrained.predict(inputs)
        errors = [
            np.mean((estimate[0] - truth)[hidden] ** 2)
            for estimate in (fitted.predict(inputs)["s2_estim"], found["s2_estim"])
        ]
        gains.append(10 * np.log10(errors[0] / errors[1]))
        scale = found["s2_estim_scale"]
        assert scale.shape == found["s2_estim"].shape
        assert 0.001 <= scale.min() <= scale.max() < 0.2
    assert np.mean(gains) > 0.3


def test_the_weights_of_the_package_lower_the_error_and_know_its_size(
    untrained: ServedModel,
) -> None:
    trained = serve_by_name(registry.get("residual"))
    gains, inside = [], []
    for seed in (1, 2, 3):
        hidden = some_hidden(seed)
        inputs, truth = five_dates(seed, hidden)
        before, found = untrained.predict(inputs), trained.predict(inputs)
        errors = [np.abs(item["s2_estim"][0] - truth)[hidden] for item in (before, found)]
        gains.append(10 * np.log10(np.mean(errors[0] ** 2) / np.mean(errors[1] ** 2)))
        scale = found["s2_estim_scale"][0][hidden]
        inside.append(np.mean(errors[1] <= -np.log(0.1) * scale))
    assert np.mean(gains) > 0.0
    assert 0.8 < np.mean(inside) < 0.99


def test_the_weights_of_the_package_fit_the_default_size_only() -> None:
    definition = registry.get("residual")
    with pytest.raises(ConfigError, match="leave --width at its default"):
        load_weights(definition.build(ModelSpec(width=8)), definition)
    with pytest.raises(ConfigError, match="crga_os2_david: no weights come with the package"):
        load_weights(definition.build(ModelSpec()), registry.get("crga_os2_david"))
    with pytest.raises(ConfigError, match="give its model folder in --savedmodel"):
        serve_by_name(registry.get("crga_os2_david"))


def test_what_is_hidden_has_no_influence(perturbed: ServedModel) -> None:
    hidden = some_hidden()
    inputs, _ = five_dates(1, hidden)
    found = perturbed.predict(inputs)["s2_estim"]
    inputs["s2_t"][0, hidden] = np.random.default_rng(0).integers(0, 9_000, (hidden.sum(), 4))
    np.testing.assert_array_equal(perturbed.predict(inputs)["s2_estim"], found)


def test_a_missing_date_may_be_no_data_or_flagged(perturbed: ServedModel) -> None:
    inputs, _ = five_dates(1, some_hidden())
    inputs["s2_tm2"][:] = -10_000
    as_nodata = perturbed.predict(inputs)
    inputs["s2_tm2"][:] = 3_000
    inputs["s2_cld10m_tm2"][:] = 1
    flagged = perturbed.predict(inputs)
    np.testing.assert_array_equal(as_nodata["s2_estim"], flagged["s2_estim"])
    assert np.isfinite(flagged["s2_estim"]).all()


@pytest.mark.parametrize(
    "missing",
    [
        ("s2_tm1", "s2_tm2"),
        ("s2_tp1", "s2_tp2"),
        ("s2_tm1", "s2_tm2", "s2_tp1", "s2_tp2"),
        tuple(f"s1_{name}" for name in ("tm2", "tm1", "t", "tp1", "tp2")),
    ],
)
def test_estimates_are_finite_whatever_is_missing(
    perturbed: ServedModel, missing: tuple[str, ...]
) -> None:
    inputs, _ = five_dates(1, some_hidden())
    for key in missing:
        inputs[key][:] = -10_000 if key.startswith("s2") else 0
    outputs = perturbed.predict(inputs)
    assert np.isfinite(outputs["s2_estim"]).all()
    assert (outputs["s2_estim_scale"] > 0).all()


@pytest.mark.parametrize(("width", "low", "high"), [(16, 0.3e6, 0.4e6), (64, 4.5e6, 5.5e6)])
def test_one_argument_sets_the_size(width: int, low: float, high: float) -> None:
    model = registry.get("residual").build(ModelSpec(width=width))
    assert low <= model.count_params() <= high


def test_steps_of_training_lower_the_loss_from_finite_gradients() -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    definition = registry.get("residual")
    model = definition.build(ModelSpec())
    given, truth = five_dates(1, some_hidden())
    inputs = {
        item.key: tf.constant(given[item.key].astype(item.dtype))
        for item in definition.contract(ModelSpec()).inputs
    }
    targets = {"s2_t": tf.constant(truth[None])}
    optimiser = keras.optimizers.Adam(1e-3)
    losses = []
    for _ in range(6):
        with tf.GradientTape() as tape:
            loss = definition.loss(inputs, targets, model(inputs, training=True))
        assert loss.shape == (1,)
        gradients = tape.gradient(loss, model.trainable_variables)
        assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)
        optimiser.apply(gradients, model.trainable_variables)
        losses.append(float(loss[0]))
    assert losses[-1] < losses[0] - 0.05


def test_the_loss_counts_hidden_pixels_only() -> None:
    hidden = some_hidden()
    inputs, truth = five_dates(1, hidden)
    loss = registry.get("residual").loss
    targets, scale = {"s2_t": truth[None]}, np.full((1, 64, 64, 4), 0.01, "float32")
    estimate = truth[None] + 0.02 * hidden[None, :, :, None].astype("float32")
    found = loss(inputs, targets, {"s2_t": estimate, "s2_t_scale": scale})
    expected = np.log(0.02**2) + 0.2 * (2.0 + np.log(0.01))
    assert float(found[0]) == pytest.approx(expected, abs=5e-3)
    elsewhere = estimate + 0.5 * ~hidden[None, :, :, None]
    again = loss(inputs, targets, {"s2_t": elsewhere, "s2_t_scale": scale})
    assert float(again[0]) == pytest.approx(float(found[0]), abs=1e-5)


def test_weights_are_written_as_those_of_the_package(tmp_path: Path) -> None:
    model = registry.get("residual").build(registry.ModelSpec())
    load_weights(model, registry.get("residual"))
    write_weights(model, tmp_path / "w.npz")
    shipped = read_weights(registry.get("residual"))
    with np.load(tmp_path / "w.npz", allow_pickle=False) as written:
        assert set(written.files) == set(shipped)
        for name, array in shipped.items():
            np.testing.assert_array_equal(written[name], array)
