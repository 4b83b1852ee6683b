"""Archives of products: read in place, and not believed."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.archive import list_delivery, list_members
from decloud_lib.raster.products.theia import open_product
from tests.stages.delivered import S2_NAME, write_theia, zip_product
from tests.web import serve_web

BAND = f"{S2_NAME}/{S2_NAME}_FRE_B4.tif"
NAME = f"{S2_NAME}.zip"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Give the whole archive of a product."""
    write_theia(tmp_path / "made", shape=(64, 64))
    packed = zip_product(tmp_path / "made")
    return packed.rename(tmp_path / NAME)


def patch(path: Path, member: str, change: Callable[[bytearray, int], None]) -> None:
    """Change the entry of a member in the directory of an archive; `change` gets its place."""
    data = bytearray(path.read_bytes())
    name = member.encode()
    place = data.index(b"PK\1\2")
    while (
        struct.unpack_from("<H", data, place + 28)[0] != len(name)
        or data[place + 46 : place + 46 + len(name)] != name
    ):
        place = data.index(b"PK\1\2", place + 1)
    change(data, place)
    path.write_bytes(bytes(data))


def sizes(packed: int | None, size: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, place: int) -> None:
        if packed is not None:
            struct.pack_into("<I", data, place + 20, packed)
        struct.pack_into("<I", data, place + 24, size)

    return change


@pytest.mark.parametrize(
    "name",
    [
        "../evil.tif",
        f"{S2_NAME}/../../evil.tif",
        "/etc/evil.tif",
        "C:/evil.tif",
        "c:evil.tif",
        "..\\evil.tif",
        f"{S2_NAME}\\evil.tif",
        "\\\\server\\evil.tif",
    ],
)
def test_names_that_climb_out_are_refused(archive: Path, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr(name, b"evil")
    with pytest.raises(ProductError, match=r"would lie outside of the archive; expected paths"):
        open_product(str(archive))
    assert {path.name for path in archive.parent.iterdir()} == {NAME, "made"}


def test_a_name_with_a_zero_byte_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr("evilX.tif", b"evil")
    archive.write_bytes(archive.read_bytes().replace(b"evilX.tif", b"evil\0.tif"))
    with pytest.raises(ProductError, match="would lie outside"):
        open_product(str(archive))


def test_an_encrypted_member_is_named(archive: Path) -> None:
    def encrypt(data: bytearray, place: int) -> None:
        data[place + 8] |= 1

    patch(archive, BAND, encrypt)
    with pytest.raises(ProductError, match=r"FRE_B4.tif is encrypted, expected an archive without"):
        open_product(str(archive))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (sizes(1000, 1032 * 1000 + 2000), "claims to hold 1034000 bytes in 1000: is it a zip bomb"),
        (sizes(None, 0xFFFFFFF0), "is it a zip bomb"),
        (sizes(0xFFFFFFF0, 0xFFFFFFF0), "does not lie in the archive as a whole"),
    ],
)
def test_impossible_sizes_are_refused(archive: Path, change: object, message: str) -> None:
    patch(archive, BAND, change)  # type: ignore[arg-type]
    with pytest.raises(ProductError, match=message):
        open_product(str(archive))


def test_a_member_of_more_than_four_gigabytes_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        kept = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name, content in kept.items():
            target.writestr(name, content)
        target.getinfo(BAND).file_size = (4 << 30) + 1
        target.getinfo(BAND).compress_size = 8 << 20
    with pytest.raises(ProductError, match="claims to hold 4294967297 bytes, expected at most 4"):
        open_product(str(archive))


def test_the_highest_ratio_that_deflate_reaches_is_accepted(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("zeros.bin", bytes(32 << 20))
        ratio = (32 << 20) / target.getinfo("zeros.bin").compress_size
    assert 900 < ratio < 1032
    assert "zeros.bin" in list_members(storage.Entry(str(archive), archive.stat().st_size, ""))


@pytest.mark.parametrize("used", [True, False])
def test_only_stored_and_deflated_members_are_read(tmp_path: Path, used: bool) -> None:
    write_theia(tmp_path, shape=(64, 64))
    archive = zip_product(tmp_path, method=zipfile.ZIP_BZIP2 if used else zipfile.ZIP_STORED)
    if not used:
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_LZMA) as target:
            target.writestr(f"{S2_NAME}/quicklook.jpg", b"not used")
        assert open_product(str(archive)).name.name == S2_NAME
        return
    with pytest.raises(ProductError, match="is packed with method 12, expected stored or deflated"):
        open_product(str(archive))


