"""Small record folders for the tests of training and evaluation."""

from pathlib import Path

import numpy as np

from decloud_lib.acquisitions import load_layout
from decloud_lib.samples.schema import SampleSchema, schema_of
from decloud_lib.samples.shards import Sample, write_shards

LAYOUT = "AL-CRGA-OS2-clear-neighbours"
_DAY_S = 86_400.0
_CORNERS = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))


def write_records(
    folder: Path,
    n: int = 8,
    patch_px: int = 64,
    seed: int = 0,
    *,
    with_dem: bool = True,
    with_cloud_masks: bool = False,
    without_data: int | None = None,
    with_20m_bands: bool = False,
) -> Path:
    """Write samples whose target is a noisy mean in time of two smooth neighbours."""
    schema = schema_of(
        load_layout(LAYOUT),
        patch_px,
        with_20m_bands=with_20m_bands,
        with_dem=with_dem,
        with_cloud_masks=with_cloud_masks,
    )
    rng = np.random.default_rng(seed)
    samples = [_sample(schema, patch_px, rng) for _ in range(n)]
    if without_data is not None:
        # One pixel of the first date of this sample.
        samples[without_data].arrays["s2_tm1"][10, 20] = -10000
    write_shards(folder, samples, schema, n_samples_per_shard=5)
    return folder


def _sample(schema: SampleSchema, patch_px: int, rng: np.random.Generator) -> Sample:
    before = _field(patch_px, rng)
    after = before * rng.uniform(0.8, 1.2, 4)
    days = {"tm1": 0.0, "t": 10.0, "target": 10.0 + rng.integers(-4, 5), "tp1": 20.0}
    target = before + (after - before) * days["target"] / 20.0
    optical = {
        "s2_tm1": before,
        "s2_t": np.full_like(before, 6000.0),
        "s2_target": target + rng.normal(0.0, 60.0, target.shape),
        "s2_tp1": after,
    }
    arrays = {}
    for key, shape in schema.shapes.items():
        if "timestamp" in key:
            # UTC seconds since the epoch, as the sampling writes them.
            array = np.array(1.6e9 + days[key.rpartition("_")[2]] * _DAY_S)
        elif key in optical:
            array = optical[key].round()
        elif "cld10m" in key:
            # Date t is hidden on its left, and the target in its first rows.
            rows, columns = np.mgrid[0:patch_px, 0:patch_px]
            hidden = {"t": columns < 24, "target": rows < 8}.get(key.rpartition("_")[2], rows < 0)
            array = hidden[..., None] * 3
        else:
            array = rng.integers(0, 2 if "ascending" in key else 3000, shape)
        arrays[key] = np.asarray(array).astype(schema.dtypes[key])
    return Sample(arrays, _CORNERS, {"tile": "31TEJ"})


def _field(patch_px: int, rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[0:patch_px, 0:patch_px] / patch_px
    waves = np.sin(6.0 * rows * rng.uniform(1, 3)) * np.cos(6.0 * columns * rng.uniform(1, 3))
    return 1500.0 + 500.0 * waves[..., None] * np.array([0.6, 0.8, 1.0, 1.5])
