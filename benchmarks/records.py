"""Speed of writing samples as records, and of reading records, beside plain TensorFlow.

Writing: samples of 256 px of a prepared tile, whose pixels are read, decoded and written, beside a
plain loop that writes the same samples from arrays in memory with TensorFlow's own classes. Blocks:
bytes that are read of the rasters, beside the size of all blocks that the samples touch, each once.
Reading: batches of arrays, beside a plain `tf.data` pipeline with automatic tuning that reads and
parses the same files into the same arrays. The files lie in the page cache for all.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.measure import alternated, report, warm
from benchmarks.results import Row
from benchmarks.textures import SCENE_PX, Texture, generated
from decloud_lib import bands
from decloud_lib.acquisitions import load_layout
from decloud_lib.arrays.encode import encode_sigma0
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.samples.schema import SampleSchema, schema_of
from decloud_lib.sampling.drawing import DrawnSamples, search_data_set
from decloud_lib.sampling.patches import areas, read_area
from decloud_lib.sampling.rasters import OpenRasters, raster_uri, rasters_of
from decloud_lib.sampling.sources import TilesFile, read_tiles
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.sampling.writing import ShardPlan, write_data_set
from decloud_lib.types import Array, Grid

LAYOUT = "AL-CRGA-OS2-Occitanie"
TILE = "T31TEJ"
PATCH_PX = 256
SIZE_PX = 2560
PER_SHARD = 50
BATCH = 4
_START = datetime(2020, 1, 1, 10, 50, 31, 24_000, tzinfo=UTC)
_DATES, _EVERY_DAYS = 13, 7
_WRITE_TARGET, _READ_TARGET, _BLOCKS_TARGET = 0.6, 0.9, 1.2
_IN_MEMORY = "plain loop, arrays in memory"
_PLAIN_READ = "plain tf.data, automatic tuning"


def bench_records(samples: int, rounds: int) -> list[Row]:
    """Write and read `samples` samples."""
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as temporary:
        tiles = str(write_prepared(Path(temporary, "in")))
        warm(Path(temporary, "in").rglob("*.tif"))
        jobs = {job: (job, tiles, str(samples)) for job in ("write", "memory")}
        out = Path(temporary, "out")
        costs = alternated("benchmarks.records", jobs, out, rounds)
        read, once = bytes_read(tiles, samples, out)
        records = str(out)
        jobs = {job: (job, records, str(samples)) for job in ("read", "plain")}
        costs |= alternated("benchmarks.records", jobs, Path(temporary, "none"), rounds)
    rate = {job: samples / cost.wall for job, cost in costs.items()}
    name = f"records_{PATCH_PX}px"
    unit = "samples/s"
    return [
        _at_least(f"{name}_write", rate["write"], unit, _IN_MEMORY, rate["memory"], _WRITE_TARGET),
        Row(
            *(f"{name}_blocks", read / 1e6, "MB", "each block once", once / 1e6, read / once),
            target=_BLOCKS_TARGET,
        ),
        _at_least(f"{name}_read", rate["read"], unit, _PLAIN_READ, rate["plain"], _READ_TARGET),
    ]


def _at_least(*parts: Any) -> Row:
    name, value, unit, baseline, baseline_value, target = parts
    ratio = value / baseline_value
    return Row(name, value, unit, baseline, baseline_value, ratio, target, wanted="at least")


def write_prepared(root: Path, size: int = SIZE_PX, texture: Texture | None = None) -> Path:
    """Write a prepared tile with all its pixels; return its tiles JSON.

    Every other Sentinel-2 date is clear, the others are half covered; all show the same ground.
    """
    texture = texture or generated()
    grid = Grid("EPSG:32631", 499_980.0, 5_100_000.0, 10.0, size, size)
    optical = {name: _stack(texture, name, size) for name in ("10m", "20m")}
    radar = encode_sigma0(np.stack([texture.sigma0[band] for band in bands.S1_BANDS], -1))
    cells = grid.coarsened(bands.ELEMENTARY_PATCH_PX)
    for number in range(_DATES):
        moment = _START + timedelta(days=number * _EVERY_DAYS)
        name = f"SENTINEL2A_{moment:%Y%m%d-%H%M%S}-024_L2A_{TILE}_C_V2-2"
        base = f"{root}/S2_PREPARE/{TILE}/{name}/{name}"
        _write(root, f"{base}_FRE_10m.tif", grid, bands.S2_10M_BANDS, optical["10m"])
        half = grid.coarsened(2)
        _write(root, f"{base}_FRE_20m.tif", half, bands.S2_20M_STACK_BANDS, optical["20m"])
        for mask in ("CLM", "EDG"):
            _write(root, f"{base}_{mask}_R1.tif", grid, (mask,), np.zeros((*grid.shape, 1), "u1"))
            covered = 2048 * (number % 2) * (mask == "CLM")
            counts = np.full((*cells.shape, 1), covered, np.uint16)
            _write(root, f"{base}_{mask}_R1_stats.tif", cells, ("count",), counts)
        stamp = f"{moment - timedelta(hours=5):%Y%m%dt%H%M%S}"
        base = f"{root}/S1_PREPARE/{TILE}/s1a_{TILE[1:]}_vvvh_DES_110_{stamp}_from-10to3dB"
        _write(root, f"{base}.tif", grid, bands.S1_BANDS, _tiled(radar, size))
        counts = np.zeros((*cells.shape, 1), np.uint16)
        _write(root, f"{base}_edge.tif", cells, ("count",), counts)
    ground = _tiled(np.arange(SCENE_PX // 2, dtype=np.int16)[:, None, None], size // 2)
    _write(root, f"{root}/DEM_PREPARE/{TILE}.tif", grid.coarsened(2), bands.DEM_BANDS, ground)
    roots = {f"{kind}_ROOT_DIR": str(root / f"{kind}_PREPARE") for kind in ("S2", "S1", "DEM")}
    path = root / "tiles.json"
    path.write_text(json.dumps({**roots, "TILES": [TILE]}))
    return path


def _stack(texture: Texture, resolution: str, size: int) -> Array:
    names, side = (
        (bands.S2_10M_BANDS, size) if resolution == "10m" else (bands.S2_20M_STACK_BANDS, size // 2)
    )
    return _tiled(np.stack([texture.optical[band] for band in names], -1), side)


def _tiled(scene: Array, size: int) -> Array:
    rows, cols = (np.arange(size) % side for side in scene.shape[:2])
    return scene[rows][:, cols]


_FIRST: dict[tuple[Path, tuple[str, ...], bytes], Path] = {}


def _write(root: Path, path: str, grid: Grid, names: tuple[str, ...], pixels: Array) -> None:
    """Write a raster; one like another that was written is copied."""
    key = (root, names, pixels[::64, ::64].tobytes())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if key in _FIRST:
        shutil.copyfile(_FIRST[key], path)
        return
    write_raster(path, grid, RasterProfile(names, pixels.dtype.name), pixels)
    _FIRST[key] = Path(path)


def drawn_samples(tiles: TilesFile, count: int) -> tuple[DrawnSamples, SampleSchema]:
    """Draw samples anywhere in the tile."""
    index, layout = index_tile(TILE, tiles, PATCH_PX), load_layout(LAYOUT)
    everywhere = np.ones(index.catalogue.n_positions, dtype=bool)
    found = search_data_set("bench", layout, [(index, everywhere)], {}, ("all_pairs", 0))
    schema = schema_of(layout, PATCH_PX, with_20m_bands=False, with_dem=True)
    return found.draw(count, np.random.default_rng(0)), schema


def bytes_read(tiles: str, samples: int, output: Path) -> tuple[int, int]:
    """Write samples with one thread; return the bytes read of rasters, and each block's once."""
    drawn, schema = drawn_samples(read_tiles(tiles), samples)
    touched: dict[tuple[str, int, int], int] = {}
    for sample in range(len(drawn)):
        for raster in rasters_of(drawn, sample, schema).values():
            window = drawn.indexes[0].window(int(drawn.rows["position"][sample]))
            window = window.coarsened(raster.factor)
            uri = raster_uri(drawn.indexes[0], raster)
            touched[uri, window.row, window.col] = window.height
    once = sum(_block_bytes(uri, row, col, side) for (uri, row, col), side in touched.items())
    before = _read_so_far()
    write_data_set(drawn, str(output), ShardPlan(schema, PER_SHARD, drop_remainder=False))
    # The shards are read once, for their checksums.
    shards = sum(path.stat().st_size for path in output.glob("*.records"))
    return _read_so_far() - before - shards, once


