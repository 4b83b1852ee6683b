"""Advise which S1-S2 gap and which time windows a layout should have."""

from pydantic import Field

from decloud_lib.analysis.advice import advice_part
from decloud_lib.analysis.advice_settings import AdviceSettings
from decloud_lib.analysis.ground import Ground, layout_files, load_layouts
from decloud_lib.analysis.settings import DataSetSettings
from decloud_lib.analysis.writing import Analysis, AnalysisResult
from decloud_lib.errors import ConfigError


class AnalyseLayoutConfig(AdviceSettings, DataSetSettings):
    """Settings of `analyse layout`."""

    layout: str = Field(
        default="AL-CRGA-OS2-Occitanie",
        description="Acquisition layout that is varied: name of a shipped one, or JSON file.",
        json_schema_extra={"flags": ["--al"]},
    )


def analyse_layout(config: AnalyseLayoutConfig) -> AnalysisResult:
    """Count the samples of variants of a layout and recommend one; it is written as JSON.

    Raises
    ------
    ConfigError
        Tiles, regions, layout or settings that cannot be used.
    OutputConflictError
        The folder holds another analysis.
    """
    ground, layouts = Ground(config.tiles, config.rois), load_layouts([config.layout])
    if len(layouts) != 1:
        raise ConfigError(f"{config.layout} holds {len(layouts)} layouts; expected one")
    layout, grid = layouts[0], config.grid(layouts[0].layout)
    inputs = ground.inputs(layout_files([config.layout]))
    title = f"Advice on {layout.name}"
    analysis = Analysis("analyse layout", config, title, config.out, inputs)

    return analysis.run(
        lambda: [
            advice_part(
                layout,
                ground.places(config.patchsize, config.dataset),
                config.rules(),
                grid,
                config.wanted(),
            )
        ]
    )
