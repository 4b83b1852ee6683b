"""Networks that make one image of a month from six optical images, with or without SAR."""

from functools import partial

from decloud_lib.models.assemble import register_network
from decloud_lib.models.blocks import SharedLayers
from decloud_lib.models.dates import Date, Tensors, Trunk, elevation
from decloud_lib.models.keys import DEM
from decloud_lib.models.trunks import DAVID_STRIDE, UNET_STRIDE, david, unet

_S2_KEYS = tuple(f"s2_t{date}" for date in range(6))
_S1_KEYS = tuple(f"s1_t{date}" for date in range(6))


def from_optical(scaled: Tensors, *, trunk: Trunk, first: str) -> Tensors:
    """Build a network of six optical images; `first` is the name of its first layer."""
    layers = SharedLayers()
    dates = [Date([scaled[key]], names=(first, "conv2_bn_relu")) for key in _S2_KEYS]
    return dict(zip(("s2_target",), trunk(layers, dates), strict=True))


def from_both(scaled: Tensors, *, trunk: Trunk, own_second: bool) -> Tensors:
    """Build a network of six optical images and then six SAR images, each a date of its own.

    Parameters
    ----------
    scaled
        Normalised inputs.
    trunk
        What follows the first layers.
    own_second
        Each sensor has its own second layer, and the elevation joins it as it is; else the sensors
        share the second layer, and the elevation passes through a layer first.
    """
    layers = SharedLayers()
    raw = [scaled[DEM]] if DEM in scaled else []
    beside = raw if own_second else elevation(layers, scaled)
    dates = []
    for sensor, keys in (("s2", _S2_KEYS), ("s1", _S1_KEYS)):
        second = f"conv2_{sensor}_relu" if own_second else "conv2_bn_relu"
        names = (f"conv1_{sensor}_relu", second)
        dates += [Date([scaled[key]], relief=beside, names=names) for key in keys]
    return dict(zip(("s2_target",), trunk(layers, dates), strict=True))


_UNET = (UNET_STRIDE, 66)
_DAVID = (DAVID_STRIDE, 10)

register_network(
    "monthly_synthesis_6_s2_images",
    partial(from_optical, trunk=unet, first="conv1_relu"),
    _S2_KEYS,
    reach=_UNET,
)
register_network(
    "monthly_synthesis_6_s2_images_david",
    partial(from_optical, trunk=david, first="conv1_s2_relu"),
    _S2_KEYS,
    reach=_DAVID,
)
register_network(
    "monthly_synthesis_6_s2s1_images",
    partial(from_both, trunk=unet, own_second=True),
    (*_S2_KEYS, *_S1_KEYS, DEM),
    reach=_UNET,
)
register_network(
    "monthly_synthesis_6_s2s1_images_david",
    partial(from_both, trunk=david, own_second=False),
    (*_S2_KEYS, *_S1_KEYS, DEM),
    reach=_DAVID,
)
