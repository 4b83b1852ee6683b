"""Compute statistics and histograms of images."""

from pydantic import Field

from decloud_lib import storage
from decloud_lib.analysis.images import ImageGroup, find_images, images_part
from decloud_lib.analysis.settings import OutputSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseImagesConfig(OutputSettings):
    """Settings of `analyse images`."""

    images: tuple[str, ...] = Field(
        min_length=1,
        description="Rasters of one kind, and folders of such rasters, searched to the bottom.",
        json_schema_extra={"flags": ["--input-dir"]},
    )
    pattern: str = Field(default="*.tif", description="Names of the files of a folder that count.")
    nodata: float | None = Field(
        default=None, description="Value that does not count; the mark in each file if not given."
    )
    bins: int = Field(default=1000, ge=1, description="Bins of a histogram, at most.")
    name: str = Field(
        default="images",
        pattern=r"^[\w. -]+$",
        examples=["spring 2020"],
        description="What the images are: in headings and file names.",
        json_schema_extra={"flags": ["--prefix"]},
    )


def analyse_images(config: AnalyseImagesConfig) -> AnalysisResult:
    """Compute minimum, maximum, mean, standard deviation and histogram of each band.

    Raises
    ------
    ConfigError
        No raster.
    ProductError
        A raster that cannot be read, or has other bands than the first.
    OutputConflictError
        The folder holds another analysis.
    """
    uris = find_images(config.images, config.pattern)
    entries = tuple(entry for uri in uris if (entry := storage.stat(uri)))
    group = ImageGroup(config.name, uris, nodata=config.nodata)
    analysis = Analysis("analyse images", config, "Image statistics", config.out, entries)
    return analysis.run(lambda: [images_part([group], config.bins)])
