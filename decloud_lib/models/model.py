"""The class from which users derive a network of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from decloud_lib.models.keys import DEM
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import keras
    from keras import KerasTensor

    Tensors = Mapping[str, KerasTensor]
    Loss = Callable[[Tensors, Tensors, Tensors], KerasTensor]


class Model(ABC):
    """A network of your own: derive a class, write `network`, and train it by the class's name.

    Everything else is there: inputs of the shapes that the samples have, normalisation inside the
    model, elevation on demand, the loss, the export with its contract, and the reconstruction.

    >>> class MyModel(Model):
    ...     def network(self, inputs):
    ...         both = keras.ops.concatenate([inputs["s2_tm1"], inputs["s2_tp1"]], axis=-1)
    ...         return {"s2_target": keras.layers.Conv2D(4, 3, padding="same")(both)}

    A class is known as soon as it is defined. To have it defined, name the file
    (`--model path/to/my_model.py:MyModel`), or install a package with an entry point of the group
    `decloud.models` that leads to the class.

    Parameters
    ----------
    spec
        What the user chose, and the shapes of the samples where they are known.
    """

    name: ClassVar[str]
    """Name of the model; by default that of the class."""
    input_keys: ClassVar[tuple[str, ...]] = ()
    """Sample keys that go in; by default every image of the samples that is no target."""
    target_keys: ClassVar[tuple[str, ...]] = ("s2_target",)
    """Sample keys that `network` estimates."""
    stride: ClassVar[int | None] = None
    """Input sides must be a multiple of it, pixels at 10 m; measured where it is None."""
    reach_px: ClassVar[int | None] = None
    """How far a pixel of the output looks, pixels at 10 m; measured where it is None."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names of the model."""
    trainable: ClassVar[bool] = True
    """False for a network without weights: it can be evaluated by its name."""
    with_scale: ClassVar[bool] = False
    """`network` gives the expected error too, as `ModelDefinition.with_scale` says."""
    loss: ClassVar[Loss | None] = None
    """A static method (inputs, targets, outputs) -> loss of each sample, (N,), all by key; by
    default the mean absolute error of the targets."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Register a class that has a network."""
        super().__init_subclass__(**kwargs)
        if cls.network is not Model.network:
            cls.name = cls.__dict__.get("name", cls.__name__)
            register(cls.definition())

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    @property
    def has_dem(self) -> bool:
        """Say whether the elevation is among the inputs."""
        return DEM in self.definition().keys(self.spec)

    @abstractmethod
    def network(self, inputs: dict[str, KerasTensor]) -> Tensors:
        """Build the network, with Keras layers and `keras.ops`.

        Parameters
        ----------
        inputs
            Sample key -> (N, H, W, C) float32, normalised to about 0..1; `dem` and `s2_20m_*` have
            half the height and width.

        Returns
        -------
        Target key -> (N, H, W, C) reflectance 0..1; `s2_20m_*` at half the height and width.
        """

    def build(self) -> keras.Model:
        """Return the Keras model: stored values in, reflectance out."""
        from decloud_lib.models.assemble import assemble

        keys = self.definition().keys(self.spec)
        return assemble(self.name, keys, self.target_keys, self.network)

    @classmethod
    def definition(cls) -> ModelDefinition:
        """Return what the factory knows about the model."""
        return ModelDefinition(
            name=cls.name,
            build=lambda spec: cls(spec).build(),
            input_keys=cls.input_keys,
            target_keys=cls.target_keys,
            stride=cls.stride,
            reach_px=cls.reach_px,
            trainable=cls.trainable,
            with_scale=cls.with_scale,
            loss=cls.loss,
            aliases=cls.aliases,
            source=cls.__module__,
        )
