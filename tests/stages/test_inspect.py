"""What `inspect` says about each kind of thing, and what it draws."""

import io
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pydantic_core import to_jsonable_python

from decloud_lib import storage
from decloud_lib.errors import (
    ConfigError,
    DecloudError,
    GridMismatchError,
    OutputConflictError,
    ProductError,
    SettingsError,
)
from decloud_lib.inspection.facts import Description
from decloud_lib.raster.products.prepared import list_s2
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.stages.inspect import InspectConfig, inspect
from decloud_lib.stages.make_roi import MakeRoiConfig, make_roi
from decloud_lib.stages.make_tiles import MakeTilesConfig, make_tiles
from decloud_lib.stages.prepare_dem import PrepareDemConfig, prepare_dem
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from decloud_lib.types import Array, Grid
from tests.products import small_delivery
from tests.stages.delivered import (
    REAL,
    S1_STEM,
    S2_NAME,
    WITHOUT_REAL,
    write_s1,
    write_theia,
    write_tif,
    zip_product,
)

ESA_NAME = "S2B_MSIL2A_20201012T105859_N0500_R094_T31TEJ_20230401T120000.SAFE"
SHAPE = (128, 192)
GRID = Grid("EPSG:32631", 500040.0, 4900020.0, 10.0, 128, 192)


def look(path: object, **options: Any) -> Description:
    return inspect(InspectConfig(path=str(path), **options))


def masks() -> tuple[Array, Array]:
    """Return 3072 cloudy pixels, of which 1536 lie outside, and 6144 that lie outside."""
    cloud, edge = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    cloud[:64, 40:88] = 2
    edge[:, :48] = 1
    cloud[:64, 40:48] = 32
    return cloud, edge


def prepared_s2(root: Path, **options: Any) -> str:
    """Prepare the small product and return its folder."""
    cloud, edge = masks()
    write_theia(root, shape=SHAPE, cloud=cloud, edge=edge)
    source, output = (str(root / S2_NAME),), str(root / "out")
    return prepare_s2(PrepareS2Config(in_image=source, out_s2_dir=output, **options)).made[0]


def picture_of(uri: object) -> Array:
    with Image.open(io.BytesIO(storage.read_bytes(str(uri)))) as image:
        assert image.format == "PNG"
        return np.asarray(image)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_delivered_theia_product(tmp_path: Path, *, zipped: bool) -> None:
    cloud, edge = masks()
    write_theia(tmp_path, shape=SHAPE, cloud=cloud, edge=edge)
    path = zip_product(tmp_path) if zipped else tmp_path / S2_NAME
    found = look(path)
    assert (found.family, found.state, found.tile) == ("theia", "delivered", "T31TEJ")
    assert found.satellite == "Sentinel-2B"
    assert found.acquired == datetime(2020, 10, 12, 10, 58, 48, 497000, UTC)
    assert found.nodata is not None
    assert found.nodata.percent == pytest.approx(100 * 48 / 192)
    # Cloud outside the image does not count: 40 columns of 64 rows are left.
    assert found.cloud is not None
    assert (found.cloud.pixels, found.cloud.of_pixels) == (64 * 40, 128 * 144)
    fine, coarse, flags = found.images
    assert fine.bands == ("B2", "B3", "B4", "B8")
    assert (fine.pixel, coarse.pixel) == ((10.0, 10.0), (20.0, 20.0))
    assert (coarse.height, coarse.width) == (64, 96)
    assert (fine.crs, fine.left, fine.top, fine.nodata) == ("EPSG:32631", 500040, 4900020, -10000)
    assert flags.bands == ("CLM", "EDG")
    assert found.complete is not None
    assert found.complete.whole
    assert found.files == (1 if zipped else 12)


