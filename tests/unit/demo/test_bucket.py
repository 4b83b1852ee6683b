"""Products on their way into the bucket."""

from pathlib import Path

import pytest

from decloud_lib import storage
from decloud_lib.demo.bucket import put_products
from decloud_lib.errors import OutputConflictError, ProductError


def delivery(root: Path) -> Path:
    for name in ("SENTINEL1/T31TCJ/a.tif", "SENTINEL2/T31TCJ/p/b.tif", "DEM/T31TCJ.tif"):
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    return root


def test_products_arrive_once_and_under_their_names(tmp_path: Path, bucket: str) -> None:
    folder = delivery(tmp_path / "delivery")
    raw = storage.join(bucket, "raw")
    assert put_products(folder, raw) == 3
    assert put_products(folder, raw) == 0
    found = [storage.relative_path(entry.uri, raw) for entry in storage.list_files(raw)]
    assert found == ["DEM/T31TCJ.tif", "SENTINEL1/T31TCJ/a.tif", "SENTINEL2/T31TCJ/p/b.tif"]


def test_a_file_of_another_size_is_copied_again(tmp_path: Path, bucket: str) -> None:
    folder = delivery(tmp_path / "delivery")
    put_products(folder, bucket)
    (folder / "DEM" / "T31TCJ.tif").write_bytes(b"longer than before")
    assert put_products(folder, bucket) == 1


def test_products_of_two_places_are_not_mixed(tmp_path: Path, bucket: str) -> None:
    put_products(delivery(tmp_path / "one"), bucket)
    other = delivery(tmp_path / "two")
    (other / "SENTINEL1" / "T31TCJ" / "a.tif").rename(other / "SENTINEL1" / "T31TCJ" / "b.tif")
    with pytest.raises(OutputConflictError, match="holds 1 files that are not in"):
        put_products(other, bucket)


def test_a_folder_without_products_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SENTINEL1").mkdir()
    with pytest.raises(ProductError, match="no folder SENTINEL2; expected SENTINEL1/<TILE>"):
        put_products(tmp_path, str(tmp_path / "out"))
