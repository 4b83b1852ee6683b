"""Count the time between Sentinel-2 and Sentinel-1 images."""

from pydantic import Field

from decloud_lib.analysis.gaps import GapBins, gaps_part
from decloud_lib.analysis.ground import Ground
from decloud_lib.analysis.settings import TilesSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult


class AnalyseGapsConfig(TilesSettings):
    """Settings of `analyse gaps`."""

    nbins: int = Field(default=8, ge=2, description="Number of bins; the last one is open.")
    quant: float = Field(default=12.0, gt=0, description="Width of a bin, hours.")


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
