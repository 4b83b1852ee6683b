"""Count the samples of acquisition layouts."""

from decloud_lib.analysis.counts import count_part
from decloud_lib.analysis.ground import Ground, layout_files, load_layouts
from decloud_lib.analysis.settings import CountSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseCountsConfig(CountSettings):
    """Settings of `analyse counts`."""


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
    inputs = ground.inputs(layout_files(config.layouts))
    analysis = Analysis("analyse counts", config, "Sample counts", config.out, inputs)
    return analysis.run(
        lambda: [count_part(layouts, ground.regions(config.patchsize), config.rules())]
    )
