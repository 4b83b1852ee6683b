"""Features of samples: what is counted, in which bins, and that counts add up."""

import numpy as np
import pytest
from pydantic import ValidationError

from decloud_lib import bands
from decloud_lib.samples.profile import Histogram, Profile, features_of, profile_of

DAY = 86_400.0


def sample(value: int = 1250, cloudy: int = 0) -> dict[str, np.ndarray]:
    optical = np.full((8, 8, 4), value, np.int16)
    optical[:2] = bands.S2_NODATA
    mask = np.zeros((8, 8, 1), np.uint8)
    mask.reshape(-1)[:cloudy] = 1
    return {
        "s2_t": optical,
        "s2_tm1": optical,
        "s2_cld10m_t": mask,
        "s1_t": np.full((8, 8, 2), 30_000, np.uint16),
        "dem": np.full((4, 4, 1), 250, np.int16),
        "s2_target": optical,
        "s2_timestamp_t": np.array(100 * DAY),
        "s2_timestamp_tm1": np.array(88 * DAY),
        "s1_timestamp_t": np.array(100 * DAY + 7 * 3600),
        "s1_ascending_t": np.array(False),
    }


def in_bin(histogram: Histogram, value: float) -> int:
    edges = np.array(histogram.edges)
    return histogram.counts[int(np.searchsorted(edges, value, side="right")) - 1]


def test_each_input_is_counted_and_no_target() -> None:
    found = features_of(sample(cloudy=16))
    assert found.keys() == {
        *(f"values/{key}/{band}" for key in ("s2_t", "s2_tm1") for band in bands.S2_10M_BANDS),
        *("values/s1_t/VV", "values/s1_t/VH", "values/dem/DEM"),
        *("nodata_percent/s2_t", "nodata_percent/s2_tm1", "nodata_percent/s1_t"),
        *("nodata_percent/dem", "cloud_percent/t", "days/s2_tm1", "hours/s1_t"),
    }
    # Three quarters of the pixels have data.
    assert in_bin(found["values/s2_t/B2"], 1250) == sum(found["values/s2_t/B2"].counts) == 48
    assert in_bin(found["nodata_percent/s2_t"], 25) == 1
    assert in_bin(found["cloud_percent/t"], 25) == 1
    assert in_bin(found["days/s2_tm1"], 12) == 1
    assert in_bin(found["hours/s1_t"], 7) == 1


def test_values_outside_the_bins_count_at_their_ends() -> None:
    found = Histogram.of(np.array([-5.0, 0.5, 99.0]), (0.0, 1.0, 2.0))
    assert found.counts == (2, 1)
    assert found.mean == pytest.approx((2 * 0.5 + 1.5) / 3)


def test_the_profile_of_several_samples_is_their_sum() -> None:
    items = [sample(1250), sample(3100)]
    profile = profile_of(items)
    assert (profile.items, profile.moments) == (2, 1)
    name = "values/s2_t/B8"
    assert profile.features[name] == features_of(items[0])[name] + features_of(items[1])[name]
    assert Profile.model_validate_json(profile.model_dump_json()) == profile


def test_a_damaged_profile_is_refused() -> None:
    with pytest.raises(ValidationError):
        Profile.model_validate_json('{"items": "many"}')
