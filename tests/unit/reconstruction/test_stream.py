"""The streaming core on arrays: tiled equals whole, one shape per batch, memory, errors."""

import logging
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.models.contract import ModelContract
from decloud_lib.reconstruction import stream
from decloud_lib.reconstruction.finish import Finish
from decloud_lib.reconstruction.network import Caller, make_tiling
from decloud_lib.reconstruction.readers import ReaderPool
from decloud_lib.reconstruction.sources import (
    SceneReader,
    Single,
    dem_image,
    s1_image,
    s2_image,
)
from decloud_lib.types import Array, Window
from tests.unit.reconstruction.scenes import (
    S2_BANDS,
    ArrayReader,
    FakeNetwork,
    Shelf,
    contract_of,
    grid_of,
)

KEYS = ("s1_t", "s2_t", "dem")


class Canvas:
    """Collects the output; each pixel may be written once."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.pixels = np.zeros((*shape, 4), np.int16)
        self.times = np.zeros(shape, int)

    def write(self, window: Window, pixels: Array) -> None:
        rows = slice(window.row, window.row + window.height)
        cols = slice(window.col, window.col + window.width)
        self.pixels[rows, cols] = pixels
        self.times[rows, cols] += 1


def shelf_for(shape: tuple[int, int]) -> Shelf:
    generator = np.random.default_rng(3)
    grid = grid_of(*shape)
    half = grid.coarsened(2)
    return Shelf(
        {
            "s1_t": ArrayReader(generator.integers(1, 65536, (*shape, 2)), ("VV", "VH"), grid),
            "s2_t": ArrayReader(generator.integers(0, 9000, (*shape, 4)), S2_BANDS, grid),
            "dem": ArrayReader(generator.integers(0, 3000, (*half.shape, 1)), ("DEM",), half),
        }
    )


def rebuild(
    shelf: Shelf,
    contract: ModelContract,
    window_px: int,
    *,
    batch_size: int = 1,
    readers: int = 2,
    margin_px: int | None = None,
) -> tuple[Canvas, FakeNetwork]:
    grid = shelf.readers["s2_t"].grid
    tiling = make_tiling(contract, window_px, margin_px)
    images = {"s1_t": s1_image, "s2_t": s2_image, "dem": dem_image}
    sources = [Single(key, images[key](key)) for key in contract.input_keys]
    lanes = [
        SceneReader(sources, contract.input_keys, ReaderPool(grid, shelf.open))
        for _ in range(readers)
    ]
    canvas, network = Canvas(grid.shape), FakeNetwork(contract)
    batches = tiling.batches(grid.shape, batch_size)
    targets = [stream.Target(Finish(tiling.margin_px), canvas)]
    stream.run(lanes, Caller(network), targets, batches, tiling)
    return canvas, network


@settings(max_examples=25)
@given(
    height=st.integers(4, 40),
    width=st.integers(4, 40),
    window=st.integers(1, 6),
    batch_size=st.integers(1, 4),
    readers=st.integers(1, 3),
)
def test_tiled_equals_whole(
    height: int, width: int, window: int, batch_size: int, readers: int
) -> None:
    shape = (2 * height, 2 * width)
    contract = contract_of(*KEYS, stride=4, reach_px=3)
    shelf = shelf_for(shape)
    whole, _ = rebuild(shelf, contract, 128)
    tiled, network = rebuild(shelf, contract, 8 * window, batch_size=batch_size, readers=readers)
    assert (tiled.times == 1).all()
    assert np.abs(tiled.pixels.astype(int) - whole.pixels).max() <= 1
    assert len({call[1:3] for call in network.calls}) <= 4
    assert max(call[0] for call in network.calls) <= batch_size
    assert sorted(shelf.opened) == sorted(shelf.closed)


def test_too_small_a_margin_would_show() -> None:
    contract = contract_of(*KEYS, stride=4, reach_px=3)
    shelf = shelf_for((32, 32))
    whole, _ = rebuild(shelf, contract, 32)
    tiled, _ = rebuild(shelf, contract, 16, margin_px=0)
    assert np.abs(tiled.pixels.astype(int) - whole.pixels).max() > 1


def test_an_odd_extent_is_covered_with_even_windows() -> None:
    shelf = shelf_for((33, 47))
    canvas, network = rebuild(shelf, contract_of(*KEYS), 16)
    assert (canvas.pixels == shelf.readers["s2_t"].pixels).all()
    assert {call[1:3] for call in network.calls} == {(16, 16), (2, 16)}


def test_the_margin_and_windows_of_a_network_without_stride_fit_its_20_m_input() -> None:
    contract = contract_of(*KEYS, reach_px=3)
    assert make_tiling(contract, 16, None).margin_px == 4
    with pytest.raises(ConfigError, match="--pad 3 is no multiple of 2"):
        make_tiling(contract, 16, 3)


def test_estimates_are_rounded_clamped_and_never_no_data() -> None:
    estimate = np.array([[[0.00005, 0.12344, 9.0, -3.0]]], np.float32)
    inputs = {"s2_t": np.full((1, 1, 4), 5)}
    found = Finish(0)(Window(0, 0, 1, 1), estimate, inputs)
    assert found.tolist() == [[[0, 1234, 32767, -9999]]]
    assert found.dtype == np.int16


def test_an_output_pixel_is_no_data_exactly_where_an_image_is() -> None:
    inputs = {
        "s2_t": np.array([[[-10000, -10000], [-10000, 3]], [[1, 2], [1, 2]]]),
        "s1_t": np.array([[[4, 0], [0, 0]], [[1, 2], [1, 2]]]),
        "dem": np.array([[[-32768]]]),
        "s2_20m_t": np.array([[[7]]]),
        "s2_timestamp_t": np.array([[[-10000], [0]], [[0], [0]]]),
    }
    window = Window(0, 0, 2, 2)
    assert Finish(0).nodata(window, inputs).tolist() == [[True, True], [False, False]]
    del inputs["s1_t"]
    assert Finish(0).nodata(window, inputs).tolist() == [[True, False], [False, False]]
    inputs["s2_20m_t"][:] = -10000
    assert Finish(0).nodata(window, inputs).all()


def test_the_historic_rule_closes_specks_and_takes_away_surroundings() -> None:
    inputs = {"s2_t": np.ones((90, 90, 4)), "s2_20m_t": np.full((45, 45, 1), -10000)}
    inputs["s2_t"][30, 30] = -10000  # a speck
    inputs["s2_t"][60:, 40:] = -10000
    rule = Finish(20, rule="historic", erosion_px=8)
    found = rule.nodata(Window(100, 100, 50, 50), inputs)
    expected = np.zeros((50, 50), bool)
    expected[60 - 8 - 20 :, 40 - 8 - 20 :] = True
    assert (found == expected).all()


def test_20_m_pixels_of_an_odd_extent_are_the_whole_ones() -> None:
    finish = Finish(4, factor=2)
    assert finish.place(Window(32, 46, 1, 2)) == Window(16, 23, 0, 1)
    estimate = np.full(
        (8, 12, 6), 0.3, np.float32
    )  # a window of 8 x 16 px with its margin, at 20 m
    inputs = {"s2_t": np.ones((16, 24, 4), np.int16)}
    inputs["s2_t"][4 + 3, 4 + 5] = -10000
    found = finish(Window(0, 0, 7, 15), estimate, inputs)
    assert found.shape == (3, 7, 6)
    assert np.argwhere(found[..., 0] == -10000).tolist() == [[1, 2]]


def test_a_margin_below_the_reach_is_told(caplog: pytest.LogCaptureFixture) -> None:
    make_tiling(contract_of(*KEYS, stride=4, reach_px=10), 16, 8)
    assert "--pad 8 is less than the 10 px" in caplog.text
    caplog.clear()
    make_tiling(contract_of(*KEYS, stride=4, reach_px=10), 16, 12)
    assert not caplog.text


def test_a_network_that_gives_no_numbers_is_refused() -> None:
    estimate = np.full((1, 1, 4), np.nan, np.float32)
    with pytest.raises(ModelFolderError, match="no numbers"):
        Finish(0)(Window(0, 0, 1, 1), estimate, {"s2_t": np.ones((1, 1, 4))})


@pytest.mark.parametrize("where", ["read", "network", "write"])
def test_an_error_anywhere_ends_everything_with_its_cause(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, shelf = contract_of("s2_t"), shelf_for((64, 64))
    writes = []

    def fail(*_: object) -> Array:
        writes.append(1)
        raise OSError(f"broken {where}")

    owner = {"read": ArrayReader, "network": FakeNetwork, "write": Canvas}[where]
    monkeypatch.setattr(owner, {"network": "predict"}.get(where, where), fail)
    with pytest.raises(OSError, match=f"broken {where}"):
        rebuild(shelf, contract, 8)
    assert len(writes) < 10
    assert sorted(shelf.opened) == sorted(shelf.closed)


class Endless:
    """A source that makes its pixels when asked, so that only the stream itself needs memory."""

    def read(self, window: Window) -> dict[str, Array]:
        return {"s2_t": np.full((*window.shape, 4), 7, np.int16)}

    def close(self) -> None:
        pass


class Nowhere:
    def write(self, window: Window, pixels: Array) -> None:
        pass


def peak_bytes(shape: tuple[int, int]) -> int:
    contract = contract_of("s2_t")
    tiling = make_tiling(contract, 64, 16)
    batches = tiling.batches(shape, 1)
    caller = Caller(FakeNetwork(contract))
    tracemalloc.start()
    targets = [stream.Target(Finish(16), Nowhere())]
    stream.run([Endless(), Endless()], caller, targets, batches, tiling)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_scene() -> None:
    peak_bytes((64, 64))
    small, large = peak_bytes((256, 256)), peak_bytes((1024, 1024))
    assert large < 1.5 * small, "16 times the pixels"


def test_the_summary_names_the_speed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        rebuild(shelf_for((32, 32)), contract_of("s2_t"), 16, margin_px=4)
    assert "Mpixel/s; 2.25 pixels computed per pixel written" in caplog.text
