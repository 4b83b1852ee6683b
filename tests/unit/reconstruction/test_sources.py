"""Sources read no more than they need, beyond the border too, and keep pairs together."""

import numpy as np
import pytest

from decloud_lib.arrays.pairing import Pair
from decloud_lib.errors import GridMismatchError, MissingBandError
from decloud_lib.reconstruction.readers import Image, ReaderPool
from decloud_lib.reconstruction.sources import (
    Optical,
    PairMosaic,
    SarMosaic,
    SceneReader,
    Single,
    dem_image,
    mask_image,
    s1_image,
    s2_image,
)
from decloud_lib.types import Array, Window
from tests.unit.reconstruction.scenes import S2_BANDS, ArrayReader, Shelf, grid_of

GRID = grid_of(8, 10)
WHOLE = Window(0, 0, 8, 10)
SAR_BANDS = ("VV", "VH")


def flat(value: int, bands: tuple[str, ...], dtype: type = np.int16) -> ArrayReader:
    return ArrayReader(np.full((8, 10, len(bands)), value, dtype), bands, GRID)


def shelf_of(**readers: ArrayReader) -> Shelf:
    return Shelf(readers)


def pool_of(shelf: Shelf, limit: int = 96) -> ReaderPool:
    return ReaderPool(GRID, shelf.open, limit)


def test_bands_are_found_by_name_in_any_order() -> None:
    bands = ("B8", "B4", "B3", "B2")
    pixels = np.arange(8 * 10 * 4).reshape(8, 10, 4)
    pool = pool_of(shelf_of(a=ArrayReader(pixels, bands, GRID)))
    assert (pool.read(s2_image("a"), WHOLE) == pixels[:, :, ::-1]).all()


def test_files_without_band_names_have_the_documented_order() -> None:
    pixels = np.arange(8 * 10 * 2).reshape(8, 10, 2)
    pool = pool_of(shelf_of(a=ArrayReader(pixels, ("1", "2"), GRID)))
    assert (pool.read(s1_image("a"), WHOLE) == pixels).all()
    with pytest.raises(MissingBandError, match="band B2, B3, B4, B8 missing; found 1, 2"):
        pool.read(s2_image("a"), WHOLE)


def test_a_missing_band_is_named() -> None:
    pool = pool_of(shelf_of(a=flat(1, ("B2", "B3", "B4"))))
    with pytest.raises(MissingBandError, match="a: band B8 missing; found B2, B3, B4"):
        pool.read(s2_image("a"), WHOLE)


def test_another_grid_is_refused_with_both_values() -> None:
    other = ArrayReader(np.zeros((8, 9, 1)), ("DEM",), grid_of(8, 9))
    with pytest.raises(GridMismatchError, match="width 9 against 10"):
        pool_of(shelf_of(a=other)).read(mask_image("a"), WHOLE)
    with pytest.raises(GridMismatchError, match=r"pixel_m 10\.0 against 20\.0"):
        pool_of(shelf_of(a=other)).read(dem_image("a"), WHOLE)


def test_the_number_of_open_files_is_bounded() -> None:
    shelf = shelf_of(**{str(number): flat(number, ("1",)) for number in range(7)})
    pool = pool_of(shelf, limit=3)
    for number in range(7):
        pool.read(Image(str(number), (), ()), WHOLE)
        assert len(shelf.opened) - len(shelf.closed) <= 3
    pool.close()
    assert sorted(shelf.closed) == sorted(shelf.opened)


def test_windows_reach_beyond_the_border_at_both_resolutions() -> None:
    fine = np.arange(80).reshape(8, 10, 1)
    coarse = fine[::2, ::2]
    shelf = shelf_of(
        fine=ArrayReader(fine, ("1",), GRID),
        coarse=ArrayReader(coarse, ("DEM",), GRID.coarsened(2)),
    )
    pool = pool_of(shelf)
    window = Window(-20, 4, 40, 16)
    assert pool.read(Image("fine", (), ()), window).shape == (40, 16, 1)
    found = pool.read(dem_image("coarse"), window)
    padded = np.pad(coarse, ((10, 10), (10, 10), (0, 0)), mode="symmetric")
    assert (found == padded[0:20, 12:20]).all()


