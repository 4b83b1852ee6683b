"""Bring delivered products into the bucket, as a data provider would."""

import logging
from pathlib import Path

from decloud_lib import storage
from decloud_lib.errors import OutputConflictError, ProductError
from decloud_lib.progress import track

logger = logging.getLogger(__name__)

SENSORS = ("SENTINEL1", "SENTINEL2", "DEM")


def put_products(folder: Path, raw: str) -> int:
    """Copy the products of a folder below a URI; what is there in the same size is left alone.

    Parameters
    ----------
    folder
        Holds `SENTINEL1/<TILE>`, `SENTINEL2/<TILE>` and, optionally, `DEM`.
    raw
        URI that gets the same three folders.

    Returns
    -------
    Number of files that were copied.

    Raises
    ------
    ProductError
        The folder lacks one of the two sensors.
    OutputConflictError
        There are other products already: they would be mixed.
    """
    for sensor in SENSORS[:2]:
        if not (folder / sensor).is_dir():
            raise ProductError(
                f"{folder}: no folder {sensor}; expected SENTINEL1/<TILE>, SENTINEL2/<TILE> and "
                "DEM/<TILE>.tif (optional) below it"
            )
    present = {entry.uri: entry.size for entry in storage.list_files(raw)}
    paths = [path for sensor in SENSORS for path in sorted((folder / sensor).rglob("*"))]
    wanted = {
        storage.join(raw, path.relative_to(folder).as_posix()): path
        for path in paths
        if path.is_file()
    }
    if foreign := sorted(present.keys() - wanted.keys()):
        raise OutputConflictError(
            f"{raw} holds {len(foreign)} files that are not in {folder}, such as {foreign[0]}; "
            "use another output folder or bucket"
        )
    missing = [
        (path, uri) for uri, path in wanted.items() if present.get(uri) != path.stat().st_size
    ]
    for path, uri in track(missing, len(missing), "products to the bucket", "file"):
        storage.upload(path, uri)
    logger.info("%s: %d files copied, %d in all", raw, len(missing), len(wanted))
    return len(missing)
