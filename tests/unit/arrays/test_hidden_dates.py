import numpy as np
import pytest

from decloud_lib.arrays.hidden_dates import ProofRules, find_hidden_dates, hidden_scores

DAYS = [0, 3, 6, 12, 20, 26, 60, 70]
COVERS = np.array([0.0, 0.0, 0.005, 0.5, 0.0, 0.01, 0.0, np.nan])


def test_clear_dates_with_clear_neighbours_on_both_sides_are_hidden() -> None:
    found = find_hidden_dates(DAYS, COVERS, ProofRules())
    assert [case.target for case in found] == [2, 4]
    first, second = found
    assert (first.before, first.after) == ((0,), (4, 5))  # day 3 is too near to day 6
    assert (second.before, second.after) == ((2, 1), (5,))  # day 60 is too far


def test_masks_are_drawn_among_dates_with_the_cover_and_by_the_seed() -> None:
    covers = np.array([0.0, 0.29, 0.3, 0.8, 0.81, 0.0, 0.0])
    days = [0, 1, 2, 3, 4, 10, 20]
    cases = find_hidden_dates(days, covers, ProofRules(masks=40))
    assert {mask for case in cases for mask in case.masks} == {2, 3}
    again = find_hidden_dates(days, covers, ProofRules(masks=40))
    other = find_hidden_dates(days, covers, ProofRules(masks=40, seed=1))
    assert cases == again != other


def test_without_a_cloudy_date_there_are_no_masks() -> None:
    found = find_hidden_dates([0, 10, 20], np.zeros(3), ProofRules())
    assert [(case.target, case.masks) for case in found] == [(1, ())]


def test_scores_are_over_hidden_pixels_only() -> None:
    truth = np.full((4, 4, 4), 0.1)
    estimate = truth.copy()
    hidden = np.zeros((4, 4), bool)
    hidden[:2] = True
    estimate[:2] += 0.01
    estimate[2:] = 5.0
    found = hidden_scores(truth, estimate, hidden)
    assert found["psnr_db"] == pytest.approx(40.0)
    assert found["mae"] == pytest.approx(0.01)
    assert found["rmse"] == pytest.approx(0.01)
    assert found["sam_deg"] == pytest.approx(0.0, abs=1e-4)
