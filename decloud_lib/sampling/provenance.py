"""Where samples come from: for the footprint files, and for one table of a whole data set."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from decloud_lib.acquisitions import AcquisitionsLayout
from decloud_lib.raster.footprint import Corners, lonlat_corners
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.types import Array

#: Table of all samples beside the shards.
TABLE = "samples.parquet"
_BBOX = ("xmin", "ymin", "xmax", "ymax")
_MOMENT = pa.timestamp("ms", tz="UTC")
_ROWS_PER_GROUP = 10_000


def provenance(drawn: DrawnSamples, sample: int) -> dict[str, Any]:
    """Say where a sample comes from: tile, position, products, times, cloud cover."""
    index, row = drawn.indexes[int(drawn.tile[sample])], drawn.rows[sample]
    position = int(row["position"])
    found: dict[str, Any] = {"tile": index.tile, "position": list(divmod(position, index.shape[1]))}
    for role, name in enumerate(drawn.layout.names):
        s2, s1 = int(row["s2"][role]), int(row["s1"][role])
        if s2 >= 0:
            cloud = float(index.catalogue.s2_cloud_percent[s2, position])
            found[f"s2_{name}"] = index.s2[s2].name
            found[f"s2_{name}_date"] = index.s2[s2].acquired
            found[f"s2_{name}_cloud_percent"] = round(cloud, 3)
        if s1 >= 0:
            found[f"s1_{name}"] = index.s1[s1].name
            found[f"s1_{name}_date"] = index.s1[s1].acquired
            found[f"s1_{name}_time_is_assumed"] = index.s1[s1].time_is_assumed
    return found


class Footprints:
    """Where the samples of a data set lie.

    Attributes
    ----------
    bounds : (4,) float64
        Lowest longitude and latitude, highest longitude and latitude of all of them, degrees.
    """

    def __init__(self, drawn: DrawnSamples) -> None:
        self._drawn = drawn
        self._corners: dict[tuple[int, int], Corners] = {}
        for number, index in enumerate(drawn.indexes):
            positions = np.unique(drawn.rows["position"][drawn.tile == number]).tolist()
            found = lonlat_corners(index.grid, [index.window(at) for at in positions])
            places = [(number, at) for at in positions]
            self._corners |= dict(zip(places, found, strict=True))
        points = np.array(list(self._corners.values())).reshape(-1, 2)
        self.bounds: Array = np.concatenate([points.min(axis=0), points.max(axis=0)])

    def of(self, sample: int) -> Corners:
        """Return the corners of a sample, longitude and latitude; see `lonlat_corners`."""
        return self._corners[
            int(self._drawn.tile[sample]), int(self._drawn.rows["position"][sample])
        ]


class SampleTable:
    """The table of the samples of a data set: a GeoParquet file, one row per sample.

    It follows GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0): polygons as WKB in longitude
    and latitude, with their bounds in a column of their own for spatial filters. Written shard by
    shard; as a context, the file is whole at its end.

    Parameters
    ----------
    path
        Local file.
    layout
        The table has columns for each of its acquisitions.
    bounds
        Of all footprints, see `Footprints`.
    """

    def __init__(self, path: Path, layout: AcquisitionsLayout, bounds: Array) -> None:
        self._schema = _columns(layout).with_metadata({"geo": json.dumps(_metadata(bounds))})
        self._waiting: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(
        self, shard: int, samples: Sequence[dict[str, Any]], corners: Sequence[Corners]
    ) -> None:
        """Add the samples of a shard, in their order there; see `provenance`, `Footprints`."""
        points = np.array(corners)
        low, high = points.min(axis=1), points.max(axis=1)
        polygons = shapely.to_wkb(shapely.orient_polygons(shapely.polygons(points)))
        boxes = np.concatenate([low, high], axis=1).tolist()
        for number, sample in enumerate(samples):
            place = {
                "shard": shard,
                "sample_id": number,
                "row": sample["position"][0],
                "col": sample["position"][1],
                "bbox": dict(zip(_BBOX, boxes[number], strict=True)),
                "geometry": polygons[number],
            }
            self._waiting.append(sample | place)
        if len(self._waiting) >= _ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema))
        self._waiting = []


def _metadata(bounds: Array) -> dict[str, Any]:
    geometry = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "orientation": "counterclockwise",
        "bbox": bounds.tolist(),
        "covering": {"bbox": {side: ["bbox", side] for side in _BBOX}},
    }
    # Where no CRS is named it is longitude and latitude on WGS 84 (OGC:CRS84).
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}


def _columns(layout: AcquisitionsLayout) -> pa.Schema:
    fields: dict[str, pa.DataType] = {
        "shard": pa.int32(),
        "sample_id": pa.int32(),
        "tile": pa.string(),
        "row": pa.int32(),
        "col": pa.int32(),
    }
    for name in layout.names:
        if layout.has_s2(name):
            fields |= {f"s2_{name}": pa.string(), f"s2_{name}_date": _MOMENT}
            fields[f"s2_{name}_cloud_percent"] = pa.float64()
        if layout.has_s1(name):
            fields |= {f"s1_{name}": pa.string(), f"s1_{name}_date": _MOMENT}
            fields[f"s1_{name}_time_is_assumed"] = pa.bool_()
    fields["bbox"] = pa.struct([(side, pa.float64()) for side in _BBOX])
    fields["geometry"] = pa.binary()
    return pa.schema(list(fields.items()))
