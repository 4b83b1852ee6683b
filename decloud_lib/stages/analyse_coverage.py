"""Map cloud and validity of tiles."""

from pydantic import Field

from decloud_lib.analysis.coverage import coverage_part
from decloud_lib.analysis.ground import Ground
from decloud_lib.analysis.settings import PATCHSIZE_FLAGS, TilesSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult
from decloud_lib.bands import ELEMENTARY_PATCH_PX


class AnalyseCoverageConfig(TilesSettings):
    """Settings of `analyse coverage`."""

    patchsize: int = Field(
        default=ELEMENTARY_PATCH_PX,
        description="Side of a cell of the maps, 10 m pixels; a multiple of 64.",
        json_schema_extra={"flags": PATCHSIZE_FLAGS},
    )


def analyse_coverage(config: AnalyseCoverageConfig) -> AnalysisResult:
    """Map, per patch, mean cloud over the valid dates and the numbers of valid images.

    Raises
    ------
    ConfigError
        Tiles that cannot be used.
    OutputConflictError
        The folder holds another analysis.
    """
    ground = Ground(config.tiles)
    analysis = Analysis(
        "analyse coverage", config, "Cloud and validity", config.out, ground.inputs()
    )
    return analysis.run(lambda: [coverage_part(ground.indexes(config.patchsize))])
