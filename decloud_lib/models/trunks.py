"""The two networks of the family behind the first layers: a U-Net, and a small one without skips.

Padding is 'same' in TensorFlow's convention: a stride of 2 pads only below and to the right, the
transposed convolution drops its last row and column.
"""

from collections.abc import Sequence

from keras import KerasTensor

from decloud_lib.bands import S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.dates import Features

#: Total stride of each trunk, pixels at 10 m.
UNET_STRIDE = 32
DAVID_STRIDE = 4


def unet(
    layers: SharedLayers,
    dates: Sequence[Features],
    *,
    with_20m: bool = False,
    skip_full: bool = True,
) -> list[KerasTensor]:
    """Build a U-Net: all dates share the encoder and meet in one decoder, at every scale.

    Parameters
    ----------
    layers
        Of the network.
    dates
        Features of each date, in the order in which their channels are joined; height and width
        of the images are multiples of 32.
    with_20m
        Estimate the 20 m bands too.
    skip_full
        Give the features at full size to the last layer.

    Returns
    -------
    The estimate at 10 m, (N, H, W, 4), then that at 20 m, (N, H/2, W/2, 6): reflectance, linear
    (may be negative).
    """
    scales = [[date.half for date in dates]]
    for number, filters in ((3, 256), (4, 512), (5, 512), (6, 512)):
        conv = layers.conv(f"conv{number}_bn_relu", filters, 3, stride=2)
        scales.append([conv(x) for x in scales[-1]])  # (N, H/4, W/4, 256) ... (N, H/32, W/32, 512)
    x = join(scales.pop())  # (N, H/32, W/32, 512 * dates)
    for number, filters in ((1, 512), (2, 512), (3, 256), (4, 128)):
        x = layers.deconv(f"deconv{number}_bn_relu", filters)(x)
        x = join([*scales.pop(), x])
    fine = layers.deconv("deconv5_bn_relu", 64)(x)  # (N, H, W, 64)
    seen = [date.full for date in dates] if skip_full else []
    estimates = [layers.joined_conv("s2_estim", len(S2_10M_BANDS), 5)([*seen, fine])]
    if with_20m:
        coarse = layers.deconv("deconv5_20m_bn_relu", 64, stride=1)(x)  # (N, H/2, W/2, 64)
        last = layers.conv("s2_20m_estim", len(S2_20M_STACK_BANDS), 3, activation=None)
        estimates.append(last(coarse))
    return estimates


def david(
    layers: SharedLayers, dates: Sequence[Features], *, with_20m: bool = False
) -> list[KerasTensor]:
    """Build a small network without skip connections; dates meet at a quarter of the size only.

    Parameters
    ----------
    layers, dates, with_20m
        As for `unet`; height and width are multiples of 4.

    Returns
    -------
    As `unet`, but never negative: the last layers are rectified.
    """
    conv3 = layers.conv("conv3_bn_relu", 256, 3, stride=2)
    x = join([conv3(date.half) for date in dates])  # (N, H/4, W/4, 256 * dates)
    x = layers.deconv("deconv1_bn_relu", 128)(x)  # (N, H/2, W/2, 128)
    fine = layers.deconv("deconv2_bn_relu", 64)(x)  # (N, H, W, 64)
    estimates = [layers.conv("s2_estim", len(S2_10M_BANDS), 5)(fine)]
    if with_20m:
        coarse = layers.deconv("deconv2_20m_bn_relu", 64, stride=1)(x)  # (N, H/2, W/2, 64)
        estimates.append(layers.conv("s2_20m_estim", len(S2_20M_STACK_BANDS), 3)(coarse))
    return estimates
