"""The JSON files that say which prepared tiles, ground and layout a data set uses."""

import json
import logging
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import storage
from decloud_lib.acquisitions import AcquisitionsLayout, load_layout, shipped_layouts
from decloud_lib.errors import ConfigError

logger = logging.getLogger(__name__)

_ROOT = "ROIS_ROOT_DIR"
_END = "_TILES"


class TilesFile(BaseModel):
    """Content of the tiles JSON."""

    model_config = ConfigDict(frozen=True)

    s2_root: str = Field(alias="S2_ROOT_DIR")
    s1_root: str | None = Field(default=None, alias="S1_ROOT_DIR")
    dem_root: str | None = Field(default=None, alias="DEM_ROOT_DIR")
    table_root: str | None = Field(default=None, alias="TABLE_ROOT_DIR")
    tiles: tuple[str, ...] = Field(alias="TILES", min_length=1)


class RoisFile(BaseModel):
    """Content of the ROI JSON: the tiles of each data set, by its name in lower case."""

    model_config = ConfigDict(frozen=True)

    root: str
    datasets: dict[str, tuple[str, ...]]
    source: str = Field(exclude=True)

    def rasters(self, dataset: str, tiles: tuple[str, ...]) -> dict[str, str]:
        """Return tile -> ROI raster of a data set; other tiles contribute nothing, and it is said.

        Parameters
        ----------
        dataset
            `train`, `valid`, `test` or any other; capitals do not matter.
        tiles
            The tiles that are prepared.

        Raises
        ------
        ConfigError
            The file does not name the data set, none of its tiles is prepared, or a raster is
            missing.
        """
        wanted = set(self.datasets.get(dataset.lower(), ()))
        if not wanted:
            known = ", ".join(sorted(name for name, found in self.datasets.items() if found))
            raise ConfigError(
                f"{self.source}: {dataset.upper()}{_END} is missing or empty; it names tiles for "
                f"{known or 'no data set'}: make the regions with this data set"
            )
        for tile in sorted(set(tiles) - wanted):
            logger.info("%s: has no region for %s and contributes nothing to it", tile, dataset)
        for tile in sorted(wanted - set(tiles)):
            logger.warning("%s: has a region for %s but is not a prepared tile", tile, dataset)
        common = sorted(wanted & set(tiles))
        if not common:
            raise ConfigError(
                f"{self.source}: the tiles for {dataset} are {', '.join(sorted(wanted))}, the "
                f"prepared ones {', '.join(sorted(tiles))}; expected a common tile"
            )
        # The name of a raster has the capitals that the data set was given when it was made.
        listed = storage.list_children(self.root)
        spelled = {storage.name_of(uri).lower(): uri for uri in listed}
        found: dict[str, str] = {}
        for tile in common:
            uri = storage.join(self.root, f"{tile}_{dataset}.tif")
            stored = uri if uri in listed else spelled.get(storage.name_of(uri).lower())
            if stored is None:
                raise ConfigError(f"{uri}: the region raster is missing; run make-roi first")
            found[tile] = stored
        return found


def read_tiles(uri: str) -> TilesFile:
    """Read a tiles JSON.

    Raises
    ------
    ConfigError
        Missing, no JSON, or a key that is missing or of another type.
    """
    try:
        return TilesFile.model_validate(_read_object(uri, "make-tiles"))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{uri}: {key}: {first['msg']}; expected S2_ROOT_DIR, TILES (a list of tile names) "
            "and, where there are such data, S1_ROOT_DIR and DEM_ROOT_DIR"
        ) from error


def read_rois(uri: str) -> RoisFile:
    """Read a ROI JSON: `ROIS_ROOT_DIR`, `TRAIN_TILES`, `VALID_TILES` and any `<NAME>_TILES`.

    Raises
    ------
    ConfigError
        Missing, no JSON, or a key that is missing or of another type.
    """
    content = _read_object(uri, "make-roi")
    root = content.get(_ROOT)
    if not isinstance(root, str):
        raise ConfigError(f"{uri}: {_ROOT} is missing; expected the folder of the region rasters")
    datasets: dict[str, tuple[str, ...]] = {}
    for key, value in content.items():
        if not key.endswith(_END):
            continue
        if not isinstance(value, list) or not all(isinstance(tile, str) for tile in value):
            raise ConfigError(f"{uri}: {key}: expected a list of tile names, found {value!r}")
        datasets[key.removesuffix(_END).lower()] = tuple(value)
    return RoisFile(root=root, datasets=datasets, source=uri)


def read_layout(name_or_uri: str) -> AcquisitionsLayout:
    """Return a shipped acquisition layout by its name, or that of a JSON file anywhere.

    Raises
    ------
    ConfigError
        There is no such layout, or it cannot be used.
    """
    try:
        return load_layout(name_or_uri, storage.read_text)
    except storage.MissingFileError as error:
        raise ConfigError(
            f"{name_or_uri}: there is no such layout; expected a JSON file or one of "
            f"{', '.join(shipped_layouts())}"
        ) from error


def _read_object(uri: str, maker: str) -> dict[str, Any]:
    if storage.stat(uri) is None:
        raise ConfigError(f"{uri}: there is no such file; run {maker} first")
    try:
        content = json.loads(storage.read_text(uri))
    except ValueError as error:
        raise ConfigError(f"{uri}: not a usable JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{uri}: expected a JSON object, found {type(content).__name__}")
    return content
