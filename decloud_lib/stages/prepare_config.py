"""The settings of a batch: those of the single preparations, and how the batch is run."""

from collections.abc import Iterable
from copy import copy
from datetime import date, time
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from decloud_lib import storage
from decloud_lib.config import StageConfig
from decloud_lib.raster.products.found import FAMILIES, Family
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.raster.voids import VoidPolicy
from decloud_lib.raster.warp import ResamplingName
from decloud_lib.raster.write import Codec
from decloud_lib.stages import Mode
from decloud_lib.stages.prepare_dem import PrepareDemConfig
from decloud_lib.stages.prepare_s1 import PrepareS1Config
from decloud_lib.stages.prepare_s2 import PrepareS2Config

ROOTS: dict[Family, str] = {"s1": "S1_PREPARE", "s2": "S2_PREPARE", "dem": "DEM_PREPARE"}


def as_in(config_class: type[StageConfig], name: str, *, positional: bool = True) -> Any:
    """Return the default, bounds and description that a field has in another stage."""
    field = copy(config_class.model_fields[name])
    if not positional:
        field.json_schema_extra = None
    return field


class PrepareConfig(OpticalSettings, StageConfig):
    """Settings of `prepare`; those of the single preparations are the same there."""

    products: str = Field(
        description="Folder or s3:// prefix; products of all families are found at any depth.",
        json_schema_extra={"positional": True},
    )
    prepared: str = Field(
        description="Root of what is made: S1_PREPARE, S2_PREPARE, DEM_PREPARE, tiles.json and "
        "QUARANTINE, the reasons of products that fail."
    )
    families: tuple[Family, ...] = Field(default=FAMILIES, description="Only these families.")
    tiles: tuple[str, ...] = Field(default=(), description="Only these tiles, such as T31TEJ.")
    start: date | None = Field(default=None, description="Nothing acquired before this day, UTC.")
    end: date | None = Field(default=None, description="Nothing acquired after this day, UTC.")
    mode: Mode = as_in(PrepareS2Config, "mode")
    dem: str = Field(
        default="",
        description="One elevation source for all tiles, see prepare-dem; without it "
        "DEM/<TILE>.tif below the products, where there is one.",
    )
    resampling: ResamplingName = as_in(PrepareDemConfig, "resampling")
    voids: VoidPolicy = as_in(PrepareDemConfig, "voids")
    assumed_hour_descending: time = as_in(PrepareS1Config, "assumed_hour_descending")
    assumed_hour_ascending: time = as_in(PrepareS1Config, "assumed_hour_ascending")
    tilesize: int = as_in(PrepareS2Config, "tilesize")
    codec: Codec = as_in(PrepareS2Config, "codec")
    cog: bool = as_in(PrepareS2Config, "cog")
    workers: int = Field(
        default=0,
        ge=0,
        description="Products at the same time, each in a process of its own of at most 600 MB; 0 "
        "takes the machine's cores, at most 8.",
    )
    time_limit_s: float = Field(
        default=0, ge=0, description="A product that takes longer is given up, seconds; 0 = never."
    )

    @field_validator("products", "prepared")
    @classmethod
    def _tidy(cls, uri: str) -> str:
        """Write a place as listings do, so that files are recognised by their URIs."""
        return uri.rstrip("/") if storage.is_s3(uri) else str(Path(uri))

    @model_validator(mode="after")
    def _check_period(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} lies after end {self.end}; swap them")
        return self

    @property
    def quarantine(self) -> str:
        """Return the folder of the records of products that failed."""
        return storage.join(self.prepared, "QUARANTINE")

    def root(self, family: Family) -> str:
        """Return where the outputs of a family go."""
        return storage.join(self.prepared, ROOTS[family])

    def of_product(self, family: Family, uri: str) -> PrepareS1Config | PrepareS2Config:
        """Return the settings for one radar or optical product."""
        if family == "s1":
            own = self._shared_with(PrepareS1Config)
            return PrepareS1Config(input_s1_vh=(uri,), out_s1_dir=self.root("s1"), **own)
        own = self._shared_with(PrepareS2Config)
        return PrepareS2Config(in_image=(uri,), out_s2_dir=self.root("s2"), **own)

    def of_elevation(self, dem: str, tile: str, reference: str) -> PrepareDemConfig:
        """Return the settings for the elevation of one tile."""
        # The block of the optical rasters is not that of elevations.
        own = self._shared_with(PrepareDemConfig, leave={"dem", "tilesize"})
        return PrepareDemConfig(dem=dem, reference=reference, output=self.elevation_of(tile), **own)

    def elevation_of(self, tile: str) -> str:
        """Return where the elevation of a tile goes."""
        return storage.join(self.root("dem"), f"{tile}.tif")

    def _shared_with(self, other: type[StageConfig], leave: Iterable[str] = ()) -> dict[str, Any]:
        names = (type(self).model_fields.keys() & other.model_fields.keys()) - set(leave)
        return {name: getattr(self, name) for name in names}
