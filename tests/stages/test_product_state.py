"""The state of products, by which Kubeflow's cache goes: it must never hide work to be done."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib import manifest, storage
from decloud_lib.stages.list_products import ListProductsConfig, list_products
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from tests.stages.delivered import S1_STEM, S2_NAME, write_s1, write_theia

PATHS = {"products": "raw", "prepared": "prepared"}
PLACES = {"s1": "S1_PREPARE", "s2": "S2_PREPARE"}


@pytest.fixture
def delivered(bucket: str, tmp_path: Path) -> str:
    """Give a place whose `raw` holds one product of each family, both prepared."""
    raw = tmp_path / "raw"
    write_theia(raw)
    backscatter = np.full((64, 64), 0.1)
    write_s1(raw, backscatter, backscatter)
    storage.upload_folder(raw, storage.join(bucket, "raw"))
    prepare(bucket)
    return bucket


def prepare(place: str) -> None:
    prepare_s1(PrepareS1Config(**arguments(place, "s1")))
    prepare_s2(PrepareS2Config(**arguments(place, "s2")))


def jobs(place: str, family: str) -> list[dict[str, object]]:
    places = {name: storage.join(place, folder) for name, folder in PATHS.items()}
    return list_products(ListProductsConfig(family=family, **places))


def arguments(place: str, family: str) -> dict[str, object]:
    (job,) = jobs(place, family)
    return {name: value for name, value in job.items() if name != "content"}


def state(place: str, family: str) -> object:
    (job,) = jobs(place, family)
    return job["content"]


@pytest.mark.parametrize("family", PLACES)
def test_what_is_prepared_and_unchanged_keeps_its_state(delivered: str, family: str) -> None:
    assert state(delivered, family) == state(delivered, family)


@pytest.mark.parametrize("family", PLACES)
def test_what_is_not_prepared_never_has_the_same_state_again(delivered: str, family: str) -> None:
    before = state(delivered, family)
    for entry in storage.list_files(storage.join(delivered, "prepared", PLACES[family])):
        if entry.uri.endswith(manifest.NAME):
            storage.delete(entry.uri)
    first, second = state(delivered, family), state(delivered, family)
    assert before != first != second != before


@pytest.mark.parametrize(
    ("family", "changed"),
    [("s1", f"{S1_STEM.format('vv')}.tif"), ("s2", f"{S2_NAME}/{S2_NAME}_FRE_B8A.tif")],
)
def test_a_changed_file_of_a_product_changes_its_state(
    delivered: str, family: str, changed: str
) -> None:
    others = {name: state(delivered, name) for name in PLACES}
    uri = storage.join(delivered, "raw", changed)
    assert storage.exists(uri)
    storage.write_bytes(uri, b"another delivery")
    assert state(delivered, family) != others.pop(family)
    assert all(state(delivered, name) == before for name, before in others.items())


def test_other_code_changes_the_state(delivered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(delivered, "s2")
    monkeypatch.setattr(manifest, "code_version", lambda: "0+other")
    assert state(delivered, "s2") != before
