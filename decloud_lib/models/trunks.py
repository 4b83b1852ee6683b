"""The two networks of the family behind the first layers: a U-Net, and a small one without skips.

Padding is 'same' in TensorFlow's convention: a stride of 2 pads only below and to the right, the
transposed convolution drops its last row and column.
"""

from collections.abc import Sequence

from keras import KerasTensor, ops

from decloud_lib.bands import S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.dates import Date, first_layers

#: Total stride of each trunk, pixels at 10 m.
UNET_STRIDE = 32
DAVID_STRIDE = 4


def unet(
    layers: SharedLayers,
    dates: Sequence[Date],
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
        In the order in which their channels are joined; height and width of the images are
        multiples of 32.
    with_20m
        Estimate the 20 m bands too.
    skip_full
        Give the features at full size to the last layer.

    Returns
    -------
    The estimate at 10 m, (N, H, W, 4), then that at 20 m, (N, H/2, W/2, 6): reflectance, linear
    (may be negative).

    Notes
    -----
    What a date gives to the decoder's large layers is summed up at once, before the next date is
    looked at, so the memory hardly grows with their number.
    """
    channels = sum(date.channels for date in dates) + 128
    fines = [layers.joined_deconv("deconv5_bn_relu", 64, channels)]
    if with_20m:
        fines.append(layers.joined_deconv("deconv5_20m_bn_relu", 64, channels, stride=1))
    half = layers.joined_deconv("deconv4_bn_relu", 128, 256 * len(dates) + 256)
    seen = 64 * len(dates) if skip_full else 0
    last = layers.joined_conv("s2_estim", len(S2_10M_BANDS), 5, seen + 64)
    # Small enough to be kept: (N, H/8, W/8, 512) ... (N, H/32, W/32, 512) of each date.
    scales: list[list[KerasTensor]] = [[], [], []]
    for date in dates:
        found = first_layers(layers, date, after=[each.total for each in (last, half, *fines)])
        if skip_full:
            last.add(found.full)
        for fine in fines:
            fine.add(found.half)
        x = layers.conv("conv3_bn_relu", 256, 3, stride=2)(found.half)  # (N, H/4, W/4, 256)
        half.add(x)
        for number, scale in zip((4, 5, 6), scales, strict=True):
            x = layers.conv(f"conv{number}_bn_relu", 512, 3, stride=2)(x)
            scale.append(x)
    x = join(scales.pop())  # (N, H/32, W/32, 512 * dates)
    for number in (1, 2):
        x = layers.deconv(f"deconv{number}_bn_relu", 512)(x)
        x = join([*scales.pop(), x])
    x = ops.relu(half.add(layers.deconv("deconv3_bn_relu", 256)(x)))  # (N, H/2, W/2, 128)
    fine, *coarse = [ops.relu(each.add(x)) for each in fines]  # (N, H, W, 64)
    estimates = [last.add(fine)]
    if coarse:  # (N, H/2, W/2, 64)
        at_20m = layers.conv("s2_20m_estim", len(S2_20M_STACK_BANDS), 3, activation=None)
        estimates.append(at_20m(coarse[0]))
    return estimates


def david(
    layers: SharedLayers, dates: Sequence[Date], *, with_20m: bool = False
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
    half = layers.joined_deconv("deconv1_bn_relu", 128, 256 * len(dates))
    for date in dates:
        found = first_layers(layers, date, after=[half.total])
        half.add(layers.conv("conv3_bn_relu", 256, 3, stride=2)(found.half))
    x = ops.relu(half.total)  # (N, H/2, W/2, 128)
    fine = layers.deconv("deconv2_bn_relu", 64)(x)  # (N, H, W, 64)
    estimates = [layers.conv("s2_estim", len(S2_10M_BANDS), 5)(fine)]
    if with_20m:
        coarse = layers.deconv("deconv2_20m_bn_relu", 64, stride=1)(x)  # (N, H/2, W/2, 64)
        estimates.append(layers.conv("s2_20m_estim", len(S2_20M_STACK_BANDS), 3)(coarse))
    return estimates
