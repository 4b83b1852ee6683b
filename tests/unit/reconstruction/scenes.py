"""Small prepared tiles, made from a seed, and networks small enough to be checked by hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from decloud_lib import storage
from decloud_lib.arrays.masks import count_per_patch
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput
from decloud_lib.raster.compose import Composition, Raster, must_be_placed, open_composition
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2, open_s1, open_s2
from decloud_lib.raster.read import ImageReader
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Array, Grid, Window

TILE = "T31TCJ"
T0 = datetime(2020, 6, 15, 10, 58, 48, 497000, tzinfo=UTC)
S2_BANDS = ("B2", "B3", "B4", "B8")
S2_20M_BANDS = ("B11", "B12", "B5", "B6", "B7", "B8A")


def grid_of(height: int, width: int) -> Grid:
    return Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, height, width)


@dataclass
class Scene:
    """A prepared tile in a folder or bucket."""

    root: str
    shape: tuple[int, int] = (96, 128)
    seed: int = 0
    tile: str = TILE
    s2: dict[float, PreparedS2] = field(default_factory=dict)
    s1: dict[float, PreparedS1] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        return grid_of(*self.shape)

    @property
    def s2_dir(self) -> str:
        return f"{self.root}/S2_PREPARE/{self.tile}"

    @property
    def s1_dir(self) -> str:
        return f"{self.root}/S1_PREPARE/{self.tile}"

    @property
    def dem(self) -> str:
        return f"{self.root}/DEM_PREPARE/{self.tile}.tif"

    def add_s2(
        self, day: float, *, pixels: Array | None = None, cloud: Array | None = None
    ) -> PreparedS2:
        """Write a product `day` days after the image to rebuild."""
        time = T0 + timedelta(days=day)
        stamp = f"{time:%Y%m%d-%H%M%S}-{time.microsecond // 1000:03d}"
        name = f"SENTINEL2A_{stamp}_L2A_{self.tile}_C_V2-2"
        folder = f"{self.s2_dir}/{name}"
        pixels = self.optical(day) if pixels is None else pixels
        cloud = np.zeros(self.shape, np.uint8) if cloud is None else cloud.astype(np.uint8)
        edge = (pixels == -10000).all(axis=2).astype(np.uint8)
        coarse = np.repeat(pixels[::2, ::2, :1], 6, axis=2)
        half = self.grid.coarsened(2)
        self._write(f"{folder}/{name}_FRE_10m.tif", pixels, S2_BANDS, self.grid)
        self._write(
            f"{folder}/{name}_FRE_20m.tif", coarse[: half.height, : half.width], S2_20M_BANDS, half
        )
        for end, mask in (("CLM_R1", cloud), ("EDG_R1", edge)):
            self._write(f"{folder}/{name}_{end}.tif", mask[:, :, None], (end[:3],), self.grid)
            stats = np.zeros((1, 1), np.uint16)
            if min(self.shape) >= 64:
                stats = count_per_patch(mask)
            where = grid_of(*stats.shape)
            self._write(f"{folder}/{name}_{end}_stats.tif", stats[..., None], (end[:3],), where)
        self.s2[day] = open_s2(folder)
        return self.s2[day]

    def add_s1(self, day: float, *, pixels: Array | None = None) -> PreparedS1:
        """Write a SAR image `day` days after the image to rebuild."""
        time = T0.replace(hour=6, minute=0, second=8, microsecond=0) + timedelta(days=day)
        stem = f"s1b_{self.tile[1:]}_vvvh_DES_110_{time:%Y%m%dt%H%M%S}_from-10to3dB"
        pixels = self.radar(day) if pixels is None else pixels
        uri = f"{self.s1_dir}/{stem}.tif"
        self._write(uri, pixels, ("VV", "VH"), self.grid)
        stats = np.zeros((1, 1, 1), np.uint16)
        self._write(f"{self.s1_dir}/{stem}_edge.tif", stats, ("EDG",), grid_of(1, 1))
        self.s1[day] = open_s1(uri)
        return self.s1[day]

    def add_dem(self) -> str:
        """Write the elevation."""
        half = self.grid.coarsened(2)
        pixels = self._noise(99, 1, (half.height, half.width), 0, 3000).astype(np.int16)
        self._write(self.dem, pixels, ("DEM",), half)
        return self.dem

    def optical(self, day: float) -> Array:
        return self._noise(round(1000 + day), 4, self.shape, 0, 6000).astype(np.int16)

    def radar(self, day: float) -> Array:
        return self._noise(round(2000 + day), 2, self.shape, 1, 65535).astype(np.uint16)

    def _noise(self, stream: int, bands: int, shape: tuple[int, int], low: int, high: int) -> Array:
        generator = np.random.default_rng([self.seed, stream])
        return generator.integers(low, high, (*shape, bands), endpoint=True)

    @staticmethod
    def _write(uri: str, pixels: Array, bands: tuple[str, ...], grid: Grid) -> None:
        profile = RasterProfile(bands, str(pixels.dtype), block_px=64)
        write_raster(uri, grid, profile, pixels)


def full_scene(root: str, shape: tuple[int, int] = (96, 128)) -> Scene:
    """A tile with two dates before, one in the middle, two after, SAR near each, and elevation."""
    scene = Scene(root, shape)
    for day in (-20.0, -10.0, 0.0, 10.0, 20.0):
        scene.add_s2(day)
        scene.add_s1(day + 1)
    scene.add_dem()
    return scene


def contract_of(
    *keys: str, stride: int = 1, reach_px: int = 0, name: str = "fake"
) -> ModelContract:
    """A contract with the usual bands for each key."""
    kinds = {"s1": ("VV", "VH"), "s2": S2_BANDS, "dem": ("DEM",)}
    inputs = [
        ModelInput(
            key=key,
            bands=() if "timestamp" in key else kinds[key.partition("_")[0]],
            factor=2 if key == "dem" else 1,
            dtype="float64" if "timestamp" in key else "float32",
            scale=1.0,
        )
        for key in keys
    ]
    output = ModelOutput(target_key="s2_target", tensor="s2_estim", bands=S2_BANDS, factor=1)
    return ModelContract(
        name=name,
        inputs=tuple(inputs),
        outputs=(output,),
        stride=stride,
        reach_px=reach_px,
        margin_px=-(-reach_px // stride) * stride,
    )


@dataclass
class FakeNetwork:
    """Gives one optical input, or the mean of all inputs over a box of the contract's reach."""

    contract: ModelContract
    calls: list[tuple[int, ...]] = field(default_factory=list)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.contract.check_shapes({key: value.shape for key, value in inputs.items()})
        first = inputs[next(key for key in self.contract.input_keys if key.startswith("s2"))]
        self.calls.append(first.shape)
        if not self.contract.reach_px:
            return {"s2_estim": first / 10000}
        total = np.zeros(first.shape, np.float64)
        for item in self.contract.inputs:
            pixels = inputs[item.key]
            if item.factor == 2:
                pixels = pixels.repeat(2, axis=1).repeat(2, axis=2)
            total += pixels.mean(axis=3, keepdims=True) / 10
        return {"s2_estim": (first / 2 + box_mean(total, self.contract.reach_px)) / 10000}


