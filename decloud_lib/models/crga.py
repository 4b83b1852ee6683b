"""Multi-date SAR/optical networks: one shared encoder per date, one decoder."""

from collections.abc import Sequence

import keras

from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.keys import DEM
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

#: Three dates, each radar and optical; the optical ones may be cloudy.
OS2_BRANCHES = (("s1_tm1", "s2_tm1"), ("s1_t", "s2_t"), ("s1_tp1", "s2_tp1"))
OS2_KEYS = (*(key for branch in OS2_BRANCHES for key in branch), DEM)


def david(
    name: str,
    branches: Sequence[Sequence[str]],
    spec: ModelSpec,
    target_key: str = "s2_target",
) -> keras.Model:
    """Build a small network without skip connections; branches meet at a quarter of the size only.

    Parameters
    ----------
    name
        Name of the Keras model.
    branches
        Sample keys of each date, in order; their channels are joined in this order.
    spec
        With or without elevation.
    target_key
        Key of the samples that the output estimates.

    Returns
    -------
    Model from raw (N, H, W, C) inputs, H and W multiples of 4 (elevation at half the size), to
    (N, H, W, 4) reflectance, never negative (the last layer is rectified).

    Notes
    -----
    Padding 'same' in TensorFlow's convention: a stride of 2 pads only below and to the right, the
    transposed convolution drops its last row and column.
    """
    keys = [key for branch in branches for key in branch]
    inputs = make_inputs([*keys, DEM] if spec.use_dem else keys)
    scaled = normalise(inputs)
    layers = SharedLayers()
    features = []
    for branch in branches:
        x = join([scaled[key] for key in branch])  # (N, H, W, sum of bands)
        x = layers.conv("conv1_relu", 64, 5)(x)  # (N, H, W, 64)
        x = layers.conv("conv2_bn_relu", 128, 3, stride=2)(x)  # (N, H/2, W/2, 128)
        if spec.use_dem:
            x = join([x, layers.conv("conv1_dem_relu", 64, 3)(scaled[DEM])])  # ... 192
        features.append(layers.conv("conv3_bn_relu", 256, 3, stride=2)(x))  # (N, H/4, W/4, 256)
    x = join(features)  # (N, H/4, W/4, 256 * branches)
    x = layers.deconv("deconv1_bn_relu", 128)(x)  # (N, H/2, W/2, 128)
    x = layers.deconv("deconv2_bn_relu", 64)(x)  # (N, H, W, 64)
    x = layers.conv("s2_estim", 4, 5)(x)  # (N, H, W, 4)
    return keras.Model(inputs, {target_key: x}, name=name)


register(
    ModelDefinition(
        name="crga_os2_david",
        build=lambda spec: david("crga_os2_david", OS2_BRANCHES, spec),
        input_keys=OS2_KEYS,
        stride=4,
        reach_px=10,
    )
)
