"""What a reconstruction was made from and how well it fits what was seen: a table for `monitor`.

One Parquet file per image, so that processes that write at the same time do not meet. A row is a
feature of the inputs, counted in the bins of `samples.profile`, or a number of the self-check.
"""

import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import numpy as np

from decloud_lib import bands, manifest, storage
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.compose import engine
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.raster.views import open_image
from decloud_lib.reconstruction.inputs import SceneInputs
from decloud_lib.reconstruction.readers import ReaderPool
from decloud_lib.reconstruction.sources import Source, mask_image, s2_image
from decloud_lib.samples.profile import Histogram, features_of
from decloud_lib.types import Array, Grid, Window

logger = logging.getLogger(__name__)

SELF_CHECK = "self_check/"
#: Side of the windows that are looked at, 10 m pixels, and their number along each side.
_WINDOW_PX = 256
_WINDOWS = 3
#: Of a Laplace distribution: 90 % of the errors are smaller than so many times the mean one.
_LAPLACE_90 = math.log(10.0)
_SEEN, _MASK = "observed", "s2_cld10m_t"


@dataclass(frozen=True, slots=True)
class Served:
    """A date that was rebuilt."""

    contract: ModelContract
    model_uri: str
    inputs: SceneInputs
    sources: Sequence[Source]
    output: str
    """URI of the 10 m image."""
    kept_clear: bool = False
    """Clear pixels are the observed ones: nothing can be learnt from them."""
    uncertainty: str | None = None
    """URI of the image of the expected absolute error, DN."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    feature: str
    value: float | None = None
    """Of a number."""
    histogram: Histogram | None = None
    """Of a distribution."""


def table_uri(folder: str, output: str) -> str:
    """Return where the table of an image lies."""
    stem = storage.name_of(output).rpartition(".")[0]
    return storage.join(folder, f"{stem}.parquet")


def record(folder: str, served: Served) -> str:
    """Look at some windows of a rebuilt date and write its table; return its URI.

    Parameters
    ----------
    folder
        Folder of the tables.
    served
        The date, its inputs, and the image that was written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = list(observe(served))
    target = served.inputs.target
    common = {
        "product": target.name,
        "tile": target.tile,
        "acquired": target.acquired,
        "made": datetime.now(UTC),
        "model": served.contract.name,
        "model_uri": served.model_uri,
        "code_version": manifest.code_version(),
    }
    columns = {name: [value] * len(rows) for name, value in common.items()}
    histograms = [row.histogram for row in rows]
    table = pa.table(
        {
            **columns,
            "feature": [row.feature for row in rows],
            "value": pa.array([row.value for row in rows], pa.float64()),
            "edges": pa.array(
                [None if item is None else list(item.edges) for item in histograms],
                pa.list_(pa.float64()),
            ),
            "counts": pa.array(
                [None if item is None else list(item.counts) for item in histograms],
                pa.list_(pa.int64()),
            ),
        }
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    uri = table_uri(folder, served.output)
    storage.write_bytes(uri, buffer.getvalue())
    logger.info("%d rows on inputs and self-check in %s", len(rows), uri)
    return uri


def observe(served: Served) -> Iterator[Row]:
    """Give the rows of a rebuilt date."""
    with open_image(served.inputs.target.stack_10m) as reader:
        grid = reader.grid
    arrays, estimates, known = _read(served, grid)
    seen, hidden = arrays.pop(_SEEN), arrays[_MASK] != 0
    arrays |= _times(served.inputs)
    for name, histogram in features_of(arrays).items():
        yield Row(name, histogram=histogram)
    yield Row("images/s1_t", value=float(len(served.inputs.s1)))
    if served.kept_clear:
        return
    clear = ~hidden[..., 0] & ~all_nodata(seen, bands.S2_NODATA) & known
    for name, value in self_check(seen[clear], *(item[clear] for item in estimates)).items():
        yield Row(SELF_CHECK + name, value=value)


def self_check(
    seen: Array, estimate: Array, expected_error: Array | None = None
) -> dict[str, float]:
    """Compare an estimate with the clear pixels of the very date; no pixels, no numbers.

    Parameters
    ----------
    seen, estimate
        (N, C) DN.
    expected_error
        (N, C) DN, where the model tells the absolute error that it expects.

    Returns
    -------
    `pixels`, `mae` and `bias` (estimate minus observation) in reflectance, `psnr_db`, and
    `coverage_90`: share of errors within the interval that a Laplace distribution with the expected
    error gives 90 %.
    """
    if not len(seen):
        return {"pixels": 0.0}
    error = (estimate.astype(np.float64) - seen) * bands.S2_SCALE
    mse = float(np.mean(error**2))
    found = {
        "pixels": float(len(seen)),
        "mae": float(np.mean(np.abs(error))),
        "bias": float(np.mean(error)),
        "psnr_db": 10.0 * math.log10(1.0 / max(mse, 1e-10)),
    }
    if expected_error is not None:
        limit = _LAPLACE_90 * expected_error.astype(np.float64) * bands.S2_SCALE
        found["coverage_90"] = float(np.mean(np.abs(error) <= limit))
    return found


def _read(served: Served, grid: Grid) -> tuple[dict[str, Array], list[Array], Array]:
    """Read inputs, (N, H, W, C) by key, images, and (N, H, W) where these have data."""
    target = served.inputs.target
    inputs: dict[str, list[Array]] = {}
    images: list[list[Array]] = []
    known: list[Array] = []
    pool = ReaderPool(grid, engine("rasterio"))
    try:
        with open_image(served.output) as image:
            extent = image.grid
        row = round((grid.top - extent.top) / grid.pixel_m)
        col = round((extent.left - grid.left) / grid.pixel_m)
        for window in _windows(extent):
            own = Window(window.row + row, window.col + col, window.height, window.width)
            found = {
                _SEEN: pool.read(s2_image(target.stack_10m), own),
                _MASK: pool.read(mask_image(target.cloud_mask), own),
            }
            for source in served.sources:
                found |= source.read(pool, own)
            for key, pixels in found.items():
                if "timestamp" not in key:
                    inputs.setdefault(key, []).append(pixels)
            rasters, has_data = _outputs(served, window)
            images.append(rasters)
            known.append(has_data)
    finally:
        pool.close()
    estimates = [np.stack(parts) for parts in zip(*images, strict=True)]
    return {key: np.stack(parts) for key, parts in inputs.items()}, estimates, np.stack(known)


def _outputs(served: Served, window: Window) -> tuple[list[Array], Array]:
    """Read the image, and that of its expected error; say where all of them have data."""
    found, known = [], np.ones(window.shape, dtype=bool)
    for uri in (served.output, served.uncertainty):
        if uri is not None:
            with open_image(uri) as image:
                pixels, nodata = image.read(window), image.nodata
            found.append(pixels)
            known &= True if nodata is None else ~all_nodata(pixels, nodata)
    return found, known


def _windows(extent: Grid) -> list[Window]:
    """Return windows of one size, spread evenly; each pixel at most once where there is room."""
    side = min(_WINDOW_PX, extent.height // 2 * 2, extent.width // 2 * 2)
    rows, cols = (_starts(length, side) for length in extent.shape)
    return [Window(row, col, side, side) for row, col in product(rows, cols)]


def _starts(length: int, side: int) -> list[int]:
    count = max(1, min(_WINDOWS, length // side))
    spread = np.linspace(0, length - side, count) if count > 1 else [(length - side) / 2]
    # Pixels of 20 m begin at even ones.
    return [int(start) // 2 * 2 for start in spread]


def _times(inputs: SceneInputs) -> dict[str, Array]:
    """Return when the closest images were taken, seconds, by the keys of samples."""
    now = inputs.target.acquired

    def closest(images: Sequence[PreparedS1 | PreparedS2], to: datetime) -> datetime | None:
        return min(
            (item.acquired for item in images), key=lambda time: abs(time - to), default=None
        )

    before, after = closest(inputs.s2_before, now), closest(inputs.s2_after, now)
    found: Mapping[str, datetime | None] = {
        "s2_timestamp_t": now,
        "s2_timestamp_tm1": before,
        "s2_timestamp_tp1": after,
        "s1_timestamp_t": closest(inputs.s1, now),
        "s1_timestamp_tm1": closest(inputs.s1_before, before) if before else None,
        "s1_timestamp_tp1": closest(inputs.s1_after, after) if after else None,
    }
    return {key: np.array(time.timestamp()) for key, time in found.items() if time is not None}
