"""The dates that go into a network, each through the first layers of one encoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras import KerasTensor

from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.keys import DEM

#: Normalised inputs by sample key, or estimates by target key.
Tensors = Mapping[str, KerasTensor]
#: What follows the first layers, see `trunks`.
Trunk = Callable[..., list[KerasTensor]]


@dataclass(frozen=True, slots=True)
class Features:
    """What the first two layers of the encoder say about one date."""

    full: KerasTensor
    """(N, H, W, 64)."""
    half: KerasTensor
    """(N, H/2, W/2, C): the second layer, and what was joined to it."""


def first_layers(
    layers: SharedLayers,
    images: Sequence[KerasTensor],
    beside: Sequence[KerasTensor] = (),
    names: tuple[str, str] = ("conv1_relu", "conv2_bn_relu"),
) -> Features:
    """Pass one date through the first two layers of the encoder.

    Parameters
    ----------
    layers
        Of the network.
    images
        (N, H, W, C) of the date, joined in this order; normalised.
    beside
        (N, H/2, W/2, C) features that join the second layer.
    names
        Of the two layers: networks with one encoder per sensor have two pairs.
    """
    full = layers.conv(names[0], 64, 5)(join(images))
    half = layers.conv(names[1], 128, 3, stride=2)(full)
    return Features(full, join([half, *beside]))


def elevation(layers: SharedLayers, scaled: Tensors) -> list[KerasTensor]:
    """Return the features of the elevation, (N, H/2, W/2, 64), where the network takes it."""
    return [layers.conv("conv1_dem_relu", 64, 3)(scaled[DEM])] if DEM in scaled else []


def pairs(layers: SharedLayers, scaled: Tensors, dates: Sequence[str]) -> list[Features]:
    """Pass dates with SAR and optical images through the first layers.

    At half the size their features are joined with those of the 20 m bands, where the network takes
    them, and of the elevation.
    """
    relief = elevation(layers, scaled)
    features = []
    for date in dates:
        beside = []
        if (key := f"s2_20m_{date}") in scaled:
            x = layers.conv("conv1_20m_relu", 64, 3)(scaled[key])
            beside.append(layers.conv("conv2_20m_bn_relu", 128, 3)(x))
        images = [scaled[f"s1_{date}"], scaled[f"s2_{date}"]]
        features.append(first_layers(layers, images, [*beside, *relief]))
    return features


def estimate(
    scaled: Tensors,
    *,
    trunk: Trunk,
    dates: Sequence[str] = ("tm1", "t", "tp1"),
    targets: Sequence[str] = ("s2_target",),
    initialiser: str = "glorot_uniform",
) -> Tensors:
    """Build a network whose dates all have SAR and optical images.

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
    features = pairs(layers, scaled, dates)
    return dict(zip(targets, trunk(layers, features, with_20m=len(targets) > 1), strict=True))
