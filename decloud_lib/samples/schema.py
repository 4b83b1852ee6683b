"""Names, shapes and types of the arrays of a sample, and the two JSON files beside the shards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decloud_lib import storage
from decloud_lib.acquisitions import AcquisitionsLayout
from decloud_lib.bands import (
    CLOUD_BANDS,
    DEM_BANDS,
    ELEMENTARY_PATCH_PX,
    S1_BANDS,
    S2_10M_BANDS,
    S2_20M_STACK_BANDS,
)
from decloud_lib.errors import ConfigError, ShapeError
from decloud_lib.types import Array

TYPES_FILE = "output_types.json"
SHAPES_FILE = "output_shape.json"
DEM_KEY = "dem"
GEOINFO_KEY = "geoinfo"


def check_patchsize(patchsize: int) -> None:
    """Refuse a patch size that does not consist of whole elementary patches.

    Raises
    ------
    ConfigError
        Not a positive multiple of 64.
    """
    if patchsize <= 0 or patchsize % ELEMENTARY_PATCH_PX:
        below = max(1, patchsize // ELEMENTARY_PATCH_PX) * ELEMENTARY_PATCH_PX
        raise ConfigError(
            f"patchsize is {patchsize}; expected a multiple of {ELEMENTARY_PATCH_PX} pixels, "
            f"for instance {below}"
        )


@dataclass(frozen=True, slots=True)
class SampleSchema:
    """Shape (without the batch axis) and type of each array of a sample, in stored order."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of a sample, in stored order."""
        return tuple(self.shapes)

    def types_json(self) -> str:
        """Return the text of `output_types.json`, in the historic form."""
        return json.dumps(dict(self.dtypes), indent=4)

    def shapes_json(self) -> str:
        """Return the text of `output_shape.json`: null stands for the batch axis."""
        shapes = {key: [None, *shape] for key, shape in self.shapes.items()}
        return json.dumps(shapes, indent=4)

    def write(self, folder: Path) -> list[Path]:
        """Write the two JSON files into a local folder."""
        paths = [folder / TYPES_FILE, folder / SHAPES_FILE]
        for path, text in zip(paths, (self.types_json(), self.shapes_json()), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    @classmethod
    def read(cls, folder: str | Path) -> "SampleSchema":
        """Read the two JSON files of a record folder (a URI or a local path).

        Raises
        ------
        ConfigError
            A file that is missing in the folder or has another form.
        """
        types = _read_json(storage.join(str(folder), TYPES_FILE))
        shapes = _read_json(storage.join(str(folder), SHAPES_FILE))
        if types.keys() != shapes.keys():
            odd = ", ".join(sorted(types.keys() ^ shapes.keys()))
            raise ConfigError(
                f"{folder}: {TYPES_FILE} and {SHAPES_FILE} name different keys ({odd}); "
                "make the records again"
            )
        return cls({key: tuple(shape[1:]) for key, shape in shapes.items()}, types)

    def check(self, arrays: Mapping[str, Array]) -> None:
        """Check the arrays of one sample.

        Raises
        ------
        ShapeError
            Other keys, shapes or types than the schema says.
        """
        if tuple(arrays) != self.keys:
            raise ShapeError(f"sample keys {list(arrays)}; expected {list(self.keys)}")
        for key, array in arrays.items():
            if array.shape != self.shapes[key] or array.dtype.name != self.dtypes[key]:
                raise ShapeError(
                    f"{key} is {array.dtype.name} {array.shape}; "
                    f"expected {self.dtypes[key]} {self.shapes[key]}"
                )


def schema_of(
    layout: AcquisitionsLayout,
    patchsize: int,
    *,
    with_20m_bands: bool,
    with_dem: bool,
    with_cloud_masks: bool = False,
    with_timestamps: bool = True,
) -> SampleSchema:
    """Return the schema of the samples of a layout.

    The order is that of the existing system: acquisitions in layout order; within one, S2 time, S2,
    S2 at 20 m, cloud mask, S1 time, S1 pass, S1; the elevation last.

    Parameters
    ----------
    layout
        Acquisition layout.
    patchsize
        Side of a patch, 10 m pixels.
    with_20m_bands
        Add the six 20 m bands of each S2 image.
    with_dem
        Add the elevation.
    with_cloud_masks
        Add the cloud mask of each S2 image: a bit field, not 0 = cloud or shadow.
    with_timestamps
        Keep the times, UTC seconds since the epoch.
    """
    check_patchsize(patchsize)
    half = patchsize // 2
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}

    def add(key: str, dtype: str, *shape: int) -> None:
        shapes[key], dtypes[key] = shape, dtype

    for name in layout.names:
        if layout.has_s2(name):
            if with_timestamps:
                add(f"s2_timestamp_{name}", "float64")
            add(f"s2_{name}", "int16", patchsize, patchsize, len(S2_10M_BANDS))
            if with_20m_bands:
                add(f"s2_20m_{name}", "int16", half, half, len(S2_20M_STACK_BANDS))
            if with_cloud_masks:
                add(f"s2_cld10m_{name}", "uint8", patchsize, patchsize, len(CLOUD_BANDS))
        if layout.has_s1(name):
            if with_timestamps:
                add(f"s1_timestamp_{name}", "float64")
            add(f"s1_ascending_{name}", "bool")
            add(f"s1_{name}", "uint16", patchsize, patchsize, len(S1_BANDS))
    if with_dem:
        add(DEM_KEY, "int16", half, half, len(DEM_BANDS))
    return SampleSchema(shapes, dtypes)


def band_names() -> dict[str, list[str]]:
    """Return the bands of each kind of array, in stored order."""
    kinds = {
        "s1": S1_BANDS,
        "s2": S2_10M_BANDS,
        "s2_20m": S2_20M_STACK_BANDS,
        "s2_cld10m": CLOUD_BANDS,
        DEM_KEY: DEM_BANDS,
    }
    return {kind: list(bands) for kind, bands in kinds.items()}


def _read_json(uri: str) -> dict[str, Any]:
    if storage.stat(uri) is None:
        raise ConfigError(f"{uri} is missing; expected a record folder made by `decloud sample`")
    try:
        content = json.loads(storage.read_text(uri))
    except ValueError as error:
        raise ConfigError(f"{uri}: not a usable JSON file ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{uri}: expected a JSON object with one entry per sample key")
    return content
