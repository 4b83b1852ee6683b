"""The points of a sweep: which settings to train with, all combinations or drawn ones."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from decloud_lib.errors import ConfigError


class Range(BaseModel):
    """Numbers to draw from, for a setting that is no list of choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    log: bool = Field(default=False, description="Draw the logarithm evenly: for learning rates.")

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low >= self.high or (self.log and self.low <= 0.0):
            raise ValueError("expected low < high, and both above 0 where log is true")
        return self

    def draw(self, generator: np.random.Generator) -> float:
        """Draw a number, of 4 significant digits."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = generator.uniform(low, high)
        return float(f"{math.exp(value) if self.log else value:.4g}")


@dataclass(frozen=True, slots=True)
class Space:
    """What a sweep varies: setting -> its choices, or a range to draw from."""

    axes: Mapping[str, list[Any] | Range]

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Space":
        """Read the JSON form: setting -> list of choices, or an object with low, high and log.

        Raises
        ------
        ConfigError
            An axis of another form, or an empty one; the message shows the form.
        """
        axes: dict[str, list[Any] | Range] = {}
        for name, axis in content.items():
            if isinstance(axis, list) and axis:
                axes[name] = axis
                continue
            try:
                axes[name] = Range.model_validate(axis)
            except ValidationError as error:
                raise ConfigError(
                    f"space: {name} is {json.dumps(axis)}; expected a list of choices such as "
                    f'[16, 32], or a range such as {{"low": 1e-4, "high": 1e-2, "log": true}} '
                    f"({error.errors()[0]['msg'].removeprefix('Value error, ')})"
                ) from error
        if not axes:
            raise ConfigError("space: nothing varies; expected at least one setting with choices")
        return cls(axes)

    def grid(self) -> list[dict[str, Any]]:
        """Return all combinations of the choices.

        Raises
        ------
        ConfigError
            An axis is a range, which has no end of values.
        """
        ranges = [name for name, axis in self.axes.items() if isinstance(axis, Range)]
        if ranges:
            raise ConfigError(
                f"space: {ranges[0]} is a range, so a number of points must be drawn: give --points"
            )
        return [
            dict(zip(self.axes, values, strict=True))
            for values in itertools.product(*self.axes.values())
        ]

    def draw(self, points: int, seed: int) -> list[dict[str, Any]]:
        """Draw different combinations, at most so many; the same seed draws the same ones."""
        generator = np.random.default_rng(seed)
        if not any(isinstance(axis, Range) for axis in self.axes.values()):
            whole = self.grid()
            chosen = generator.permutation(len(whole))[:points]
            return [whole[index] for index in sorted(chosen.tolist())]
        return [
            {
                name: axis.draw(generator)
                if isinstance(axis, Range)
                else axis[int(generator.integers(len(axis)))]
                for name, axis in self.axes.items()
            }
            for _ in range(points)
        ]


def name_of_point(settings: Mapping[str, Any]) -> str:
    """Return a short name of settings, the same for the same ones, fit for a folder."""
    text = json.dumps(dict(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