def _block_bytes(uri: str, row: int, col: int, side: int) -> int:
    """Return the stored size of the blocks of a patch."""
    with rasterio.open(uri) as dataset:
        height, width = dataset.block_shapes[0]
        return sum(
            int(dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1))
            for y in range(row // height, -(-(row + side) // height))
            for x in range(col // width, -(-(col + side) // width))
        )


def _read_so_far() -> int:
    """Return the bytes that this process has asked of files."""
    return int(Path("/proc/self/io").read_text().split()[1])


def write_from_memory(samples: list[dict[str, Array]], output: Path) -> None:
    import tensorflow as tf

    for begin in range(0, len(samples), PER_SHARD):
        with tf.io.TFRecordWriter(str(output / f"{begin // PER_SHARD}.records")) as writer:
            for arrays in samples[begin : begin + PER_SHARD]:
                feature = {
                    key: tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(array).numpy()])
                    )
                    for key, array in arrays.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())


def in_memory(drawn: DrawnSamples, schema: SampleSchema) -> list[dict[str, Array]]:
    found: dict[int, dict[str, Array]] = {}
    with OpenRasters(drawn.indexes) as rasters:
        for area in areas(drawn, np.arange(len(drawn))):
            for sample, arrays in read_area(rasters, drawn, area, schema):
                found[sample] = {key: array.copy() for key, array in arrays.items()}
    return [found[number] for number in range(len(drawn))]


