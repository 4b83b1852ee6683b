"""Mosaics that others wrote: what is taken of them, and what is refused."""

from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import pytest
from affine import Affine

from decloud_lib import storage
from decloud_lib.errors import ProductError, StorageError
from decloud_lib.raster.mosaic import mosaic
from decloud_lib.raster.vrt import read_vrt
from decloud_lib.raster.warp import open_warped
from decloud_lib.types import Grid, Window
from tests.elevations import write_dem
from tests.web import serve_web

GRID = Grid("EPSG:32631", 500000.0, 4900000.0, 20.0, 60, 80)
PLACE = Affine(20, 0, 500000, 0, -20, 4900000)
ROUGH = np.random.default_rng(3).normal(300, 80, (60, 80)).astype(np.float32)


def _vrt(sources, *, relative="1", srs="EPSG:32631", transform="500000,20,0,4900000,0,-20", **more):
    """Return a document as gdalbuildvrt writes it: (name, column, row, width, height) of each."""
    root = Element("VRTDataset", rasterXSize="2000", rasterYSize="60")
    SubElement(root, "SRS").text = srs
    SubElement(root, "GeoTransform").text = transform
    SubElement(SubElement(root, "OverviewList", resampling="average"), "Overview").text = "2"
    band = SubElement(root, "VRTRasterBand", dataType="Float32", band="1", **more)
    SubElement(band, "NoDataValue").text = "-9999"
    SubElement(band, "ColorInterp").text = "Gray"
    for name, col, row, width, height in sources:
        item = SubElement(band, "ComplexSource")
        SubElement(item, "SourceFilename", relativeToVRT=relative).text = name
        options = SubElement(item, "OpenOptions")
        SubElement(options, "OOI", key="NUM_THREADS").text = "2"
        SubElement(item, "SourceBand").text = "1"
        SubElement(item, "SrcRect", xOff="0", yOff="0", xSize=str(width), ySize=str(height))
        place = {"xOff": col, "yOff": row, "xSize": width, "ySize": height}
        SubElement(item, "DstRect", {key: str(value) for key, value in place.items()})
        SubElement(item, "NODATA").text = "-9999"
    return tostring(root)


def _shown(uri, grid=GRID):
    piece, entries = read_vrt(uri, grid)
    with open_warped(mosaic([piece], "nearest"), uri, grid, "nearest") as reader:
        return reader.read(Window(0, 0, *grid.shape)), [entry.uri for entry in entries]


def _write_parts(folder):
    write_dem(folder / "parts" / "a.tif", ROUGH[:, :30], PLACE, nodata=-9999)
    write_dem(folder / "parts" / "b.tif", ROUGH[:, 30:], PLACE @ Affine.translation(30, 0))
    return [("parts/a.tif", 0, 0, 30, 60), ("parts/b.tif", 30, 0, 50, 60)]


@pytest.fixture(params=["folder", "s3", "web"])
def place(request, tmp_path):
    """Give a folder to write to, and the URI under which its files are then read."""
    folder = tmp_path / "dem"
    folder.mkdir()
    if request.param == "folder":
        yield folder, lambda: str(folder)
    elif request.param == "web":
        with serve_web(folder) as server:
            yield folder, lambda: server.uri("").rstrip("/")
    else:
        bucket = request.getfixturevalue("s3")

        def uploaded():
            storage.upload_folder(folder, f"{bucket}/dem")
            return f"{bucket}/dem"

        yield folder, uploaded


def test_a_mosaic_is_read_where_it_lies(place):
    folder, uri = place
    # A source that the grid does not need is not looked at, not even for being there.
    sources = [*_write_parts(folder), ("parts/none.tif", 1500, 0, 60, 60)]
    (folder / "all.vrt").write_bytes(_vrt(sources))
    root = uri()
    found, files = _shown(f"{root}/all.vrt")
    np.testing.assert_array_equal(found, ROUGH)
    assert files == [f"{root}/{name}" for name in ("all.vrt", "parts/a.tif", "parts/b.tif")]


def test_elsewhere_there_is_nothing(tmp_path):
    (tmp_path / "all.vrt").write_bytes(_vrt(_write_parts(tmp_path)))
    far = Grid("EPSG:32631", 700000.0, 4900000.0, 20.0, 60, 80)
    piece, entries = read_vrt(str(tmp_path / "all.vrt"), far)
    assert piece is None
    assert [storage.name_of(entry.uri) for entry in entries] == ["all.vrt"]


def test_a_mosaic_on_this_machine_may_name_any_place(tmp_path, s3):
    sources = _write_parts(tmp_path)
    storage.upload(tmp_path / "parts" / "b.tif", f"{s3}/b.tif")
    names = (str(tmp_path / "parts" / "a.tif"), f"/vsis3/{s3.removeprefix('s3://')}/b.tif")
    absolute = [(name, *rest) for name, (_, *rest) in zip(names, sources, strict=True)]
    (tmp_path / "all.vrt").write_bytes(_vrt(absolute, relative="0"))
    found, files = _shown(str(tmp_path / "all.vrt"))
    np.testing.assert_array_equal(found, ROUGH)
    assert files[1:] == [names[0], f"{s3}/b.tif"]


