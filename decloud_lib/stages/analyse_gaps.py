"""Count the time between Sentinel-2 and Sentinel-1 images."""

from decloud_lib.analysis.gaps import GapBins, gaps_part
from decloud_lib.analysis.ground import Ground
from decloud_lib.analysis.settings import GapSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseGapsConfig(GapSettings):
    """Settings of `analyse gaps`."""


def analyse_gaps(config: AnalyseGapsConfig) -> AnalysisResult:
    """Count, per patch, the gaps between each Sentinel-2 image and the closest Sentinel-1 image.

    Raises
    ------
    ConfigError
        Tiles that cannot be used.
    OutputConflictError
        The folder holds another analysis.
    """
    ground, bins = Ground(config.tiles), GapBins(config.nbins, config.quant)
    analysis = Analysis("analyse gaps", config, "S1-S2 gaps", config.out, ground.inputs())
    return analysis.run(lambda: [gaps_part(ground.indexes(config.patchsize), bins)])
