import os
import re
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib import storage
from decloud_lib.demo.server import S3Server, serve_folder
from decloud_lib.errors import AlreadyExistsError, StorageError
from decloud_lib.storage.failures import s3_errors
from tests import servers

ODD_NAMES = (
    "a b.txt",
    "é/ü ñ.txt",
    "plus+and&more=1.txt",
    "日本.tif",
    "per%20cent.txt",
    "x#y?z.txt",
)


# Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "parts", "joined"),
    [
        ("s3://b", ("x", "y.tif"), "s3://b/x/y.tif"),
        ("s3://b/", ("/x/",), "s3://b/x"),
        ("folder/", ("", "x"), "folder/x"),
        ("/", ("x",), "/x"),
    ],
)
def test_join(uri: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(uri, *parts) == joined


@pytest.mark.parametrize(
    ("uri", "parent", "name"),
    [
        ("s3://b/x/y.tif", "s3://b/x", "y.tif"),
        ("s3://b/x/", "s3://b", "x"),
        ("s3://b", "s3://b", "b"),
        ("y.tif", ".", "y.tif"),
        ("/y.tif", "/", "y.tif"),
    ],
)
def test_parent_and_name(uri: str, parent: str, name: str) -> None:
    assert (storage.parent_of(uri), storage.name_of(uri)) == (parent, name)


def test_a_uri_without_a_bucket_is_refused() -> None:
    with pytest.raises(StorageError, match="names no bucket; expected s3://bucket/prefix"):
        storage.list_files("s3:///key")


@given(parts=st.lists(st.text("ab. %é", min_size=1).filter(lambda s: s not in {".", ".."})))
def test_relative_path_takes_back_what_join_added(parts: list[str]) -> None:
    for folder in ("s3://b/p", "/p", "p"):
        path = "/".join(["x", *parts])
        assert storage.relative_path(storage.join(folder, path), folder) == path


@pytest.mark.parametrize("key", ["../evil", "x/../../evil", "/etc/evil"])
def test_relative_path_never_leads_out(key: str) -> None:
    with pytest.raises(StorageError, match="no path inside"):
        storage.relative_path(f"s3://b/p/{key}", "s3://b/p")


# Folder and bucket alike -------------------------------------------------------------------------


def test_what_was_written_is_listed_and_read(bucket: str) -> None:
    for name in ("b/2.txt", "b/1.txt", "a.txt", "b.txt"):
        storage.write_bytes(storage.join(bucket, name), name.encode())
    found = storage.list_files(bucket)
    uris = [storage.join(bucket, name) for name in ("a.txt", "b.txt", "b/1.txt", "b/2.txt")]
    assert [entry.uri for entry in found] == uris
    assert [entry.size for entry in found] == [5, 5, 7, 7]
    assert storage.list_children(bucket) == [
        storage.join(bucket, name) for name in ("a.txt", "b", "b.txt")
    ]
    assert storage.read_text(uris[2]) == "b/1.txt"
    assert storage.read_range(uris[2], 2, 5) == b"1.t"
    assert storage.read_range(uris[2], 5, 99) == b"xt"
    assert storage.stat(uris[0]) == found[0]


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(bucket: str) -> None:
    storage.write_bytes(storage.join(bucket, "tile1", "x"), b"")
    storage.write_bytes(storage.join(bucket, "tile10", "x"), b"")
    assert len(storage.list_files(storage.join(bucket, "tile1"))) == 1
    assert storage.exists(storage.join(bucket, "tile1"))
    assert not storage.exists(storage.join(bucket, "tile"))


def test_a_missing_folder_lists_nothing(bucket: str) -> None:
    missing = storage.join(bucket, "missing")
    assert storage.list_files(missing) == storage.list_children(missing) == []
    assert storage.stat(missing) is None
    assert not storage.exists(missing)


def test_a_missing_file_is_named(bucket: str, tmp_path: Path) -> None:
    missing = storage.join(bucket, "missing.tif")
    for read in (
        storage.read_bytes,
        lambda uri: storage.download(uri, tmp_path / "there"),
        lambda uri: storage.read_range(uri, 0, 2),
        lambda uri: storage.local_copy(uri).__enter__(),
    ):
        with pytest.raises(storage.MissingFileError, match=r"missing\.tif.*there is no such file"):
            read(missing)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["bucket"])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_survive(bucket: str, name: str, tmp_path: Path) -> None:
    uri = storage.join(bucket, name)
    storage.write_bytes(uri, b"content")
    assert [entry.uri for entry in storage.list_files(bucket)] == [uri]
    storage.download_folder(bucket, tmp_path / "copy")
    assert (tmp_path / "copy" / name).read_bytes() == b"content"
    storage.delete(uri)
    assert not storage.exists(uri)


