"""Polygons from vector files of several formats, and the pixels whose centre lies in them."""

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform_geom

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.vectors import Polygons, centres_inside, read_polygons, stored_files
from decloud_lib.types import Grid

GRID = Grid("EPSG:32631", 499_980.0, 4_900_020.0, 640.0, 40, 50)
#: Rows 5..14, columns 10..29 of the grid.
BLOCK = shapely.box(
    GRID.left + 10 * 640, GRID.top - 15 * 640, GRID.left + 30 * 640, GRID.top - 5 * 640
)
DRIVERS = {
    "gpkg": "GPKG",
    "geojson": "GeoJSON",
    "shp": "ESRI Shapefile",
    "fgb": "FlatGeobuf",
}


def lonlat(shape, crs=GRID.crs, to="EPSG:4326"):
    """Bring a shape in another system, with many points on its edges."""
    dense = shapely.segmentize(shape, 100.0)
    return shapely.geometry.shape(transform_geom(crs, to, shapely.geometry.mapping(dense)))


def write(path, shapes, crs="EPSG:4326", **options):
    """Write shapes with the driver of the name's end."""
    kinds = {shape.geom_type for shape in shapes}
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, object)),
        field_data=[],
        fields=[],
        crs=crs,
        geometry_type=options.pop("geometry_type", kinds.pop() if len(kinds) == 1 else "Unknown"),
        driver=DRIVERS[path.suffix[1:]],
        **options,
    )
    return str(path)


def in_block():
    cells = np.zeros(GRID.shape, bool)
    cells[5:15, 10:30] = True
    return cells


@pytest.mark.parametrize("end", DRIVERS)
def test_each_format_is_read_from_a_folder_and_a_bucket(bucket, tmp_path, end):
    write(tmp_path / f"a b.{end}", [lonlat(BLOCK)])
    for path in tmp_path.glob("a b.*"):
        storage.upload(path, storage.join(bucket, "vectors", path.name))
    uri = storage.join(bucket, "vectors", f"a b.{end}")
    np.testing.assert_array_equal(centres_inside(read_polygons(uri), GRID), in_block())


@pytest.mark.parametrize("inner", ["", "folder/"])
def test_a_zipped_shapefile_is_read_where_it_lies(bucket, tmp_path, inner):
    write(tmp_path / "a.shp", [lonlat(BLOCK)])
    archive = tmp_path / "zipped.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in tmp_path.glob("a.*"):
            file.write(path, f"{inner}{path.name}")
        file.writestr("__MACOSX/._a.shp", b"not a shapefile")
    uri = storage.join(bucket, "zipped.zip")
    storage.upload(archive, uri)
    np.testing.assert_array_equal(centres_inside(read_polygons(uri), GRID), in_block())


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2154", "EPSG:3035", "EPSG:32630", "EPSG:32631"])
def test_any_reference_system_gives_the_same_cells(tmp_path, crs):
    shape = BLOCK if crs == GRID.crs else lonlat(BLOCK, to=crs)
    uri = write(tmp_path / "a.gpkg", [shape], crs)
    np.testing.assert_array_equal(centres_inside(read_polygons(uri), GRID), in_block())


def test_a_system_without_a_code_is_understood(tmp_path):
    wkt = rasterio.crs.CRS.from_string("+proj=laea +lat_0=45 +lon_0=3 +ellps=GRS80").to_wkt()
    uri = write(tmp_path / "a.gpkg", [lonlat(BLOCK, to=wkt)], wkt)
    np.testing.assert_array_equal(centres_inside(read_polygons(uri), GRID), in_block())


def test_a_geojson_may_name_its_system(tmp_path):
    content = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}},
        "features": [
            {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(BLOCK)}
        ],
    }
    path = tmp_path / "a.geojson"
    path.write_text("\ufeff\n" + json.dumps(content))
    polygons = read_polygons(str(path))
    assert polygons.layers[0].crs == "EPSG:32631"
    np.testing.assert_array_equal(centres_inside(polygons, GRID), in_block())


