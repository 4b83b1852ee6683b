"""Options that several stages share: how windows go through a network, which dates it sees."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from decloud_lib.config import StageConfig
from decloud_lib.models.contract import ModelContract
from decloud_lib.models.runtimes import RuntimeName
from decloud_lib.raster.compose import EngineName, engine
from decloud_lib.reconstruction.finish import NodataRule, OutputType
from decloud_lib.reconstruction.render import Rendering, tiling_of
from decloud_lib.reconstruction.scene import Priority


class RenderOptions(StageConfig):
    """What everything that runs a network over images has in common."""

    savedmodel: str = Field(
        description="Model: URI of its folder, or `models:/name@alias` in MLflow."
    )
    dem: str | None = Field(
        default=None,
        description="Prepared elevation raster at 20 m (URI), where the model needs it.",
    )
    pad: int | None = Field(
        default=None,
        ge=0,
        le=1024,
        description="Margin of context around each window, 10 m pixels; a multiple of the model's "
        "stride. Default: what the model needs to be seamless.",
    )
    ts: int | None = Field(
        default=None,
        ge=1,
        le=16384,
        description="Side of a window, 10 m pixels; a multiple of the model's stride. "
        "Memory grows with its square. Default: what computes least within --memory-limit.",
    )
    memory_limit: float = Field(
        default=4.0,
        gt=0,
        le=4096,
        description="Memory for which windows are chosen where --ts is not given, 10^9 bytes.",
    )
    nodata_mask: NodataRule = Field(
        default="required",
        description="Where the output is no data: exactly where an image that the model takes has "
        "none (required), or in a wide surrounding of them too (the existing system's rule).",
    )
    batch_size: int = Field(default=1, ge=1, le=256, description="Windows per call of the network.")
    engine: EngineName = Field(
        default="rasterio",
        description="What reads the images: rasterio, or an Orfeo ToolBox pipeline (`make otb` "
        "installs it). Both give the same image.",
    )
    runtime: RuntimeName = Field(
        default="tensorflow",
        description="What computes the network: tensorflow, or openvino (on the CPU, where it is "
        "installed). Both give the same image, within one stored unit.",
    )
    readers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="What reads ahead: threads, or processes with --engine otb.",
    )
    bbox: tuple[float, ...] = Field(
        default=(),
        description="Only this extent: left bottom right top. It is widened to whole strides of "
        "the model, and equals that part of the whole image.",
    )
    bbox_crs: str | None = Field(
        default=None,
        description="Coordinates of --bbox, such as EPSG:4326 for degrees. Default: those of the "
        "images.",
    )
    dtype: OutputType = Field(
        default="int16",
        description="Type of the images: int16 with -10000 as no data, or uint16 with 0 (ESA's), "
        "reflectance x 10000.",
    )
    write_intermediate: bool = Field(
        default=False,
        description="Write what the network took too, as `<image>_<input>.tif`.",
    )
    quicklook: bool = Field(
        default=True, description="Write a picture of the date before and after, `<image>.png`."
    )

    @field_validator("bbox")
    @classmethod
    def _is_box(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value and (len(value) != 4 or not (value[0] < value[2] and value[1] < value[3])):
            raise ValueError("expected left bottom right top, with left < right and bottom < top")
        return value

    @model_validator(mode="after")
    def _crs_has_a_box(self) -> Self:
        if self.bbox_crs is not None and not self.bbox:
            raise ValueError("bbox_crs says nothing without bbox; give both")
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the output; how it is computed does not."""
        decisive = super().identity()
        how = {"batch_size", "engine", "memory_limit", "readers", "runtime", "statistics"}
        return {key: value for key, value in decisive.items() if key not in how}

    def rendering(self, contract: ModelContract) -> Rendering:
        """Return how a model is used with these options.

        Raises
        ------
        ConfigError
            Window or margin do not suit the model, or the engine is not installed.
        """
        engine(self.engine)  # told before work starts where it is not installed
        tiling, erosion_px = tiling_of(contract, self.ts, self.pad, self.nodata_mask)
        return Rendering(
            tiling,
            self.nodata_mask,
            erosion_px,
            self.batch_size,
            self.readers,
            self.engine,
            limit_gb=self.memory_limit if self.ts is None else None,
        )


class ReconstructOptions(RenderOptions):
    """What the reconstruction of a date and of a series have in common."""

    savedmodel: str = Field(
        description="Model: URI of its folder, or `models:/name@alias` in MLflow; or a name: "
        "residual (with the weights of the package), linear_gap_filling, nearest_date, "
        "gapfilling_fitted or gapfilling_kriged."
    )
    keep_clear: bool = Field(
        default=False,
        description="Keep the observed pixels where the date is clear, with a transition.",
    )
    feather_px: int = Field(
        default=16,
        ge=0,
        le=256,
        description="Width of the transition between kept and estimated pixels, 10 m pixels.",
    )
    recheck_clouds: bool = Field(
        default=True,
        description="Count pixels as cloudy too that are far brighter in the blue than the clear "
        "dates around let expect: haze and clouds that the masks miss. For models that take five "
        "dates.",
    )
    quality: bool = Field(
        default=False,
        description="Write `<image>_quality.tif` too: where each pixel comes from (0 no data, 1 "
        "network, 2 kept, 3 blended, 4 interpolated), whether no data lies within the network's "
        "reach, days to the date before and after.",
    )
    uncertainty: bool = Field(
        default=False,
        description="Write the expected absolute error too, `<image>_uncertainty.tif`, of a model "
        "that says it.",
    )
    statistics: str | None = Field(
        default=None,
        description="Folder (URI) of a table of the inputs and of the error on clear pixels, one "
        "file per image, for `decloud monitor`.",
    )
    maxgap: float = Field(
        default=72.0,
        gt=0,
        le=8760,
        description="Largest time between a SAR image and the optical image it goes with, hours.",
    )
    s1_per_date: int = Field(
        default=12,
        ge=1,
        le=12,
        description="SAR images beside each optical one at most, closest on top: several fill each "
        "other's gaps. 1 is what networks see in training.",
    )
    priority: Priority = Field(
        default="closest_clear",
        description="Which of several dates before (or after) fills a pixel: the closest one "
        "without clouds, the closest one, or the farthest one (the existing system's rule).",
    )
    min_days: float | None = Field(
        default=None,
        ge=0,
        le=3660,
        description="Smallest distance of a chosen date before or after, days. "
        "Default: that of the model's training layout, else 0.",
    )
    max_days: float | None = Field(
        default=None,
        gt=0,
        le=3660,
        description="Largest distance of a chosen date before or after, days. "
        "Default: that of the model's training layout, else 30.",
    )

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.min_days is None or self.max_days is None or self.min_days <= self.max_days:
            return self
        raise ValueError(f"min_days {self.min_days:g} is above max_days {self.max_days:g}")
