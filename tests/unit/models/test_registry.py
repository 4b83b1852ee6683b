from collections.abc import Iterator
from pathlib import Path

import pytest

from decloud_lib.errors import ConfigError
from decloud_lib.models import registry
from decloud_lib.models.contract import margin_px
from decloud_lib.models.keys import kind_of


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no model 'nope'; known: .*crga_os2_david"):
        registry.get("nope")


def test_a_model_can_be_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.names()
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    mine = registry.ModelDefinition("mine", registry.get("nearest_date").build, ("s2_tm1",))
    assert registry.register(mine) is registry.get("mine")
    registry.register(mine)
    other = registry.ModelDefinition("other", mine.build, ("s2_tm1",), aliases=("mine",))
    with pytest.raises(ConfigError, match="'mine' is taken by mine"):
        registry.register(other)
    elsewhere = registry.ModelDefinition("mine", mine.build, ("s2_tm1",), source="my_package")
    with pytest.raises(ConfigError, match="'mine' is taken by mine; choose another"):
        registry.register(elsewhere)
    assert registry.get("mine") is mine


def test_the_models_that_fit_some_samples_are_found() -> None:
    keys = {*registry.get("nearest_date").input_keys, "s2_target"}
    assert {"crga_os2_gapfilling", "nearest_date"} <= set(registry.fitting(keys))
    assert "crga_os2_david" not in registry.fitting(keys)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the factory look for entry points anew, and forget what the test registers."""
    registry.names()
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


def install(folder: Path, entry: str, code: str = "") -> None:
    """Lay a small distribution on the path, as an installer does."""
    (folder / "clouds_of_mine.py").write_text(code)
    info = folder / "clouds_of_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clouds-of-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[decloud.models]\nmine = {entry}\n")


COPY = """
from decloud_lib.models import Model

class CopyOfBefore(Model):
    def network(self, inputs):
        return {"s2_target": inputs["s2_tm1"]}
"""


def test_an_installed_package_adds_a_model(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "clouds_of_mine:CopyOfBefore", COPY)
    monkeypatch.syspath_prepend(tmp_path)
    spec = registry.ModelSpec(shapes={"s2_tm1": (8, 8, 4), "s2_target": (8, 8, 4)})
    definition = registry.get("CopyOfBefore")
    assert definition.contract(spec).input_keys == ("s2_tm1",)
    assert definition.source == "clouds_of_mine"


#: A data class of such a file looks for its module by name.
FUTURE = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Size:
    px: int
"""


@pytest.mark.parametrize("entry", ["clouds_of_mine:Missing", "no_such_module"])
def test_a_package_that_cannot_be_loaded_does_not_stop_the_others(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    install(tmp_path, entry)
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.get("nearest_date").name == "nearest_date"
    with pytest.raises(ConfigError, match=rf"entry point mine = {entry} cannot be used: "):
        registry.get("CopyOfBefore")


def test_a_model_in_a_file_is_loaded_when_it_is_named_so(fresh: None, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(FUTURE + COPY)
    assert "CopyOfBefore" not in registry.names()
    definition = registry.get(f"{path}:CopyOfBefore")
    assert definition.name == "CopyOfBefore"
    assert registry.get(f"{path}:CopyOfBefore") is definition
    assert registry.split_name(f"{path}:CopyOfBefore") == (path, "CopyOfBefore")
    assert registry.split_name("CopyOfBefore") == (None, "CopyOfBefore")
    with pytest.raises(ConfigError, match=r"own\.py: no model 'Other'; it registers CopyOfBefore"):
        registry.get(f"{path}:Other")
    with pytest.raises(ConfigError, match=r"no\.py: there is no such file"):
        registry.get(f"{tmp_path / 'no.py'}:Other")


@pytest.mark.parametrize(
    ("key", "bands", "scale", "factor"),
    [
        ("s1_tm1", 2, 1 / 65535, 1),
        ("s2_t", 4, 1 / 10000, 1),
        ("s2_20m_t", 6, 1 / 10000, 2),
        ("dem", 1, 1 / 10000, 2),
        ("s2_timestamp_t", 0, 1.0, 1),
        ("s1_ascending_t", 0, 1.0, 1),
    ],
)
def test_keys_have_their_scale(key: str, bands: int, scale: float, factor: int) -> None:
    kind = kind_of(key)
    assert (len(kind.bands), kind.scale, kind.factor) == (bands, scale, factor)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no known meaning"):
        kind_of("temperature")


@pytest.mark.parametrize(("reach", "stride", "margin"), [(10, 4, 12), (66, 32, 96), (0, 1, 0)])
def test_a_margin_is_a_multiple_of_the_stride(reach: int, stride: int, margin: int) -> None:
    assert margin_px(reach, stride) == margin
