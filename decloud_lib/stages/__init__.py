"""The steps of the system: one file = one configuration class + one function."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What a preparation did."""

    made: tuple[str, ...]
    """URIs of what was made: rasters, or product folders."""
    reused: int
    """Outputs that were complete already, made from the same inputs and settings."""