def test_which_bits_count_is_an_option(tmp_path: Path) -> None:
    cloud = np.zeros(SHAPE, np.uint8)
    cloud[0, :10], cloud[1, :6] = 2, 32
    write_theia(tmp_path, shape=SHAPE, cloud=cloud)
    shares = [
        look(tmp_path / S2_NAME, **options).cloud
        for options in ({}, {"shadows": False}, {"clm_bits": (5,)})
    ]
    assert [share.pixels for share in shares if share] == [16, 10, 6]


@pytest.mark.parametrize("mode", ["convert", "statistics-only"])
def test_a_prepared_product_in_both_modes(tmp_path: Path, mode: str) -> None:
    found = look(prepared_s2(tmp_path, mode=mode))
    assert found.state == ("prepared" if mode == "convert" else "statistics-only")
    assert (found.family, found.name, found.reflectance) == ("theia", S2_NAME, "FRE")
    assert found.nodata is not None
    assert found.nodata.percent == pytest.approx(25.0)
    assert found.cloud is not None
    assert found.cloud.of_pixels == 128 * 144
    assert "whole patches of 64 px" in found.cloud.over
    assert found.complete is not None
    assert found.complete.whole
    assert found.tags["PRODUCT"] == S2_NAME
    assert found.images[0].bands == ("B2", "B3", "B4", "B8")
    assert found.images[0].codec == ("ZSTD" if mode == "convert" else "DEFLATE")
    assert (found.source is None) == (mode == "convert")


def test_a_file_that_a_manifest_lists_and_that_is_gone_or_cut_is_told(tmp_path: Path) -> None:
    folder = Path(prepared_s2(tmp_path))
    mask = next(folder.glob("*_EDG_R1.tif"))
    mask.write_bytes(mask.read_bytes() + b"more")
    found = look(folder)
    assert found.complete is not None
    assert not found.complete.whole
    assert mask.name in found.complete.told
    assert "the manifest says" in found.complete.told
    (folder / "manifest.json").unlink()
    found = look(folder)
    assert found.complete is not None
    assert "no manifest" in found.complete.told


def test_a_product_that_was_moved_as_a_whole_is_whole(tmp_path: Path) -> None:
    folder = prepared_s2(tmp_path)
    moved = shutil.move(folder, tmp_path / "elsewhere" / S2_NAME)
    found = look(moved)
    assert found.complete is not None
    assert found.complete.whole


def test_a_product_of_the_existing_system(tmp_path: Path) -> None:
    folder = tmp_path / S2_NAME
    stem = f"{folder}/{S2_NAME}"
    rng = np.random.default_rng(0)
    for end, bands, pixel_m in (("FRE_10m", 4, 10.0), ("FRE_20m", 6, 20.0)):
        side = 128 if pixel_m == 10 else 64
        pixels = rng.integers(100, 3000, (bands, side, side)).astype(np.int16)
        write_tif(Path(f"{stem}_{end}.tif"), pixels, pixel_m)
    for end in ("CLM_R1", "EDG_R1"):
        write_tif(Path(f"{stem}_{end}.tif"), np.zeros((128, 128), np.uint8))
        write_tif(Path(f"{stem}_{end}_stats.tif"), np.full((2, 2), 1024, np.uint16), 640.0)
    for end in ("FRE_10m", "FRE_20m", "CLM_R1", "EDG_R1"):
        Path(f"{stem}_{end}.tif.complete").write_text("ok")
    found = look(folder, quicklook=str(tmp_path / "a.png"))
    assert found.images[0].bands == ("B2", "B3", "B4", "B8")
    assert found.images[1].bands[0] == "B11"
    assert found.nodata is not None
    assert found.nodata.percent == 25.0
    assert found.complete is not None
    assert found.complete.whole
    assert ".complete" in found.complete.told


def test_a_view_of_a_product_that_is_gone_still_tells_its_statistics(tmp_path: Path) -> None:
    folder = prepared_s2(tmp_path, mode="statistics-only")
    shutil.rmtree(tmp_path / S2_NAME)
    found = look(folder)
    assert found.nodata is not None
    assert found.nodata.percent == pytest.approx(25.0)
    assert "cannot be read" in found.notes[0]
    with pytest.raises(ConfigError, match="nothing to draw"):
        look(folder, quicklook=str(tmp_path / "a.png"))