def test_edges_are_straight_in_their_own_system(tmp_path):
    # A parallel of 44 km bows by 37 m on the UTM grid.
    shape = shapely.box(3.0, 40.0, 3.55, 44.1)
    uri = write(tmp_path / "a.geojson", [shape])
    grid = Grid(GRID.crs, 500_000.0, 4_883_300.0, 10.0, 35, 4300)
    found = centres_inside(read_polygons(uri), grid)

    def burnt(outline):
        moved = transform_geom("EPSG:4326", grid.crs, shapely.geometry.mapping(outline))
        options = {"out_shape": grid.shape, "transform": grid.transform, "dtype": "uint8"}
        return rasterio.features.rasterize([moved], **options).astype(bool)

    assert 0.1 < found.mean() < 0.9
    # Rounding may differ for centres that lie upon the edge.
    assert (found != burnt(shapely.segmentize(shape, 0.001))).sum() < 20
    assert (found != burnt(shape)).sum() > 5000


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.floats(-5000, 37000), st.floats(-5000, 30000)), min_size=4, max_size=9)
)
def test_centres_inside_are_those_that_rasterising_finds(points):
    shape = shapely.MultiPoint(points).convex_hull
    if shape.area < 1e6:
        return
    shape = shapely.transform(shape, lambda xy: xy * [1, -1] + [GRID.left, GRID.top])
    found = centres_inside(Polygons("a", (layer_of(shape),)), GRID)
    expected = rasterio.features.rasterize(
        [shape], out_shape=GRID.shape, transform=GRID.transform, dtype="uint8"
    )
    near = shapely.distance(shape.boundary, centres()) < 1e-3
    assert (found == expected.astype(bool))[~near].all()


def layer_of(*shapes, crs=GRID.crs):
    from decloud_lib.raster.vectors import PolygonLayer

    return PolygonLayer(crs, np.array(shapes, object))


def centres():
    rows, cols = np.mgrid[: GRID.height, : GRID.width]
    return shapely.points(GRID.left + 640 * (cols + 0.5), GRID.top - 640 * (rows + 0.5))


def test_polygons_across_the_date_line_reach_a_tile_there():
    grid = Grid("EPSG:32701", 99_960.0, 8_000_020.0, 640.0, 171, 171)
    halves = (shapely.box(179, -20, 180, -17), shapely.box(-180, -20, -179, -17))
    inside = centres_inside(Polygons("a", (layer_of(*halves, crs="EPSG:4326"),)), grid)
    east = centres_inside(Polygons("a", (layer_of(halves[1], crs="EPSG:4326"),)), grid)
    assert inside.any(axis=0).all()
    assert 0 < east.sum() < inside.sum()


def test_all_layers_collections_and_holes_count_and_other_shapes_do_not(tmp_path):
    path = tmp_path / "a.gpkg"
    hole = shapely.box(*shapely.buffer(BLOCK, -1280, join_style="mitre").bounds)
    write(path, [BLOCK.difference(hole)], GRID.crs, layer="ring", geometry_type="Polygon")
    collection = shapely.GeometryCollection([shapely.MultiPolygon([hole]), shapely.Point(0, 0)])
    write(path, [collection], GRID.crs, layer="mixed", geometry_type="Unknown", append=True)
    write(path, [shapely.Point(5e5, 4.8e6)], GRID.crs, layer="points", append=True)
    polygons = read_polygons(str(path))
    assert [len(layer.polygons) for layer in polygons.layers] == [1, 1]
    np.testing.assert_array_equal(centres_inside(polygons, GRID), in_block())


def test_a_polygon_that_crosses_itself_is_repaired_and_it_is_said(tmp_path, caplog):
    left, bottom, right, top = BLOCK.bounds
    bow_tie = shapely.Polygon([(left, bottom), (right, top), (right, bottom), (left, top)])
    uri = write(tmp_path / "a.gpkg", [bow_tie], GRID.crs)
    found = centres_inside(read_polygons(uri), GRID)
    # Half of the block, but for the centres on the diagonals.
    assert found.sum() == pytest.approx(100, abs=20)
    assert "1 polygons cross themselves" in caplog.text


def test_a_shapefile_is_known_by_all_its_files(tmp_path):
    uri = write(tmp_path / "a.shp", [lonlat(BLOCK)])
    assert [Path(entry.uri).suffix for entry in stored_files(uri)] == [".shp", ".shx", ".prj"]
    (tmp_path / "a.shx").rename(tmp_path / "a.SHX")
    assert centres_inside(read_polygons(uri), GRID).any()
    (tmp_path / "a.SHX").unlink()
    with pytest.raises(ProductError, match=r"a\.shp: its companion \.shx is missing"):
        read_polygons(uri)


