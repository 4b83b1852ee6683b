"""The dates that go into a network, each through the first layers of one encoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras import KerasTensor

from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.joined import After
from decloud_lib.models.keys import DEM

#: Normalised inputs by sample key, or estimates by target key.
Tensors = Mapping[str, KerasTensor]
#: What follows the first layers, see `trunks`.
Trunk = Callable[..., list[KerasTensor]]

#: Filters of the second layer, and of that of the 20 m bands.
_HALF = 128


@dataclass(frozen=True, slots=True)
class Date:
    """What is known of one date, normalised."""

    images: Sequence[KerasTensor]
    """(N, H, W, C), joined in this order."""
    coarse: KerasTensor | None = None
    """(N, H/2, W/2, C): its 20 m bands."""
    relief: Sequence[KerasTensor] = ()
    """(N, H/2, W/2, C): features that join the second layer and are those of all dates."""
    names: tuple[str, str] = ("conv1_relu", "conv2_bn_relu")
    """Of the two layers: networks with one encoder per sensor have two pairs."""
    mixed: bool = False
    """One more layer mixes the second layer, the 20 m bands and the relief."""

    @property
    def channels(self) -> int:
        """How many channels its features have at half the size."""
        if self.mixed:
            return _HALF
        coarse = 0 if self.coarse is None else _HALF
        relief: list[int] = [x.shape[-1] for x in self.relief]
        return _HALF + coarse + sum(relief)


@dataclass(frozen=True, slots=True)
class Features:
    """What the first layers of the encoder say about one date."""

    full: KerasTensor
    """(N, H, W, 64)."""
    half: KerasTensor
    """(N, H/2, W/2, C): the second layer, and what was joined to it."""


def first_layers(
    layers: SharedLayers, date: Date, after: Sequence[KerasTensor | None] = ()
) -> Features:
    """Pass one date through the first layers of the encoder.

    Parameters
    ----------
    layers
        Of the network.
    date
        What is known of it.
    after
        What is computed first, where there is anything yet: one date after the other takes the
        memory of one.
    """
    done = [tensor for tensor in after if tensor is not None]
    full = layers.conv(date.names[0], 64, 5)(_later(join(date.images), done))
    beside = list(date.relief)
    if date.coarse is not None:
        coarse = layers.conv("conv1_20m_relu", 64, 3)(_later(date.coarse, done))
        mix = layers.conv("conv2_20m_bn_relu", _HALF, 3)
        beside.insert(0, coarse if date.mixed else mix(coarse))
    half = join([layers.conv(date.names[1], _HALF, 3, stride=2)(full), *beside])
    return Features(full, mix(half) if date.mixed else half)


def _later(x: KerasTensor, done: Sequence[KerasTensor]) -> KerasTensor:
    return After()([x, *done]) if done else x


def elevation(layers: SharedLayers, scaled: Tensors) -> list[KerasTensor]:
    """Return the features of the elevation, (N, H/2, W/2, 64), where the network takes it."""
    return [layers.conv("conv1_dem_relu", 64, 3)(scaled[DEM])] if DEM in scaled else []


def estimate(
    scaled: Tensors,
    *,
    trunk: Trunk,
    dates: Sequence[str] = ("tm1", "t", "tp1"),
    targets: Sequence[str] = ("s2_target",),
    initialiser: str = "glorot_uniform",
) -> Tensors:
    """Build a network whose dates all have SAR and optical images.

    At half the size their features are joined with those of the 20 m bands, where the network takes
    them, and of the elevation.

    Parameters
    ----------
    scaled
        Normalised inputs.
    trunk
        What follows the first layers.
    dates
        Suffixes of the keys, in order.
    targets
        Key of the estimate at 10 m, and of that at 20 m where there is one.
    initialiser
        Of all kernels.
    """
    layers = SharedLayers(initialiser)
    relief = elevation(layers, scaled)
    known = [
        Date([scaled[f"s1_{name}"], scaled[f"s2_{name}"]], scaled.get(f"s2_20m_{name}"), relief)
        for name in dates
    ]
    return dict(zip(targets, trunk(layers, known, with_20m=len(targets) > 1), strict=True))