def test_an_object_is_replaced_unless_create_only(bucket: str) -> None:
    uri = storage.join(bucket, "one")
    storage.write_bytes(uri, b"first", create_only=True)
    with pytest.raises(AlreadyExistsError, match="exists already"):
        storage.write_bytes(uri, b"second", create_only=True)
    assert storage.read_bytes(uri) == b"first"
    storage.write_bytes(uri, b"third")
    assert storage.read_bytes(uri) == b"third"


def test_of_many_create_only_writers_one_wins(bucket: str) -> None:
    uri = storage.join(bucket, "lock")

    def write(number: int) -> int | None:
        try:
            storage.write_bytes(uri, b"%d" % number, create_only=True)
        except AlreadyExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(16)) if number is not None]
    assert len(winners) == 1
    assert storage.read_bytes(uri) == b"%d" % winners[0]
    assert [entry.uri for entry in storage.list_files(bucket)] == [uri]


def test_files_of_several_parts(bucket: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(9 << 20)
    (tmp_path / "big").write_bytes(data)
    uri = storage.join(bucket, "big")
    storage.upload(tmp_path / "big", uri)
    storage.download(uri, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    with pytest.raises(AlreadyExistsError):
        storage.upload(tmp_path / "big", uri, create_only=True)


def test_an_upload_of_a_missing_file_is_an_error(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        storage.upload(tmp_path / "nowhere", storage.join(bucket, "x"))
    assert storage.list_files(bucket) == []


def test_folders_travel(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "a").write_text("1")
    (tmp_path / "from" / "deep" / "b").write_text("2")
    storage.upload_folder(tmp_path / "from", storage.join(bucket, "to"))
    with storage.local_copy(storage.join(bucket, "to")) as copy:
        assert (copy / "a").read_text() == "1"
        assert (copy / "deep" / "b").read_text() == "2"
    with storage.local_copy(storage.join(bucket, "to", "a")) as copy:
        assert copy.name == "a"
        assert copy.read_text() == "1"


def test_deleting_a_prefix_leaves_its_neighbours(bucket: str) -> None:
    for name in ("x/1", "x/y/2", "xy/3"):
        storage.write_bytes(storage.join(bucket, name), b"")
    assert storage.delete_prefix(storage.join(bucket, "x")) == 2
    assert storage.delete_prefix(storage.join(bucket, "x")) == 0
    assert [entry.uri for entry in storage.list_files(bucket)] == [storage.join(bucket, "xy/3")]


def test_deleting_what_is_not_there_is_no_error(bucket: str) -> None:
    storage.delete(storage.join(bucket, "missing"))


def test_a_staged_file_appears_at_the_end(bucket: str) -> None:
    uri = storage.join(bucket, "deep", "staged.tif")
    with storage.staged(uri) as path:
        assert path.name == "staged.tif"
        path.write_bytes(b"half")
        (path.parent / "staged.tif.aux.xml").write_bytes(b"not wanted")
        assert storage.list_files(bucket) == []
        path.write_bytes(b"whole")
    assert storage.read_bytes(uri) == b"whole"
    assert len(storage.list_files(bucket)) == 1


def _write_half_and_fail(uri: str) -> None:
    with storage.staged(uri) as path:
        path.write_bytes(b"half")
        raise KeyError("the caller's own error")


def test_a_staged_file_does_not_appear_after_an_error(bucket: str) -> None:
    uri = storage.join(bucket, "staged.tif")
    storage.write_bytes(uri, b"before")
    with pytest.raises(KeyError, match="own error"):
        _write_half_and_fail(uri)
    assert storage.read_bytes(uri) == b"before"
    assert len(storage.list_files(bucket)) == 1


def test_staging_nothing_is_an_error(bucket: str) -> None:
    with (
        pytest.raises(StorageError, match="nothing"),
        storage.staged(storage.join(bucket, "nothing")),
    ):
        pass


def test_text_must_be_utf8(bucket: str) -> None:
    storage.write_bytes(storage.join(bucket, "x"), b"\xff\xfe")
    with pytest.raises(StorageError, match="expected UTF-8"):
        storage.read_text(storage.join(bucket, "x"))


# Local folders -----------------------------------------------------------------------------------


def test_a_relative_folder_is_listed_under_the_name_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("./a/b", b"1")
    assert [entry.uri for entry in storage.list_files("./a/")] == ["a/b"]
    storage.download_folder("./a/", Path("copy"))
    assert Path("copy/b").read_bytes() == b"1"


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "dangling").symlink_to(tmp_path / "missing")
    found = [entry.uri for entry in storage.list_files(str(tmp_path / "root"))]
    assert found == [str(tmp_path / "root" / "link" / "x")]
    storage.delete_prefix(str(tmp_path / "root"))
    assert (tmp_path / "elsewhere" / "x").exists()


def test_a_file_where_a_folder_is_expected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"a file where a folder is expected|exists already"):
        storage.write_bytes(str(tmp_path / "file" / "x"), b"")
    assert storage.list_files(str(tmp_path / "file")) == []


def test_a_folder_where_a_file_is_expected(tmp_path: Path) -> None:
    (tmp_path / "folder" / "x").mkdir(parents=True)
    with pytest.raises(StorageError, match="a folder where a file is expected"):
        storage.read_bytes(str(tmp_path / "folder"))
    with pytest.raises(StorageError, match="a folder where a file is expected"):
        storage.write_bytes(str(tmp_path / "folder"), b"")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_no_permission_is_said(tmp_path: Path, ordinary_user: Callable[[Path], None]) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").write_text("")
    ordinary_user(closed)
    for act in (storage.list_files, storage.list_children):
        with pytest.raises(StorageError, match="gives no permission"):
            act(str(closed))
    with pytest.raises(StorageError, match="gives no permission"):
        storage.write_bytes(str(closed / "new"), b"")
    with pytest.raises(StorageError, match="gives no permission"):
        storage.read_bytes(str(closed / "file"))


@pytest.fixture
def ordinary_user(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Close a folder, also to root, who may do everything: the test goes on as another user."""
    before = os.geteuid()
    folders: list[Path] = []

    def close(folder: Path) -> None:
        folders.append(folder)
        folder.chmod(0)
        if before == 0:
            for path in (tmp_path, *tmp_path.parents[:-2]):
                if path.owner() == "root" and path != Path("/tmp"):
                    path.chmod(path.stat().st_mode | 0o011)
            os.seteuid(65534)

    yield close
    os.seteuid(before)
    for folder in folders:
        folder.chmod(0o700)


def test_a_killed_write_leaves_nothing_that_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".partial-abc").mkdir()
    (tmp_path / ".partial-abc" / "x.tif").write_text("half")
    assert storage.list_files(str(tmp_path)) == storage.list_children(str(tmp_path)) == []


# Buckets -----------------------------------------------------------------------------------------


def test_a_missing_bucket_is_named(s3: str, tmp_path: Path) -> None:
    uri = "s3://no-such-bucket/x"
    (tmp_path / "big").write_bytes(bytes(9 << 20))
    for act in (
        storage.list_files,
        storage.list_children,
        storage.exists,
        storage.stat,
        storage.read_bytes,
        storage.check_bucket,
        storage.delete_prefix,
        lambda uri: storage.write_bytes(uri, b""),
        lambda uri: storage.write_bytes(uri, b"", create_only=True),
        lambda uri: storage.upload(tmp_path / "big", uri),
        lambda uri: storage.download(uri, tmp_path / "x"),
    ):
        with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket' at http"):
            act(uri)
    storage.check_bucket(s3)


def test_a_bucket_is_made_once(s3: str) -> None:
    storage.create_bucket("s3://made-by-test")
    storage.create_bucket("s3://made-by-test/with/key")
    storage.check_bucket("s3://made-by-test")


@pytest.mark.parametrize("key", ["../evil", "x/../../evil", "/evil"])
def test_no_key_leads_out_of_the_folder(s3: str, key: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{s3}/p/{key}", b"")
    with pytest.raises(StorageError, match="is no path inside"):
        storage.download_folder(f"{s3}/p", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_file_and_folder_is_said(s3: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{s3}/p/a", b"")
    storage.write_bytes(f"{s3}/p/a/b", b"")
    with pytest.raises(StorageError, match=r"folder is expected|is a folder|exists already"):
        storage.download_folder(f"{s3}/p", tmp_path / "copy")


def test_listings_of_several_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pages" / "p"
    folder.mkdir(parents=True)
    for number in range(1005):
        (folder / f"{number:05}").touch()
    with serve_folder(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        check_pages("s3://pages")
    assert list(folder.parent.iterdir()) == []


def test_a_long_listing_holds_each_object_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above and beside the prefixes that are listed side by side, and where there are too many."""
    root = tmp_path / "long" / "raw"
    names = [f"S2/T{tile}/product {number:03}/B2.tif" for tile in "AB" for number in range(100)]
    names += [f"S1/T{tile}/{number:04}.tif" for tile in "AB" for number in range(500)]
    names += ["readme", "S1/readme", "S1-more/deep/er/and/deeper", "S2/é +%/x"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    with serve_folder(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        found = storage.list_files("s3://long/raw")
    assert [entry.uri for entry in found] == sorted(f"s3://long/raw/{name}" for name in names)
    assert {entry.size for entry in found} == {1}


def check_pages(bucket: str) -> None:
    names = [storage.name_of(entry.uri) for entry in storage.list_files(bucket)]
    assert names == [f"{number:05}" for number in range(1005)]
    assert len(storage.list_children(f"{bucket}/p")) == 1005
    assert storage.delete_prefix(f"{bucket}/p") == 1005
    assert storage.list_files(bucket) == []


def test_conditional_writes_are_found_out_once(s3: str, caplog: pytest.LogCaptureFixture) -> None:
    assert storage.honours_create_only(s3)
    assert storage.honours_create_only(f"{s3}/other/folder")
    assert storage.list_files(s3) == []
    assert caplog.messages == []


def test_a_server_without_conditional_writes_is_said_once(
    rclone_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not storage.honours_create_only(rclone_bucket)
    storage.write_bytes(f"{rclone_bucket}/x", b"1", create_only=True)
    with pytest.raises(AlreadyExistsError):
        storage.write_bytes(f"{rclone_bucket}/x", b"2", create_only=True)
    assert storage.read_bytes(f"{rclone_bucket}/x") == b"1"
    assert len([text for text in caplog.messages if "ignores If-None-Match" in text]) == 1


def test_wrong_credentials_are_said(
    rclone_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_refused(rclone_bucket, monkeypatch, tmp_path)


def check_refused(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage.write_bytes(f"{bucket}/x", b"")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-0123456789")
    for act in (
        storage.check_bucket,
        storage.list_files,
        storage.read_bytes,
        storage.stat,
        lambda uri: storage.write_bytes(uri, b""),
        lambda uri: storage.download(uri, tmp_path / "x"),
    ):
        with pytest.raises(StorageError, match=r"refuses these credentials.*AWS_ACCESS_KEY_ID"):
            act(f"{bucket}/x")
    with (
        rasterio.Env(**storage.gdal_options()),
        pytest.raises(rasterio.errors.RasterioIOError),
    ):
        rasterio.open(storage.gdal_path(f"{bucket}/x"))


@pytest.mark.parametrize("uri", ["gs://bucket/key", "s3:/bucket/key", "file:///tmp/key", "s3:/"])
def test_another_scheme_is_no_local_folder(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tries: list[Callable[[], object]] = [
        lambda: storage.list_files(uri),
        lambda: storage.write_bytes(uri, b""),
        lambda: storage.download(uri, tmp_path / "x"),
        lambda: storage.staged(uri).__enter__(),
        lambda: storage.local_copy(uri).__enter__(),
    ]
    for attempt in tries:
        with pytest.raises(StorageError, match="expected s3://bucket/prefix or a local path"):
            attempt()
    assert not list(tmp_path.iterdir())


def test_a_server_without_scheme_is_said(monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(StorageError, match=r"localhost:9000.*expected AWS_ENDPOINT_URL as http"):
        storage.list_files(s3)


def test_an_impossible_bucket_name_is_said_shortly(s3: str) -> None:
    with pytest.raises(
        StorageError, match=r'bucket name "No!"; expected s3://bucket/pre'
    ) as caught:
        storage.list_files("s3://No!/key")
    assert len(str(caught.value)) < 150


def test_missing_credentials_are_said(monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StorageError, match=r"no credentials for .*set AWS_ACCESS_KEY_ID"):
        storage.list_files(s3)


def test_a_profile_gives_server_and_credentials_to_both_readers(
    rclone_bucket: str,
    rclone_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    _upload_raster(f"{rclone_bucket}/x.tif", tmp_path, value=7)
    for name in rclone_server.environment:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile mine]\nregion = us-east-1\nendpoint_url = {rclone_server.endpoint}\n"
    )
    (tmp_path / "credentials").write_text(
        f"[mine]\naws_access_key_id = {rclone_server.access_key}\n"
        f"aws_secret_access_key = {rclone_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert len(storage.list_files(rclone_bucket)) == 1
    assert _read_window(f"{rclone_bucket}/x.tif") == 7
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(StorageError, match="other"):
        storage.list_files(rclone_bucket)


def test_use_environment_leads_to_a_server(
    s3: str, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in moto_server.environment:
        monkeypatch.delenv(name)
    storage.use_environment(moto_server.environment)
    storage.check_bucket(s3)


# Rasters in windows ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.tif", "é b+c.tif"])
def test_a_window_is_read_straight_from_the_bucket(
    rclone_bucket: str, name: str, tmp_path: Path
) -> None:
    uri = f"{rclone_bucket}/deep/{name}"
    _upload_raster(uri, tmp_path, value=1, size=1500)
    assert _read_window(uri) == 1


def test_what_gdal_kept_of_a_file_does_not_outlive_it(s3: str, tmp_path: Path) -> None:
    uri = f"{s3}/deep/x.tif"
    _upload_raster(uri, tmp_path, value=1)
    assert _read_window(uri) == 1
    _upload_raster(uri, tmp_path, value=2, size=700)
    assert _read_window(uri) == 2
    storage.delete(uri)
    with pytest.raises(rasterio.errors.RasterioIOError):
        _read_window(uri)
    _upload_raster(uri, tmp_path, value=3)
    assert _read_window(uri) == 3


def test_a_raster_in_an_archive_is_read_straight_from_the_bucket(
    rclone_bucket: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "product.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(_make_raster(tmp_path, value=9), "product/x.tif")
    storage.upload(tmp_path / "product.zip", f"{rclone_bucket}/product.zip")
    inside = f"/vsizip/{{{storage.gdal_path(f'{rclone_bucket}/product.zip')}}}/product/x.tif"
    with rasterio.Env(**storage.gdal_options()), rasterio.open(inside) as raster:
        assert raster.read().min() == 9


def _upload_raster(uri: str, tmp_path: Path, *, value: int, size: int = 512) -> None:
    storage.upload(_make_raster(tmp_path, value=value, size=size), uri)


def _make_raster(tmp_path: Path, *, value: int, size: int = 512) -> Path:
    path = tmp_path / "raster.tif"
    shape = {"width": size, "height": size, "count": 1, "dtype": "uint16"}
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    with rasterio.open(
        path, "w", driver="GTiff", **shape, **blocks, transform=rasterio.Affine(10, 0, 0, 0, -10, 0)
    ) as out:
        out.write(np.full((1, size, size), value, np.uint16))
    return path


def _read_window(uri: str) -> int:
    window = rasterio.windows.Window(300, 300, 10, 10)
    with (
        rasterio.Env(**storage.gdal_options()),
        rasterio.open(storage.gdal_path(uri)) as raster,
    ):
        pixels = raster.read(1, window=window)
    assert pixels.shape == (10, 10)
    assert pixels.min() == pixels.max()
    return int(pixels[0, 0])


# Servers in trouble ------------------------------------------------------------------------------


class _Troubled(BaseHTTPRequestHandler):
    """Answers as its server's list of troubles says, then with the content."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, TroubledServer)
        server.requests += 1
        trouble = server.troubles.pop(0) if server.troubles else server.forever
        if trouble == "503":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, status = server.content, 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            content, status = content[int(asked[1]) : int(asked[2]) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if asked:
            last = int(asked[1]) + len(content) - 1
            self.send_header("Content-Range", f"bytes {asked[1]}-{last}/{len(server.content)}")
        self.send_header("ETag", '"abc"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if trouble == "cut":
            self.wfile.write(content[:1000])
            self.close_connection = True
            return
        self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


class TroubledServer(ThreadingHTTPServer):
    """A server with a list of troubles."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Troubled)
        self.troubles: list[str] = []
        self.forever = ""
        self.requests = 0
        self.content = bytes(range(256)) * 400


@pytest.fixture
def troubled(monkeypatch: pytest.MonkeyPatch) -> Iterator[TroubledServer]:
    with TroubledServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        address = S3Server(f"http://127.0.0.1:{server.server_port}", "access", "secret")
        for name, value in address.environment.items():
            monkeypatch.setenv(name, value)
        yield server
        server.shutdown()
        thread.join()


def test_a_busy_server_is_asked_again(troubled: TroubledServer) -> None:
    troubled.troubles = ["503", "503"]
    assert storage.read_bytes("s3://b/x") == troubled.content
    assert troubled.requests == 3


def test_a_server_that_stays_busy_is_given_up(troubled: TroubledServer) -> None:
    troubled.forever = "503"
    start = time.monotonic()
    with pytest.raises(StorageError, match=r"the S3 server at http.* answered 503"):
        storage.read_bytes("s3://b/x")
    assert time.monotonic() - start < 15
    assert troubled.requests == 4


def test_a_cut_connection_is_taken_up_again(troubled: TroubledServer, tmp_path: Path) -> None:
    troubled.troubles = ["cut"]
    assert storage.read_bytes("s3://b/x") == troubled.content
    troubled.troubles = ["", "cut"]
    storage.download("s3://b/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == troubled.content


def test_nothing_is_left_of_a_download_that_is_cut_for_good(
    troubled: TroubledServer, tmp_path: Path
) -> None:
    troubled.forever = "cut"
    (tmp_path / "x").write_bytes(b"before")
    with pytest.raises(StorageError, match="cannot talk to the S3 server"):
        storage.download("s3://b/x", tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"before"
    with pytest.raises(StorageError, match="cannot talk to the S3 server"):
        storage.read_bytes("s3://b/x")


def test_gdal_asks_a_busy_server_again(troubled: TroubledServer, tmp_path: Path) -> None:
    troubled.content = _make_raster(tmp_path, value=5).read_bytes()
    troubled.troubles = ["503", "", "503"]
    assert _read_window("s3://b/x.tif") == 5
    assert troubled.troubles == []


def test_a_server_that_is_down_is_said_soon(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers.free_port()}")
    start = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot talk to the S3 server.*AWS_ENDPOINT_URL"):
        storage.check_bucket(s3)
    assert time.monotonic() - start < 15


@pytest.mark.slow
def test_a_server_that_does_not_answer_the_door_is_given_up(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The queue is full: the next one waits at the door.
        port = full.getsockname()[1]
        guests = [socket.socket() for _ in range(4)]
        for guest in guests:
            guest.setblocking(False)
            guest.connect_ex(("127.0.0.1", port))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        start = time.monotonic()
        with pytest.raises(StorageError, match="cannot talk to the S3 server"):
            storage.check_bucket(s3)
        assert time.monotonic() - start < 25
        for guest in guests:
            guest.close()


# Ceph, the real thing ----------------------------------------------------------------------------


@pytest.mark.slow
def test_ceph(ceph_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage.honours_create_only(ceph_bucket)
    test_of_many_create_only_writers_one_wins(f"{ceph_bucket}/race")
    test_files_of_several_parts(f"{ceph_bucket}/parts", tmp_path)
    with ThreadPoolExecutor(8) as pool:
        uris = [f"{ceph_bucket}/pages/p/{number:05}" for number in range(1005)]
        list(pool.map(lambda uri: storage.write_bytes(uri, b""), uris))
    check_pages(f"{ceph_bucket}/pages")
    for number, name in enumerate(ODD_NAMES):
        test_odd_names_survive(f"{ceph_bucket}/odd{number}", name, tmp_path / f"odd{number}")
    (tmp_path / "raster").mkdir()
    test_a_window_is_read_straight_from_the_bucket(ceph_bucket, "é b+c.tif", tmp_path / "raster")
    (tmp_path / "missing").mkdir()
    test_a_missing_bucket_is_named(ceph_bucket, tmp_path / "missing")
    check_refused(ceph_bucket, monkeypatch, tmp_path)


def test_the_region_of_a_bucket_is_named_where_the_server_tells_it() -> None:
    answer = {
        "Error": {"Code": "PermanentRedirect"},
        "ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "eu-west-3"}},
    }
    with (
        pytest.raises(StorageError, match=r"another region.*; set AWS_REGION to eu-west-3"),
        s3_errors("s3://far/x", "server"),
    ):
        raise ClientError(answer, "ListObjectsV2")
