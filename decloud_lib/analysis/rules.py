"""How samples are counted."""

from dataclasses import dataclass

from decloud_lib.arrays.layout import Conflicts

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Seasons:
    """Groups of months."""

    months: tuple[tuple[int, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return names like `Mar-May`."""
        return tuple(
            "-".join(dict.fromkeys((_MONTHS[group[0] - 1], _MONTHS[group[-1] - 1])))
            for group in self.months
        )


@dataclass(frozen=True, slots=True)
class CountRules:
    """How samples are counted."""

    conflicts: Conflicts
    seed: int
    """Of random cloud bounds."""
    seasons: Seasons
    per_position: int | None = None
    """Also count at most so many samples of each patch position."""
