"""Statistics of images and maps of records."""

import csv
import io
import json

import numpy as np
import pytest
import rasterio

from decloud_lib import cli, storage
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.stages.analyse_images import AnalyseImagesConfig, analyse_images
from decloud_lib.stages.analyse_records import AnalyseRecordsConfig, analyse_records
from decloud_lib.stages.sample import SampleConfig, sample
from decloud_lib.types import Grid
from tests.prepared_tiles import Tile, season, write_tile

NODATA = -10_000


def table(uri):
    return list(csv.DictReader(io.StringIO(storage.read_text(uri))))


def write_images(folder, count, bands, dtype="int16", seed=0):
    """Write images with rows of no data; return all their pixels, (N, H, W, bands)."""
    rng = np.random.default_rng(seed)
    grid = Grid("EPSG:32631", 500_000.0, 5_000_000.0, 10.0, 70, 90)
    names = tuple(f"X{number}" for number in range(bands))
    profile = RasterProfile(names, dtype, None, block_px=64, predictor=1)
    pixels = rng.normal(1000, 300, (count, *grid.shape, bands)).astype(dtype)
    pixels[:, :5] = NODATA
    for number, image in enumerate(pixels):
        write_raster(f"{folder}/part{number % 2}/image{number}.tif", grid, profile, image)
    return pixels


@pytest.mark.parametrize(("count", "bands"), [(1, 1), (3, 7), (12, 2)])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_statistics_are_those_of_all_pixels_together(tmp_path, count, bands, dtype):
    pixels = write_images(tmp_path / "in", count, bands, dtype)
    config = AnalyseImagesConfig(
        images=(f"{tmp_path}/in",), nodata=NODATA, bins=50, out=f"{tmp_path}/out"
    )
    analyse_images(config)

    rows = table(f"{tmp_path}/out/images/images_statistics.csv")
    bins = table(f"{tmp_path}/out/images/images_histogram.csv")
    assert len(rows) == bands
    assert len(bins) <= 50
    for band, row in enumerate(rows):
        values = pixels[:, 5:, :, band].astype(np.float64)
        expected = [values.min(), values.max(), values.mean(), values.std()]
        found = [float(row[name]) for name in ("minimum", "maximum", "mean", "std")]
        assert row["band"] == f"X{band}"
        assert int(row["valid pixels"]) == values.size
        assert found == pytest.approx(expected, rel=1e-9)
        assert sum(int(one[f"X{band}"]) for one in bins) == values.size
    numbers = json.loads(storage.read_text(f"{tmp_path}/out/images/images.json"))
    group = numbers["groups"]["images"]
    assert (group["images"], len(group["each"])) == (count, count)
    first = group["each"][f"{tmp_path}/in/part0/image0.tif"]["X0"]
    assert first["mean"] == pytest.approx(pixels[0, 5:, :, 0].astype(np.float64).mean())


def test_the_mark_of_the_file_counts_where_none_is_given(tmp_path):
    grid = Grid("EPSG:32631", 500_000.0, 5_000_000.0, 10.0, 4, 4)
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    write_raster(f"{tmp_path}/a.tif", grid, RasterProfile(("A",), "uint8", 15), pixels)
    analyse_images(AnalyseImagesConfig(images=(f"{tmp_path}/a.tif",), out=f"{tmp_path}/out"))

    (row,) = table(f"{tmp_path}/out/images/images_statistics.csv")
    assert (row["valid pixels"], row["maximum"], row["mean"]) == ("15", "14.0", "7.0")