def write_esa(root: Path) -> Path:
    """Write a small SAFE folder: a fifth of it outside, clouds on an eighth of the rest."""
    images = root / ESA_NAME / "GRANULE" / "L2A_T31TEJ" / "IMG_DATA"
    fine = np.full((128, 160), 2000, np.uint16)
    fine[:, :32] = 0
    classes = np.full((64, 80), 4, np.uint8)
    classes[:, :16] = 0
    classes[:16, 16:48] = 9
    classes[16:32, 16:32] = 10
    stored = {f"R10m/x_{band}_10m": (fine, 10.0) for band in ("B02", "B03", "B04", "B08")}
    coarse = ("B05", "B06", "B07", "B8A", "B11", "B12")
    stored |= {f"R20m/x_{band}_20m": (fine[::2, ::2], 20.0) for band in coarse}
    stored["R20m/x_SCL_20m"] = (classes, 20.0)
    for name, (pixels, pixel_m) in stored.items():
        path = images / f"{name.replace('x_', 'T31TEJ_20201012T105859_')}.jp2"
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
        height, width = pixels.shape
        place = Affine(pixel_m, 0, 500040, 0, -pixel_m, 4900020)
        with rasterio.open(
            path, "w", height=height, width=width, count=1, dtype=pixels.dtype, crs="EPSG:32631",
            transform=place, **options,
        ) as file:  # fmt: skip
            file.write(pixels, 1)
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-1000</BOA_ADD_OFFSET>' for i in range(13))
    (root / ESA_NAME / "MTD_MSIL2A.xml").write_text(
        "<a><PROCESSING_BASELINE>05.00</PROCESSING_BASELINE>"
        f"<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>{offsets}</a>"
    )
    return root / ESA_NAME


def test_a_product_of_esa(tmp_path: Path) -> None:
    found = look(write_esa(tmp_path), quicklook=str(tmp_path / "a.png"), size=160)
    assert (found.family, found.relative_orbit) == ("esa", 94)
    assert (found.processing_baseline, found.boa_offset) == ("05.00", "-1000")
    assert found.nodata is not None
    assert found.nodata.percent == 20.0
    assert found.cloud is not None
    assert (found.cloud.pixels, found.cloud.of_pixels) == (16 * 32 + 16 * 16, 64 * 64)
    assert "SCL classes 3, 8, 9, 10" in found.cloud.over
    fine, _, classes = found.images
    assert (fine.codec, fine.nodata) == ("JPEG2000", 0)
    assert classes.bands == ("SCL",)
    pixels = picture_of(tmp_path / "a.png")
    assert pixels.shape == (128, 160, 4)
    assert (pixels[:, :32, 3] == 0).all()
    assert (pixels[:, 32:, 3] == 255).all()


@pytest.mark.parametrize("mode", ["convert", "statistics-only"])
def test_a_radar_image_delivered_and_prepared(tmp_path: Path, mode: str) -> None:
    sigma0 = np.full((128, 64), 0.05)
    sigma0[:16] = 0
    vh = write_s1(tmp_path, sigma0, sigma0 / 5, S1_STEM.replace("060008", "xxxxxx"))
    for path in (vh, vh.replace("_vh_", "_vv_")):
        found = look(path)
        assert (found.family, found.state, found.tile) == ("s1tiling", "delivered", "T31TEJ")
        assert (found.relative_orbit, found.direction) == (110, "descending")
        assert found.time_is_assumed
        assert found.acquired == datetime(2020, 10, 11, 5, 45, tzinfo=UTC)
        assert found.nodata is not None
        assert found.nodata.percent == 12.5
        assert found.images[0].bands == ("VV", "VH")
    output = str(tmp_path / "out")
    (image,) = prepare_s1(PrepareS1Config(input_s1_vh=(vh,), out_s1_dir=output, mode=mode)).made
    prepared = look(image)
    assert prepared.state == ("prepared" if mode == "convert" else "statistics-only")
    assert prepared.nodata is not None
    assert prepared.nodata.percent == 12.5
    assert prepared.time_is_assumed
    assert prepared.acquired == found.acquired
    assert prepared.complete is not None
    assert prepared.complete.whole