def test_a_sar_mosaic_puts_the_first_image_on_top_and_stops_when_full() -> None:
    top, middle, last = (flat(value, SAR_BANDS, np.uint16) for value in (5, 6, 7))
    top.pixels[:4] = 0
    source = SarMosaic("s1_t", tuple(s1_image(name) for name in "abc"))
    found = source.read(pool_of(shelf_of(a=top, b=middle, c=last)), WHOLE)["s1_t"]
    assert (found[:4] == 6).all()
    assert (found[4:] == 5).all()
    assert found.dtype == np.uint16
    assert last.reads == 0


def pair_mosaic(pairs: list[tuple[int, int]], *, clear_first: bool, sar: bool = True) -> PairMosaic:
    return PairMosaic(
        suffix="tm1",
        optical=tuple(
            Optical(s2_image(f"o{number}"), 1000 * number, mask_image(f"m{number}"))
            for number in range(2)
        ),
        sar=tuple(s1_image(f"s{number}") for number in range(2)) if sar else (),
        pairs=tuple(Pair(*pair) for pair in pairs),
        clear_first=clear_first,
        with_dates=True,
    )


def stack() -> dict[str, ArrayReader]:
    readers = {f"o{number}": flat(100 + number, S2_BANDS) for number in range(2)}
    readers |= {f"s{number}": flat(10 + number, SAR_BANDS, np.uint16) for number in range(2)}
    return readers | {f"m{number}": flat(0, ("CLM",), np.uint8) for number in range(2)}


def read(source: PairMosaic, readers: dict[str, ArrayReader]) -> dict[str, Array]:
    return source.read(pool_of(Shelf(readers)), WHOLE)


def test_one_clear_pair_is_all_that_is_read() -> None:
    readers = stack()
    found = read(pair_mosaic([(1, 0), (0, 1)], clear_first=True), readers)
    assert (found["s2_tm1"] == 101).all()
    assert (found["s1_tm1"] == 10).all()
    assert (found["s2_timestamp_tm1"] == 1000).all()
    assert {name for name, reader in readers.items() if reader.reads} == {"o1", "s0", "m1"}


def test_a_cloudy_image_that_fills_nothing_is_not_read() -> None:
    readers = stack()
    readers["m1"].pixels[:] = 1
    readers["m0"].pixels[:] = 1
    read(pair_mosaic([(0, 0), (1, 0)], clear_first=True), readers)
    assert readers["o1"].reads == 0
    assert readers["m1"].reads == 1


def test_both_images_of_a_pair_must_have_data() -> None:
    readers = stack()
    readers["o0"].pixels[0] = -10000
    readers["s0"].pixels[1] = 0
    readers["o1"].pixels[2] = readers["o0"].pixels[2] = -10000
    found = read(pair_mosaic([(0, 0), (1, 1)], clear_first=False), readers)
    assert found["s2_tm1"][:4, 0, 0].tolist() == [101, 101, -10000, 100]
    assert found["s1_tm1"][:4, 0, 0].tolist() == [11, 11, 0, 10]
    assert found["s2_timestamp_tm1"][:4, 0, 0].tolist() == [1000, 1000, 0, 0]


def test_a_second_sar_image_helps_the_same_optical_one() -> None:
    readers = stack()
    readers["s0"].pixels[:4] = 0
    found = read(pair_mosaic([(0, 0), (0, 1)], clear_first=False), readers)
    assert (found["s2_tm1"] == 100).all()
    assert (found["s1_tm1"][:4] == 11).all()
    assert readers["o0"].reads == 1


def test_optical_images_alone_need_no_sar() -> None:
    readers = stack()
    readers["o0"].pixels[:2] = -10000
    found = read(pair_mosaic([(0, -1), (1, -1)], clear_first=True, sar=False), readers)
    assert sorted(found) == ["s2_timestamp_tm1", "s2_tm1"]
    assert (found["s2_tm1"][:2] == 101).all()


def test_a_scene_reader_gives_the_keys_of_the_network_and_closes_its_files() -> None:
    shelf = shelf_of(a=flat(3, S2_BANDS), b=flat(4, SAR_BANDS, np.uint16))
    sources = [Single("s2_t", s2_image("a")), SarMosaic("s1_t", (s1_image("b"),))]
    reader = SceneReader(sources, ("s1_t", "s2_t"), pool_of(shelf))
    assert list(reader.read(WHOLE)) == ["s1_t", "s2_t"]
    reader.close()
    assert sorted(shelf.closed) == ["a", "b"]
