"""Products that are named as they were delivered are read where they are."""

from pathlib import Path

import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.prepared import list_s1, list_s2
from decloud_lib.stages.given_images import FOLDER, GivenImages
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.synthetic import SyntheticSeries
from tests.products import small_delivery
from tests.stages.test_statistics_only import prepare_all
from tests.unit.reconstruction.scenes import stored


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSeries:
    """Folders, one of them a zip, and their prepared copies."""
    folder = tmp_path_factory.mktemp("series")
    series = small_delivery(folder, days=40)
    prepare_all(series, str(folder / "prepared"), "convert")
    return series


def delivered(series: SyntheticSeries, name: str) -> str:
    (found,) = series.root.glob(f"SENTINEL2/*/{name}*")
    return str(found)


def test_the_image_is_that_of_prepared_products(series: SyntheticSeries, tmp_path: Path) -> None:
    prepared = series.root.parent / "prepared"
    optical, radar = list_s2(f"{prepared}/S2_PREPARE"), list_s1(f"{prepared}/S1_PREPARE")
    assert any(delivered(series, item.name).endswith(".zip") for item in optical)
    pairs = sorted(str(path) for path in series.root.glob("SENTINEL1/*/*_vh_*.tif"))
    lists = tmp_path / "after.txt"

    def rebuilt(name: str, names: list[str], sar: list[str]) -> ReconstructConfig:
        lists.write_text("\n".join(names[4:]))
        config = ReconstructConfig(
            in_s2=names[3],
            il_s2before=tuple(names[:3]),
            il_s2after=(str(lists),),
            il_s1=tuple(sar),
            savedmodel="gapfilling_fitted",
            output=str(tmp_path / name / "image.tif"),
        )
        reconstruct(config)
        return config

    optical.sort(key=lambda item: item.acquired)
    rebuilt("prepared", [item.uri for item in optical], [item.uri for item in radar])
    config = rebuilt("raw", [delivered(series, item.name) for item in optical], pairs)
    images = [stored(str(tmp_path / name / "image.tif")) for name in ("prepared", "raw")]
    assert (images[0] == images[1]).all()
    left = {path.suffix for path in (tmp_path / "raw" / FOLDER).rglob("*") if path.is_file()}
    assert left == {".tif", ".json"}
    assert not list((tmp_path / "raw" / FOLDER).rglob("*_FRE_*.tif")), "no pixels are copied"
    assert reconstruct(config).reused


def test_what_is_neither_is_told(series: SyntheticSeries, tmp_path: Path) -> None:
    given = GivenImages(str(tmp_path / FOLDER))
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(ProductError, match="not a Sentinel-2 L2A product") as told:
        given.s2([str(tmp_path / "picture.png")])
    assert "nor one as" not in str(told.value), "said once"
    item = list_s2(f"{series.root.parent}/prepared/S2_PREPARE")[0]
    broken = tmp_path / item.name
    storage.download_folder(item.uri, broken)
    (broken / f"{item.name}_EDG_R1_stats.tif").unlink()
    with pytest.raises(ProductError, match=r"EDG_R1_stats\.tif, found none"):
        given.s2([str(broken)])
    half = sorted(series.root.glob("SENTINEL1/*/*_vh_*.tif"))[0]
    (tmp_path / half.name).write_bytes(half.read_bytes())
    with pytest.raises(ProductError, match="nor one as it was delivered"):
        given.s1([str(tmp_path / half.name)])
    assert not (tmp_path / FOLDER).exists(), "nothing is left of what failed"


def test_folders_in_a_bucket_are_read_there(series: SyntheticSeries, s3: str) -> None:
    """A folder in a bucket is no object."""
    (folder, *_) = (path for path in series.root.glob("SENTINEL2/*/*") if path.is_dir())
    storage.upload_folder(folder, f"{s3}/{folder.name}")
    (found,) = GivenImages(f"{s3}/out/{FOLDER}").s2([f"{s3}/{folder.name}"])
    assert found.name == folder.name
    assert found.uri.startswith(f"{s3}/out/{FOLDER}/{folder.name}/")
    with pytest.raises(ProductError, match="found none"):
        GivenImages(f"{s3}/out/{FOLDER}").s2([f"{s3}/{folder.name.replace('_C_', '_D_')}"])
