"""Multi-date SAR/optical networks: one shared encoder for the dates t-1, t and t+1, one decoder.

OS2 networks take an optical image at every date, any of which may be cloudy; OS1 networks take none
at t. The "impostor" is an OS1 network for samples of OS2 with a SAR image at the target date.
"""

from functools import partial

from decloud_lib.models.assemble import register_network
from decloud_lib.models.blocks import SharedLayers
from decloud_lib.models.dates import Date, Tensors, elevation, estimate
from decloud_lib.models.keys import DEM
from decloud_lib.models.trunks import DAVID_STRIDE, UNET_STRIDE, david, unet

_OS1_KEYS = ("s1_tm1", "s2_tm1", "s1_t", "s1_tp1", "s2_tp1", DEM)
_OS2_KEYS = ("s1_tm1", "s2_tm1", "s1_t", "s2_t", "s1_tp1", "s2_tp1", DEM)


def os1(scaled: Tensors, *, radar: str = "s1_t", target: str = "s2_t") -> Tensors:
    """Build the U-Net of three dates that knows the middle one by its SAR image only."""
    layers = SharedLayers()
    relief = elevation(layers, scaled)
    both, alone = (("conv1_s1s2_relu", "conv2_bn_relu"), ("conv1_s1_relu", "conv2_bn_relu"))
    dates = [
        Date([scaled["s1_tm1"], scaled["s2_tm1"]], relief=relief, names=both),
        Date([scaled[radar]], relief=relief, names=alone),
        Date([scaled["s1_tp1"], scaled["s2_tp1"]], relief=relief, names=both),
    ]
    return dict(zip((target,), unet(layers, dates), strict=True))


def os1_all_bands(scaled: Tensors) -> Tensors:
    """Build the same with 20 m bands.

    Unlike in the other networks, one more layer mixes the 10 m features, the 20 m bands and the
    elevation of the outer dates; the middle date has neither.
    """
    layers = SharedLayers()
    relief = elevation(layers, scaled)

    def outer(name: str) -> Date:
        images = [scaled[f"s1_{name}"], scaled[f"s2_{name}"]]
        names = ("conv1_s1s2_relu", "conv2_bn_relu")
        return Date(images, scaled[f"s2_20m_{name}"], relief, names, mixed=True)

    middle = Date([scaled["s1_t"]], names=("conv1_s1_relu", "conv2_bn_relu"))
    estimates = unet(layers, [outer("tm1"), middle, outer("tp1")], with_20m=True)
    return dict(zip(("s2_t", "s2_20m_t"), estimates, strict=True))


_UNET = (UNET_STRIDE, 66)
_DAVID = (DAVID_STRIDE, 10)
_OS2_ALL_BANDS = (*_OS2_KEYS, *(f"s2_20m_{date}" for date in ("tm1", "t", "tp1")))
_ALL_TARGETS = ("s2_target", "s2_20m_target")

register_network("crga_os1_unet", os1, _OS1_KEYS, ("s2_t",), _UNET)
register_network(
    "crga_os1_unet_impostor",
    partial(os1, radar="s1_target", target="s2_target"),
    ("s1_tm1", "s2_tm1", "s1_target", "s1_tp1", "s2_tp1", DEM),
    ("s2_target",),
    _UNET,
)
register_network(
    "crga_os1_unet_all_bands",
    os1_all_bands,
    (*_OS1_KEYS, "s2_20m_tm1", "s2_20m_tp1"),
    ("s2_t", "s2_20m_t"),
    (UNET_STRIDE, 69),
)
register_network(
    "crga_os2_unet",
    # The only one of the family with another initialiser: variance scaling, fan-in.
    partial(estimate, trunk=unet, initialiser="lecun_normal"),
    _OS2_KEYS,
    ("s2_target",),
    _UNET,
)
register_network(
    "crga_os2_unet_all_bands",
    partial(estimate, trunk=unet, targets=_ALL_TARGETS),
    _OS2_ALL_BANDS,
    _ALL_TARGETS,
    (UNET_STRIDE, 67),
)
register_network(
    "crga_os2_david", partial(estimate, trunk=david), _OS2_KEYS, ("s2_target",), _DAVID
)
register_network(
    "crga_os2_david_all_bands",
    partial(estimate, trunk=david, targets=_ALL_TARGETS),
    _OS2_ALL_BANDS,
    _ALL_TARGETS,
    (DAVID_STRIDE, 11),
)
