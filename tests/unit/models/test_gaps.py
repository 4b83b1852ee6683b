import numpy as np
import pytest
import tensorflow as tf

from decloud_lib.models.gaps import RIM_PX, lay_gap, synthetic_mask
from decloud_lib.models.keys import GAP_MASK
from decloud_lib.types import Array
from tests.unit.models.five_dates import five_dates


def sample(mask: Array | None = None) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    inputs, truth = five_dates(1)
    tensors = {
        key: tf.constant(value[0].astype("float32" if value.ndim > 1 else "float64"))
        for key, value in inputs.items()
    }
    if mask is not None:
        tensors[GAP_MASK] = tf.constant(mask[..., None].astype("float32"))
    return tensors, {"s2_t": tf.constant(truth)}


def gap(seed: int, mask: Array | None = None) -> dict[str, Array]:
    found, _ = lay_gap(*sample(mask), tf.constant([seed, 7], tf.int32))
    return {key: value.numpy() for key, value in found.items()}


def test_the_same_seed_gives_the_same_gap_and_another_one_another() -> None:
    first, again, other = gap(3), gap(3), gap(4)
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert np.any(first["s2_cld10m_t"] != other["s2_cld10m_t"])


def test_the_target_stays_and_hidden_pixels_are_no_data() -> None:
    inputs, targets = sample()
    found, kept = lay_gap(inputs, targets, tf.constant([3, 7], tf.int32))
    np.testing.assert_array_equal(kept["s2_t"], targets["s2_t"])
    hidden = found["s2_cld10m_t"].numpy()[..., 0] > 0
    assert 0.05 < hidden.mean() < 0.95
    assert np.all(found["s2_t"].numpy()[hidden] == -10_000)


def test_covers_spread_and_some_dates_are_wholly_hidden() -> None:
    covers = np.array([gap(seed)["s2_cld10m_t"].mean() for seed in range(120)])
    assert 0.04 < np.mean(covers == 1.0) < 0.25
    assert np.ptp(covers[covers < 1.0]) > 0.5


def test_real_masks_are_used_where_their_cover_is_good() -> None:
    real = np.zeros((64, 64), bool)
    real[:, :30] = True
    used = [np.array_equal(gap(seed, real)["s2_cld10m_t"][..., 0] > 0, real) for seed in range(60)]
    assert 0.3 < np.mean(used) < 0.75
    nothing = np.zeros((64, 64), bool)
    assert all(gap(seed, nothing)["s2_cld10m_t"].any() for seed in range(5))


def test_only_the_rim_of_a_gap_is_contaminated() -> None:
    clear = sample()[0]["s2_t"].numpy()
    contaminated = 0
    for seed in range(30):
        found = gap(seed)
        hidden = found["s2_cld10m_t"][..., 0] > 0
        changed = np.any(found["s2_t"] != clear, axis=-1) & ~hidden
        if not changed.any():
            continue
        contaminated += 1
        rows, cols = np.nonzero(hidden)
        for row, col in np.argwhere(changed):
            assert np.min(np.maximum(abs(rows - row), abs(cols - col))) <= RIM_PX
    assert 4 <= contaminated <= 20


def test_neighbours_and_radar_are_missing_now_and_then() -> None:
    gone = {"tm2": 0, "tm1": 0, "tp1": 0, "tp2": 0, "radar": 0}
    for seed in range(150):
        found = gap(seed)
        for name in ("tm2", "tm1", "tp1", "tp2"):
            gone[name] += bool(found[f"s2_cld10m_{name}"].all())
        gone["radar"] += not found["s1_t"].any()
    assert 10 <= gone["tm2"] <= 50
    assert 10 <= gone["tp2"] <= 50
    assert 1 <= gone["tm1"] <= 18
    assert 1 <= gone["tp1"] <= 18
    assert 1 <= gone["radar"] <= 20


@pytest.mark.parametrize("cover", [0.2, 0.5, 0.8])
def test_synthetic_masks_have_the_cover_and_hang_together(cover: float) -> None:
    mask = synthetic_mask(tf.constant([96, 64]), tf.constant(cover), tf.constant([1, 2])).numpy()
    assert mask.shape == (96, 64, 1)
    assert mask.mean() == pytest.approx(cover, abs=0.01)
    same = np.mean(mask[1:] == mask[:-1])
    assert same > 0.9