def test_radar_looks_the_same_delivered_and_prepared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vv, vh = rng.gamma(5, 0.02, (2, 192, 192))
    vv[:64], vh[:64] = 0, 0
    source = write_s1(tmp_path, vv, vh / 5)
    pictures = []
    for mode in ("convert", "statistics-only"):
        config = PrepareS1Config(input_s1_vh=(source,), out_s1_dir=f"{tmp_path}/{mode}", mode=mode)
        (image,) = prepare_s1(config).made
        look(image, quicklook=f"{tmp_path}/{mode}.png", size=48)
        pictures.append(picture_of(tmp_path / f"{mode}.png").astype(int))
    assert pictures[0].shape == (48, 48, 4)
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert (pictures[0][:16, :, 3] == 0).all()
    assert (pictures[0][16:, :, 3] == 255).all()


def test_elevation_regions_and_statistics_of_a_prepared_tile(tmp_path: Path) -> None:
    series = small_delivery(tmp_path)
    root = str(tmp_path / "prepared")
    optical = tuple(str(path) for path in sorted(series.root.glob("SENTINEL2/*/*"))[:2])
    prepare_s2(PrepareS2Config(in_image=optical, out_s2_dir=f"{root}/S2_PREPARE"))
    product = list_s2(f"{root}/S2_PREPARE")[0]
    (dem,) = series.root.glob("DEM/*.tif")
    output = f"{root}/DEM_PREPARE/{product.tile}.tif"
    prepare_dem(PrepareDemConfig(dem=str(dem), reference=product.stack_20m, output=output))
    make_tiles(MakeTilesConfig(prepared=root, output=f"{root}/tiles.json"))
    make_roi(MakeRoiConfig(tiles=f"{root}/tiles.json", output_dir=f"{root}/ROI", patchsize=64))

    elevation = look(output)
    assert (elevation.family, elevation.state, elevation.tile) == ("dem", "prepared", product.tile)
    assert elevation.values is not None
    assert elevation.values.unit == "m"
    assert elevation.values.low < elevation.values.high
    assert elevation.complete is not None
    assert elevation.complete.whole
    delivered = look(dem)
    assert (delivered.family, delivered.state) == ("dem", "delivered")
    regions = [look(f"{root}/ROI/{product.tile}_{name}.tif") for name in ("train", "valid")]
    assert [region.family for region in regions] == ["roi", "roi"]
    assert sum(region.chosen.pixels for region in regions if region.chosen) == 4
    statistics = look(product.edge_stats)
    assert statistics.family == "statistics"
    assert statistics.nodata is not None
    assert statistics.nodata.of_pixels == 128 * 128
    assert look(product.stack_10m).notes[0].startswith("belongs to the prepared product")
    everything = look(root)
    assert everything.found["prepared Sentinel-2 products"] == 2
    assert everything.found["regions of interest"] == 2
    assert look(series.root).found["delivered Sentinel-2 products of Theia"] == 8
    assert "decloud prepare" in look(series.root).notes[0]


