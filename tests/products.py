"""Small products for the tests, made with the synthetic generator.

A series is made once per process for each set of options and copied from there, so that a test may
change or delete what it gets.
"""

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from decloud_lib.synthetic import (
    Scene,
    SyntheticConfig,
    SyntheticSeries,
    describe_series,
    make_products,
)

#: Two clear dates, two partly cloudy ones, two hidden ones, in turn.
SMALL_COVERS = (0.0, 0.3, 1.0, 0.0, 0.6, 0.0, 1.0, 0.0)


def small_delivery(tmp_path: Path, **overrides: Any) -> SyntheticSeries:
    """Write a small series below a folder: 128 px, 8 optical dates (one zip), radar and elevation.

    Parameters
    ----------
    tmp_path
        Gets `delivery` (SENTINEL1, SENTINEL2, DEM) and `truth`.
    overrides
        Fields of `SyntheticConfig` to change; `s2_dates` alone gives covers as in real series.

    Returns
    -------
    SyntheticSeries
        Paths of everything; the same pixels for the same options.
    """
    cached = _cached(small_config(**overrides).model_dump_json())
    root, truth = tmp_path / "delivery", tmp_path / "truth"
    shutil.copytree(cached.root, root)
    shutil.copytree(cached.truth, truth)
    return describe_series(small_scene(**overrides), root, truth)


def small_config(**overrides: Any) -> SyntheticConfig:
    """Return the settings of `small_delivery`."""
    fields: dict[str, Any] = {"size_px": 128, "days": 48, "s2_dates": 8, "covers": SMALL_COVERS}
    if "s2_dates" in overrides and "covers" not in overrides:
        fields["covers"] = None
    return SyntheticConfig(**(fields | overrides))


def small_scene(**overrides: Any) -> Scene:
    """Return the scene of `small_delivery`, for the same images as arrays."""
    return _scene(small_config(**overrides).model_dump_json())


@lru_cache(maxsize=4)
def _scene(config: str) -> Scene:
    return Scene(SyntheticConfig.model_validate_json(config))


@lru_cache(maxsize=32)
def _cached(config: str) -> SyntheticSeries:
    folder = Path(tempfile.mkdtemp(prefix="decloud-products-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_products(SyntheticConfig.model_validate_json(config), folder / "delivery")