def test_a_member_that_is_there_twice_is_named(archive: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(archive, "a") as target,
    ):
        target.writestr(BAND, b"another")
    with pytest.raises(ProductError, match=r"the member .*FRE_B4.tif is there twice"):
        open_product(str(archive))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    # Written by hand: the directory alone.
    entries = b"".join(
        b"PK\1\2" + bytes(24) + struct.pack("<H", 6) + bytes(16) + f"{number:06}".encode()
        for number in range(100_001)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(entries), 0, 0)
    path = tmp_path / NAME
    path.write_bytes(entries + end)
    with pytest.raises(ProductError, match="holds 100001 files, expected at most 100000"):
        open_product(str(path))


def test_a_directory_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with path.open("wb") as target:
        target.truncate(1 << 31)
        target.seek(0, io.SEEK_END)
        target.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, (1 << 31) - 1, 0, 0))
    with pytest.raises(ProductError, match=r"its directory has \d+ bytes: is it a zip bomb"):
        open_product(str(path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_archive_is_named(archive: Path, share: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ProductError, match=rf"{NAME}: not a whole zip archive"):
        open_product(str(archive))


def test_an_archive_whose_beginning_is_lost_is_named(archive: Path) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[len(data) // 2 :])
    with pytest.raises(ProductError, match=rf"{NAME}: .* was it delivered completely"):
        open_product(str(archive))


def test_several_products_in_one_archive_are_named(tmp_path: Path) -> None:
    other = S2_NAME.replace("20201012", "20201013")
    write_theia(tmp_path, shape=(64, 64))
    write_theia(tmp_path, other, shape=(64, 64))
    archive = zip_product(tmp_path)
    with zipfile.ZipFile(archive, "a") as target:
        for path in (tmp_path / other).rglob("*.tif"):
            target.write(path, path.relative_to(tmp_path))
    with pytest.raises(ProductError, match=rf"holds 2 products, {S2_NAME}, {other}.*deliver each"):
        open_product(str(archive))


def test_hidden_files_and_those_of_macos_are_passed_over(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as target:
        for name in (f"__MACOSX/{BAND}", f"__MACOSX/{S2_NAME}/._x.tif", f"{S2_NAME}/.old/{BAND}"):
            target.writestr(name, b"not an image")
    assert open_product(str(archive)).bands["B4"].path.endswith(f"}}/{BAND}")


def test_a_small_file_is_read_out_of_folder_and_archive(archive: Path, tmp_path: Path) -> None:
    for uri, inside in ((archive, f"{S2_NAME}/"), (tmp_path / "made" / S2_NAME, "")):
        delivery = list_delivery(str(uri))
        name = f"{inside}{S2_NAME}_SRE_B2.tif"
        assert delivery.read(name, 100) == b"not read"
        with pytest.raises(ProductError, match="has 8 bytes, expected at most 7"):
            delivery.read(name, 7)


def test_a_damaged_small_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("x.xml", b"<a/>" * 1000)
    data = path.read_bytes()
    path.write_bytes(data[:40] + b"\xff" * 8 + data[48:])
    with pytest.raises(ProductError, match=NAME):
        list_delivery(str(path)).read("x.xml", 10_000)


def test_an_archive_is_read_from_the_web(archive: Path) -> None:
    with serve_web(archive.parent) as server:
        product = open_product(server.uri(f"{NAME}?signature=secret"))
        assert product.entries == (storage.stat(server.uri(NAME)),)
        whole = [line for line in server.requests if line.startswith("GET")]
    assert product.bands["B4"].path.startswith("/vsizip/{/vsicurl/http://127.0.0.1")
    assert 1 <= len(whole) <= 4


def test_the_permission_to_read_is_asked_for(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.unlink()
    archive.mkdir()
    with pytest.raises(ProductError, match="there is no such archive"):
        open_product(str(archive))
