"""The model factory: name -> definition.

A model is a function that builds a Keras network, registered under a name; `assemble` and `Model`
make such functions. Third parties register theirs at import. The import happens by an entry point
of the group `decloud.models`, or when the name is `path/to/file.py:NAME`. This module does not
import Keras; looking a model up does.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from decloud_lib.errors import ConfigError
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput, margin_px
from decloud_lib.models.keys import DEM, is_image, kind_of

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

    Tensors: TypeAlias = Mapping[str, KerasTensor]

logger = logging.getLogger(__name__)

ENTRY_POINTS = "decloud.models"
_BUILT_IN = tuple(
    f"decloud_lib.models.{module}"
    for module in ("crga", "fitted", "gapfilling", "kriging", "meraner", "monthly", "residual")
)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a user may choose about a network, beside its name."""

    use_dem: bool = True
    """False leaves the elevation out, for places without one."""
    width: int = 16
    """Channels at full resolution of a network that comes in sizes; the others ignore it."""
    shapes: Mapping[str, tuple[int, ...]] | None = None
    """Shape of each array of a sample, for models that take whatever the samples hold."""


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """A model that can be built by its name."""

    name: str
    build: Callable[[ModelSpec], keras.Model]
    """Takes dict inputs (raw stored values) and gives dict outputs by target key, reflectance."""
    input_keys: tuple[str, ...]
    target_keys: tuple[str, ...] = ("s2_target",)
    stride: int | None = 1
    """Total stride: input sides must be a multiple of it, 10 m pixels. None: measured."""
    reach_px: int | None = 0
    """How far an output pixel looks, 10 m pixels, worst phase. None: measured."""
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
    vary: Callable[[Tensors, Tensors, KerasTensor], tuple[Tensors, Tensors]] | None = None
    """The same for training samples alone, before `simulate` and with `--augment`: changes the
    images as another sky would."""
    simulation_keys: tuple[str, ...] = ()
    """Keys of a sample that only `simulate` needs, such as the mask of another date."""
    in_context: bool = False
    """Each estimate depends on all of the window, not only on what lies within the reach."""
    weights: str = ""
    """File of weights that comes with the package, for the default `ModelSpec`; see `shipped`."""
    aliases: tuple[str, ...] = ()
    source: str = ""
    """Where it is defined; only a definition of the same source takes its place."""

    @property
    def is_ready(self) -> bool:
        """Say whether it can be used by its name: nothing to train, or trained already."""
        return not self.trainable or bool(self.weights)

    @property
    def is_measured(self) -> bool:
        """Say whether stride or reach are found out on a network, which is built for that."""
        return self.stride is None or self.reach_px is None

    def keys(self, spec: ModelSpec) -> tuple[str, ...]:
        """Return the keys of the inputs under a choice of the user.

        Raises
        ------
        ConfigError
            The model takes whatever the samples hold, and the choice does not say what that is.
        """
        keys = self.input_keys
        if not keys:
            if spec.shapes is None:
                raise ConfigError(
                    f"model {self.name} names no inputs: it takes the images of the samples, and "
                    f"can only be used with some; name its input_keys"
                )
            keys = tuple(key for key in spec.shapes if self._is_input(key))
        return tuple(key for key in keys if key != DEM or spec.use_dem)

    def _is_input(self, key: str) -> bool:
        return key not in self.target_keys and not key.endswith("_target") and is_image(key)

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
        stride, reach_px = self._geometry(spec)
        return ModelContract(
            name=self.name,
            inputs=tuple(inputs),
            outputs=tuple(_output(key, with_scale=self.with_scale) for key in self.target_keys),
            stride=stride,
            reach_px=reach_px,
            margin_px=margin_px(reach_px, stride),
            in_context=self.in_context,
            simulated_gaps=self.simulate is not None,
        )

    def _geometry(self, spec: ModelSpec) -> tuple[int, int]:
        if self.stride is not None and self.reach_px is not None:
            return self.stride, self.reach_px
        from decloud_lib.models.measure import measure_network

        return measure_network(self.build(spec), self.stride)


_known: dict[str, ModelDefinition] = {}


def register(definition: ModelDefinition) -> ModelDefinition:
    """Make a model known under its name and aliases.

    Raises
    ------
    ConfigError
        Another model has the name already.
    """
    for name in (definition.name, *definition.aliases):
        other = _known.get(name, definition)
        if (other.name, other.source) != (definition.name, definition.source):
            place = f" of {other.source}" if other.source else ""
            raise ConfigError(
                f"model name {name!r} is taken by {other.name}{place}; choose another"
            )
    _known.update(dict.fromkeys((definition.name, *definition.aliases), definition))
    return definition


def get(name: str) -> ModelDefinition:
    """Return a model by name or alias, or as `path/to/file.py:NAME`.

    A model is code: such a file is run. Nothing else is looked for in files.

    Raises
    ------
    ConfigError
        There is no such model; the message lists the known ones.
    """
    _load()
    file, name = split_name(name)
    if file is not None:
        source = _load_file(file)
        found = sorted(item.name for item in _known.values() if item.source == source)
        if name not in found:
            raise ConfigError(
                f"{file}: no model {name!r}; it registers {', '.join(found) or 'none'}"
            )
    if name not in _known:
        known = (" = ".join((item, *_known[item].aliases)) for item in names())
        lost = "".join(f"; {reason}" for reason in _load())
        raise ConfigError(f"no model {name!r}; known: {', '.join(known)}{lost}")
    return _known[name]


def split_name(name: str) -> tuple[Path | None, str]:
    """Return the file that a name asks to run, None where it asks for none, and the bare name."""
    file, _, last = name.rpartition(":")
    return (Path(file), last) if file.endswith(".py") else (None, name)


def trained_as(contract: ModelContract, uri: str) -> ModelDefinition | None:
    """Return what a network was made from, which says what it is to see of samples.

    Returns
    -------
    None where its model is not known here and it sees samples as they are.

    Raises
    ------
    ConfigError
        It was trained on simulated gaps, and the code that lays them is not known.
    """
    if contract.name in names():
        return _known[contract.name]
    if contract.simulated_gaps:
        raise ConfigError(
            f"{uri}: {contract.name} was trained on gaps that its own code lays, and is to be "
            "judged on such gaps; install the package that has it, or let evaluate run the file: "
            f"--model path/to/file.py:{contract.name}"
        )
    return None


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
def _load() -> tuple[str, ...]:
    """Import the built-in models and those of third parties; return why some are not there."""
    for module in _BUILT_IN:
        importlib.import_module(module)
    lost = []
    for entry in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            entry.load()
        except (ImportError, AttributeError, ConfigError) as error:
            lost.append(f"entry point {entry.name} = {entry.value} cannot be used: {error}")
            logger.warning("%s", lost[-1])
    return tuple(lost)


def _load_file(path: Path) -> str:
    """Run a file once; return the source of the models that it registers."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; expected Python code with a model")
    return _run(path.resolve())


@lru_cache
def _run(path: Path) -> str:
    # Files of one name in two folders are two modules.
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be loaded as Python code")
    module = importlib.util.module_from_spec(spec)
    # Data classes and pickles look for their module there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return name


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
