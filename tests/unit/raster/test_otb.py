"""The engine on the Orfeo ToolBox gives the same pixels as rasterio, for every kind of source."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decloud_lib.arrays.windows import read_mirrored
from decloud_lib.errors import GridMismatchError, MissingBandError, ProductError, ShapeError
from decloud_lib.raster.compose import Composition, Engine, Mosaic, Raster, engine, open_composition
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Array, Grid, Window

pytest.importorskip("otbApplication", reason="no Orfeo ToolBox here: `make otb` installs it")

GRID = Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, 60, 80)
HALF = GRID.coarsened(2)
WHOLE = Window(0, 0, 60, 80)


@pytest.fixture(scope="module")
def otb() -> Engine:
    return engine("otb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rasters of each kind: radar with gaps, optical, 20 m, elevation, masks, parts of the grid."""
    folder = tmp_path_factory.mktemp("rasters")
    generator = np.random.default_rng(5)

    def add(name: str, pixels: Array, grid: Grid, bands: tuple[str, ...]) -> None:
        profile = RasterProfile(bands, str(pixels.dtype), block_px=16)
        write_raster(f"{folder}/{name}.tif", grid, profile, pixels)

    for number in range(3):
        radar = generator.integers(1, 65536, (60, 80, 2)).astype(np.uint16)
        radar[: 40 - 15 * number] = 0
        radar[50:, 70:, number % 2] = 0  # one polarisation only: data
        radar[55:, :9] = 0
        add(f"radar{number}", radar, GRID, ("VV", "VH"))
    optical = generator.integers(-10000, 12000, (60, 80, 4)).astype(np.int16)
    add("optical", optical, GRID, ("B2", "B3", "B4", "B8"))
    names = ("B11", "B12", "B5", "B6", "B7", "B8A")
    add("coarse", generator.integers(0, 9000, (30, 40, 6)).astype(np.int16), HALF, names)
    add("dem", generator.integers(-400, 4000, (30, 40, 1)).astype(np.int16), HALF, ("DEM",))
    add("mask", generator.integers(0, 256, (60, 80, 1)).astype(np.uint8), GRID, ("CLM",))
    add("float", generator.normal(size=(60, 80, 1)).astype(np.float32), GRID, ("S",))
    part = Grid("EPSG:32631", 300200.0, 4899900.0, 10.0, 70, 30)
    add("part", generator.integers(1, 9000, (70, 30, 2)).astype(np.uint16), part, ("VV", "VH"))
    return folder


def kinds(folder: Path) -> dict[str, Composition]:
    def raster(name: str, grid: Grid | None = None, fill: int | None = None) -> Raster:
        return Raster(f"{folder}/{name}.tif", grid=grid, fill=fill)

    radars = tuple(raster(f"radar{number}", GRID, 0) for number in range(3))
    return {
        "radar": radars[0],
        "mosaic": Mosaic(radars),
        "mosaic with a part": Mosaic((raster("part", GRID, 0), *radars)),
        "mosaic of one": Mosaic(radars[:1]),
        "optical": raster("optical", GRID, -10000),
        "20 m": raster("coarse", HALF),
        "20 m on 10 m": raster("coarse", GRID, -10000),
        "elevation": raster("dem", HALF),
        "mask": raster("mask", GRID),
        "float": raster("float"),
        "part": raster("part", GRID, 0),
    }


KINDS = tuple(kinds(Path()))


def both(otb: Engine, composition: Composition, window: Window) -> tuple[Array, Array]:
    with open_composition(composition) as one, otb(composition) as other:
        assert (one.grid, one.bands, one.dtype) == (other.grid, other.bands, other.dtype)
        found = tuple(
            read_mirrored(reader.read, reader.grid.shape, window) for reader in (one, other)
        )
    return found[0], found[1]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=st.integers(-20, 70),
    col=st.integers(-20, 90),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_both_engines_read_the_same_also_beyond_the_border(
    otb: Engine, folder: Path, kind: str, row: int, col: int, height: int, width: int
) -> None:
    one, other = both(otb, kinds(folder)[kind], Window(row, col, height, width))
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_windows_in_any_order_give_the_pixels_of_the_whole(
    otb: Engine, folder: Path, kind: str
) -> None:
    with otb(kinds(folder)[kind]) as reader:
        height, width = reader.grid.shape
        whole = reader.read(Window(0, 0, height, width))
        for window in (Window(3, 5, 9, 8), Window(4, 6, 2, 2), Window(20, 1, 9, 8)):
            rows = slice(window.row, window.row + window.height)
            cols = slice(window.col, window.col + window.width)
            np.testing.assert_array_equal(reader.read(window), whole[rows, cols])
        np.testing.assert_array_equal(reader.read(Window(0, 0, height, width)), whole)


