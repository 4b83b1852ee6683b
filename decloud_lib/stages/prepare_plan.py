"""The plan of a batch: what is made from what, what is done already, and what is left out."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from decloud_lib import manifest, storage
from decloud_lib.errors import DecloudError, ProductError, UnusableProductError
from decloud_lib.raster.products.discovery import discover
from decloud_lib.raster.products.found import Family, Found, select
from decloud_lib.stages import Work
from decloud_lib.stages.prepare_config import ROOTS, PrepareConfig
from decloud_lib.stages.prepare_s1 import PrepareS1Config, plan_s1
from decloud_lib.stages.prepare_s2 import plan_s2

logger = logging.getLogger(__name__)

Action = Literal["make", "remake", "done", "skip", "quarantine"]
ACTIONS: tuple[Action, ...] = ("make", "remake", "done", "skip", "quarantine")
#: What can be found.
EXPECTED = (
    "S1Tiling pairs (s1a_31TEJ_vh_DES_110_20201011t060008.tif and its VV file), Theia or ESA L2A "
    "products (folders or .zip), STAC items, DEM/<TILE>.tif"
)
_READERS = 8
#: A tile of 5490 x 5490 elevations, two bytes each, as ZSTD leaves them.
_ELEVATION_BYTES = 30_000_000
#: Written where a product stays as it was delivered: a view, counts per 64 px, a manifest.
_STATISTICS_BYTES = 120_000
#: A full tile where the size of the delivery is not known, because it lies in the web.
_FULL_BYTES = 1_000_000_000
#: A full tile has 10980 x 10980 pixels; overviews take a third of their image.
_OVERVIEWS = 4 / 3


@dataclass(frozen=True, slots=True)
class Row:
    """One product in a plan."""

    family: Family
    tile: str
    """With the leading T; empty where it is not known."""
    day: str
    """YYYY-MM-DD, UTC; empty for elevations."""
    name: str
    action: Action
    reason: str
    """Why it is remade, skipped or quarantined."""
    input_bytes: int
    output_bytes: int
    """Expected; 0 where nothing is made."""
    uri: str
    """S1: the VH file; S2: folder, archive or item; elevation: the source."""

    @property
    def record(self) -> str:
        """Name of its record in quarantine; empty: that of the product."""
        return self.tile if self.family == "dem" else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch will do."""

    rows: tuple[Row, ...]
    prepared: str
    other_files: int
    """Files below the products that belong to none."""
    free_bytes: int | None
    """Room on the disk that the outputs go to; None for a bucket."""
    warnings: tuple[str, ...] = ()

    def of(self, *actions: Action) -> tuple[Row, ...]:
        """Return the rows with these actions."""
        return tuple(row for row in self.rows if row.action in actions)

    def text(self) -> str:
        """Return the plan as an aligned table with its totals."""
        heads = ("action", "family", "tile", "date", "product", "input", "output", "because")
        cells = [
            (row.action, row.family, row.tile, row.day, row.name, size_text(row.input_bytes),
             size_text(row.output_bytes) if row.output_bytes else "-", row.reason)
            for row in self.rows
        ]  # fmt: skip
        widths = [max(len(line[column]) for line in (heads, *cells)) for column in range(7)]
        lines = [_aligned(line, widths) for line in (heads, *cells)]
        return "\n".join([*lines, *self.totals(), *(f"warning: {text}" for text in self.warnings)])

    def totals(self) -> list[str]:
        """Return the last lines of the table."""
        counts = ", ".join(f"{len(self.of(action))} {action}" for action in ACTIONS)
        todo = self.of("make", "remake")
        read, made = (
            sum(getattr(row, f"{way}_bytes") for row in todo) for way in ("input", "output")
        )
        free = "" if self.free_bytes is None else f"; {size_text(self.free_bytes)} are free"
        return [
            f"total: {counts}; {self.other_files} other files",
            f"expected: {size_text(made)} in {self.prepared}, from {size_text(read)}{free}",
        ]


