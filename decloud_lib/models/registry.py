"""The model factory: name -> definition.

A model is a function that builds a Keras network, registered under a name. Third parties register
theirs at import, and make the import happen with an entry point of the group `decloud.models`.
This module does not import Keras; looking a model up does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING, TypeAlias

from decloud_lib.errors import ConfigError
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput, margin_px
from decloud_lib.models.keys import DEM, kind_of

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

    Tensors: TypeAlias = Mapping[str, KerasTensor]

ENTRY_POINTS = "decloud.models"
_BUILT_IN = ("decloud_lib.models.crga", "decloud_lib.models.gapfilling")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a user may choose about a network, beside its name."""

    use_dem: bool = True
    """False leaves the elevation out, for places without one."""


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """A model that can be built by its name."""

    name: str
    build: Callable[[ModelSpec], keras.Model]
    """Takes dict inputs (raw stored values) and gives dict outputs by target key, reflectance."""
    input_keys: tuple[str, ...]
    target_keys: tuple[str, ...] = ("s2_target",)
    stride: int = 1
    """Total stride: input sides must be a multiple of it, 10 m pixels."""
    reach_px: int = 0
    """How far an output pixel looks, 10 m pixels, worst phase."""
    trainable: bool = True
    """False for deterministic models."""
    with_scale: bool = False
    """Gives under `<target key>_scale`, beside each target, the expected absolute error per pixel
    and band (scale of a Laplace distribution), reflectance."""
    loss: Callable[[Tensors, Tensors, Tensors], KerasTensor] | None = None
    """(inputs, targets, outputs) of a batch by key -> loss of each sample, (N,); None: the mean
    absolute error of the targets. The inputs are those after `simulate`."""
    simulate: Callable[[Tensors, Tensors, KerasTensor], tuple[Tensors, Tensors]] | None = None
    """(inputs, targets, seed) of one sample, without batch axis -> the sample that the network sees
    in training and validation: lays a gap over a clear date. `seed` is (2,) int32; the same seed
    gives the same gap."""
    simulation_keys: tuple[str, ...] = ()
    """Keys of a sample that only `simulate` needs, such as the mask of another date."""
    aliases: tuple[str, ...] = ()

    def keys(self, spec: ModelSpec) -> tuple[str, ...]:
        """Return the keys of the inputs under a choice of the user."""
        return tuple(key for key in self.input_keys if key != DEM or spec.use_dem)

    def contract(self, spec: ModelSpec) -> ModelContract:
        """Return the contract of the network that `build` makes."""
        inputs = []
        for key in self.keys(spec):
            kind = kind_of(key)
            inputs.append(
                ModelInput(
                    key=key,
                    bands=kind.bands,
                    factor=kind.factor,
                    dtype=kind.dtype,
                    scale=kind.scale,
                )
            )
        return ModelContract(
            name=self.name,
            inputs=tuple(inputs),
            outputs=tuple(_output(key, with_scale=self.with_scale) for key in self.target_keys),
            stride=self.stride,
            reach_px=self.reach_px,
            margin_px=margin_px(self.reach_px, self.stride),
        )


_known: dict[str, ModelDefinition] = {}


def register(definition: ModelDefinition) -> ModelDefinition:
    """Make a model known under its name and aliases.

    Raises
    ------
    ConfigError
        Another model has the name already.
    """
    for name in (definition.name, *definition.aliases):
        if _known.get(name, definition).name != definition.name:
            raise ConfigError(f"model name {name!r} is taken by {_known[name].name}")
        _known[name] = definition
    return definition


def get(name: str) -> ModelDefinition:
    """Return a model by name or alias.

    Raises
    ------
    ConfigError
        There is no such model; the message lists the known ones.
    """
    _load()
    if name not in _known:
        known = (" = ".join((item, *_known[item].aliases)) for item in names())
        raise ConfigError(f"no model {name!r}; known: {', '.join(known)}")
    return _known[name]


def names() -> tuple[str, ...]:
    """Return the names of the known models, sorted, without aliases."""
    _load()
    return tuple(sorted({definition.name for definition in _known.values()}))


def fitting(keys: set[str]) -> tuple[str, ...]:
    """Return the names of the models whose inputs and targets are all among the keys."""
    return tuple(
        name for name in names() if {*_known[name].input_keys, *_known[name].target_keys} <= keys
    )


@lru_cache(maxsize=1)
def _load() -> None:
    for module in _BUILT_IN:
        importlib.import_module(module)
    for entry in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        entry.load()


def _output(target_key: str, *, with_scale: bool) -> ModelOutput:
    kind = kind_of(target_key)
    tensor = "s2_20m_estim" if target_key.startswith("s2_20m_") else "s2_estim"
    return ModelOutput(
        target_key=target_key,
        tensor=tensor,
        bands=kind.bands,
        factor=kind.factor,
        scale_tensor=f"{tensor}_scale" if with_scale else None,
    )
