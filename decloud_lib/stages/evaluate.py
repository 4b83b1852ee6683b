"""Score a network beside deterministic models on the same samples."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from decloud_lib import manifest, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError
from decloud_lib.models import registry

if TYPE_CHECKING:
    from decloud_lib.learning.record_sets import RecordSet
    from decloud_lib.learning.scoring import Estimator, ImageScores

logger = logging.getLogger(__name__)

SCORES = "scores.json"
NETWORK = "model"
"""Name of the scored network or model in the tables; baselines have their own."""


class EvaluateConfig(StageConfig):
    """Settings of `evaluate`."""

    test_records: tuple[str, ...] = Field(
        min_length=1, description="Folders of the records to score on."
    )
    savedmodel: str | None = Field(
        default=None,
        description="Network to score: a model folder, models:/NAME@ALIAS or models:/NAME/VERSION.",
    )
    model: str | None = Field(
        default=None,
        description="Deterministic model to score instead, by name; an unknown name lists all.",
    )
    baselines: tuple[str, ...] = Field(
        default=(),
        description="Deterministic models to score beside it, such as linear_gap_filling and "
        "nearest_date.",
    )
    output: str = Field(description="Folder of the tables.")
    skip_damaged: bool = Field(
        default=False,
        description="Leave out records whose checksum is wrong, and say how many.",
    )
    batch_size: int = Field(default=4, ge=1, description="Samples per step.")
    run_id: str | None = Field(
        default=None, description="MLflow run that gets the scores; default: a run of their own."
    )
    experiment: str = Field(default="decloud", min_length=1, description="MLflow experiment.")

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.savedmodel is None) == (self.model is None):
            raise ValueError("give --savedmodel or --model, one of the two")
        if NETWORK in self.baselines:
            raise ValueError(f"no baseline can be called {NETWORK!r}")
        return self


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """Scores over all the images of all the folders together."""

    scores: dict[str, dict[str, float]]
    """`model` or the name of a baseline -> score -> value."""
    n: int
    """Number of images."""
    output: str
    """Folder of the tables."""


def evaluate(config: EvaluateConfig) -> EvaluateResult:
    """Score a network and baselines on the same samples, and write tables.

    `scores.csv` has a line per image and model, `scores.json` the means, `scores.md` and
    `scores.html` show them. MLflow gets each mean once, as `test/<data set>/<score>` and
    `test/<data set>/<baseline>/<score>`, and the tables.

    Returns
    -------
    The means; those of the first time when the tables are there already.

    Raises
    ------
    ConfigError, ShapeError, NoSampleError
        Unknown models, or records that do not fit one of them.
    ModelFolderError, TrackingError
        There is no such network.
    OutputConflictError
        The folder holds scores of other records or models.
    """
    from decloud_lib.learning.record_sets import find_record_sets, local_records
    from decloud_lib.learning.scoring import score_records

    sets = find_record_sets(config.test_records)
    names = ((NETWORK, config.model), *((name, name) for name in config.baselines))
    definitions = {name: registry.get(model) for name, model in names if model is not None}
    with ExitStack() as stack:
        folder = None
        if config.savedmodel is not None:
            folder = stack.enter_context(tracking.model_folder(config.savedmodel))
        planned = manifest.plan("evaluate", config, _inputs(config, sets, folder))
        done = storage.join(config.output, manifest.NAME)
        if manifest.is_current(done, planned, overwrite=config.overwrite):
            logger.info("%s is there already, made from the same models and records", config.output)
            return _read(config.output)
        models = _load(folder, definitions, sets)
        records = stack.enter_context(local_records(sets, skip_damaged=config.skip_damaged))
        found = [score_records(item, models, config.batch_size) for item in records]
    tables = _tables(found)
    _record(config, sets, found, tables)
    for name, text in tables.items():
        storage.write_bytes(storage.join(config.output, name), text.encode())
    result = _read(config.output)
    _say(result)
    written = [storage.join(config.output, name) for name in tables]
    manifest.write(done, planned, written, counts={"images": result.n, "models": len(models)})
    return result


def _inputs(
    config: EvaluateConfig, sets: "list[RecordSet]", folder: Path | None
) -> list[storage.Entry]:
    """Return the files that decide on the scores.

    The network is known by its content: an alias moves from one version to the next.
    """
    entries = [entry for item in sets for entry in item.entries]
    if folder is None:
        return entries
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = storage.join(str(config.savedmodel), path.relative_to(folder).as_posix())
        entries.append(storage.Entry(name, path.stat().st_size, digest))
    return entries


def _load(
    folder: Path | None,
    definitions: Mapping[str, registry.ModelDefinition],
    sets: "list[RecordSet]",
) -> "dict[str, Estimator]":
    """Return the network first, then the baselines; each fits all the records."""
    from decloud_lib.models.store import load_model, serve_definition

    models: dict[str, Estimator] = {}
    if folder is not None:
        models[NETWORK] = load_model(folder)
    for name, definition in definitions.items():
        if definition.trainable:
            raise ConfigError(
                f"model {definition.name} has weights: score its model folder with --savedmodel"
            )
        models[name] = serve_definition(definition)
    for item in sets:
        for model in models.values():
            item.check(model.contract, model.contract.target_keys[:1])
    return models


def _tables(found: "list[ImageScores]") -> dict[str, str]:
    """Return file name -> content."""
    from decloud_lib.learning import scoring

    scores, n = scoring.summarise(found), sum(item.n for item in found)
    content = {"n": n, "records": [item.uri for item in found], "scores": scores}
    return {
        SCORES: json.dumps(content, indent=2),
        "scores.csv": scoring.csv_table(found),
        "scores.md": scoring.markdown_table(scores, n),
        "scores.html": scoring.html_table(scores, n),
    }


def _record(
    config: EvaluateConfig,
    sets: "list[RecordSet]",
    found: "list[ImageScores]",
    tables: Mapping[str, str],
) -> None:
    """Record means, data and tables in MLflow."""
    from decloud_lib.learning.scoring import summarise

    values: dict[str, float] = {}
    for item in found:
        for model, scores in summarise([item]).items():
            prefix = f"test/{item.data_set}" + ("" if model == NETWORK else f"/{model}")
            values |= {f"{prefix}/{score}": value for score, value in scores.items()}
    scored = config.savedmodel or str(config.model)
    with (
        tempfile.TemporaryDirectory(prefix="decloud-") as folder,
        tracking.open_run(
            config.experiment,
            name=f"evaluate {storage.name_of(scored)}",
            run_id=config.run_id,
            # A run of a training keeps its own labels.
            tags=None
            if config.run_id
            else {"stage": "evaluate", "code_version": manifest.code_version()},
        ) as run,
    ):
        run.log_metrics(values)
        for data_set in sets:
            run.log_dataset(data_set.uri, data_set.name, data_set.fingerprint, "test")
        for name, text in tables.items():
            path = Path(folder, name)
            path.write_text(text, encoding="utf-8")
            run.log_file(path, "scores")


def _say(result: EvaluateResult) -> None:
    for model, scores in result.scores.items():
        logger.info(
            "%s: PSNR %.2f dB, MAE %.4f, SSIM %.4f, SAM %.2f degrees",
            model,
            *(scores[name] for name in ("psnr_db", "mae", "ssim", "sam_deg")),
        )


def _read(output: str) -> EvaluateResult:
    content = json.loads(storage.read_text(storage.join(output, SCORES)))
    return EvaluateResult(content["scores"], content["n"], output)