@pytest.mark.parametrize("relative", ["0", "1"])
@pytest.mark.parametrize(
    "name",
    [
        "{local}",
        "/vsis3/another-bucket/a.tif",
        "/vsicurl/https://example.com/a.tif",
        "/vsizip/{local}/a.tif",
        "/vsimem/a.tif",
        "/vsicurl?url=https://example.com/a.tif",
        "https://example.com/a.tif",
        "file:///etc/passwd",
        "parts/../../../../../{local}",
    ],
)
def test_a_mosaic_in_a_bucket_names_nothing_outside(tmp_path, s3, name, relative):
    local = write_dem(tmp_path / "private.tif", ROUGH, PLACE)
    source = name.format(local=local)
    storage.write_bytes(f"{s3}/all.vrt", _vrt([(source, 0, 0, 80, 60)], relative=relative))
    with pytest.raises((ProductError, StorageError), match=r"no place that .*may read|no place"):
        read_vrt(f"{s3}/all.vrt", GRID)


def test_a_bare_name_in_a_bucket_is_no_local_file(tmp_path, s3, monkeypatch):
    write_dem(tmp_path / "private.tif", ROUGH, PLACE)
    monkeypatch.chdir(tmp_path)
    for name in ("private.tif", "GTIFF_DIR:1:private.tif"):
        storage.write_bytes(f"{s3}/all.vrt", _vrt([(name, 0, 0, 80, 60)], relative="0"))
        with pytest.raises(ProductError, match="no place that this mosaic may read"):
            read_vrt(f"{s3}/all.vrt", GRID)
        storage.write_bytes(f"{s3}/all.vrt", _vrt([(name, 0, 0, 80, 60)], relative="1"))
        with pytest.raises(ProductError, match="which is not there"):
            read_vrt(f"{s3}/all.vrt", GRID)


def test_a_source_that_names_other_files_is_refused(tmp_path):
    inner = _vrt([("/etc/hostname", 0, 0, 80, 60)])
    (tmp_path / "a.tif").write_bytes(inner)
    (tmp_path / "all.vrt").write_bytes(_vrt([("a.tif", 0, 0, 80, 60)]))
    with pytest.raises(ProductError, match=r"a\.tif: cannot be opened as elevation"):
        read_vrt(str(tmp_path / "all.vrt"), GRID)


ENTITY = b"""<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>
<VRTDataset><SRS>&e;</SRS></VRTDataset>"""
BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<VRTDataset><SRS>&b;</SRS></VRTDataset>"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no mosaic"),
        (b"<html><body>404", "is no mosaic"),
        (b"<html></html>", "found <html>"),
        (ENTITY, "is no mosaic"),
        (BOMB, "is no mosaic"),
        (_vrt([("a.tif", 0, 0, 9, 9)], subClass="VRTDerivedRasterBand"), "VRTDerivedRasterBand"),
        (
            _vrt([]).replace(b"VRTDataset", b"VRTDataset subClass='VRTWarpedDataset'", 1),
            "VRTWarped",
        ),
        (_vrt([]).replace(b"<SRS>", b"<GDALWarpOptions/><SRS>"), "holds GDALWarpOptions"),
        (_vrt([]).replace(b"ColorInterp", b"PixelFunctionCode"), "holds PixelFunctionCode"),
        (_vrt([]).replace(b"ColorInterp", b"KernelFilteredSource"), "holds KernelFilteredSource"),
        (_vrt([]).replace(b"ColorInterp", b"MaskBand"), "holds MaskBand"),
        (_vrt([], srs="nonsense"), "is not georeferenced"),
        (_vrt([], transform="1,2"), "is not georeferenced"),
        (_vrt([], transform="0,0,0,0,0,0"), "is not georeferenced"),
        (_vrt([], transform="nan,20,0,4900000,0,-20"), "is not georeferenced"),
        (_vrt([("a.tif", "inf", 0, 9, 9)]), "without DstRect"),
        (_vrt([("a.tif", 0, 0, 9, 9)]).replace(b"DstRect", b"Rect"), "without DstRect"),
        (_vrt([("", 0, 0, 9, 9)]), "without SourceFilename"),
        (_vrt([("none.tif", 0, 0, 9, 9)]), r"names .*none\.tif, which is not there"),
        (b"<VRTDataset><VRTRasterBand/><VRTRasterBand/></VRTDataset>", "found 2 bands"),
    ],
)
def test_what_is_no_plain_mosaic_is_refused(tmp_path, content, message):
    path = tmp_path / "all.vrt"
    path.write_bytes(content)
    with pytest.raises(ProductError, match=rf"all\.vrt: .*{message}"):
        read_vrt(str(path), GRID)


def test_a_missing_mosaic_is_named(tmp_path):
    with pytest.raises(ProductError, match=r"none\.vrt: there is no such file"):
        read_vrt(str(tmp_path / "none.vrt"), GRID)