def test_elevation_in_degrees_with_oblong_pixels_and_voids(tmp_path: Path) -> None:
    metres = np.tile(np.arange(40, dtype=np.float32) * 10, (60, 1))
    metres[:6] = -32767
    path = tmp_path / "Copernicus_DSM_COG_10_N55_00_E008_00_DEM.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=60, width=40, count=1, dtype="float32",
        crs="EPSG:4326", transform=Affine(1 / 2400, 0, 8, 0, -1 / 3600, 56), nodata=-32767,
    ) as file:  # fmt: skip
        file.write(metres, 1)
    found = look(path, quicklook=str(tmp_path / "a.png"), size=60)
    assert found.family == "dem"
    assert found.images[0].unit == "degree"
    assert found.nodata is not None
    assert found.nodata.percent == 10.0
    assert found.values is not None
    assert (found.values.low, found.values.high) == (0.0, 390.0)
    assert "°" in found.text()
    pixels = picture_of(tmp_path / "a.png")
    assert (pixels[:6, :, 3] == 0).all()
    assert "elevation 0 to 390 m" in (found.picture or "")


def test_an_output_of_a_network_and_any_other_raster(tmp_path: Path) -> None:
    pixels = np.full((128, 192, 4), 1500, np.int16)
    pixels[:64] = -10000
    profile = RasterProfile(("B2", "B3", "B4", "B8"), "int16", -10000)
    tags = {"DECLOUD_MODEL": "crga_os2_david", "ACQUISITION_TIME": "2020-10-12T10:58:48+00:00"}
    image = str(tmp_path / "T31TEJ_x_reconstructed.tif")
    write_raster(image, GRID, profile, pixels, tags)
    found = look(image, quicklook=str(tmp_path / "a.png"))
    assert found.family == "reconstruction"
    assert "crga_os2_david" in found.what
    assert found.acquired == datetime(2020, 10, 12, 10, 58, 48, tzinfo=UTC)
    assert found.nodata is not None
    assert found.nodata.percent == 50.0
    assert "true colour" in (found.picture or "")
    other = write_tif(tmp_path / "any.tif", np.arange(64 * 64, dtype=np.float32).reshape(64, 64))
    found = look(other, quicklook=str(tmp_path / "b.png"), size=64)
    assert (found.family, found.state) == ("raster", "other")
    assert found.values is not None
    assert found.values.high == 4095
    grey = picture_of(tmp_path / "b.png")
    assert grey[0, 0, 0] < grey[32, 32, 0] < grey[63, 63, 0]


def test_a_raster_without_coordinates_is_described_too(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8") as file,
    ):
        file.write(np.zeros((1, 8, 8), np.uint8))
    assert "no coordinate reference system" in look(path).text()


def test_clouds_are_edged_and_what_is_outside_is_transparent(tmp_path: Path) -> None:
    uri = str(tmp_path / "new" / "quick.png")
    found = look(prepared_s2(tmp_path), quicklook=uri, size=192)
    pixels = picture_of(uri)
    assert pixels.shape == (128, 192, 4)
    assert (pixels[:, :48, 3] == 0).all()
    assert tuple(pixels[0, 48:88, :3].mean(axis=0).astype(int)) != (255, 48, 32)
    assert tuple(pixels[63, 60, :3]) == (255, 48, 32)
    assert tuple(pixels[32, 87, :3]) == (255, 48, 32)
    assert tuple(pixels[64, 60, :3]) != (255, 48, 32)
    assert found.quicklook == uri
    assert "clear pixels" in (found.picture or "")


def test_the_picture_is_as_large_as_asked_for_and_the_same_each_time(bucket: str) -> None:
    rng = np.random.default_rng(0)
    image = storage.join(bucket, "image.tif")
    pixels = rng.integers(0, 3000, (128, 192, 4)).astype(np.int16)
    write_raster(image, GRID, RasterProfile(("B2", "B3", "B4", "B8"), "int16", -10000), pixels)
    for size, shape in ((16, (11, 16, 4)), (96, (64, 96, 4)), (512, (256, 384, 4))):
        uri = storage.join(bucket, f"{size}.png")
        for _ in range(2):
            look(image, quicklook=uri, size=size)
        assert picture_of(uri).shape == shape
    with pytest.raises(OutputConflictError, match=r"another picture is there.*--overwrite"):
        look(image, quicklook=uri, size=16)
    look(image, quicklook=uri, size=16, overwrite=True)
    assert picture_of(uri).shape == (11, 16, 4)