def _read(folder: Path) -> None:
    from decloud_lib.samples.dataset import read_dataset, record_files

    schema = SampleSchema.read(folder)
    inputs = [key for key, shape in schema.shapes.items() if shape and key != "s2_target"]
    for _ in read_dataset(record_files(folder), schema, inputs, ("s2_target",), BATCH):
        pass


def _read_plain(folder: Path) -> None:
    import tensorflow as tf

    schema = SampleSchema.read(folder)
    keys = [key for key, shape in schema.shapes.items() if shape]
    features = {key: tf.io.FixedLenFeature([], tf.string) for key in keys}

    def parse(record: Any) -> Any:
        found = tf.io.parse_single_example(record, features)
        stored = {
            key: tf.ensure_shape(tf.io.parse_tensor(found[key], schema.dtypes[key]), shape)
            for key, shape in schema.shapes.items()
            if key in features
        }
        target = tf.cast(stored.pop("s2_target"), tf.float32) * bands.S2_SCALE
        inputs = {key: tf.cast(value, tf.float32) for key, value in stored.items()}
        return inputs, {"s2_target": target}

    files = sorted(map(str, folder.glob("*.records")))
    tuned = tf.data.AUTOTUNE
    records = tf.data.TFRecordDataset(files, num_parallel_reads=tuned)
    for _ in records.map(parse, num_parallel_calls=tuned).batch(BATCH).prefetch(tuned):
        pass


def main(job: str, source: str, samples: str, output: str) -> None:
    work: Callable[[], object]
    if job in {"write", "memory"}:
        drawn, schema = drawn_samples(read_tiles(source), int(samples))
        plan = ShardPlan(schema, PER_SHARD, drop_remainder=False, workers=os.cpu_count() or 1)
        work = partial(write_data_set, drawn, output, plan)
    if job == "memory":
        arrays = in_memory(drawn, schema)
        # TensorFlow's import and start are not part of any figure.
        write_from_memory(arrays[:1], Path(output))
        work = partial(write_from_memory, arrays, Path(output))
    if job in {"read", "plain"}:
        work = partial(_read if job == "read" else _read_plain, Path(source))
        work()
    report(work, Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
