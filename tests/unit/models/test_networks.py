"""The small network, in detail; `test_family` holds what is true of all."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ShapeError
from decloud_lib.models import registry
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.store import export_model, load_model, serve_definition
from decloud_lib.models.training import Optimisation, Trainer


def random_inputs(
    contract: registry.ModelContract, height: int, width: int, n: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = {}
    for item in contract.inputs:
        shape = (n, height // item.factor, width // item.factor, len(item.bands))
        inputs[item.key] = (
            rng.integers(0, 8000, shape).astype("uint16")
            if item.bands
            else 1.6e9 + rng.uniform(0.0, 1e6, n)
        )
    return inputs


def test_david_reaches_ten_pixels_and_needs_a_margin_of_twelve() -> None:
    served = serve_definition(registry.get("crga_os2_david"))
    assert (served.contract.reach_px, served.contract.margin_px) == (10, 12)
    inputs = random_inputs(served.contract, 64, 64)
    before = served.predict(inputs)["s2_estim"][0]
    reached = 0
    for row in range(32, 36):  # all phases of the stride
        changed = {key: value.copy() for key, value in inputs.items()}
        for key in ("s2_t", "s1_t"):
            changed[key][:, row, 32] = 40_000
        rows = np.flatnonzero(np.any(served.predict(changed)["s2_estim"][0] != before, axis=(1, 2)))
        reached = max(reached, row - rows.min(), rows.max() - row)
    assert reached == served.contract.reach_px


@pytest.mark.parametrize("name", ["crga_os2_david"])
def test_a_step_of_training_changes_the_loss(name: str) -> None:
    import tensorflow as tf

    trainer = Trainer(registry.get(name), ModelSpec(), Optimisation(1e-3, seed=1))
    contract = registry.get(name).contract(ModelSpec())
    inputs = {
        key: value.astype("float32") for key, value in random_inputs(contract, 16, 16, 2).items()
    }
    targets = {key: np.full((2, 16, 16, 4), 0.2, "float32") for key in contract.target_keys}
    samples = tf.data.Dataset.from_tensors((inputs, targets))
    scores = []
    for _ in range(2):
        assert list(trainer.train(samples, 0)) == [1]
        scores.append(trainer.scores())
    assert set(scores[0]) == {"loss", "psnr_db", "psnr_global_db", "mse_dn2", "mae", "rmse"}
    assert scores[1]["loss"] < scores[0]["loss"]


def test_cropped_outputs_are_reflectance_times_10000(tmp_path: Path) -> None:
    definition, spec = registry.get("crga_os2_david"), ModelSpec()
    contract = definition.contract(spec)
    folder = export_model(definition.build(spec), definition, tmp_path / "model", contract)
    outputs = load_model(folder).serve(random_inputs(contract, 384, 384))
    assert set(outputs) == {"s2_estim", *(f"s2_estim_pad{pad}" for pad in (32, 64, 128, 256))}
    assert outputs["s2_estim_pad64"].shape == (1, 256, 256, 4)
    expected = 10000.0 * outputs["s2_estim"][:, 64:-64, 64:-64]
    np.testing.assert_allclose(outputs["s2_estim_pad64"], expected, rtol=1e-6)


def test_values_are_scaled_inside_and_never_negative() -> None:
    model = registry.get("crga_os2_david").build(ModelSpec())
    zeros = {
        key: np.zeros((1, 8 if key != "dem" else 4, 8 if key != "dem" else 4, c), "float32")
        for key, c in ((k, t.shape[-1]) for k, t in model.input.items())
    }
    assert np.all(model(zeros)["s2_target"].numpy() == 0.0)  # no bias yet: zero in, zero out
    full = {
        key: value + (65535.0 if key.startswith("s1") else 10000.0) for key, value in zeros.items()
    }
    assert np.all(model(full)["s2_target"].numpy() >= 0.0)
    assert np.all(model(full)["s2_target"].numpy() < 100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s2_t": (1, 30, 32, 4)}, "each side must be a multiple of 4"),
        ({"s2_t": (1, 36, 32, 4)}, "must cover the same ground"),
        ({"dem": (1, 32, 32, 1)}, "must cover the same ground"),
        ({"s1_t": (1, 32, 32, 4)}, r"expected \(N, H, W, 2\)"),
        ({"s1_t": None}, "no input s1_t"),
    ],
)
def test_wrong_inputs_are_refused(change: dict[str, tuple[int, ...] | None], message: str) -> None:
    served = serve_definition(registry.get("crga_os2_david"))
    inputs = random_inputs(served.contract, 32, 32)
    for key, shape in change.items():
        if shape is None:
            del inputs[key]
        else:
            inputs[key] = np.zeros(shape)
    with pytest.raises(ShapeError, match=message):
        served.predict(inputs)
