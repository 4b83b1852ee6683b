"""Map how often the samples of layouts use the images of each position."""

from decloud_lib.analysis.ground import Ground, layout_files, load_layouts
from decloud_lib.analysis.settings import DataSetSettings, LayoutsSettings
from decloud_lib.analysis.uses import uses_part
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseUsesConfig(LayoutsSettings, DataSetSettings):
    """Settings of `analyse uses`."""


def analyse_uses(config: AnalyseUsesConfig) -> AnalysisResult:
    """Map, per patch and layout, how often Sentinel-1 and Sentinel-2 images stand in a sample.

    Raises
    ------
    ConfigError
        Tiles, regions or layouts that cannot be used.
    OutputConflictError
        The folder holds another analysis.
    """
    ground, layouts = Ground(config.tiles, config.rois), load_layouts(config.layouts)
    inputs = ground.inputs(layout_files(config.layouts))
    analysis = Analysis("analyse uses", config, "Use of the images", config.out, inputs)
    return analysis.run(
        lambda: [
            uses_part(layouts, ground.places(config.patchsize, config.dataset), config.rules())
        ]
    )
