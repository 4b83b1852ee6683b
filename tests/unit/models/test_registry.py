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


def test_the_models_that_fit_some_samples_are_found() -> None:
    keys = {*registry.get("nearest_date").input_keys, "s2_target"}
    assert registry.fitting(keys) == ("crga_os2_gapfilling", "nearest_date")


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
