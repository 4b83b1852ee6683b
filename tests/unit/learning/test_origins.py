"""What a model would be made from: products of a listing, layouts, code, settings."""

import shutil
from pathlib import Path

import pytest

import decloud_lib
from decloud_lib.errors import DecloudError
from decloud_lib.learning import origins
from decloud_lib.raster.products.discovery import discover

S1 = "SENTINEL1/T31TCJ/s1b_31TCJ_{}_DES_110_20200501t060008.tif"
S2 = "SENTINEL2/T31TCJ/SENTINEL2A_20200503-105629-000_L2A_T31TCJ_C_V2-2"


def deliver(root: Path) -> Path:
    files = {
        S1.format("vv"): "vv",
        S1.format("vh"): "vh",
        f"{S2}/{Path(S2).name}_MTD_ALL.xml": "<xml/>",
        f"{S2}/MASKS/mask.tif": "mask",
        "DEM/T31TCJ.tif": "dem",
        "README.txt": "hello",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def products(root: Path) -> dict[str, str]:
    discovery = discover(str(root))
    return origins.data_part(discovery, discovery.found, str(root)).items


def test_each_product_has_one_digest_whatever_its_files(tmp_path: Path) -> None:
    assert products(deliver(tmp_path)).keys() == {S1.format("vh"), S2, "DEM/T31TCJ.tif"}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        (S1.format("vv"), S1.format("vh")),
        (S1.format("vh"), S1.format("vh")),
        (f"{S2}/MASKS/mask.tif", S2),
        ("DEM/T31TCJ.tif", "DEM/T31TCJ.tif"),
        ("README.txt", None),
    ],
)
def test_a_file_that_changes_changes_its_product_alone(
    name: str, changed: str | None, tmp_path: Path
) -> None:
    before = products(deliver(tmp_path))
    (tmp_path / name).write_text("another text")
    now = products(tmp_path)
    assert {key for key in before if before[key] != now[key]} == ({changed} if changed else set())


def test_another_root_with_the_same_files_is_the_same_data(tmp_path: Path) -> None:
    here = deliver(tmp_path / "here")
    # With the times of the files, as a listing of a folder has no other mark of their content.
    shutil.copytree(here, tmp_path / "there", copy_function=shutil.copy2)
    assert products(here) == products(tmp_path / "there")


def test_a_product_that_cannot_be_used_does_not_count(tmp_path: Path) -> None:
    deliver(tmp_path)
    (tmp_path / S1.format("vv")).unlink()
    assert products(tmp_path).keys() == {S2, "DEM/T31TCJ.tif"}


def test_a_layout_counts_by_its_content(tmp_path: Path) -> None:
    shipped = origins.layouts_part(["AL-TEST"])
    source = Path(decloud_lib.__file__).parent / "acquisitions/layouts/AL-TEST.json"
    copy = tmp_path / "AL-TEST.json"
    # Another order of lines and spaces says the same.
    copy.write_text(source.read_text().replace(" ", "") + "\n")
    assert origins.layouts_part([str(copy)]) == shipped
    copy.write_text(source.read_text().replace("-240", "-264"))
    assert origins.layouts_part([str(copy)]).digest != shipped.digest
    with pytest.raises(DecloudError, match="AL-NONE"):
        origins.layouts_part(["AL-NONE"])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Give a copy of the package, to change."""
    source = Path(decloud_lib.__file__).parent
    return Path(shutil.copytree(source, tmp_path / "decloud_lib"))


def test_the_code_that_decides_is_what_the_stages_import(package: Path) -> None:
    items = origins.code_part("crga_os2_david", package).items
    assert {"models/crga.py", "models/blocks.py", "models/training.py"} <= items.keys()
    assert {"arrays/layout.py", "sampling/drawing.py", "stages/train.py"} <= items.keys()
    # Another network, what only shows something, and what carries data.
    for other in ("models/residual.py", "cli.py", "tracking/runs.py", "storage/s3.py"):
        assert (package / other).is_file()
        assert other not in items


def test_a_comment_changes_nothing_and_a_statement_does(package: Path) -> None:
    before = origins.code_part("residual", package)
    path = package / "models/residual.py"
    path.write_text(path.read_text() + "\n# A remark.\n")
    assert origins.code_part("residual", package) == before
    path.write_text(path.read_text() + "\nANOTHER = 1\n")
    after = origins.code_part("residual", package)
    assert {key for key in after.items if after.items[key] != before.items[key]} == {
        "models/residual.py"
    }
    # It is no part of another network.
    other = origins.code_part("crga_os2_david", package)
    path.write_text(path.read_text() + "\nANOTHER = 2\n")
    assert origins.code_part("crga_os2_david", package) == other


def test_an_own_model_counts_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("SIZE = 1\n")
    before = origins.code_part(f"{path}:mine")
    path.write_text("SIZE = 2\n")
    after = origins.code_part(f"{path}:mine")
    assert "own.py" in before.items
    assert before.digest != after.digest


def test_settings_are_kept_as_their_values() -> None:
    part = origins.configuration_part({"epochs": 3, "model": "crga", "props": (0.8, 0.2)})
    assert part.items == {"epochs": "3", "model": '"crga"', "props": "[0.8, 0.2]"}