def plan(config: PrepareConfig) -> Plan:
    """Say what `prepare` would do; opens no raster and writes nothing.

    A product is done when its manifest says so: the same inputs, settings and stage, and all its
    outputs there. The sizes of outputs are estimates (docs/data.md says from what).

    Raises
    ------
    ProductError
        No product where they are looked for, or none that was asked for.
    StorageError
        A place that is not there or refuses.
    """
    discovery = discover(config.products)
    if not discovery.found:
        raise ProductError(f"{config.products}: no product found; expected {EXPECTED}")
    chosen = select(
        discovery.found, families=config.families, tiles=config.tiles, start=config.start,
        end=config.end,
    )  # fmt: skip
    images = select(discovery.found, families=[f for f in config.families if f != "dem"])
    # An elevation has no day: alone it says nothing about the days that were asked for.
    none_of_the_days = (config.start or config.end) and images and not set(images) & set(chosen)
    if not chosen or none_of_the_days:
        raise ProductError(
            f"{config.products}: none of {len(discovery.found)} products is of the families, tiles "
            "and days that were asked for; check --families, --tiles, --start and --end"
        )
    listed = {
        entry.uri: entry.size
        for family in ROOTS
        for entry in storage.list_files(config.root(family))
    }
    with ThreadPoolExecutor(_READERS) as pool:
        of_images = [item for item in chosen if item.family != "dem"]
        rows = list(pool.map(partial(_row, config, listed), of_images))
    if "dem" in config.families:
        rows += _elevation_rows(config, listed, rows, [i for i in chosen if i.family == "dem"])
    free, warnings = _room(config, rows)
    return Plan(tuple(rows), config.prepared, discovery.other_files, free, warnings)


