"""Prove models on a series of one place: clear dates are hidden and estimated."""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from decloud_lib import manifest, storage, tracking
from decloud_lib.arrays.hidden_dates import HiddenDate, ProofRules, find_hidden_dates
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.models import registry
from decloud_lib.types import Window

if TYPE_CHECKING:
    from decloud_lib.learning.scoring import Estimator
    from decloud_lib.learning.series import Series
    from decloud_lib.sampling.sources import TilesFile

logger = logging.getLogger(__name__)

SCORES = "scores.json"
REFERENCE = "linear_gap_filling"
_MODELS = (REFERENCE, "nearest_date", "gapfilling_fitted", "gapfilling_kriged")


class EvaluateSeriesConfig(StageConfig):
    """Settings of `evaluate-series`."""

    tiles: str = Field(description="tiles.json of the prepared tiles.")
    output: str = Field(description="Folder of the tables.")
    tile: str | None = Field(default=None, description="Tile; default: the only one.")
    window: tuple[int, ...] = Field(
        default=(),
        description="Part of the tile: row, column, height and width, 10 m pixels; default: all.",
    )
    models: tuple[str, ...] = Field(
        default=_MODELS,
        description="Models to score that need no folder, by name: those without weights, and "
        "residual with the weights of the package.",
    )
    savedmodels: tuple[str, ...] = Field(
        default=(),
        description="Networks to score: model folders, models:/NAME@ALIAS or models:/NAME/VERSION.",
    )
    protocols: tuple[str, ...] = Field(
        default=(), description="Protocols, by name; default: all. An unknown name lists them."
    )
    first: date | None = Field(default=None, description="Hide no date before this day, UTC.")
    last: date | None = Field(default=None, description="Hide no date after this day, UTC.")
    near_days: int = Field(default=5, ge=1, description="Neighbours are no nearer, days.")
    far_days: int = Field(default=30, ge=1, description="Neighbours are no farther, days.")
    clear_percent: float = Field(
        default=1.0, ge=0.0, lt=100.0, description="Most flagged pixels of a clear date, percent."
    )
    masks: int = Field(default=4, ge=1, description="Masks laid over each clear date.")
    seed: int = Field(default=0, ge=0, description="Of the drawing of the masks.")
    experiment: str | None = Field(
        default=None, description="MLflow experiment that gets the means and tables; default: none."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.window) not in (0, 4):
            raise ValueError("--window takes four numbers: ROW COL HEIGHT WIDTH")
        if self.near_days > self.far_days:
            raise ValueError("--near-days is more than --far-days")
        if REFERENCE not in self.models:
            raise ValueError(f"--models must hold {REFERENCE}, to which all others are compared")
        return self

    @property
    def rules(self) -> ProofRules:
        """The protocols' numbers."""
        return ProofRules(
            clear=self.clear_percent / 100.0,
            near_days=self.near_days,
            far_days=self.far_days,
            masks=self.masks,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class EvaluateSeriesResult:
    """Means over the images."""

    scores: dict[str, dict[str, dict[str, float]]]
    """Protocol -> model -> score -> value."""
    dates: int
    """Clear dates that were hidden."""
    output: str


def evaluate_series(config: EvaluateSeriesConfig) -> EvaluateSeriesResult:
    """Hide the clear dates of a series, wholly and partly, and score how models estimate them.

    Writes `scores.csv` with a line per estimate, `scores.json` and `scores.md` with the means.

    Returns
    -------
    The means; those of the first time when the tables are there already.

    Raises
    ------
    ConfigError, ShapeError
        An unknown model, tile or protocol, or a series that does not fit a model.
    NoSampleError
        No clear date has clear neighbours on both sides.
    ModelFolderError, TrackingError
        There is no such network.
    OutputConflictError
        The folder holds scores of another series or of other models.
    """
    from decloud_lib.learning import proof
    from decloud_lib.sampling.sources import read_tiles

    tiles = read_tiles(config.tiles)
    tile = _tile(config, tiles)
    protocols = [
        name for name in proof.PROTOCOLS if name in config.protocols or not config.protocols
    ]
    unknown = sorted(set(config.protocols) - set(proof.PROTOCOLS))
    if unknown:
        raise ConfigError(
            f"no protocol {unknown[0]!r}; known: {', '.join(proof.PROTOCOLS)}; choose among them"
        )
    done = storage.join(config.output, manifest.NAME)
    with ExitStack() as stack:
        folders = {
            uri: stack.enter_context(tracking.model_folder(uri)) for uri in config.savedmodels
        }
        planned = manifest.plan("evaluate-series", config, _inputs(tiles, tile, folders))
        if manifest.is_current(done, planned, overwrite=config.overwrite):
            logger.info("%s is there already, made from the same series and models", config.output)
            return _read(config.output)
        series = _series(config, tiles, tile)
        cases = _cases(config, series)
        models = _load(config.models, folders, series, cases[0])
        scores = proof.score_series(series, cases, models, protocols, config.rules)
    table = proof.summarise(scores, REFERENCE)
    content = {"tile": tile, "dates": len(cases), "reference": REFERENCE, "scores": table}
    files = {
        SCORES: json.dumps(content, indent=2),
        "scores.csv": proof.csv_table(scores),
        "scores.md": proof.markdown_table(table, REFERENCE),
    }
    if config.experiment is not None:
        _record(config, tile, table, files)
    for name, text in files.items():
        storage.write_bytes(storage.join(config.output, name), text.encode())
    _say(table)
    written = [storage.join(config.output, name) for name in files]
    counts = {"dates": len(cases), "images": len(scores), "models": len(models)}
    manifest.write(done, planned, written, counts=counts)
    return _read(config.output)


def _tile(config: EvaluateSeriesConfig, tiles: "TilesFile") -> str:
    if config.tile is None and len(tiles.tiles) == 1:
        return tiles.tiles[0]
    if config.tile not in tiles.tiles:
        raise ConfigError(
            f"{config.tiles}: tile {config.tile or 'not given'}; it holds "
            f"{', '.join(tiles.tiles)}: choose one with --tile"
        )
    return config.tile


def _inputs(tiles: "TilesFile", tile: str, folders: Mapping[str, Path]) -> list[storage.Entry]:
    """Return the files that decide on the scores."""
    entries: list[storage.Entry] = []
    for root in (tiles.s2_root, tiles.s1_root):
        if root is not None:
            entries += storage.list_files(storage.join(root, tile))
    for uri, folder in folders.items():
        entries += manifest.entries_by_content(uri, folder)
    return entries


def _series(config: EvaluateSeriesConfig, tiles: "TilesFile", tile: str) -> "Series":
    from decloud_lib.learning.series import read_series

    window = Window(*config.window) if config.window else None
    return read_series(tiles.s2_root, tiles.s1_root, tiles.dem_root, tile, window)


def _cases(config: EvaluateSeriesConfig, series: "Series") -> list[HiddenDate]:
    found = find_hidden_dates(series.days, series.covers, config.rules)
    kept = [
        case
        for case in found
        if (config.first is None or series.times[case.target].date() >= config.first)
        and (config.last is None or series.times[case.target].date() <= config.last)
    ]
    if not kept:
        raise NoSampleError(
            f"{len(series.times)} dates, {len(found)} clear ones with clear neighbours "
            f"{config.near_days} to {config.far_days} days away on both sides, none of them within "
            "the dates asked for; give other days, or a longer series"
        )
    return kept


def _load(
    names: Sequence[str], folders: Mapping[str, Path], series: "Series", case: HiddenDate
) -> "dict[str, Estimator]":
    """Return the models by name, each checked on the first date."""
    from decloud_lib.models.store import load_model, serve_by_name

    models: dict[str, Estimator] = {}
    for name in names:
        models[name] = serve_by_name(registry.get(name), "--savedmodels")
    for uri, folder in folders.items():
        name = storage.name_of(uri)
        if name in models:
            raise ConfigError(f"two models are called {name}; rename a folder")
        models[name] = load_model(folder)
    blank = series.sample(case, series.optical[case.target], series.flagged[case.target] != 0)
    for model in models.values():
        model.contract.check_shapes({key: value.shape for key, value in blank.items()})
    return models


def _record(
    config: EvaluateSeriesConfig,
    tile: str,
    table: Mapping[str, Mapping[str, Mapping[str, float]]],
    files: Mapping[str, str],
) -> None:
    values = {
        f"test/{tile}-{protocol}/{model}/{score}": value
        for protocol, models in table.items()
        for model, row in models.items()
        for score, value in row.items()
    }
    tags = {"stage": "evaluate-series", "code_version": manifest.code_version()}
    with (
        tempfile.TemporaryDirectory(prefix="decloud-") as folder,
        tracking.open_run(str(config.experiment), name=f"evaluate-series {tile}", tags=tags) as run,
    ):
        run.log_metrics(values)
        for name, text in files.items():
            path = Path(folder, name)
            path.write_text(text, encoding="utf-8")
            run.log_file(path, "scores")


def _say(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    for protocol, models in table.items():
        shown = (f"{model} {row['psnr_db']:.2f}" for model, row in models.items())
        logger.info("%s, PSNR in dB: %s", protocol, ", ".join(shown))


def _read(output: str) -> EvaluateSeriesResult:
    content = json.loads(storage.read_text(storage.join(output, SCORES)))
    return EvaluateSeriesResult(content["scores"], content["dates"], output)
