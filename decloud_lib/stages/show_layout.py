"""Show an acquisition layout: a table of what it asks for, and a picture on demand."""

import logging
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from decloud_lib import storage
from decloud_lib.acquisitions.timeline import draw_timeline
from decloud_lib.config import StageConfig
from decloud_lib.sampling.sources import read_layout
from decloud_lib.stages.pictures import PictureUri, write_picture

logger = logging.getLogger(__name__)


class ShowLayoutConfig(StageConfig):
    """Settings of `layout show`."""

    layout: str = Field(
        description="Name of a shipped layout (`decloud layout list`), or URI of a JSON file.",
        json_schema_extra={"positional": True},
    )
    plot: PictureUri | None = Field(
        default=None,
        description="PNG to be made, .../NAME.png: windows, cloud ranges and S1-S2 gaps over time.",
    )


@dataclass(frozen=True, slots=True)
class ShownLayout:
    """What a layout asks for."""

    name: str
    reference: str
    target: str
    summary: str
    """Text table, a column per acquisition."""
    layout: dict[str, Any]
    """In the JSON grammar."""
    plot: str | None
    """URI of the picture."""

    def text(self) -> str:
        """Return what a person reads."""
        picture = ["", f"picture: {self.plot}"] if self.plot else []
        return "\n".join([self.name, "", self.summary, *picture])


def show_layout(config: ShowLayoutConfig) -> ShownLayout:
    """Describe a layout, and draw it when a picture is asked for.

    Raises
    ------
    ConfigError
        There is no such layout, or it cannot be used: what is wrong, with file and key.
    OutputConflictError
        Another picture is there and `overwrite` is off.
    """
    layout = read_layout(config.layout)
    name = storage.name_of(config.layout).removesuffix(".json")
    if config.plot is not None:
        write_picture(config.plot, draw_timeline(layout, name), overwrite=config.overwrite)
        logger.info("layout: wrote %s", config.plot)
    return ShownLayout(
        name,
        layout.reference_name,
        layout.target_name,
        layout.summary(),
        layout.to_json(),
        config.plot,
    )
