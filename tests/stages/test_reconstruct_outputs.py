"""What lies beside a reconstructed image: types, extents, inputs, errors, picture, STAC item."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from pystac import STACObjectType
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.warp import transform_bounds

from decloud_lib import manifest
from decloud_lib.errors import ConfigError, NoSampleError, SettingsError
from decloud_lib.models import registry
from decloud_lib.models.shipped import weights_file
from decloud_lib.reconstruction.catalog import _href
from decloud_lib.reconstruction.job import manifest_uri
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from tests.unit.reconstruction.scenes import (
    Scene,
    contract_of,
    full_scene,
    stored,
    write_identity_model,
    write_mean_model,
    write_unsure_model,
)

SHAPE = (96, 130)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The date has a gap; the radar image of the date too."""
    scene = full_scene(str(tmp_path_factory.mktemp("prepared")), SHAPE)
    pixels = scene.optical(0.0)
    pixels[:, 120:] = -10000
    pixels[0, 0] = 0
    cloud = np.zeros(SHAPE, bool)
    cloud[:, :60] = True
    scene.add_s2(0.0, pixels=pixels, cloud=cloud)
    radar = scene.radar(1.0)
    radar[90:] = 0
    scene.add_s1(1.0, pixels=radar)
    return scene


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    contract = contract_of("s1_t", "s2_t", "s2_tm1", stride=4, reach_px=8)
    return write_identity_model(tmp_path_factory.mktemp("identity"), contract, "s2_t")


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that really looks around each pixel."""
    contract = contract_of("s1_tm1", "s2_tm1", "s2_t", "dem", stride=4, reach_px=6)
    return write_mean_model(tmp_path_factory.mktemp("mean"), contract)


def config_of(scene: Scene, model: Path, output: Path, **more: object) -> ReconstructConfig:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "dem": scene.dem,
        "savedmodel": str(model),
        "output": str(output),
        "ts": 32,
    }
    return ReconstructConfig(**{**values, **more})  # type: ignore[arg-type]


def test_unsigned_images_keep_zero_for_no_data(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    """W79: type and no-data tag are chosen and set; values below 1 become 1."""
    signed, unsigned = tmp_path / "signed.tif", tmp_path / "unsigned.tif"
    reconstruct(config_of(scene, identity, signed))
    reconstruct(config_of(scene, identity, unsigned, dtype="uint16"))
    with rasterio.open(unsigned) as image:
        assert image.nodata == 0
        assert set(image.dtypes) == {"uint16"}
    expected, found = stored(str(signed)), stored(str(unsigned))
    nothing = (expected == -10000).all(axis=2)
    assert nothing[:, 120:].all()
    assert nothing[90:].all()
    assert ((found == 0).all(axis=2) == nothing).all()
    assert (found[~nothing] == np.maximum(expected[~nothing], 1)).all()
    assert (found[0, 0] == 1).all()


@pytest.mark.parametrize("keep_clear", [False, True])
def test_a_part_equals_the_same_part_of_the_whole(
    scene: Scene, mean: Path, tmp_path: Path, keep_clear: bool
) -> None:
    """W74: inputs are cropped to the window and its margin, and the pixels stay the same."""
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    reconstruct(config_of(scene, mean, whole, keep_clear=keep_clear))
    left, top = scene.grid.left, scene.grid.top
    bbox = (left + 333.0, top - 777.0, left + 871.0, top - 215.0)
    result = reconstruct(config_of(scene, mean, part, keep_clear=keep_clear, bbox=bbox))
    with rasterio.open(part) as image:
        found = image.bounds
        row, col = round((top - found.top) / 10), round((found.left - left) / 10)
    assert found.left <= bbox[0]
    assert found.bottom <= bbox[1]
    assert found.right >= bbox[2]
    assert found.top >= bbox[3]
    assert (row, col) == (20, 32), "widened to whole strides"
    pixels = stored(str(part))
    assert pixels.shape == (60, 56, 4)
    assert result.pixels == 60 * 56
    assert (pixels == stored(str(whole))[row : row + 60, col : col + 56]).all()


def test_an_extent_may_be_given_in_degrees(scene: Scene, mean: Path, tmp_path: Path) -> None:
    """W82: coordinates are what they are said to be."""
    left, top = scene.grid.left, scene.grid.top
    box = (left + 300.0, top - 600.0, left + 600.0, top - 300.0)
    degrees = transform_bounds(scene.grid.crs, "EPSG:4326", *box)
    metres, lonlat = tmp_path / "metres.tif", tmp_path / "lonlat.tif"
    reconstruct(config_of(scene, mean, metres, bbox=box))
    reconstruct(config_of(scene, mean, lonlat, bbox=degrees, bbox_crs="EPSG:4326"))
    with rasterio.open(lonlat) as image, rasterio.open(metres) as other:
        assert image.bounds.left <= other.bounds.left
        assert image.bounds.top >= other.bounds.top
        assert abs(image.width - other.width) <= 4
    outside = {"bbox": degrees}
    with pytest.raises(ConfigError, match="for degrees add --bbox-crs EPSG:4326"):
        reconstruct(config_of(scene, mean, tmp_path / "no.tif", **outside))


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ((1.0, 2.0, 3.0), "left < right"),
        ((3.0, 0.0, 1.0, 2.0), "left < right"),
        ((), "says nothing without bbox"),
    ],
)
def test_an_extent_that_is_none_is_refused(
    scene: Scene, bbox: tuple[float, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        config_of(scene, Path("model"), Path("a.tif"), bbox=bbox, bbox_crs="EPSG:4326")


def test_inputs_are_written_in_their_own_types_and_grids(
    scene: Scene, mean: Path, tmp_path: Path
) -> None:
    """W75: radar stays unsigned, with all its range, and a file as input is no exception."""
    output = tmp_path / "image.tif"
    reconstruct(config_of(scene, mean, output, write_intermediate=True, priority="closest"))
    for key, dtype, nodata, pixels in (
        ("s1_tm1", "uint16", 0, scene.radar(-9.0)),
        ("s2_tm1", "int16", -10000, scene.optical(-10.0)),
        ("s2_t", "int16", -10000, stored(scene.s2[0.0].stack_10m)),
    ):
        with rasterio.open(tmp_path / f"image_{key}.tif") as image:
            assert set(image.dtypes) == {dtype}
            assert image.nodata == nodata
            assert image.transform == scene.grid.transform
        assert (stored(f"{tmp_path}/image_{key}.tif") == pixels).all()
    assert scene.radar(-9.0).max() > 32767
    assert not (tmp_path / "image_dem.tif").exists()


def test_inputs_of_20_m_lie_on_their_grid(scene: Scene, tmp_path: Path) -> None:
    """W75: a 20 m source is written at 20 m."""
    from tests.stages.test_reconstruct_networks import export

    model = export("crga_os2_david_all_bands", tmp_path / "model")
    reconstruct(config_of(scene, model, tmp_path / "image.tif", ts=128, write_intermediate=True))
    with rasterio.open(tmp_path / "image_s2_20m_t.tif") as image:
        assert image.shape == (48, 65)
        assert image.transform.a == 20
        assert image.descriptions == ("B11", "B12", "B5", "B6", "B7", "B8A")
    assert (stored(f"{tmp_path}/image_s2_20m_t.tif") == stored(scene.s2[0.0].stack_20m)).all()


def test_the_expected_error_has_a_raster(scene: Scene, tmp_path: Path) -> None:
    contract = contract_of("s2_t", "s2_tm1")
    model = write_unsure_model(tmp_path / "model", contract, "s2_tm1")
    output = tmp_path / "image.tif"
    reconstruct(config_of(scene, model, output, uncertainty=True, keep_clear=True, feather_px=8))
    with rasterio.open(tmp_path / "image_uncertainty.tif") as image:
        assert image.nodata == 65535
        assert image.descriptions == ("B2", "B3", "B4", "B8")
    found = stored(f"{tmp_path}/image_uncertainty.tif").astype(int)
    assert np.abs(found[:, :60] - scene.optical(-10.0)[:, :60] / 10).max() <= 0.51
    assert (found[:, 68:112] == 0).all(), "what is kept of the date has no error"
    assert (found[:, 120:] == 65535).all()
    feather = found[:, 61:67] / np.maximum(scene.optical(-10.0)[:, 61:67], 1)
    assert 0 < np.median(feather) < 0.1


def test_a_model_without_an_error_has_none(scene: Scene, mean: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say how sure it is"):
        reconstruct(config_of(scene, mean, tmp_path / "image.tif", uncertainty=True))


def test_quality_tells_days_and_what_the_context_lacks(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    """W80: an input without data takes away its own pixels only; the surrounding is said."""
    reconstruct(config_of(scene, identity, tmp_path / "image.tif", quality=True))
    quality, context, before, after = np.moveaxis(stored(f"{tmp_path}/image_quality.tif"), 2, 0)
    assert ((quality == 0) == (stored(f"{tmp_path}/image.tif") == -10000).all(axis=2)).all()
    assert (quality[:90, :120] == 1).all()
    # The network reaches 8 px.
    assert (context[:82, :112] == 0).all()
    assert (context[82:] == 1).all()
    assert (context[:, 112:] == 1).all()
    assert (before[:90, :120] == 10).all()
    assert (before[90:] == 65535).all()
    assert (after == 65535).all(), "this model takes no date after"


def test_the_picture_shows_the_date_before_and_after(
    scene: Scene, mean: Path, tmp_path: Path
) -> None:
    reconstruct(config_of(scene, mean, tmp_path / "image.tif"))
    with Image.open(tmp_path / "image.png") as picture:
        width, height = picture.size
        pixels = np.asarray(picture)
    assert (height, width) == (96, 2 * 130 + 8)
    assert (pixels[:, 130:138] == 255).all()
    assert (pixels[:, 120:130] == 96).all(), "no data is grey"
    assert pixels[:90, :110].std() > 10
    reconstruct(config_of(scene, mean, tmp_path / "without.tif", quicklook=False))
    assert not (tmp_path / "without.png").exists()


def test_a_stac_item_describes_the_image(scene: Scene, identity: Path, tmp_path: Path) -> None:
    """W79: what an image was made of is said beside it, for catalogues."""
    output = tmp_path / "image.tif"
    reconstruct(config_of(scene, identity, output, quality=True))
    path = tmp_path / "image.json"
    content = json.loads(path.read_text())
    # Those of the extensions are not shipped with pystac.
    JsonSchemaSTACValidator().validate_core(content, STACObjectType.ITEM, "1.1.0")
    item = pystac.Item.from_file(str(path))
    assert item.id == "image"
    assert item.datetime == scene.s2[0.0].acquired
    assert item.properties["proj:code"] == "EPSG:32631"
    assert item.properties["platform"] == "sentinel-2a"
    assert set(item.assets) == {"image", "quality", "thumbnail"}
    asset = item.assets["image"]
    content = output.read_bytes()
    assert asset.href == "./image.tif"
    assert asset.extra_fields["file:size"] == len(content)
    assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert asset.extra_fields["proj:shape"] == list(SHAPE)
    with rasterio.open(output) as image:
        assert asset.extra_fields["proj:transform"] == list(image.transform)[:6]
        tags = image.tags()
    names = [(band["name"], band["eo:common_name"]) for band in asset.extra_fields["bands"]]
    assert names == [("B2", "blue"), ("B3", "green"), ("B4", "red"), ("B8", "nir")]
    assert asset.extra_fields["nodata"] == -10000
    sources = {link.get_absolute_href() for link in item.get_links("derived_from")}
    assert not any(str(link.target).startswith("/") for link in item.get_links("derived_from"))
    assert scene.s2[0.0].uri in sources
    assert scene.s2[-10.0].uri in sources
    (model,) = (link for link in item.get_links("derived_from") if link.title == "model")
    assert model.get_absolute_href() == str(identity)
    assert model.extra_fields["mlm:name"] == "fake"
    assert model.extra_fields["file:checksum"] == "1220" + tags["DECLOUD_MODEL_SHA256"]
    made = manifest.read(manifest_uri(str(output)))
    assert made is not None
    assert made.checksums["image.tif"] == hashlib.sha256(content).hexdigest()


def test_an_item_leads_to_what_lies_in_buckets_and_elsewhere() -> None:
    item = "s3://bucket/out/image.json"
    assert _href(item, "s3://bucket/out/image.tif") == "./image.tif"
    assert _href(item, "s3://bucket/in/product") == "s3://bucket/in/product"
    assert _href(item, "models:/decloud/3") == "models:/decloud/3"
    assert _href(item, "in/product") == str(Path("in/product").absolute())
    assert _href("out/a/image.json", "in/product") == "../../in/product"
    assert _href("image.json", "in/product") == "in/product"


def test_weights_of_the_package_have_a_digest(scene: Scene, tmp_path: Path) -> None:
    values = {"s1_dir": scene.s1_dir, "s2_dir": scene.s2_dir, "in_s2": scene.s2[0.0].uri}
    output = tmp_path / "image.tif"
    reconstruct(ReconstructConfig(savedmodel="residual", output=str(output), **values))
    definition = registry.get("residual")
    weights = weights_file(definition)
    assert weights is not None
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    with rasterio.open(output) as image:
        assert image.tags()["DECLOUD_MODEL_SHA256"] == digest
    item = pystac.Item.from_file(str(tmp_path / "image.json"))
    assert item.properties["decloud:model_sha256"] == digest
    assert not [link for link in item.get_links("derived_from") if link.title == "model"]
    made = manifest.read(manifest_uri(str(output)))
    assert made is not None
    assert digest in {file.etag for file in made.inputs}


def test_the_digest_of_a_model_is_that_of_all_its_files(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    reconstruct(config_of(scene, identity, tmp_path / "image.tif"))
    listing = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(identity)}\n"
        for path in sorted(identity.rglob("*"))
        if path.is_file()
    )
    with rasterio.open(tmp_path / "image.tif") as image:
        found = image.tags()["DECLOUD_MODEL_SHA256"]
    assert found == hashlib.sha256(listing.encode()).hexdigest()


def test_a_date_without_data_is_refused_where_the_model_takes_it(
    tmp_path: Path, identity: Path
) -> None:
    """W87: emptiness is looked for by windows, and zero is data."""
    scene = full_scene(str(tmp_path / "prepared"), (64, 64))
    scene.add_s2(0.0, pixels=np.full((64, 64, 4), -10000, np.int16))
    with pytest.raises(NoSampleError, match="has no data in the extent"):
        reconstruct(config_of(scene, identity, tmp_path / "image.tif"))
    assert not list(tmp_path.glob("image*"))
    scene.add_s2(0.0, pixels=np.zeros((64, 64, 4), np.int16))
    reconstruct(config_of(scene, identity, tmp_path / "image.tif"))
    assert (stored(f"{tmp_path}/image.tif") == 0).all()
