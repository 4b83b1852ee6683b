"""Networks of one date: a cloudy optical image and a SAR image near it."""

from functools import partial

import keras

from decloud_lib.bands import S2_10M_BANDS
from decloud_lib.models.assemble import register_network
from decloud_lib.models.blocks import SharedLayers, join, residual_block
from decloud_lib.models.dates import Tensors, estimate
from decloud_lib.models.keys import DEM
from decloud_lib.models.trunks import UNET_STRIDE, unet

_BLOCKS = 16
_KEYS = ("s1_t", "s2_t", DEM)
_ALL_TARGETS = ("s2_target", "s2_20m_target")


def original(scaled: Tensors) -> Tensors:
    """Build the residual network at full size: it learns what to add to the cloudy image.

    Notes
    -----
    After Meraner et al. 2020, doi 10.1016/j.isprsjprs.2020.05.013 (their loss that adapts to the
    clouds is not part of the network).
    """
    layers = SharedLayers()
    x = layers.conv("conv1_relu", 256, 3)(join([scaled["s1_t"], scaled["s2_t"]]))
    for number in range(1, _BLOCKS + 1):
        x = residual_block(layers, x, f"block{number}")  # (N, H, W, 256)
    x = layers.conv("conv2", len(S2_10M_BANDS), 3, activation=None)(x)
    return {"s2_target": keras.layers.Add(name="s2_estim")([scaled["s2_t"], x])}


register_network("meraner_original", original, ("s1_t", "s2_t"), reach=(1, 34))
register_network(
    "meraner_unet",
    partial(estimate, trunk=unet, dates=("t",)),
    _KEYS,
    reach=(UNET_STRIDE, 66),
    aliases=("meraner_os2", "merunet"),
)
register_network(
    "meraner_unet_all_bands",
    partial(estimate, trunk=partial(unet, skip_full=False), dates=("t",), targets=_ALL_TARGETS),
    (*_KEYS, "s2_20m_t"),
    _ALL_TARGETS,
    reach=(UNET_STRIDE, 67),
)
