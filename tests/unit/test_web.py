"""Addresses in the web as read-only places."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError, StorageError
from decloud_lib.raster.read import open_raster
from decloud_lib.types import Window
from tests import servers
from tests.stages.delivered import write_tif
from tests.web import WebServer, serve_web

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.bin").write_bytes(CONTENT)
    with serve_web(tmp_path) as server:
        yield server


def test_a_file_is_read_whole_and_in_parts(web: WebServer, tmp_path: Path) -> None:
    uri = web.uri("deep/x.bin")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == CONTENT
    assert storage.read_range(uri, 10, 20) == CONTENT[10:20]
    assert storage.read_range(uri, len(CONTENT) - 5, len(CONTENT) + 5) == CONTENT[-5:]
    assert storage.read_range(uri, len(CONTENT), len(CONTENT) + 5) == b""
    storage.download(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    with storage.local_copy(uri) as path:
        assert path.read_bytes() == CONTENT


def test_size_and_etag_change_with_the_content(web: WebServer, tmp_path: Path) -> None:
    uri = web.uri("deep/x.bin")
    before = storage.stat(uri)
    assert before is not None
    assert (before.uri, before.size) == (uri, len(CONTENT))
    (tmp_path / "deep" / "x.bin").write_bytes(CONTENT + b"more")
    after = storage.stat(uri)
    assert after is not None
    assert (after.size, after.etag != before.etag) == (len(CONTENT) + 4, True)


def test_a_missing_file_is_none_or_named(web: WebServer) -> None:
    uri = web.uri("deep/missing.bin")
    assert storage.stat(uri) is None
    assert not storage.exists(uri)
    with pytest.raises(storage.MissingFileError, match=r"missing.bin: there is no such file"):
        storage.read_bytes(uri)


def test_names_of_addresses() -> None:
    uri = "https://host/a/b.tif?sig=x/y#z"
    assert storage.name_of(uri) == "b.tif"
    assert storage.parent_of(uri) == "https://host/a"
    assert storage.parent_of("https://host/") == "https://host"
    assert storage.join("https://host/a/", "b", "c.tif") == "https://host/a/b/c.tif"
    assert storage.join("https://host/a?sig=x", "b.tif") == "https://host/a/b.tif?sig=x"
    assert storage.name_of("s3://b/x#y?z.txt") == "x#y?z.txt"
    assert storage.gdal_path("https://host/a b.tif?k=1") == "/vsicurl/https://host/a%20b.tif?k=1"
    assert storage.is_web("HTTPS://host/x")
    assert not storage.is_s3("https://host/x")


def test_nothing_is_listed_or_written(web: WebServer, tmp_path: Path) -> None:
    uri = web.uri("deep")
    for read in (storage.list_files, storage.list_children):
        with pytest.raises(StorageError, match="cannot be listed; name a file"):
            read(uri)
    (tmp_path / "new").write_bytes(b"")
    for write in (
        lambda: storage.write_bytes(uri, b""),
        lambda: storage.upload(tmp_path / "new", uri),
        lambda: storage.delete(uri),
        lambda: storage.delete_prefix(uri),
        lambda: storage.create_bucket(uri),
        lambda: storage.check_bucket(uri),
    ):
        with pytest.raises(StorageError, match="can be read, not written"):
            write()
    with pytest.raises(StorageError, match="can be read, not written"), storage.staged(uri):
        pass
    with pytest.raises(StorageError, match="ftp:// is no place that can be used"):
        storage.read_bytes("ftp://host/x")
    assert not Path("http:").exists()


def test_a_busy_server_is_asked_again_and_given_up(web: WebServer) -> None:
    uri = web.uri("deep/x.bin")
    web.troubles = ["503", "429", ""]
    assert storage.read_bytes(uri) == CONTENT
    web.requests.clear()
    web.forever = "503"
    start = time.monotonic()
    with pytest.raises(StorageError, match=r"x.bin: the server answered 503 Service Unavailable"):
        storage.stat(uri)
    # The day that the server asks for is not waited.
    assert time.monotonic() - start < 8
    assert len(web.requests) == 4


def test_a_refusal_is_said_at_once(web: WebServer) -> None:
    web.forever = "403"
    with pytest.raises(StorageError, match=r"refuses to give it \(403\); is it public"):
        storage.stat(web.uri("deep/x.bin"))
    with pytest.raises(StorageError, match="refuses to give it"):
        storage.read_range(web.uri("deep/x.bin"), 0, 5)
    assert len(web.requests) == 3


def test_a_server_that_answers_get_alone(web: WebServer) -> None:
    web.head = False
    found = storage.stat(web.uri("deep/x.bin?signature=secret"))
    assert found is not None
    assert (found.uri, found.size) == (web.uri("deep/x.bin"), len(CONTENT))


def test_a_cut_connection_is_taken_up_again(web: WebServer, tmp_path: Path) -> None:
    uri = web.uri("deep/x.bin")
    web.troubles = ["cut"]
    assert storage.read_bytes(uri) == CONTENT
    web.troubles = ["cut"]
    assert storage.read_range(uri, 5, 5000) == CONTENT[5:5000]
    web.troubles = ["cut"]
    storage.download(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_nothing_is_left_of_a_download_that_is_cut_for_good(web: WebServer, tmp_path: Path) -> None:
    web.forever = "cut"
    with pytest.raises(StorageError, match=r"x.bin: cannot be read from 127.0.0.1.*"):
        storage.download(web.uri("deep/x.bin"), tmp_path / "new" / "copy")
    assert list((tmp_path / "new").iterdir()) == []


def test_an_unreachable_server_is_said_soon() -> None:
    start = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot be read from 127.0.0.1:\d+: .*refused"):
        storage.stat(f"http://127.0.0.1:{servers.free_port()}/x.json?signature=secret")
    assert time.monotonic() - start < 8


@pytest.mark.parametrize(
    "address", ["{}/x.bin?signature=secret", "http://me:secret@127.0.0.1:{}/x.bin?signature=secret"]
)
def test_signatures_and_passwords_are_not_told(address: str) -> None:
    place = address.format(f"http://127.0.0.1:{servers.free_port()}")
    place = place.replace("@127.0.0.1:http://", "@")
    with pytest.raises(StorageError) as caught:
        storage.read_bytes(place)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://[x/y", "http://", "https:///x"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(StorageError, match=r"is no address|cannot be read"):
        storage.stat(address)


def test_a_server_without_parts_or_sizes(web: WebServer) -> None:
    uri = web.uri("deep/x.bin")
    web.ranges = False
    assert storage.read_range(uri, 300, 310) == CONTENT[300:310]
    with pytest.raises(StorageError, match="does not answer requests for a part"):
        storage.read_range(uri, 1 << 40, (1 << 40) + 1)
    web.sizes = False
    with pytest.raises(StorageError, match="does not tell the size"):
        storage.stat(uri)


def test_a_raster_is_read_by_window(web: WebServer, tmp_path: Path) -> None:
    pixels = np.arange(512 * 512, dtype=np.uint16).reshape(512, 512)
    write_tif(tmp_path / "a b.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    with open_raster(web.uri("a b.tif")) as reader:
        found = reader.read(Window(300, 300, 10, 10))[..., 0]
    assert (found == pixels[300:310, 300:310]).all()
    with pytest.raises(ProductError, match="cannot be opened as a raster"):
        open_raster(web.uri("none.tif")).__enter__()
