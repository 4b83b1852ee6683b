"""Networks of users: a class with one method."""

import keras
import numpy as np
import pytest
from keras import KerasTensor, ops

from decloud_lib.errors import ConfigError, ShapeError
from decloud_lib.models import Model, registry
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.store import serve_network

SHAPES = {
    "s2_timestamp_tm1": (),
    "s2_tm1": (64, 64, 4),
    "s1_t": (64, 64, 2),
    "s2_tp1": (64, 64, 4),
    "s2_target": (64, 64, 4),
    "dem": (32, 32, 1),
}


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the models of a test."""
    registry.names()
    monkeypatch.setattr(registry, "_known", dict(registry._known))


def test_one_method_is_enough() -> None:
    class MyModel(Model):
        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            x = ops.concatenate([inputs["s2_tm1"], inputs["s2_tp1"]], axis=-1)
            x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
            if self.has_dem:
                x = ops.concatenate([x, inputs["dem"]], axis=-1)
            x = keras.layers.UpSampling2D(2)(x)
            return {"s2_target": keras.layers.Conv2D(4, 3, padding="same")(x)}

    definition = registry.get("MyModel")
    contract = definition.contract(ModelSpec(shapes=SHAPES))
    assert contract.input_keys == ("s2_tm1", "s1_t", "s2_tp1", "dem")
    # By hand: 3 x 3 at half the size covers 2j .. 2j + 2; the last layer adds one on each side.
    assert (contract.stride, contract.reach_px, contract.margin_px) == (2, 3, 4)
    served = serve_network(definition.build(ModelSpec(shapes=SHAPES)), contract)
    full = {"s2_tm1": 10000.0, "s1_t": 65535.0, "s2_tp1": 10000.0, "dem": 10000.0}
    inputs = {key: np.full((1, *SHAPES[key]), value) for key, value in full.items()}
    assert served.predict(inputs)["s2_estim"].shape == (1, 64, 64, 4)
    without = ModelSpec(use_dem=False, shapes=SHAPES)
    assert definition.contract(without).input_keys == ("s2_tm1", "s1_t", "s2_tp1")
    assert set(definition.build(without).input) == {"s2_tm1", "s1_t", "s2_tp1"}


def test_inputs_arrive_normalised() -> None:
    class Passing(Model):
        input_keys = ("s1_t", "s2_tm1")

        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            return {"s2_target": inputs["s2_tm1"] + ops.mean(inputs["s1_t"], -1, keepdims=True)}

    definition = registry.get("Passing")
    served = serve_network(definition.build(ModelSpec()), definition.contract(ModelSpec()))
    inputs = {"s1_t": np.full((1, 4, 4, 2), 65535), "s2_tm1": np.full((1, 4, 4, 4), 5000)}
    np.testing.assert_allclose(served.predict(inputs)["s2_estim"], 1.5, rtol=1e-6)


def test_a_class_between_without_a_network_is_no_model() -> None:
    class Family(Model):
        input_keys = ("s2_tm1",)

    class Member(Family):
        name = "a_member"
        stride, reach_px = 1, 7
        trainable = False

        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            return {"s2_target": inputs["s2_tm1"]}

    assert "Family" not in registry.names()
    definition = registry.get("a_member")
    assert definition.input_keys == ("s2_tm1",)
    assert not definition.trainable
    assert definition.contract(ModelSpec()).reach_px == 7  # declared, so not measured


def test_a_network_must_give_its_targets() -> None:
    class Wrong(Model):
        input_keys = ("s2_tm1",)

        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            return {"s2_t": inputs["s2_tm1"]}

    with pytest.raises(ShapeError, match="model Wrong: its network gives s2_t, and no s2_target"):
        registry.get("Wrong").build(ModelSpec())


def test_a_network_that_looks_everywhere_must_say_so() -> None:
    class Everywhere(Model):
        input_keys = ("s2_tm1",)

        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            mean = ops.mean(inputs["s2_tm1"], axis=(1, 2), keepdims=True)
            return {"s2_target": inputs["s2_tm1"] - mean}

    with pytest.raises(ShapeError, match="declare its reach_px"):
        registry.get("Everywhere").contract(ModelSpec())


def test_a_network_of_another_size_is_refused() -> None:
    class Half(Model):
        input_keys = ("s2_tm1",)

        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            return {"s2_target": inputs["s2_tm1"][:, ::2, ::2]}

    with pytest.raises(ShapeError, match="no size up to 320 px fits"):
        registry.get("Half").contract(ModelSpec())


def test_inputs_that_nobody_names_need_samples() -> None:
    class Anything(Model):
        def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
            return {"s2_target": inputs["s2_tm1"]}

    with pytest.raises(ConfigError, match="model Anything names no inputs"):
        registry.get("Anything").contract(ModelSpec())


def test_a_name_of_a_built_in_model_cannot_be_taken() -> None:
    with pytest.raises(ConfigError, match=r"'crga_os2_david' is taken .* choose another"):

        class David(Model):
            name = "crga_os2_david"

            def network(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
                return {"s2_target": inputs["s2_tm1"]}