def test_products_in_a_bucket_are_the_same(tmp_path: Path, s3: str) -> None:
    folder = prepared_s2(tmp_path)
    here = look(folder)
    for source in (Path(folder), tmp_path / S2_NAME):
        storage.upload_folder(source, storage.join(s3, source.parent.name, S2_NAME))
    there = look(storage.join(s3, Path(folder).parent.name, S2_NAME))
    assert there.cloud == here.cloud
    assert there.images == here.images
    assert there.complete == here.complete
    delivered = look(storage.join(s3, tmp_path.name, S2_NAME))
    assert delivered.nodata is not None
    assert delivered.nodata.percent == 25.0


def test_an_archive_in_a_bucket_is_described_and_drawn_where_it_lies(
    tmp_path: Path, s3: str
) -> None:
    cloud, edge = masks()
    write_theia(tmp_path, shape=SHAPE, cloud=cloud, edge=edge)
    archive = zip_product(tmp_path)
    storage.upload(archive, storage.join(s3, archive.name))
    zipped = look(storage.join(s3, archive.name), quicklook=storage.join(s3, "a.png"))
    assert zipped.cloud == look(archive).cloud
    assert picture_of(storage.join(s3, "a.png")).shape == (256, 384, 4)


def test_the_text_tells_what_matters_and_json_has_the_numbers(tmp_path: Path) -> None:
    found = look(prepared_s2(tmp_path))
    text = found.text()
    for part in (
        "Sentinel-2 L2A product, prepared", "2020-10-12 10:58:48.497 UTC", "T31TEJ",
        "128 x 192 px of 10 m", "int16, no data -10000", "blocks 192 x 192, ZSTD",
        "EPSG:32631, upper-left corner 500040, 4900020", "25.00 % of the pixels",
        "13.89 % of the valid pixels", "yes: 6 files", "FAMILY=theia",
    ):  # fmt: skip
        assert part in text
    plain = to_jsonable_python(found)
    assert plain["cloud"]["percent"] == pytest.approx(100 * 64 * 40 / (128 * 144))
    assert plain["acquired"] == "2020-10-12T10:58:48.497000Z"


