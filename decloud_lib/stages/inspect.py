"""Show what a path holds: a product, an image, a raster; and a picture of it on demand."""

import io
import logging
from dataclasses import replace

from pydantic import Field

from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError
from decloud_lib.inspection.facts import Description
from decloud_lib.inspection.subject import look_at
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.stages.pictures import PictureUri, write_picture
from decloud_lib.types import Array

logger = logging.getLogger(__name__)


class InspectConfig(OpticalSettings, StageConfig):
    """Settings of `inspect`; how clouds are counted concerns delivered products only."""

    path: str = Field(
        description="Product, image or raster, delivered or prepared, or a folder of them.",
        json_schema_extra={"positional": True},
    )
    quicklook: PictureUri | None = Field(
        default=None, description="PNG to be made, .../NAME.png; without it there is no picture."
    )
    size: int = Field(
        default=512,
        ge=16,
        le=4096,
        description="Longer side of the picture, pixels, at most; a small image is enlarged by a "
        "whole number.",
    )

    @property
    def settings(self) -> OpticalSettings:
        """Return how a delivered optical product is read."""
        return OpticalSettings(**self.model_dump(include=set(OpticalSettings.model_fields)))


def inspect(config: InspectConfig) -> Description:
    """Say what a path holds, and draw it when a quick-look is asked for.

    Shares of cloud and no data are exact: of prepared products they come from the statistics, of
    delivered ones from the masks, read strip by strip. Nothing but the picture is written.

    Raises
    ------
    ProductError, GridMismatchError
        Nothing there, or something damaged or incomplete, with what was found.
    ConfigError
        A picture of something that has none.
    OutputConflictError
        Another picture is there and `overwrite` is off.
    """
    subject = look_at(config.path, config.settings)
    if config.quicklook is None:
        return subject.description
    if subject.draw is None:
        raise ConfigError(
            f"{config.path}: is a {subject.description.what}; there is nothing to draw: leave out "
            "--quicklook, or name one product"
        )
    picture = subject.draw(config.size)
    write_picture(config.quicklook, _encoded(picture.pixels), overwrite=config.overwrite)
    logger.info("inspect: wrote %s", config.quicklook)
    return replace(subject.description, quicklook=config.quicklook, picture=picture.legend)


def _encoded(pixels: Array) -> bytes:
    """Encode an (H, W, 4) uint8 picture as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
