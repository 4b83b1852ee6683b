"""A product that fails is named and left out; the others of its list are prepared."""

import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.prepared import list_s1
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from decloud_lib.stages.quarantine import list_records
from tests.stages.delivered import S2_NAME, write_s1, write_theia

STEM = "s1b_31TEJ_{}_DES_110_202010{}t060008"
DAYS = ("01", "07", "13")


def three_pairs(folder: Path) -> tuple[str, ...]:
    sigma0 = np.full((64, 64), 0.1)
    return tuple(write_s1(folder, sigma0, sigma0, STEM.format("{}", day)) for day in DAYS)


def test_a_single_polarisation_is_named_and_does_not_stop_the_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = three_pairs(tmp_path / "raw")
    alone = f"{STEM.format('vv', DAYS[1])}.tif"
    Path(tmp_path, "raw", alone).unlink()
    config = PrepareS1Config(input_s1_vh=images, out_s1_dir=str(tmp_path / "out"))
    result = prepare_s1(config)
    assert [image.acquired.day for image in list_s1(str(tmp_path / "out"))] == [1, 13]
    assert [entry.item for entry in result.quarantined] == [images[1]]
    assert f"{alone}: there is no such file" in caplog.text


def test_a_list_of_single_polarisations_is_an_error(tmp_path: Path) -> None:
    images = three_pairs(tmp_path / "raw")[:1]
    Path(images[0].replace("_vh_", "_vv_")).unlink()
    with pytest.raises(ProductError, match="needs both polarisations"):
        prepare_s1(PrepareS1Config(input_s1_vh=images, out_s1_dir=str(tmp_path / "out")))


def test_a_failure_is_an_error_after_all_others_are_prepared(tmp_path: Path) -> None:
    images = three_pairs(tmp_path / "raw")
    Path(images[1]).write_bytes(b"")
    config = PrepareS1Config(input_s1_vh=images, out_s1_dir=str(tmp_path / "out"))
    with pytest.raises(ProductError, match=rf"1 of 3 products .*{Path(images[1]).name}: cannot"):
        prepare_s1(config)
    assert [image.acquired.day for image in list_s1(str(tmp_path / "out"))] == [1, 13]


def test_the_only_product_fails_with_its_own_reason_and_nothing_else_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), pytest.raises(ProductError, match=r"^none: not a Sentinel-2"):
        prepare_s2(PrepareS2Config(in_image=(str(tmp_path / "none"),), out_s2_dir=str(tmp_path)))
    assert caplog.messages == []


def test_when_all_fail_no_other_is_said_to_be_done(tmp_path: Path) -> None:
    images = (str(tmp_path / "none"), str(tmp_path / "neither"))
    with pytest.raises(
        ProductError, match=r"2 of 2 products could not be prepared: none: .*neither"
    ):
        prepare_s2(PrepareS2Config(in_image=images, out_s2_dir=str(tmp_path)))


def test_with_a_quarantine_the_stage_succeeds_and_the_reason_is_kept(
    bucket: str, tmp_path: Path
) -> None:
    images = three_pairs(tmp_path / "raw")
    vv = Path(images[1].replace("_vh_", "_vv_"))
    whole = vv.read_bytes()
    vv.write_bytes(whole[: len(whole) // 2])
    records = storage.join(bucket, "QUARANTINE")
    config = PrepareS1Config(
        input_s1_vh=images, out_s1_dir=storage.join(bucket, "S1_PREPARE"), quarantine=records
    )
    result = prepare_s1(config)
    assert len(result.made) == 2
    (left_out,) = result.quarantined
    assert left_out.item == images[1]
    assert vv.name in left_out.reason
    assert list_records(records) == (left_out,)
    content = json.loads(storage.read_text(storage.list_children(records)[0]))
    assert content["family"] == "s1"
    # The missing part arrives: the same call finishes the work and takes back the record.
    vv.write_bytes(whole)
    again = prepare_s1(config)
    assert (len(again.made), again.reused, again.quarantined) == (1, 2, ())
    assert list_records(records) == ()


def test_optical_products_are_isolated_too(tmp_path: Path) -> None:
    other = S2_NAME.replace("20201012", "20201017")
    for name in (S2_NAME, other):
        write_theia(tmp_path, name)
    (tmp_path / S2_NAME / f"{S2_NAME}_FRE_B4.tif").write_text("<html>404 not found</html>")
    config = PrepareS2Config(
        in_image=(str(tmp_path / S2_NAME), str(tmp_path / other)),
        out_s2_dir=str(tmp_path / "out"),
        quarantine=str(tmp_path / "quarantine"),
    )
    result = prepare_s2(config)
    assert [Path(uri).name for uri in result.made] == [other]
    assert f"{S2_NAME}_FRE_B4.tif" in result.quarantined[0].reason
    # Nothing of the failed one: neither rasters nor a manifest nor temporary files.
    assert [path.name for path in (tmp_path / "out").rglob("*") if S2_NAME in str(path)] in (
        [],
        [S2_NAME],
    )


def test_a_stranger_in_the_quarantine_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ProductError, match=r"notes\.json: not a quarantine record"):
        list_records(str(tmp_path))
