"""Settings of a synthetic series."""

from datetime import date
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from decloud_lib.bands import ELEMENTARY_PATCH_PX


class SyntheticConfig(BaseModel):
    """What a synthetic series looks like; the same settings give the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, description="All randomness comes from it.")
    tile: str = Field(
        default="T31TCJ",
        pattern=r"^T(0[1-9]|[1-5]\d|60)[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]$",
        description="MGRS tile with the leading T; decides the coordinates.",
    )
    size_px: int = Field(
        default=768,
        ge=64,
        le=4096,
        multiple_of=ELEMENTARY_PATCH_PX,
        description="Side, 10 m pixels.",
    )
    start: date = Field(default=date(2020, 5, 1), description="First day (UTC).")
    days: int = Field(default=92, ge=6, le=1500, description="Length, days.")
    s2_dates: int = Field(default=18, ge=1, le=600, description="Number of optical products.")
    s2_zipped: int = Field(default=1, ge=0, description="How many of them are zip archives.")
    s2_safe: int = Field(
        default=0, ge=0, description="How many of them are SAFE products of ESA instead of Theia's."
    )
    s1_every_days: int = Field(default=6, ge=1, le=60, description="Gap of the radar dates, days.")
    s1_ascending: bool = Field(
        default=False, description="Add an evening pass of a second orbit to each morning pass."
    )
    s1_masked: float = Field(
        default=0.25, ge=0.0, le=1.0, description="Share of radar names without time of day."
    )
    s1_looks: float = Field(
        default=7.0, ge=0.5, le=1000.0, description="Equivalent number of looks."
    )
    edges: float = Field(
        default=0.12, ge=0.0, le=1.0, description="Share of dates cut by the edge of the swath."
    )
    covers: tuple[float, ...] | None = Field(
        default=None,
        description="Share of cloud and shadow of each optical date, 0-1; None = as in reality.",
    )

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if self.covers is not None and len(self.covers) != self.s2_dates:
            raise ValueError(
                f"found {len(self.covers)} covers for {self.s2_dates} optical dates; give one each"
            )
        if self.covers is not None and not all(0.0 <= cover <= 1.0 for cover in self.covers):
            raise ValueError(f"covers are shares between 0 and 1, found {self.covers}")
        return self
