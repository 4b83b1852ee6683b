"""The draw from all tiles, and the checks between data sets."""

import numpy as np
import pytest

from decloud_lib.acquisitions import load_layout
from decloud_lib.errors import ConfigError
from decloud_lib.sampling import drawing
from decloud_lib.sampling.drawing import search_data_set
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.sampling.tile_index import index_tile
from tests.prepared_tiles import Tile, season, write_tile

LAYOUT = "AL-CRGA-OS2-clear-neighbours"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    optical, radar = season()
    tiles, _ = write_tile(tmp_path_factory.mktemp("prepared"), Tile(optical, radar))
    return index_tile("T31TEJ", read_tiles(tiles), 64)


def found(index):
    regions = [(index, np.ones(6, dtype=bool))]
    return search_data_set("train", load_layout(LAYOUT), regions, {}, ("all_pairs", 0))


def test_a_draw_without_limit_is_all_samples_once_in_random_order(index):
    search = found(index)
    drawn = search.draw(None, np.random.default_rng(0))
    assert len(drawn) == drawn.found == search.total > 60
    assert len(np.unique(drawn.rows)) == search.total
    assert np.any(np.diff(drawn.rows["position"]) < 0)


def test_a_limited_draw_repeats_nothing_and_follows_the_seed(index):
    search = found(index)
    first, again, other = (search.draw(20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert len(np.unique(first.rows)) == len(first) == 20
    assert np.array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)


def test_more_samples_than_memory_can_hold_are_refused(index, monkeypatch):
    monkeypatch.setattr(drawing, "MOST_SAMPLES", 30)
    search, rng = found(index), np.random.default_rng(0)
    with pytest.raises(
        ConfigError, match=r"train: \d+ samples are possible and all are wanted.*30"
    ):
        search.draw(None, rng)
    assert len(search.draw(30, rng)) == 30
