import numpy as np
import pytest

from decloud_lib.models.kriging import LARGE, Kriging, trust
from decloud_lib.types import Array


def fields(height: int, width: int, seed: int = 0) -> tuple[Array, Array]:
    """Return (1, H, W, 3) features of fields of 16 px, and (1, H, W, 4) changes of these fields."""
    rng = np.random.default_rng(seed)
    shape = (-(-height // 16), -(-width // 16))
    kinds = rng.normal(size=(*shape, 3))
    change = 0.03 * np.tanh(kinds @ rng.normal(size=(3, 4))) ** 3
    change -= change.mean(axis=(0, 1))
    grown = [np.repeat(np.repeat(part, 16, 0), 16, 1)[:height, :width] for part in (kinds, change)]
    features = grown[0] + 0.2 * rng.normal(size=grown[0].shape)
    return (features[None].astype("float32"), grown[1][None].astype("float32"))


def run(
    features: Array, change: Array, trusted: Array, shown: Array | None = None
) -> dict[str, Array]:
    """Return what the layer finds, as arrays; masks are (H, W)."""
    mask = trusted[None, ..., None].astype("float32")
    masked = mask if shown is None else shown[None, ..., None].astype("float32")
    known = {
        "features": features,
        "change": change,
        "trend": 0.0 * change,
        "seen": change * mask,
        "trusted": mask,
        "shown": masked,
    }
    found = Kriging()(known)
    return {key: np.asarray(value) for key, value in found.items()}


def test_changes_are_carried_over_to_hidden_pixels_of_the_same_fields() -> None:
    features, change = fields(64, 64)
    noise = 0.005 * np.random.default_rng(1).normal(size=change.shape).astype("float32")
    hidden = np.zeros((64, 64), bool)
    hidden[8::16] = hidden[9::16] = hidden[10::16] = hidden[11::16] = True
    found = run(features, change + noise, ~hidden)["predicted"]
    before = np.mean(change[0, hidden] ** 2)
    after = np.mean((found - change)[0, hidden] ** 2)
    assert after < 0.15 * before


def test_nothing_is_known_where_nothing_is_visible() -> None:
    features, change = fields(64, 64)
    found = run(features, change, np.zeros((64, 64), bool))
    np.testing.assert_array_equal(found["predicted"], 0.0)
    np.testing.assert_array_equal(found["weight"], 0.0)
    assert found["unknown"].min() > 0.5
    assert found["unknown"].mean() > 0.8


def test_what_is_far_from_visible_pixels_is_less_known() -> None:
    features, change = fields(64, 64)
    trusted = np.zeros((64, 64), bool)
    trusted[:, :24] = True
    unknown = run(features, change, trusted)["unknown"][0, ..., 0]
    assert unknown[:, :20].mean() < unknown[:, 26:34].mean() < unknown[:, 50:].mean()


@pytest.mark.parametrize("size", [(64, 64), (36, 40), (100, 68), (160, 96)])
def test_windows_of_any_size_have_an_estimate_everywhere(size: tuple[int, int]) -> None:
    features, change = fields(*size)
    trusted = np.random.default_rng(0).random(size) > 0.4
    found = run(features, change, trusted)
    assert found["predicted"].shape == (1, *size, 4)
    assert all(np.isfinite(value).all() for value in found.values())
    assert not found["weight"][0, ~trusted].any()
    error = np.mean((found["predicted"] - change) ** 2)
    assert error < 0.3 * np.mean(change**2)


def test_neighbouring_windows_agree_beyond_a_block_from_their_borders() -> None:
    step, fading = LARGE.step_px, LARGE.overlap_px
    features, change = fields(3 * step, 160)
    trusted = np.random.default_rng(0).random((3 * step, 160)) > 0.5
    whole = run(features, change, trusted)["predicted"]
    part = run(features[:, step:], change[:, step:], trusted[step:])["predicted"]
    # The first block has another neighbour in the whole.
    np.testing.assert_allclose(part[:, fading:], whole[:, step + fading :], atol=1e-5)


def test_a_clean_rim_is_learned_from_and_a_hazy_one_is_not() -> None:
    features, change = fields(64, 64)
    rng = np.random.default_rng(2)
    seen = (0.1 * change + 0.01 * rng.normal(size=change.shape)).astype("float32")
    shown = np.ones((64, 64), bool)
    shown[20:44, 20:44] = False
    rim = shown.copy()
    rim[:15] = rim[49:] = rim[:, :15] = rim[:, 49:] = False
    mask = shown[None, ..., None].astype("float32")
    rest = (mask, mask, np.ones_like(mask), np.full((1, 1, 1, 4), 1e-4, "float32"))
    _, clean = trust(seen * mask, *rest)
    assert np.asarray(clean)[0, rim].min() > 0.9
    hazy = (seen + 0.03 * rim[None, ..., None]).astype("float32")
    _, dirty = trust(hazy * mask, *rest)
    assert np.asarray(dirty)[0, rim].max() < 0.1
    assert np.asarray(dirty)[0, shown & ~rim].min() == 1.0
    expected = run(features, seen, shown & ~rim, shown)["predicted"]
    found = run(features, hazy, shown)["predicted"]
    np.testing.assert_allclose(found, expected, atol=2e-3)