def box_mean(pixels: Array, radius: int) -> Array:
    """Mean over a box; zero beyond the border, as networks pad."""
    side = 2 * radius + 1
    padded = np.pad(pixels, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return view.mean(axis=(-2, -1))


class ArrayReader:
    """A WindowReader over an array in memory."""

    def __init__(self, pixels: Array, bands: tuple[str, ...], grid: Grid) -> None:
        self.pixels, self.bands, self.grid = pixels, bands, grid
        self.nodata: float | None = None
        self.uri, self.dtype = "array", str(pixels.dtype)
        self.reads = 0

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        assert min(window.row, window.col) >= 0
        self.reads += 1
        pixels = self.pixels[window.row :, window.col :][: window.height, : window.width]
        assert pixels.shape[:2] == window.shape
        return pixels if names is None else pixels[..., [self.bands.index(name) for name in names]]


@dataclass
class Shelf:
    """Readers by URI; an engine over arrays."""

    readers: dict[str, ArrayReader]
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def open(self, composition: Composition) -> AbstractContextManager[ImageReader]:
        return open_composition(composition, self._open_raster)

    @contextmanager
    def _open_raster(self, raster: Raster) -> Iterator[ArrayReader]:
        self.opened.append(raster.uri)
        reader = self.readers[raster.uri]
        reader.uri = raster.uri
        must_be_placed(replace(raster, fill=None), reader)
        numbers = tuple(str(number) for number in range(1, len(raster.unnamed) + 1))
        named = ArrayReader(reader.pixels, raster.unnamed, reader.grid)
        yield named if reader.bands == numbers else reader
        self.closed.append(raster.uri)


def stored(uri: str) -> Array:
    """Read a whole raster, (H, W, C)."""
    import rasterio

    with rasterio.open(storage.gdal_path(uri)) as source:
        return np.moveaxis(source.read(), 0, -1)


def write_identity_model(folder: Path, contract: ModelContract, key: str) -> Path:
    """Write a SavedModel that gives one optical input back."""
    import tensorflow as tf

    def estimate(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        # Every input is used, else the graph would drop it from the signature.
        unused = tf.add_n([tf.cast(0, tf.float32) * tf.reduce_sum(v) for v in inputs.values()])
        return inputs[key] / 10000.0 + unused

    return _write_model(folder, contract, estimate)


def write_mean_model(folder: Path, contract: ModelContract) -> Path:
    """Write a SavedModel that mixes all its inputs over the contract's reach."""
    import tensorflow as tf

    side = 2 * contract.reach_px + 1
    scales = {item.key: item.factor for item in contract.inputs}

    def estimate(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        total = tf.constant(0.0)
        for number, (key, pixels) in enumerate(sorted(inputs.items()), start=1):
            fine = tf.repeat(tf.repeat(pixels, scales[key], axis=1), scales[key], axis=2)
            mean = tf.reduce_mean(fine, axis=3, keepdims=True)
            total += mean / number - 0.3 * tf.nn.avg_pool2d(mean, side, 1, "SAME")
        return tf.concat([total + band * 100.0 for band in range(4)], axis=3) / 1e6

    return _write_model(folder, contract, estimate)


def write_unsure_model(folder: Path, contract: ModelContract, key: str) -> Path:
    """Write a SavedModel that gives one optical input back, and a tenth of it as its error."""
    output = contract.outputs[0].model_copy(update={"scale_tensor": "s2_estim_scale"})
    contract = contract.model_copy(update={"outputs": (output,)})

    def error(inputs: dict[str, Any]) -> Any:
        return inputs[key] / 100000.0

    return _write_model(folder, contract, lambda inputs: inputs[key] / 10000.0, error)


def _write_model(
    folder: Path,
    contract: ModelContract,
    function: Callable[[dict[str, Any]], Any],
    error: Callable[[dict[str, Any]], Any] | None = None,
) -> Path:
    import tensorflow as tf

    from decloud_lib.models.contract import write_contract

    class Model(tf.Module):
        @tf.function(autograph=False)
        def estimate(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            found = {"s2_estim": function(inputs)}
            return found if error is None else found | {"s2_estim_scale": error(inputs)}

    module = Model()
    specs = {
        item.key: tf.TensorSpec((None, None, None, len(item.bands)), tf.float32, item.key)
        for item in contract.inputs
    }
    call = module.estimate.get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), {"predict": call, "serving_default": call})
    write_contract(contract, folder)
    return folder
