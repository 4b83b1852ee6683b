"""Delivered optical products read by window: values, masks and windows, whatever the family."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.bands import S2_10M_BANDS, S2_20M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.errors import GridMismatchError, MissingBandError, ProductError
from decloud_lib.raster.optical import open_delivered
from decloud_lib.raster.products.names import S2Name
from decloud_lib.raster.products.optical import BandFile, OpticalProduct, OpticalSettings
from decloud_lib.types import Window
from tests.stages.delivered import write_tif

HEIGHT, WIDTH = 130, 200
NAME = S2Name("SENTINEL2B", "T31TEJ", datetime(2022, 5, 1, tzinfo=UTC), "S2B_x", 94)
WHOLE = Window(0, 0, HEIGHT, WIDTH)


class Esa:
    """A product with stored uint16 values, offset -1000, and every class of the scene."""

    def __init__(self, folder: Path, offset: float = -1000.0, scale: float = 1.0) -> None:
        rng = np.random.default_rng(5)
        shapes = dict.fromkeys(S2_10M_BANDS, (HEIGHT, WIDTH))
        shapes |= dict.fromkeys(S2_20M_BANDS, (HEIGHT // 2, WIDTH // 2))
        self.stored = {
            name: rng.integers(1, 12_000, shape).astype(np.uint16) for name, shape in shapes.items()
        }
        self.stored["B3"][7, 9] = self.stored["B5"][3, 3] = 0
        self.stored["B8"][0, 0] = 65535
        self.classes = rng.integers(1, 12, shapes["B5"]).astype(np.uint8)
        self.classes[20, 30] = 0
        for name, values in self.stored.items():
            pixel_m = 10.0 if name in S2_10M_BANDS else 20.0
            write_tif(folder / f"{name}.tif", values, pixel_m)
        write_tif(folder / "SCL.tif", self.classes, 20.0)
        self.product = OpticalProduct(
            uri=str(folder),
            family="esa",
            name=NAME,
            reflectance="FRE",
            bands={
                name: BandFile(str(folder / f"{name}.tif"), 0, scale, offset) for name in shapes
            },
            cloud_mask=None,
            edge_mask=None,
            scene_classification=str(folder / "SCL.tif"),
            facts={},
            entries=(),
        )

    def fine_classes(self) -> Any:
        return self.classes.repeat(2, 0).repeat(2, 1)


@pytest.fixture(scope="module")
def esa(tmp_path_factory: pytest.TempPathFactory) -> Esa:
    return Esa(tmp_path_factory.mktemp("esa"))


def test_values_become_reflectance_in_ten_thousandths(esa: Esa) -> None:
    with open_delivered(esa.product, OpticalSettings()) as reader:
        strip = reader.read(WHOLE)
    assert strip.stack_10m.dtype == strip.stack_20m.dtype == np.int16
    for index, name in enumerate(S2_10M_BANDS):
        stored = esa.stored[name].astype(int)
        expected = np.where(stored == 0, -10000, np.minimum(stored - 1000, 32767))
        assert np.array_equal(strip.stack_10m[..., index], expected)
    for index, name in enumerate(S2_20M_STACK_BANDS):
        stored = esa.stored[name].astype(int)
        assert np.array_equal(
            strip.stack_20m[..., index], np.where(stored == 0, -10000, stored - 1000)
        )


def test_another_quantification_is_scaled_and_rounded(tmp_path: Path) -> None:
    esa = Esa(tmp_path, offset=0.0, scale=0.5)
    with open_delivered(esa.product, OpticalSettings()) as reader:
        found = reader.read(WHOLE).stack_10m[..., 0]
    assert np.array_equal(found, np.rint(esa.stored["B2"] * 0.5))


@pytest.mark.parametrize(
    ("chosen", "counted"),
    [
        ({}, {3, 8, 9, 10}),
        ({"shadows": False}, {8, 9, 10}),
        ({"scl_classes": (8, 9)}, {8, 9}),
        ({"scl_classes": (3, 7, 11)}, {3, 7, 11}),
    ],
)
def test_classes_that_count_become_a_cloud_mask(
    esa: Esa, chosen: dict[str, Any], counted: set[int]
) -> None:
    with open_delivered(esa.product, OpticalSettings(**chosen)) as reader:
        mask = reader.read(WHOLE).cloud
    classes = esa.fine_classes()
    assert mask.dtype == np.uint8
    assert np.array_equal(mask != 0, np.isin(classes, list(counted)))
    bits = {3: 0b100001, 8: 0b11, 9: 0b11, 10: 0b10000000, 7: 1, 11: 1}
    for number in counted:
        assert set(np.unique(mask[classes == number])) == {bits[number]}


def test_pixels_without_data_in_any_band_or_class_are_outside(esa: Esa) -> None:
    with open_delivered(esa.product, OpticalSettings()) as reader:
        edge = reader.read(WHOLE).edge
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[7, 9] = 1
    expected[40:42, 60:62] = 1
    assert np.array_equal(edge, expected)


@settings(max_examples=40)
@given(data=st.data())
def test_any_window_of_a_mask_is_a_cut_of_the_whole(esa: Esa, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, HEIGHT - 1))
    col = data.draw(st.integers(0, WIDTH - 1))
    height = data.draw(st.integers(1, HEIGHT - row))
    width = data.draw(st.integers(1, WIDTH - col))
    cut = np.s_[row : row + height, col : col + width]
    window = Window(row, col, height, width)
    for part in ("cloud_mask", "edge_mask"):
        with open_delivered(esa.product, OpticalSettings(), (part,)) as reader:
            image = reader.part(part, "x")
            assert np.array_equal(image.read(window), image.read(WHOLE)[cut])


def test_only_the_files_behind_a_part_are_opened(esa: Esa, tmp_path: Path) -> None:
    bands = dict(esa.product.bands)
    bands["B11"] = BandFile(str(tmp_path / "missing.tif"), 0)
    fields = {name: getattr(esa.product, name) for name in esa.product.__slots__}
    product = OpticalProduct(**(fields | {"bands": bands}))
    with open_delivered(product, OpticalSettings(), ("stack_10m",)) as reader:
        image = reader.part("stack_10m", "view#stack_10m")
        assert image.read(WHOLE, ("B8", "B2")).shape == (HEIGHT, WIDTH, 2)
        with pytest.raises(MissingBandError, match=r"view#stack_10m: band B5 is missing"):
            image.read(WHOLE, ("B5",))
    with (
        pytest.raises(ProductError, match=r"missing\.tif"),
        open_delivered(product, OpticalSettings(), ("stack_20m",)),
    ):
        pass


def test_files_of_another_grid_or_type_are_refused(tmp_path: Path) -> None:
    esa = Esa(tmp_path)
    write_tif(tmp_path / "SCL.tif", esa.classes[:-1], 20.0)
    with (
        pytest.raises(GridMismatchError, match="height 65 against 64"),
        open_delivered(esa.product, OpticalSettings()),
    ):
        pass
    write_tif(tmp_path / "SCL.tif", esa.classes.astype(np.int16), 20.0)
    with (
        pytest.raises(ProductError, match=r"SCL\.tif: found 1 band\(s\) of int16"),
        open_delivered(esa.product, OpticalSettings()),
    ):
        pass
