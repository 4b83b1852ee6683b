"""Memory of a reconstruction, and windows that a limit allows: arithmetic, no pixels."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.arrays.windows import partition
from decloud_lib.errors import ConfigError
from decloud_lib.models.contract import ModelContract
from decloud_lib.reconstruction.budget import (
    Load,
    fitting_tiling,
    is_measured,
    memory_of,
    table,
)
from decloud_lib.reconstruction.closed_form import CONTRACTS
from decloud_lib.reconstruction.network import Tiling, make_tiling
from decloud_lib.reconstruction.render import tiling_of
from decloud_lib.reconstruction.served import BUILT
from tests.unit.reconstruction.scenes import contract_of

TILE = (10980, 10980)
SMALL = (
    "crga_os2_david",
    "crga_os2_david_all_bands",
    "monthly_synthesis_6_s2_images_david",
    "monthly_synthesis_6_s2s1_images_david",
    "gapfilling_fitted",
    "crga_os2_gapfilling",
)
UNETS = (
    "crga_os1_unet",
    "crga_os1_unet_all_bands",
    "crga_os1_unet_impostor",
    "crga_os2_unet",
    "crga_os2_unet_all_bands",
    "meraner_unet",
    "meraner_unet_all_bands",
    "monthly_synthesis_6_s2_images",
    "monthly_synthesis_6_s2s1_images",
)


@cache
def contract_named(name: str) -> ModelContract:
    from decloud_lib.models import registry

    return registry.get(name).contract(registry.ModelSpec())


@pytest.mark.parametrize(
    ("name", "limit_gb", "most"),
    [
        *((name, 2.0, 1.3) for name in SMALL),
        *((name, 4.0, 1.6) for name in UNETS),
        ("residual", 2.0, 1.3),
        ("residual", 3.0, 1.2),
    ],
)
def test_a_whole_tile_is_computed_with_little_waste(
    name: str, limit_gb: float, most: float
) -> None:
    contract = contract_named(name)
    tiling, _ = tiling_of(contract, None, None, "required")
    found = fitting_tiling(contract, tiling, TILE, limit_gb, Load())
    assert found.computed_px(TILE) / (TILE[0] * TILE[1]) <= most
    assert memory_of(contract, found, TILE, Load()).total <= 1000 * limit_gb


def test_the_table_holds_what_was_measured_of_shipped_models() -> None:
    from decloud_lib.models import registry

    assert {*CONTRACTS, *BUILT, "crga_os2_david", "crga_os2_unet", "residual"} <= {
        *table(),
        "linear_gap_filling",
    }
    assert set(table()) - {"processes"} <= set(registry.names())
    assert set(table()["processes"]) == {"numpy", "tensorflow"}
    for name in set(table()) - {"processes"}:
        (small, low), (large, high) = table()[name]["windows"]
        assert 0 < small < large
        assert 0 < low < high


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    window=st.integers(1, 12),
    margin=st.integers(0, 3),
    multiple=st.sampled_from([2, 4, 32]),
    overlap=st.integers(0, 2),
)
def test_computed_pixels_are_those_of_all_windows(
    shape: tuple[int, int], window: int, margin: int, multiple: int, overlap: int
) -> None:
    tiling = Tiling(window * multiple, margin * multiple, multiple, overlap * multiple)
    areas = [tiling.read_window(item) for item in partition(shape, tiling.window_px)]
    assert tiling.computed_px(shape) == sum(area.height * area.width for area in areas)


def test_memory_grows_with_all_that_happens_at_once() -> None:
    contract = contract_of("s1_t", "s2_t", stride=4, reach_px=10, name="crga_os2_david")
    small, large = make_tiling(contract, 256, None), make_tiling(contract, 512, None)
    base = memory_of(contract, small, TILE, Load())
    assert memory_of(contract, large, TILE, Load()).forward > 2 * base.forward
    assert memory_of(contract, small, TILE, Load(batch_size=4)).forward == 4 * base.forward
    assert memory_of(contract, small, TILE, Load(readers=6)).waiting > base.waiting
    assert memory_of(contract, small, (256, 256), Load()) == base, "whatever the size of the image"


def test_windows_that_cut_blocks_keep_a_row_of_them() -> None:
    contract = contract_of("s1_t", "s2_t", stride=4, reach_px=10, name="crga_os2_david")
    tiling = make_tiling(contract, 260, None)
    narrow, wide = (
        memory_of(contract, tiling, (512, width), Load()).waiting for width in (5200, 52000)
    )
    assert wide - narrow == pytest.approx(256 * 4 * 2 * (52000 - 5200) / 1e6)


def test_wide_images_with_windows_that_overlap_keep_little_more() -> None:
    contract = contract_named("residual")
    tiling, _ = tiling_of(contract, 512, None, "required")
    narrow, wide = (
        memory_of(contract, tiling, (512, width), Load()).waiting for width in (5120, 51200)
    )
    # One row of blocks and 2 x 16 rows of sums of each raster, not whole windows.
    row = 256 * 4 * 2 + 32 * 5 * 4
    assert wide - narrow == pytest.approx(2 * row * (51200 - 5120) / 1e6)


def test_a_model_that_was_not_measured_is_taken_for_the_hungriest() -> None:
    unknown, known = contract_of("s2_t"), contract_of("s2_t", name="crga_os2_david")
    assert not is_measured(unknown)
    tiling = make_tiling(unknown, 256, None)
    needs = [memory_of(item, tiling, (1000, 1000), Load()).forward for item in (unknown, known)]
    assert needs[0] > needs[1]


def test_a_limit_below_the_smallest_window_is_refused() -> None:
    contract = contract_of("s2_t", stride=32, reach_px=66, name="crga_os2_unet")
    tiling = make_tiling(contract, None, None)
    with pytest.raises(ConfigError, match=r"--memory-limit 0.2: the smallest .* raise the limit"):
        fitting_tiling(contract, tiling, TILE, 0.2, Load())


def test_a_small_image_is_one_window() -> None:
    contract = CONTRACTS["gapfilling_fitted"]
    tiling, _ = tiling_of(contract, None, None, "required")
    found = fitting_tiling(contract, tiling, (64, 64), 4.0, Load())
    assert found.window_px == 64
    assert found.overlap_px == 0, "its windows are estimated together"