def test_a_reference_system_is_required(tmp_path):
    uri = write(tmp_path / "a.shp", [lonlat(BLOCK)])
    (tmp_path / "a.prj").unlink()
    with pytest.raises(ProductError, match=r"a\.shp: layer a has no coordinate reference system"):
        read_polygons(uri)


@pytest.mark.parametrize("crs", ['LOCAL_CS["drawing",UNIT["metre",1]]', "somewhere"])
def test_a_system_that_is_nowhere_on_earth_is_refused(crs):
    with pytest.raises(ProductError, match=r"a\.gpkg: its .* save the file in EPSG:4326"):
        centres_inside(Polygons("a.gpkg", (layer_of(BLOCK, crs=crs),)), GRID)


@pytest.mark.parametrize("end", ["gpkg", "geojson", "fgb", "shp"])
def test_a_file_without_polygons_says_what_it_holds(tmp_path, end):
    uri = write(tmp_path / f"a.{end}", [shapely.Point(3, 44), shapely.Point(3, 45)])
    with pytest.raises(ProductError, match="holds no polygon but 2 features of other kinds"):
        read_polygons(uri)
    uri = write(tmp_path / f"b.{end}", [], geometry_type="Polygon")
    with pytest.raises(ProductError, match="holds no polygon but no feature"):
        read_polygons(uri)


BAD = {
    "empty.gpkg": b"",
    "page.gpkg": b"<!DOCTYPE html><html></html>",
    "text.geojson": b"no json at all",
    "object.geojson": b"{}",
    "list.geojson": b'{"type": "FeatureCollection", "features": [{"type": "Feature"',
    "image.fgb": b"II*\x00" + bytes(64),
    "not.zip": b"PK\x03\x04" + bytes(64),
    "cut.gpkg": b"SQLite format 3\x00" + bytes(84),
    "cut.fgb": b"fgb\x03fgb\x01" + bytes(8),
    "vrt.geojson": b"<OGRVRTDataSource></OGRVRTDataSource>",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_vector_file_is_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD[name])
    with pytest.raises(ProductError, match=name):
        read_polygons(str(path))


def test_a_json_that_names_other_files_is_not_followed(tmp_path):
    source = write(tmp_path / "a.geojson", [lonlat(BLOCK)])
    # A format of GDAL that runs commands; and the same behind a harmless beginning.
    command = f'"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read {source}"'
    path = tmp_path / "b.geojson"
    for text in (f"{{{command}}}", f'{{"type": "FeatureCollection", "features": [], {command}}}'):
        path.write_text(text)
        with pytest.raises(ProductError, match=r"b\.geojson: cannot be read as vectors"):
            read_polygons(str(path))


def test_another_database_than_a_geopackage_is_refused(tmp_path):
    import sqlite3
    from contextlib import closing

    path = tmp_path / "a.gpkg"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (id INTEGER, wkt TEXT)")
        database.commit()
    with pytest.raises(ProductError, match=r"a\.gpkg"):
        read_polygons(str(path))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.txt": b"x"}, r"holds a\.txt; expected a zipped shapefile"),
        ({"../a.shp": b"x"}, "would lie outside of the archive"),
        ({"a.shp": b"x"}, r"a\.shp lacks its companion \.shx"),
        ({"a.shp": b"x", "a.shx": b"y"}, "cannot be read as vectors"),
    ],
)
def test_an_archive_that_holds_something_else_is_refused(tmp_path, members, message):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(ProductError, match=message):
        read_polygons(str(path))


def test_a_file_that_is_not_there_is_named(bucket):
    with pytest.raises(ProductError, match=r"nothing\.gpkg: there is no such file; expected a Geo"):
        read_polygons(storage.join(bucket, "nothing.gpkg"))


@pytest.mark.parametrize("value", [-1.25, 1.25])
def test_coordinates_that_are_no_numbers_are_refused(tmp_path, value):
    # 1.25 is also that of the point where the ring begins and ends.
    path = Path(write(tmp_path / "a.fgb", [shapely.box(-1.25, 0, 1.25, 1)]))
    content = path.read_bytes()
    assert content.count(struct.pack("<d", value)) >= 2
    path.write_bytes(content.replace(struct.pack("<d", value), struct.pack("<d", np.nan)))
    with pytest.raises(ProductError, match="1 shapes have coordinates that are no numbers"):
        read_polygons(str(path))