def test_a_mosaic_takes_the_first_part_with_data(otb: Engine, folder: Path) -> None:
    parts = [Raster(f"{folder}/radar{number}.tif") for number in range(3)]
    with otb(Mosaic(tuple(parts))) as reader:
        found = reader.read(WHOLE)
    expected = np.zeros_like(found)
    for part in reversed(parts):
        with open_composition(part) as reader:
            pixels = reader.read(WHOLE)
        expected = np.where((pixels == 0).all(axis=2, keepdims=True), expected, pixels)
    np.testing.assert_array_equal(found, expected)
    assert (found[:10] == 0).all()


def test_what_a_raster_does_not_cover_is_filled(otb: Engine, folder: Path) -> None:
    one, other = both(otb, Raster(f"{folder}/part.tif", grid=GRID, fill=0), WHOLE)
    assert (other[:10] == 0).all()
    assert (other[:, :20] == 0).all()
    assert (other[:, 50:] == 0).all()
    assert (other[10:, 20:50] > 0).all()
    np.testing.assert_array_equal(one, other)


def test_bicubic_resampling_agrees_within_one_inside(otb: Engine, folder: Path) -> None:
    wanted = Raster(f"{folder}/dem.tif", grid=GRID, fill=-10000, resampling="bicubic")
    one, other = both(otb, wanted, WHOLE)
    # Within two of its pixels from the border of the raster each library extrapolates by itself.
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(one[inside].astype(int) - other[inside]).max() <= 1
    assert np.abs(other[inside].astype(int) - other[inside].mean()).max() > 100


@pytest.mark.parametrize("name", ["rasterio", "otb"])
def test_what_cannot_be_placed_is_refused(name: str, folder: Path) -> None:
    open_it = engine(name)  # type: ignore[arg-type]
    odd = Grid("EPSG:32631", 300003.0, 4900000.0, 10.0, 60, 80)
    elsewhere = Grid("EPSG:32632", 300000.0, 4900000.0, 10.0, 60, 80)
    away = Grid("EPSG:32631", 500000.0, 4900000.0, 10.0, 60, 80)
    for grid in (odd, elsewhere, away):
        wanted = Raster(f"{folder}/optical.tif", grid=grid, fill=-10000)
        with pytest.raises(GridMismatchError, match="lies on another grid"), open_it(wanted):
            pass
    with (
        pytest.raises(GridMismatchError, match="height 30 against 60"),
        open_it(Raster(f"{folder}/dem.tif", grid=GRID)),
    ):
        pass


def test_bands_are_read_by_name(otb: Engine, folder: Path) -> None:
    with otb(Raster(f"{folder}/coarse.tif")) as reader:
        whole = reader.read(Window(0, 0, 30, 40))
        found = reader.read(Window(2, 3, 5, 6), ("B5", "B11"))
        np.testing.assert_array_equal(found, whole[2:7, 3:9][..., [2, 0]])
        with pytest.raises(MissingBandError, match="band B2 is missing"):
            reader.read(WHOLE, ("B2",))
        with pytest.raises(ShapeError, match="reaches outside"):
            reader.read(WHOLE)


def test_a_file_that_was_cut_short_is_named(otb: Engine, folder: Path, tmp_path: Path) -> None:
    whole = (folder / "optical.tif").read_bytes()
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(whole[: len(whole) // 2])
    with (
        pytest.raises(ProductError, match=r"damaged\.tif"),
        otb(Raster(str(damaged))) as reader,
    ):
        reader.read(WHOLE)


def test_the_toolbox_is_silent(
    otb: Engine, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with otb(kinds(folder)["mosaic"]) as reader:
        reader.read(WHOLE)
    found = capfd.readouterr()
    assert found.out + found.err == ""


def test_many_threads_read_at_the_same_time(otb: Engine, folder: Path) -> None:
    composition = kinds(folder)["mosaic"]
    with open_composition(composition) as reader:
        expected = reader.read(WHOLE)

    def read(number: int) -> bool:
        with otb(composition) as own:
            windows = [Window(row, number, 20, 30) for row in range(0, 40, 4)]
            return all(
                np.array_equal(own.read(window), expected[window.row :, number:][:20, :30])
                for window in windows
            )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(24)))


def test_chains_hold_no_pixels_between_windows(otb: Engine, tmp_path: Path) -> None:
    grid = Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, 1024, 1024)
    profile = RasterProfile(("B2", "B3", "B4", "B8"), "int16")
    pixels = np.zeros((*grid.shape, 4), np.int16)
    whole = Window(0, 0, *grid.shape)
    with ExitStack() as stack:
        readers = []
        for number in range(8):
            write_raster(f"{tmp_path}/{number}.tif", grid, profile, pixels)
            readers.append(stack.enter_context(otb(Raster(f"{tmp_path}/{number}.tif"))))
        readers[0].read(whole)
        before = _resident_mb()
        for reader in readers:
            assert not reader.read(whole).any()
        # Images alone would be 134 MB, with what their files gave twice as much; the blocks of the
        # files are 67 MB.
        assert _resident_mb() - before < 150


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
