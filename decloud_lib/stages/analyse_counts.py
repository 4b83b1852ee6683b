"""Count the samples of acquisition layouts."""

from pydantic import Field

from decloud_lib.analysis.counts import CountRules, count_part
from decloud_lib.analysis.ground import Ground, layout_files, load_layouts
from decloud_lib.analysis.settings import LayoutsSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseCountsConfig(LayoutsSettings):
    """Settings of `analyse counts`."""

    constant: bool = Field(
        default=False, description="Also count at most a number of samples per patch position."
    )
    constant_nb: int = Field(default=10, ge=1, description="That number.")


def analyse_counts(config: AnalyseCountsConfig) -> AnalysisResult:
    """Count the samples of each layout in the regions of each data set.

    Raises
    ------
    ConfigError
        Tiles, regions or layouts that cannot be used.
    OutputConflictError
        The folder holds another analysis.
    """
    ground, layouts = Ground(config.tiles, config.rois), load_layouts(config.layouts)
    rules = CountRules(
        config.conflicts, config.seed, config.constant_nb if config.constant else None
    )
    inputs = ground.inputs(layout_files(config.layouts))
    analysis = Analysis("analyse counts", config, "Sample counts", config.out, inputs)
    return analysis.run(lambda: [count_part(layouts, ground.regions(config.patchsize), rules)])
