"""Damaged, incomplete and hostile deliveries: named, nothing half-written, the rest is done."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from decloud_lib import manifest, storage
from decloud_lib.demo.server import S3Server
from decloud_lib.raster.products.prepared import list_s1, list_s2
from decloud_lib.stages import PrepareResult
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from tests.stages.delivered import S2_NAME, write_s1, write_theia, write_tif, zip_product
from tests.troubled import TroubledBucket, troubled_bucket

GOOD = S2_NAME.replace("20201012", "20201017")
SHAPE = (128, 192)
Spoil = Callable[[Path], Path | None]
"""Spoils the product in a folder; returns the delivery where it is not the folder itself."""


def band(folder: Path, name: str = "FRE_B4") -> Path:
    return folder / f"{S2_NAME}_{name}.tif"


def truncated(folder: Path) -> None:
    whole = band(folder).read_bytes()
    band(folder).write_bytes(whole[: len(whole) // 2])


def empty(folder: Path) -> None:
    band(folder).write_bytes(b"")


def page(folder: Path) -> None:
    band(folder).write_text("<html><body>404 not found</body></html>")


def text_of_another_format(folder: Path) -> None:
    # GDAL would follow this description to any file of the machine.
    size = 'rasterXSize="192" rasterYSize="128"'
    secret = "<SourceFilename>/etc/hostname</SourceFilename>"
    source = f"<VRTRasterBand><SimpleSource>{secret}</SimpleSource></VRTRasterBand>"
    band(folder).write_text(f"<VRTDataset {size}>{source}</VRTDataset>")


def other_size(folder: Path) -> None:
    write_tif(band(folder), np.ones((130, 192), np.int16))


def other_origin(folder: Path) -> None:
    write_tif(band(folder), np.ones(SHAPE, np.int16), left=400_000.0)


def other_projection(folder: Path) -> None:
    with rasterio.open(band(folder), "r+") as file:
        file.crs = "EPSG:32632"


def floating_point(folder: Path) -> None:
    write_tif(band(folder), np.full(SHAPE, 0.1, np.float32))


def mask_twice(folder: Path) -> None:
    mask = folder / "MASKS" / f"{S2_NAME}_CLM_R1.tif"
    (folder / "OLD").mkdir()
    (folder / "OLD" / mask.name).write_bytes(mask.read_bytes())


def no_mask(folder: Path) -> None:
    (folder / "MASKS" / f"{S2_NAME}_EDG_R1.tif").unlink()


def no_band(folder: Path) -> None:
    band(folder).unlink()


def packed(folder: Path) -> Path:
    return zip_product(folder.parent)


def short_archive(folder: Path) -> Path:
    archive = packed(folder)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) * 3 // 4])
    return archive


def archive_without_a_member(folder: Path) -> Path:
    no_band(folder)
    return packed(folder)


def climbing_archive(folder: Path) -> Path:
    archive = packed(folder)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../outside.tif", b"x")
    return archive


def bomb(folder: Path) -> Path:
    """Pack a member that claims to be far larger than what deflate can make of its bytes."""
    archive = packed(folder)
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo(f"{S2_NAME}/{band(folder).name}")
    claimed = (3 << 30).to_bytes(4, "little")
    content[info.header_offset + 22 : info.header_offset + 26] = claimed
    # In the directory the next record follows the name; in the archive the content does.
    end = band(folder).name.encode() + b"PK\x01\x02"
    record = content.rindex(end) - len(f"{S2_NAME}/") - 46
    assert content[record : record + 4] == b"PK\x01\x02"
    content[record + 24 : record + 28] = claimed
    archive.write_bytes(bytes(content))
    return archive


CASES: dict[Spoil, str] = {
    truncated: r"FRE_B4\.tif: .*(damaged|opened)",
    empty: r"FRE_B4\.tif: cannot be opened as a raster",
    page: r"FRE_B4\.tif: cannot be opened as a raster",
    text_of_another_format: r"FRE_B4\.tif: cannot be opened as a raster",
    other_size: r"FRE_B4\.tif .*height 128 against 130",
    other_origin: r"FRE_B4\.tif .*left 500040.0 against 400000.0",
    other_projection: r"FRE_B4\.tif .*EPSG:32631 against EPSG:32632",
    floating_point: r"FRE_B4\.tif: found 1 band\(s\) of float32, expected one of int16",
    mask_twice: "CLM_R1.*OLD.*",
    no_mask: "EDG_R1 missing",
    no_band: "band B4 missing",
    short_archive: rf"{S2_NAME}\.zip: not a whole zip archive",
    archive_without_a_member: "band B4 missing",
    climbing_archive: rf"{S2_NAME}\.zip: .*\.\./\.\./outside\.tif",
    bomb: rf"{S2_NAME}\.zip: .*FRE_B4\.tif.*(bomb|larger)",
}


@pytest.mark.parametrize("mode", ["convert", "statistics-only"])
@pytest.mark.parametrize("spoil", CASES, ids=lambda spoil: spoil.__name__)
def test_a_bad_product_is_named_and_the_rest_is_done(
    tmp_path: Path, spoil: Spoil, mode: str
) -> None:
    raw, output = tmp_path / "raw", tmp_path / "out"
    for name in (S2_NAME, GOOD):
        write_theia(raw, name)
    delivery = spoil(raw / S2_NAME) or raw / S2_NAME
    result = prepare(output, (str(delivery), str(raw / GOOD)), mode=mode)
    assert [Path(made).name for made in result.made] == [GOOD]
    (left_out,) = result.quarantined
    assert left_out.item == str(delivery)
    assert_told(left_out.reason, CASES[spoil])
    assert_nothing_of(S2_NAME, output)
    assert not list(tmp_path.parent.rglob("outside.tif"))


def test_a_side_file_cannot_move_a_band(tmp_path: Path) -> None:
    raw, output = tmp_path / "raw", tmp_path / "out"
    expected = write_theia(raw, GOOD)
    path = raw / GOOD / f"{GOOD}_FRE_B2.tif"
    place = "<GeoTransform>0, 10, 0, 0, 0, -10</GeoTransform>"
    nodata = '<PAMRasterBand band="1"><NoDataValue>1</NoDataValue></PAMRasterBand>'
    side = path.with_name(f"{path.name}.aux.xml")
    side.write_text(f"<PAMDataset>{place}{nodata}</PAMDataset>")
    result = prepare(output, (str(raw / GOOD),))
    assert result.quarantined == ()
    with rasterio.open(list_s2(str(output))[0].stack_10m) as file:
        assert np.array_equal(file.read(1), expected["B2"])
        assert file.transform.c == 500_040.0


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, other_user: Callable[[Path], None]
) -> None:
    raw, output = tmp_path / "raw", tmp_path / "out"
    for name in (S2_NAME, GOOD):
        write_theia(raw, name)
    output.mkdir()
    output.chmod(0o777)
    other_user(band(raw / S2_NAME))
    result = prepare(output, (str(raw / S2_NAME), str(raw / GOOD)))
    assert [Path(made).name for made in result.made] == [GOOD]
    assert_told(result.quarantined[0].reason, r"FRE_B4\.tif: .*[Pp]ermission")
    assert_nothing_of(S2_NAME, output)


_ON_A_FULL_DISK = """
import json, resource, signal, sys
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
output, quarantine, *products = sys.argv[2:]
config = PrepareS2Config(in_image=products, out_s2_dir=output, quarantine=quarantine)
result = prepare_s2(config)
print(json.dumps([result.made, [entry.reason for entry in result.quarantined]]))
"""


def test_a_product_without_room_on_the_disk_leaves_nothing(tmp_path: Path) -> None:
    raw, output = tmp_path / "raw", tmp_path / "out"
    write_theia(raw, S2_NAME, (1024, 1024))
    write_theia(raw, GOOD)
    command = [sys.executable, "-c", _ON_A_FULL_DISK, "600000", str(output)]
    command += [str(tmp_path / "quarantine"), str(raw / S2_NAME), str(raw / GOOD)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made, (reason,) = json.loads(done.stdout)
    assert [Path(uri).name for uri in made] == [GOOD]
    assert_told(reason, r"0m\.tif: could not be written whole .*make room on the disk")
    assert_nothing_of(S2_NAME, output)


@pytest.mark.parametrize("trouble", ["503", "cut"])
def test_a_bucket_in_trouble_costs_only_the_products_it_holds_back(
    troubled: TroubledBucket, trouble: str, tmp_path: Path
) -> None:
    bucket = f"s3://troubled-{trouble}-{os.getpid()}"
    storage.create_bucket(bucket)
    for name in (S2_NAME, GOOD):
        write_theia(tmp_path, name)
        storage.upload_folder(tmp_path / name, storage.join(bucket, "raw", name))
    troubled.troubles = {f"{S2_NAME}_FRE_B8.tif": trouble}  # type: ignore[dict-item]
    products = tuple(storage.join(bucket, "raw", name) for name in (S2_NAME, GOOD))
    root = storage.join(bucket, "out")
    result = prepare(root, products)
    assert [storage.name_of(made) for made in result.made] == [GOOD]
    assert_told(result.quarantined[0].reason, r"FRE_B8\.tif: ")
    assert not [entry for entry in storage.list_files(root) if S2_NAME in entry.uri]
    # The bucket recovers: the same call makes what is missing.
    troubled.troubles = {}
    again = prepare(root, products)
    assert (len(again.made), again.reused, again.quarantined) == (1, 1, ())


RADAR: dict[str, tuple[bytes | None, str]] = {
    "empty": (b"", r"_vv_.*: cannot be opened"),
    "page": (b"<html>404</html>", r"_vv_.*: cannot be opened"),
    "missing": (None, r"_vv_.*: there is no such file; .* needs both polarisations"),
}


@pytest.mark.parametrize("mode", ["convert", "statistics-only"])
@pytest.mark.parametrize("kind", [*RADAR, "truncated", "integers", "elsewhere"])
def test_a_bad_radar_pair_is_named_and_the_rest_is_done(
    tmp_path: Path, kind: str, mode: str
) -> None:
    raw, output = tmp_path / "raw", str(tmp_path / "out")
    sigma0 = np.random.default_rng(0).random((128, 192)).astype(np.float32)
    stems = [f"s1b_31TEJ_{{}}_DES_110_202010{day}t060008" for day in ("11", "17")]
    bad, good = (write_s1(raw, sigma0, sigma0, stem) for stem in stems)
    vv = Path(bad.replace("_vh_", "_vv_"))
    pattern = {
        "truncated": r"_vv_.*(damaged|opened)",
        "integers": r"_vv_.*: found 1 band\(s\) of int16, expected one of float32",
        "elsewhere": r"left 500040.0 against 400000.0|left 400000.0 against 500040.0",
    }
    if kind == "truncated":
        vv.write_bytes(vv.read_bytes()[:60_000])
    elif kind == "integers":
        write_tif(vv, np.ones((128, 192), np.int16))
    elif kind == "elsewhere":
        write_tif(vv, sigma0, left=400_000.0)
    else:
        content, pattern[kind] = RADAR[kind]
        vv.unlink()
        if content is not None:
            vv.write_bytes(content)
    result = prepare_s1(
        PrepareS1Config(
            input_s1_vh=(bad, good), out_s1_dir=output, mode=mode,
            quarantine=str(tmp_path / "quarantine"),
        )
    )  # fmt: skip
    assert len(result.made) == 1
    assert_told(result.quarantined[0].reason, pattern[kind])
    assert [image.acquired.day for image in list_s1(output)] == [17]
    assert not list(Path(output).rglob("*20201011*"))


def prepare(output: Path | str, products: tuple[str, ...], mode: str = "convert") -> PrepareResult:
    quarantine = storage.join(storage.parent_of(str(output)), "quarantine")
    return prepare_s2(
        PrepareS2Config(in_image=products, out_s2_dir=str(output), quarantine=quarantine, mode=mode)
    )


def assert_told(reason: str, pattern: str) -> None:
    assert re.search(pattern, reason), reason


def assert_nothing_of(name: str, output: Path) -> None:
    """No raster, manifest or temporary file of a product; an empty folder is nothing."""
    left = [path for path in output.rglob("*") if path.is_file() and name in str(path)]
    assert left == []
    assert [path.name for path in output.rglob(manifest.NAME)] == [manifest.NAME]


@pytest.fixture
def other_user(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Close a file, also to root, who may do everything: the test goes on as another user."""
    before = os.geteuid()
    closed: list[Path] = []

    def close(path: Path) -> None:
        closed.append(path)
        path.chmod(0)
        if before == 0:
            for folder in (tmp_path, *tmp_path.parents[:-2]):
                if folder.owner() == "root" and folder != Path("/tmp"):
                    folder.chmod(folder.stat().st_mode | 0o011)
            tmp_path.chmod(0o777)
            os.seteuid(65534)

    yield close
    os.seteuid(before)
    for path in closed:
        path.chmod(0o600)


@pytest.fixture
def troubled(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[TroubledBucket]:
    """Give a bucket server in front of moto; the AWS variables lead to it."""
    with troubled_bucket(moto_server) as (server, address):
        for name, value in address.environment.items():
            monkeypatch.setenv(name, value)
        yield server
