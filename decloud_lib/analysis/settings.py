"""Settings that several analyses share."""

from dataclasses import replace

from pydantic import Field, JsonValue, field_validator

from decloud_lib.analysis.rules import CountRules, Seasons
from decloud_lib.arrays.draw_rules import EvenSeasons, parse_months
from decloud_lib.arrays.layout import Conflicts
from decloud_lib.config import StageConfig
from decloud_lib.samples.schema import check_patchsize

PATCHSIZE_FLAGS: list[JsonValue] = ["-p", "--patch-size"]


class OutputSettings(StageConfig):
    """Where an analysis is written."""

    out: str = Field(
        description="Folder of the page, pictures, tables and rasters.",
        json_schema_extra={"flags": ["--out-dir"]},
    )


class TilesSettings(OutputSettings):
    """Which prepared tiles are looked at, and how they are cut into patches."""

    tiles: str = Field(
        description="Tiles JSON, as make-tiles writes it.", json_schema_extra={"flags": ["-t"]}
    )
    patchsize: int = Field(
        default=256,
        description="Side of a patch, 10 m pixels; a multiple of 64.",
        json_schema_extra={"flags": PATCHSIZE_FLAGS},
    )

    @field_validator("patchsize")
    @classmethod
    def _whole_cells(cls, value: int) -> int:
        check_patchsize(value)
        return value


class SearchSettings(TilesSettings):
    """How the samples of a layout are found."""

    rois: str | None = Field(
        default=None, description="ROI JSON, as make-roi writes it; all ground where not given."
    )
    conflicts: Conflicts = Field(
        default="all_pairs",
        description="all_pairs: no Sentinel-2 image twice in a sample, siblings excepted; "
        "historic: no such rule, for the counts of the existing system.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of random cloud bounds.")
    season_months: tuple[str, ...] = Field(
        default=("3-5", "6-8", "9-11", "12-2"),
        description="Months of each season of the reference date.",
    )

    @field_validator("season_months")
    @classmethod
    def _whole_year(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        EvenSeasons(tuple(map(parse_months, value)))
        return value

    def rules(self) -> CountRules:
        """Return how samples are counted."""
        seasons = Seasons(tuple(map(parse_months, self.season_months)))
        return CountRules(self.conflicts, self.seed, seasons)


class DataSetSettings(SearchSettings):
    """Which data set."""

    dataset: str = Field(
        default="train", description="Data set whose regions count, where regions are given."
    )


class LayoutsSettings(SearchSettings):
    """Which layouts."""

    layouts: tuple[str, ...] = Field(
        default=(),
        description="Acquisition layouts: names of shipped ones, JSON files or folders of JSON "
        "files; all shipped ones where none is given.",
        json_schema_extra={"flags": ["--al-root-dir", "--acquisition-layouts"]},
    )


class CountSettings(LayoutsSettings):
    """What else is counted."""

    constant: bool = Field(
        default=False, description="Also count at most a number of samples per patch position."
    )
    constant_nb: int = Field(default=10, ge=1, description="That number.")

    def rules(self) -> CountRules:
        """Return how samples are counted."""
        return replace(super().rules(), per_position=self.constant_nb if self.constant else None)


class GapSettings(TilesSettings):
    """Bins of the S1-S2 gaps."""

    nbins: int = Field(default=8, ge=2, description="Bins of the S1-S2 gaps; the last one is open.")
    quant: float = Field(default=12.0, gt=0, description="Width of such a bin, hours.")
