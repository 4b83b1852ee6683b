"""All analyses on one page."""

from typing import Literal

from pydantic import Field

from decloud_lib.analysis.advice import advice_part
from decloud_lib.analysis.advice_settings import AdviceSettings
from decloud_lib.analysis.counts import count_part
from decloud_lib.analysis.coverage import coverage_part
from decloud_lib.analysis.footprints import footprint_files, records_part
from decloud_lib.analysis.gaps import GapBins, gaps_part
from decloud_lib.analysis.ground import Ground, layout_files, load_layouts
from decloud_lib.analysis.images import images_part, tile_images
from decloud_lib.analysis.parts import Part
from decloud_lib.analysis.settings import CountSettings, DataSetSettings, GapSettings
from decloud_lib.analysis.uses import uses_part
from decloud_lib.analysis.writing import Analysis, AnalysisResult
from decloud_lib.bands import ELEMENTARY_PATCH_PX

PartName = Literal["coverage", "gaps", "counts", "uses", "images", "records", "layout"]


class AnalyseConfig(AdviceSettings, CountSettings, DataSetSettings, GapSettings):
    """Settings of `analyse all`."""

    parts: tuple[PartName, ...] = Field(
        default=("coverage", "gaps", "counts", "uses", "images", "records", "layout"),
        description="Parts of the page, in this order; records and layout when they are named too.",
    )
    records: tuple[str, ...] = Field(
        default=(), description="Folders of records whose samples are shown on a map."
    )
    crs: str | None = Field(
        default=None,
        description="Coordinate reference system of that map; the UTM zone of the samples if not "
        "given.",
    )
    images_per_tile: int = Field(
        default=3,
        ge=0,
        description="Dates of each sensor and tile, spread over the time, whose pixels are read "
        "for the image statistics.",
    )
    bins: int = Field(default=1000, ge=1, description="Bins of their histograms, at most.")
    layout: str | None = Field(
        default=None, description="Acquisition layout to give advice on: a name or a JSON file."
    )


def analyse(config: AnalyseConfig) -> AnalysisResult:
    """Run the analyses and write one page with all of them.

    Raises
    ------
    ConfigError
        Tiles, regions or layouts that cannot be used.
    RecordError
        A folder of records without footprints.
    ProductError
        Images that cannot be read.
    OutputConflictError
        The folder holds another analysis.
    """
    work = _Work(config)
    inputs = (*work.ground.inputs(work.further), *work.record_entries)
    title = f"Analysis of {', '.join(sorted(work.ground.files.tiles))}"
    analysis = Analysis("analyse", config, title, config.out, inputs)
    return analysis.run(lambda: [part for name in config.parts for part in work.parts(name)])


class _Work:
    """The parts of the page; what they share is read once."""

    def __init__(self, config: AnalyseConfig) -> None:
        self._config = config
        self.ground = Ground(config.tiles, config.rois)
        self._layouts = load_layouts(config.layouts)
        self._advised = load_layouts([config.layout]) if config.layout else []
        self._grids = [config.grid(advised.layout) for advised in self._advised]
        self._records = footprint_files(config.records)
        self.record_entries = tuple(entry for found in self._records.values() for entry in found)
        self.further = layout_files((*config.layouts, *([config.layout] if config.layout else [])))

    def parts(self, name: PartName) -> list[Part]:
        """Return the parts of a name: none where nothing was asked of it."""
        config, ground = self._config, self.ground
        if name == "coverage":
            return [coverage_part(ground.indexes(ELEMENTARY_PATCH_PX))]
        if name == "gaps":
            bins = GapBins(config.nbins, config.quant)
            return [gaps_part(ground.indexes(config.patchsize), bins)]
        if name == "counts":
            regions = ground.regions(config.patchsize)
            return [count_part(self._layouts, regions, config.rules())]
        if name == "uses":
            places = ground.places(config.patchsize, config.dataset)
            return [uses_part(self._layouts, places, config.rules())]
        if name == "images" and config.images_per_tile:
            groups = tile_images(ground.indexes(config.patchsize), config.images_per_tile)
            return [images_part(groups, config.bins)]
        if name == "records" and self._records:
            return [records_part(self._records, config.crs)]
        if name == "layout" and self._advised:
            places = ground.places(config.patchsize, config.dataset)
            return [
                advice_part(advised, places, config.rules(), grid, config.wanted())
                for advised, grid in zip(self._advised, self._grids, strict=True)
            ]
        return []
