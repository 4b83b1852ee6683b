"""Heat map of samples, from the footprints beside their records."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from decloud_lib import storage
from decloud_lib.analysis.maps import draw_footprints
from decloud_lib.analysis.parts import Cell, Figure, Part, Table
from decloud_lib.errors import RecordError
from decloud_lib.progress import track
from decloud_lib.raster.footprint import project, utm_crs
from decloud_lib.types import Array

_CORNERS = 4
#: Decimals of a degree in which footprints are compared: 1 cm.
_DECIMALS = 7
_END = ".geojson"
#: Files that are read at the same time; the wait is for the bucket.
_READERS = 8

Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """The different footprints of some record folders.

    Attributes
    ----------
    corners : (N, 4, 2) float64, longitude and latitude, degrees
    counts : folder -> (N,) int64, samples
    """

    corners: Array
    counts: Mapping[str, Array]

    @property
    def samples(self) -> Array:
        """Return (N,) int64 samples of all folders."""
        return np.asarray(np.sum([*self.counts.values()], axis=0))


def footprint_files(folders: Sequence[str]) -> dict[str, list[storage.Entry]]:
    """Return the GeoJSON files of each record folder.

    Raises
    ------
    RecordError
        A folder without any.
    """
    found: dict[str, list[storage.Entry]] = {}
    for folder in folders:
        files = [entry for entry in storage.list_files(folder) if entry.uri.endswith(_END)]
        if not files:
            raise RecordError(
                f"{folder}: holds no footprints (*{_END}); expected a folder of records as sample "
                "writes it"
            )
        found[folder.rstrip("/")] = files
    return found


def records_part(files: Mapping[str, Sequence[storage.Entry]], crs: str | None) -> Part:
    """Count the samples of each footprint and show them on a map.

    Parameters
    ----------
    files
        GeoJSON files of each record folder.
    crs
        CRS of the map, `EPSG:<code>` or WKT; the UTM zone of the samples where None.

    Raises
    ------
    RecordError
        A file that is no GeoJSON of four-cornered footprints.
    ConfigError
        No such CRS.
    """
    found = read_footprints(files)
    middle = found.corners.mean(axis=(0, 1))
    crs = crs or utm_crs(float(middle[0]), float(middle[1]))
    polygons = project(found.corners, crs)
    rows = tuple(_row(folder, counts) for folder, counts in found.counts.items())
    if len(found.counts) > 1:
        rows = (*rows, _row("together", found.samples))
    columns = ("records", "samples", "footprints", "samples per footprint", "most", "least")
    figures = [
        Figure(
            f"records_{number}" if number else "records",
            title,
            f"Samples per footprint, in {crs}.",
            draw_footprints(polygons[counts > 0], counts[counts > 0], crs, title),
        )
        for number, (title, counts) in enumerate(_maps(found))
    ]
    text = (
        "Footprints are the patches beside the records. Samples of the same patch and different "
        "dates lie on each other: the colour counts them. records.geojson holds each footprint and "
        "its number of samples."
    )
    return Part(
        "records",
        "Samples on the map",
        text,
        (Table("records", "Records", columns, rows),),
        tuple(figures),
        files={"records.geojson": json.dumps(_collection(found))},
        numbers={"crs": crs, "records": [dict(zip(columns, row, strict=True)) for row in rows]},
    )


def read_footprints(files: Mapping[str, Sequence[storage.Entry]]) -> Footprints:
    """Read footprints and count equal ones.

    Raises
    ------
    RecordError
        A file that is no GeoJSON of four-cornered footprints, or no sample at all.
    """
    counted: dict[str, Counter[Corners]] = {folder: Counter() for folder in files}
    jobs = [(folder, entry.uri) for folder, entries in files.items() for entry in entries]
    with ThreadPoolExecutor(_READERS) as pool:
        found = zip(jobs, pool.map(_corners, [uri for _, uri in jobs]), strict=True)
        for (folder, _), corners in track(found, len(jobs), "footprints", "file"):
            counted[folder].update(corners)
    places = sorted(set().union(*counted.values()))
    if not places:
        raise RecordError(f"{', '.join(files)}: the footprints are empty; sample again")
    counts = {
        folder: np.array([counter[place] for place in places], np.int64)
        for folder, counter in counted.items()
    }
    return Footprints(np.array(places), counts)


def _corners(uri: str) -> list[Corners]:
    """Return the corners of each sample of a file."""
    found: list[Corners] = []
    try:
        for feature in json.loads(storage.read_text(uri))["features"]:
            (ring,) = feature["geometry"]["coordinates"]
            corners = np.round(np.array(ring, np.float64)[:-1, :2], _DECIMALS)
            if corners.shape != (_CORNERS, 2) or not np.isfinite(corners).all():
                raise ValueError(f"a footprint has the corners {corners.tolist()}")
            found.append(tuple((float(lon), float(lat)) for lon, lat in corners))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RecordError(
            f"{uri}: no GeoJSON of footprints with four corners ({error!r}); sample again"
        ) from error
    return found


def _maps(found: Footprints) -> list[tuple[str, Array]]:
    """Return titles and counts of the maps: one of all folders, then each of several."""
    together = found.samples
    total = int(together.sum())
    maps = [(f"All records: {total:,} samples", together)]
    if len(found.counts) > 1:
        maps += [
            (f"{_short(folder)}: {int(counts.sum()):,} samples", counts)
            for folder, counts in found.counts.items()
        ]
    return maps


def _short(folder: str) -> str:
    """Return the last two parts of a folder: `train` alone says little."""
    return f"{storage.name_of(storage.parent_of(folder))}/{storage.name_of(folder)}"


def _row(name: str, counts: Array) -> tuple[Cell, ...]:
    there = counts[counts > 0]
    if not len(there):
        return (name, 0, 0, None, 0, 0)
    return (
        name,
        int(there.sum()),
        len(there),
        float(there.mean()),
        int(there.max()),
        int(there.min()),
    )


def _collection(found: Footprints) -> dict[str, Any]:
    """Return all footprints with their counts as GeoJSON."""
    features = [
        {
            "type": "Feature",
            "properties": {
                "samples": int(total),
                **{folder: int(counts[number]) for folder, counts in found.counts.items()},
            },
            "geometry": {
                "type": "Polygon",
                "coordinates": [[*corners.tolist(), corners[0].tolist()]],
            },
        }
        for number, (corners, total) in enumerate(zip(found.corners, found.samples, strict=True))
    ]
    return {"type": "FeatureCollection", "name": "records", "features": features}
