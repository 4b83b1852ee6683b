"""How often each image stands in a sample, against a count over the listed samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.acquisitions import load_layout
from decloud_lib.arrays import layout as layout_module
from decloud_lib.arrays.candidates import Catalogue, Role, SearchLayout
from decloud_lib.arrays.layout import LayoutSearch, SearchOptions, search

DAY = 86_400_000


def random_catalogue(seed, n_s2, n_s1, positions, days):
    rng = np.random.default_rng(seed)
    cloud = np.where(rng.random((n_s2, positions)) < 0.5, 0, rng.integers(1, 9, (n_s2, positions)))
    return Catalogue(
        np.sort(rng.integers(0, days, n_s2)) * DAY,
        cloud.astype(float),
        rng.random((n_s2, positions)) < 0.8,
        np.sort(rng.integers(0, days, n_s1)) * DAY,
        rng.random((n_s1, positions)) < 0.8,
        rng.random(n_s1) < 0.5,
    )


def counted(found, catalogue, sensor):
    """Count over a listing of the samples."""
    valid = catalogue.s2_valid if sensor == "s2" else catalogue.s1_valid
    uses = np.zeros(valid.shape, np.int64)
    for row in found:
        for image in row[sensor]:
            if image >= 0:
                uses[image, row["position"]] += 1
    return uses


ROLES = (
    Role("t", (0, 0), (1, 100), s1=True, max_gap_ms=3 * DAY),
    Role("before", (-9 * DAY, 2 * DAY), (0, 100), s1=True, max_gap_ms=4 * DAY, ascending=True),
    Role("radar", (-4 * DAY, 4 * DAY), s1=True),
    Role("target", (-6 * DAY, 6 * DAY), (0, 0)),
    Role("drawn", (-9 * DAY, 9 * DAY), (0, 100), random_min_cloud=(0, 5)),
)


@given(
    seed=st.integers(0, 999),
    sizes=st.tuples(st.integers(1, 9), st.integers(0, 7)),
    chosen=st.sets(st.integers(1, 4)),
    historic=st.booleans(),
    siblings=st.booleans(),
)
def test_uses_are_those_of_the_listed_samples(seed, sizes, chosen, historic, siblings):
    catalogue = random_catalogue(seed, *sizes, positions=3, days=20)
    roles = tuple(ROLES[i] for i in sorted({0, *chosen}))
    groups = (frozenset({"t", "drawn"}),) if siblings else ()
    layout = SearchLayout(roles, "t", groups)
    options = SearchOptions("historic" if historic else "all_pairs", (seed,))

    s2, s1 = LayoutSearch(catalogue, layout, options).image_uses()

    found = search(catalogue, layout, options)
    assert np.array_equal(s2, counted(found, catalogue, "s2"))
    assert np.array_equal(s1, counted(found, catalogue, "s1"))


@pytest.mark.parametrize("name", ["AL-CRGA-OS2-Occitanie", "AL-Meraner-Occitanie", "AL-TEST"])
def test_uses_add_up_to_samples_times_roles(name, monkeypatch):
    monkeypatch.setattr(layout_module, "CHUNK_POSITIONS", 4)
    catalogue = random_catalogue(5, 60, 80, positions=11, days=300)
    layout = load_layout(name).to_search()
    found = LayoutSearch(catalogue, layout)

    s2, s1 = found.image_uses()

    samples = found.counts.sum(axis=1)
    assert found.total > 10
    assert np.array_equal(s2.sum(axis=0), samples * sum(role.s2 for role in layout.roles))
    assert np.array_equal(s1.sum(axis=0), samples * sum(role.s1 for role in layout.roles))