def test_an_image_without_a_valid_pixel_has_empty_statistics(tmp_path):
    grid = Grid("EPSG:32631", 500_000.0, 5_000_000.0, 10.0, 4, 4)
    pixels = np.zeros((4, 4, 1), np.uint16)
    write_raster(f"{tmp_path}/a.tif", grid, RasterProfile(("A",), "uint16", 0), pixels)
    found = analyse_images(
        AnalyseImagesConfig(images=(f"{tmp_path}/a.tif",), out=f"{tmp_path}/out")
    )

    numbers = json.loads(storage.read_text(f"{tmp_path}/out/images/images.json"))
    assert numbers["groups"]["images"]["bands"]["A"]["mean"] is None
    assert "nan" not in found.text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--images {root}/none", "no file fits '*.tif'; expected rasters, or folders"),
        ("--images {root}/in {root}/other", "expected X0, X1 as int16, like"),
        ("--images {root}/in --pattern *.jp2", "no file fits '*.jp2'"),
        ("--images {root}/broken.tif", "cannot be opened as a raster"),
        ("--images {root}/in --name ../x", "--name"),
    ],
)
def test_wrong_images_are_told_in_one_line(tmp_path, capsys, words, says):
    write_images(tmp_path / "in", 2, 2)
    write_images(tmp_path / "other", 1, 3)
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")

    given = words.format(root=tmp_path).split()
    assert cli.main(["analyse", "images", *given, "--out", f"{tmp_path}/out"]) == 2

    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def records(tmp_path):
    optical, radar = season()
    tiles, rois = write_tile(tmp_path / "prepared", Tile(optical, radar))
    sample(
        SampleConfig(
            tiles=tiles,
            rois=rois,
            patchsize=64,
            n_samples_per_shard=7,
            acquisition_train="AL-Meraner-Occitanie",
            output_train=f"{tmp_path}/set/train",
            acquisitions_valid=("AL-Meraner-Occitanie",),
            outputs_valid=(f"{tmp_path}/set/valid",),
            maxntrain=40,
            maxnvalid=9,
            check_leaks=False,
        )
    )
    return (f"{tmp_path}/set/train", f"{tmp_path}/set/valid")


@pytest.mark.parametrize("crs", [None, "EPSG:4326", "EPSG:3857", "EPSG:2154"])
def test_samples_are_counted_per_footprint_on_a_map_of_any_crs(records, tmp_path, crs):
    found = analyse_records(AnalyseRecordsConfig(records=records, crs=crs, out=f"{tmp_path}/out"))

    rows = table(f"{tmp_path}/out/records/records.csv")
    assert [int(row["samples"]) for row in rows] == [40, 9, 49]
    collection = json.loads(storage.read_text(f"{tmp_path}/out/records/records.geojson"))
    counts = [feature["properties"]["samples"] for feature in collection["features"]]
    assert sum(counts) == 49
    assert 1 < len(counts) <= 6
    ring = np.array(collection["features"][0]["geometry"]["coordinates"][0])
    assert ring.shape == (5, 2)
    assert ((ring > [2.9, 45.9]) & (ring < [3.2, 46.2])).all()
    numbers = json.loads(storage.read_text(f"{tmp_path}/out/records/records.json"))
    assert numbers["crs"] == (crs or "EPSG:32631")
    assert storage.read_text(found.page).count("data:image/png") == 3


@pytest.mark.parametrize(
    ("spoil", "words", "says"),
    [
        ("", "--records {root}/prepared", "holds no footprints (*.geojson); expected a folder"),
        ("", "--records {root}/set/train --crs EPSG:1", "EPSG:1: no coordinate reference system"),
        ("no json", "--records {root}/set/train", "0.geojson: no GeoJSON of footprints"),
        ('{"features": [{}]}', "--records {root}/set/train", "0.geojson: no GeoJSON"),
        ('{"features": []}', "--records {root}/set/only", "the footprints are empty"),
    ],
)
def test_wrong_records_are_told_in_one_line(records, tmp_path, capsys, spoil, words, says):
    if spoil:
        for folder in ("train", "only"):
            storage.write_bytes(f"{tmp_path}/set/{folder}/0.geojson", spoil.encode())

    given = words.format(root=tmp_path).split()
    assert cli.main(["analyse", "records", *given, "--out", f"{tmp_path}/out"]) == 2

    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_written_raster_says_nothing_that_was_not_asked(tmp_path):
    """The rasters of the fixtures are what they are taken for."""
    write_images(tmp_path / "in", 1, 2)
    with rasterio.open(tmp_path / "in" / "part0" / "image0.tif") as dataset:
        assert dataset.nodata is None
        assert (dataset.read() == NODATA).sum() == 2 * 5 * 90