def size_text(size: int) -> str:
    """Return a number of bytes in words: `1.2 GB`; decimal units."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    numbers = {5, 6}
    cells = (
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=False))
    )
    return "  ".join([*cells, line[-1]]).rstrip()


def _row(config: PrepareConfig, listed: Mapping[str, int], item: Found) -> Row:
    """Plan one radar or optical product."""
    if item.problem is not None:
        return _as_row(item, "skip", item.problem)
    settings = config.of_product(item.family, item.uri)
    try:
        if isinstance(settings, PrepareS1Config):
            work = plan_s1(settings, item.uri)
        else:
            work = plan_s2(settings, item.uri)
    except UnusableProductError as error:
        return _as_row(item, "skip", str(error))
    except DecloudError as error:
        return _as_row(item, "quarantine", str(error))
    action, reason = _state(work, listed, overwrite=config.overwrite)
    size = sum(ref.size for ref in work.planned.inputs)
    made = _expected_bytes(config, item, work) if action in ("make", "remake") else 0
    return _as_row(item, action, reason, size, made)


def _as_row(
    item: Found, action: Action, reason: str = "", size: int | None = None, made: int = 0
) -> Row:
    day = item.day.isoformat() if item.day else ""
    given = item.size_bytes if size is None else size
    one_line = " ".join(reason.split())
    return Row(
        item.family, item.tile or "", day, item.name, action, one_line, given, made, item.uri
    )


def _state(work: Work, listed: Mapping[str, int], *, overwrite: bool) -> tuple[Action, str]:
    """Compare planned work with the manifest that lies at its place, if there is one."""
    found = manifest.read(work.manifest_uri) if work.manifest_uri in listed else None
    if found is None:
        return "make", ""
    if found.same_work(work.planned):
        whole = all(listed.get(ref.uri) == ref.size for ref in found.outputs)
        return ("done", "") if whole else ("make", "outputs vanished or changed since")
    difference = found.difference(work.planned)
    if overwrite:
        return "remake", difference
    return "quarantine", (
        f"{work.manifest_uri} marks a complete output of other work ({difference}); use another "
        "folder, or --overwrite"
    )


def _elevation_rows(
    config: PrepareConfig, listed: Mapping[str, int], rows: list[Row], found: list[Found]
) -> list[Row]:
    """Plan one elevation per tile that has, or will have, optical images."""
    images = (row for row in rows if row.family == "s2")
    coming = {row.tile for row in images if row.action not in ("skip", "quarantine")}
    place = config.root("s2")
    there = {
        storage.relative_path(uri, place).split("/")[0] for uri in listed if uri.startswith(place)
    }
    tiles = coming | there
    made: list[Row] = []
    for item in found:
        if item.problem:
            made.append(_as_row(item, "skip", item.problem))
        elif config.dem:
            made.append(_as_row(item, "skip", f"the elevation is taken from {config.dem}"))
        elif item.tile not in tiles:
            made.append(_as_row(item, "skip", "no Sentinel-2 product of its tile is prepared"))
        else:
            made.append(_elevation_row(config, listed, item))
    if config.dem:
        wanted = {tile.upper().removeprefix("T") for tile in config.tiles}
        for tile in sorted(tiles):
            if not wanted or tile.removeprefix("T") in wanted:
                item = Found("dem", "dem", config.dem, tile, tile, None, None, 0)
                made.append(_elevation_row(config, listed, item))
    return made


def _elevation_row(config: PrepareConfig, listed: Mapping[str, int], item: Found) -> Row:
    """Plan one elevation; the grid that it is brought on is not known before the images are."""
    output = config.elevation_of(item.name)
    size = item.size_bytes or _ELEVATION_BYTES
    place = f"{output.removesuffix('.tif')}.{manifest.NAME}"
    before = manifest.read(place) if place in listed else None
    if before is None:
        return _as_row(item, "make", made=size)
    wanted = config.of_elevation(item.uri, item.name, "").identity() | {"reference": None}
    differs = sorted(
        key
        for key in wanted.keys() | before.config.keys()
        if key != "reference" and wanted.get(key) != before.config.get(key)
    )
    whole = all(listed.get(ref.uri) == ref.size for ref in before.outputs)
    if not differs and whole:
        return _as_row(item, "done")
    if not differs:
        return _as_row(item, "make", "outputs vanished or changed since", made=size)
    reason = f"{', '.join(differs)} differ from those of {place}"
    if config.overwrite:
        return _as_row(item, "remake", reason, made=size)
    return _as_row(item, "quarantine", f"{reason}; use another folder, or --overwrite")


def _expected_bytes(config: PrepareConfig, item: Found, work: Work) -> int:
    """Estimate the size of the outputs from that of the inputs."""
    if config.mode == "statistics-only":
        return _STATISTICS_BYTES
    images = [ref for ref in work.planned.inputs if not ref.uri.lower().endswith("json")]
    made = sum(ref.size for ref in images) * _RATIOS[item.format, item.uri.lower().endswith(".zip")]
    if not all(ref.size for ref in images) or not images:
        made = _FULL_BYTES
    return int(made * (_OVERVIEWS if config.cog else 1))


#: Outputs to inputs by format and whether it is an archive, which holds more than what is read.
_RATIOS = {
    ("s1tiling", False): 0.55,
    ("theia", False): 1.0,
    ("theia", True): 0.5,
    ("esa", False): 1.6,
    ("esa", True): 1.0,
    ("stac", False): 1.0,
}


def _room(config: PrepareConfig, rows: list[Row]) -> tuple[int | None, tuple[str, ...]]:
    """Return the free disk of a local target, and a warning where it will not do."""
    needed = sum(row.output_bytes for row in rows)
    if storage.is_s3(config.prepared):
        place = Path(tempfile.gettempdir())
        # Each output is written to the temporary folder before it goes to the bucket.
        sizes = sorted((row.output_bytes for row in rows), reverse=True)
        needed = sum(sizes[: config.workers or 8])
    else:
        place = Path(config.prepared).absolute()
        while not place.exists():
            place = place.parent
    free = shutil.disk_usage(place).free
    told = (
        f"{size_text(needed)} are expected and {size_text(free)} are free at {place}; make room, "
        "or choose another place"
    )
    return (None if storage.is_s3(config.prepared) else free), ((told,) if needed > free else ())