def test_a_share_that_is_almost_nothing_is_not_told_as_nothing(tmp_path: Path) -> None:
    edge = np.zeros((192, 192), np.uint8)
    edge[0, 0] = 1
    write_theia(tmp_path, shape=(192, 192), edge=edge, cloud=1 - edge)
    text = look(tmp_path / S2_NAME).text()
    assert "less than 0.01 %" in text
    assert "100.00 % of the valid" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tif", b"<!DOCTYPE html><html>", "found HTML text"),
        ("a.tif", b"", "found an empty file"),
        ("a.tif", b"PK\x03\x04 more", "found a zip archive"),
        ("a.tif", b"\x00" * 600, "found nothing but zero bytes"),
        ("a.tif", b"<VRTDataset rasterXSize='1'/>", "found XML text"),
        ("a.tif", b"II*\x00 cut", "cannot be opened as a raster"),
        (f"{S1_STEM.format('vh')}.tif", b"<html>", "found HTML text"),
        ("a.zip", b"<html>", "found HTML text.*not that of a product"),
        ("a.zip", b"PK\x03\x04", "found a zip archive, whose name is not that of a product"),
        (f"{S2_NAME}.zip", b"PK\x03\x04", "not a whole zip archive"),
        ("a.vrt", b"<VRTDataset/>", "is a mosaic that names other files"),
        ("a.csv", b"a,b", "found plain text .*expected a Sentinel-2 product"),
        ("a.bin", b"\x01\x02\x03", "bytes of no known format"),
        (f"{S2_NAME}/x.txt", b"", "B2.* missing"),
        ("S2B_MSIL1C_20201012T105859_N0500_R094_T31TEJ_20230401T120000.SAFE/x", b"", "level 1C"),
    ],
)
def test_what_is_none_of_ours_is_told_by_its_content(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    place = path if path.parent == tmp_path else path.parent
    with pytest.raises(ProductError, match=f"(?s){message}") as caught:
        look(place)
    assert place.name.replace("_vh_", "_vv_") in str(caught.value).replace("_vh_", "_vv_")


def test_nothing_there_and_an_empty_folder(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (storage.join(bucket, "nothing"), str(tmp_path / "empty")):
        with pytest.raises(ProductError, match="there is no such file, and no folder"):
            look(place)


def test_a_raster_that_is_cut_short_is_refused_and_no_picture_left(tmp_path: Path) -> None:
    path = write_tif(
        tmp_path / "cut.tif", np.random.default_rng(0).integers(0, 99, (256, 256)), tiled=True,
        blockxsize=64, blockysize=64,
    )  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    picture = tmp_path / "a.png"
    with pytest.raises(DecloudError, match=r"cut\.tif"):
        look(path, quicklook=str(picture))
    assert not picture.exists()


def test_rasters_of_a_product_on_other_grids_are_refused(tmp_path: Path) -> None:
    write_theia(tmp_path)
    write_tif(tmp_path / S2_NAME / f"{S2_NAME}_FRE_B3.tif", np.zeros((128, 190), np.int16))
    with pytest.raises(GridMismatchError, match="width 192 against 190"):
        look(tmp_path / S2_NAME)


def test_a_folder_of_nothing_known_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    found = look(tmp_path)
    assert found.found == {"other files": 1}
    assert "nothing here is known" in found.notes[0]
    with pytest.raises(ConfigError, match="nothing to draw"):
        look(tmp_path, quicklook=str(tmp_path / "a.png"))


def test_a_single_polarisation_in_a_folder_is_counted_apart(tmp_path: Path) -> None:
    sigma0 = np.full((64, 64), 0.1)
    vh = Path(write_s1(tmp_path, sigma0, sigma0))
    shutil.copy(vh, vh.with_name(vh.name.replace("20201011", "20201012")))
    shutil.copy(vh, vh.with_name(vh.name.replace(".tif", "_BorderMask.tif")))
    found = look(tmp_path)
    assert found.found == {
        "delivered Sentinel-1 pairs": 1,
        "products that cannot or need not be prepared": 1,
        "other GeoTIFFs": 1,
    }
    assert "its VV file is missing" in found.notes[0]


def test_half_a_pair_is_told_as_such(tmp_path: Path) -> None:
    sigma0 = np.full((64, 64), 0.1)
    vh = Path(write_s1(tmp_path, sigma0, sigma0))
    vh.unlink()
    with pytest.raises(ProductError, match="needs both polarisations"):
        look(str(vh).replace("_vh_", "_vv_"))


def test_only_png_can_be_written() -> None:
    with pytest.raises(SettingsError, match=r"\.png"):
        InspectConfig(path="x", quicklook="x.jpg")


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_products_are_described_and_drawn(tmp_path: Path) -> None:
    folder = REAL / "SENTINEL2" / "T31UDS"
    for product in [*sorted(folder.glob("*.zip"))[:1], *sorted(folder.glob("SENTINEL2*"))[30:33]]:
        found = look(product, quicklook=str(tmp_path / f"{product.name}.png"))
        assert found.tile == "T31UDS"
        assert found.nodata is not None
        assert found.nodata.percent == 0
        assert picture_of(tmp_path / f"{product.name}.png").shape == (512, 512, 4)
    radar = look(sorted((REAL / "SENTINEL1" / "T31UDS").glob("*_vv_*"))[0])
    assert radar.direction == "ascending"
    assert look(REAL / "DEM" / "T31UDS.tif").family == "dem"
