"""Settings of the advice on a layout."""

from typing import Literal, Self

from pydantic import Field, model_validator

from decloud_lib.acquisitions import AcquisitionsLayout
from decloud_lib.acquisitions.variants import Radii, Scaled, Windows, is_beside
from decloud_lib.analysis.advice import AdviceGrid, Wanted
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError


class AdviceSettings(StageConfig):
    """What is tried and what is wanted."""

    gaps: tuple[float, ...] = Field(
        default=(24.0, 36.0, 48.0, 72.0),
        description="Largest S1-S2 gaps to try, hours.",
        json_schema_extra={"flags": ["--maxgaps1s2-list"]},
    )
    scales: tuple[float, ...] = Field(
        default=(0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
        description="Time windows to try: those of the layout so many times as long.",
    )
    inner_days: tuple[float, ...] = Field(
        default=(),
        description="Windows to try instead of scales: those around the reference reach so far, "
        "days, and those beside it begin there.",
        json_schema_extra={"flags": ["--int-radius-list"]},
    )
    outer_days: tuple[float, ...] = Field(
        default=(),
        description="With inner days, where the windows beside the reference end, days.",
        json_schema_extra={"flags": ["--ext-radius-list"]},
    )
    min_samples: int = Field(default=1000, ge=1, description="Samples that are wanted, at least.")
    min_seasons: int = Field(
        default=2, ge=1, description="Seasons that the samples are wanted in, at least."
    )
    season_percent: float = Field(
        default=5.0, ge=0, le=100, description="A season counts from this share of the samples, %."
    )
    positions_percent: float = Field(
        default=50.0, ge=0, le=100, description="Share of the positions with a sample, at least, %."
    )
    prefer: Literal["gap", "windows"] = Field(
        default="gap", description="What is made small first: the S1-S2 gap, or the windows."
    )

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name in ("gaps", "scales", "inner_days", "outer_days"):
            if any(value <= 0 for value in getattr(self, name)):
                raise ValueError(f"{name}: expected numbers above 0")
        if not self.gaps or not (self.scales or self.inner_days):
            raise ValueError("nothing to try; expected gaps, and scales or inner days")
        if self.outer_days and not self.inner_days:
            raise ValueError("outer days are given; expected inner days with them")
        return self

    def wanted(self) -> Wanted:
        """Return what a combination must reach."""
        return Wanted(
            self.min_samples,
            self.min_seasons,
            self.season_percent,
            self.positions_percent,
            self.prefer,
        )

    def grid(self, layout: AcquisitionsLayout) -> AdviceGrid:
        """Return what is tried for a layout.

        Raises
        ------
        ConfigError
            Inner days alone, and windows beside the reference; or no outer day beyond an inner one.
        """
        if not self.inner_days:
            return AdviceGrid(self.gaps, tuple(map(Scaled, sorted(set(self.scales)))))
        beside = any(
            is_beside(layout.window_hours(name))
            for name in layout.names
            if name != layout.reference_name
        )
        inner, outer = sorted(set(self.inner_days)), sorted(set(self.outer_days))
        windows: tuple[Windows, ...] = tuple(map(Radii, inner))
        if beside:
            windows = tuple(Radii(near, far) for far in outer for near in inner if near < far)
        if not windows:
            raise ConfigError(
                f"inner days {inner} and outer days {outer}; the layout has windows beside the "
                "reference: expected outer days larger than inner ones (--outer-days)"
            )
        return AdviceGrid(self.gaps, windows)
