"""A raw sample of five dates of a synthetic place, for the models that take such."""

from datetime import timedelta
from functools import lru_cache

import numpy as np

from decloud_lib.arrays.encode import encode_sigma0
from decloud_lib.models.fitted import DATES
from decloud_lib.synthetic import BANDS, OpticalDate, Scene, SyntheticConfig
from decloud_lib.types import Array

_BANDS = [BANDS.index(name) for name in ("B2", "B3", "B4", "B8")]


@lru_cache(maxsize=4)
def _scene(seed: int) -> tuple[dict[str, Array], Array]:
    config = SyntheticConfig(
        seed=seed, size_px=64, days=80, s2_dates=5, s2_zipped=0, edges=0.0, covers=(0.0,) * 5
    )
    scene = Scene(config)
    sample: dict[str, Array] = {}
    truth = np.zeros(0)
    for name, date in zip(DATES, scene.optical_dates, strict=True):
        seen = _seen(scene, date)
        sample[f"s2_{name}"] = seen
        sample[f"s2_cld10m_{name}"] = np.zeros((64, 64, 1), np.uint8)
        sample[f"s2_timestamp_{name}"] = np.float64(date.acquired.timestamp())
        radar = min(scene.radar_dates, key=lambda item: _apart(item.acquired, date.acquired))
        sample[f"s1_{name}"] = encode_sigma0(scene.sigma0(radar))
        if name == "t":
            truth = seen.astype(np.float32) / 10_000.0
    return sample, truth


def _seen(scene: Scene, date: OpticalDate) -> Array:
    return np.rint(scene.truth(date)[..., _BANDS] * 10_000.0).astype(np.int16)


def _apart(first: object, second: object) -> timedelta:
    return abs(first - second)  # type: ignore[operator,no-any-return]


def five_dates(seed: int = 1, hidden: Array | None = None) -> tuple[dict[str, Array], Array]:
    """Return the raw inputs of one sample with batch axis, and the (64, 64, 4) truth of date t.

    Hidden pixels of date t are bright, as cloud is.
    """
    sample, truth = _scene(seed)
    inputs = {key: value[None].copy() for key, value in sample.items()}
    if hidden is not None:
        inputs["s2_cld10m_t"][0, hidden] = 2
        inputs["s2_t"][0, hidden] = 7_000
    return inputs, truth


def some_hidden(seed: int = 1) -> Array:
    """Return a (64, 64) mask that hides about half, in blocks."""
    return np.kron(np.random.default_rng(seed).random((8, 8)) > 0.5, np.ones((8, 8), bool))
