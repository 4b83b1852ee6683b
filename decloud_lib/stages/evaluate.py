"""Score a network beside deterministic models on the same samples."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

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
        description="Model to score instead that needs no folder, by name: one without weights, or "
        "residual with the weights of the package; an unknown name lists all. Beside --savedmodel: "
        "what the folder must hold.",
    )
    beside: tuple[str, ...] = Field(
        default=(),
        description="Other networks, given like --savedmodel, to score on the same samples and to "
        "compare with.",
    )
    baselines: tuple[str, ...] = Field(
        default=(),
        description="Models to score beside it that need no folder, such as linear_gap_filling, "
        "nearest_date and residual.",
    )
    skip_damaged: bool = Field(
        default=False,
        description="Leave out records whose checksum is wrong, and say how many.",
    )
    output: str | None = Field(
        default=None, description="Folder of the tables; without it they go to MLflow only."
    )
    strategy: Literal["mirrored", "singlecpu"] = Field(
        default="mirrored", description="mirrored: a GPU where there is one; singlecpu: the CPU."
    )
    batch_size: int = Field(default=4, ge=1, description="Samples per step.")
    run_id: str | None = Field(
        default=None, description="MLflow run that gets the scores; default: a run of their own."
    )
    experiment: str | None = Field(
        default=None,
        description="MLflow experiment; default: the names of the data set and of its layout.",
    )
    pipeline_run: str | None = Field(
        default=None, description="Run of the pipeline that this is part of, a label in MLflow."
    )

    def identity(self) -> dict[str, Any]:
        """Return what decides on the scores; who asks for them does not."""
        return {key: value for key, value in super().identity().items() if key != "pipeline_run"}

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.savedmodel is None and self.model is None:
            raise ValueError("give --savedmodel, or the --model that needs no folder")
        names = [*self.baselines, *map(storage.name_of, self.beside)]
        if NETWORK in names or len(set(names)) < len(names):
            raise ValueError(f"the names {', '.join(names)} must differ, and from {NETWORK!r}")
        return self


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """Scores over all the images of all the folders together."""

    scores: dict[str, dict[str, float]]
    """`model` or the name of a baseline -> score -> value."""
    n: int
    """Number of images."""
    output: str | None
    """Folder of the tables; None where they are in MLflow only."""


def evaluate(config: EvaluateConfig) -> EvaluateResult:
    """Score a network and others on the same samples, and write tables.

    `scores.json` has the means, `scores.md` shows them; `scores.csv` has a line per image and
    model. `classes.csv` has means with 95 % intervals: over all, per band, per class of cloud
    cover, per season, under cloud and on clear pixels. `comparison.csv` sets the network against
    each of the others, `calibration.csv` the errors that it expects against those that it makes.
    `scores.html` shows all but the images. MLflow gets each mean once, as
    `test/<data set>/<score>` and `test/<data set>/<other>/<score>`, and the tables.

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
    from decloud_lib.learning.record_sets import find_record_sets

    sets = find_record_sets(config.test_records)
    definitions = _definitions(config)
    with ExitStack() as stack:
        folders = {
            name: stack.enter_context(tracking.model_folder(uri))
            for name, uri in _networks(config).items()
        }
        planned = manifest.plan("evaluate", config, _inputs(config, sets, folders))
        if config.output is not None:
            done = storage.join(config.output, manifest.NAME)
            if manifest.is_current(done, planned, overwrite=config.overwrite):
                logger.info("%s is there already, of the same models and records", config.output)
                return _read(config.output)
        if config.run_id is not None and not tracking.has_run(config.run_id):
            raise ConfigError(
                f"--run-id {config.run_id}: no such run in MLflow; check it and MLFLOW_TRACKING_URI"
            )
        found = _score(config, sets, folders, definitions)
    tables = _tables(found)
    _record(config, sets, found, tables)
    result = EvaluateResult(**_content(found), output=config.output)
    _say(result)
    if config.output is None:
        return result
    for name, text in tables.items():
        storage.write_bytes(storage.join(config.output, name), text.encode())
    written = [storage.join(config.output, name) for name in tables]
    counts = {"images": result.n, "models": len(result.scores)}
    manifest.write(done, planned, written, counts=counts)
    return result


def _networks(config: EvaluateConfig) -> dict[str, str]:
    """Return the networks to score: name in the tables -> where it is; the first one first."""
    first = {} if config.savedmodel is None else {NETWORK: config.savedmodel}
    return first | {storage.name_of(uri): uri for uri in config.beside}


def _definitions(config: EvaluateConfig) -> dict[str, registry.ModelDefinition]:
    """Return the deterministic models to score by their names in the tables."""
    names = {} if config.savedmodel is not None or config.model is None else {NETWORK: config.model}
    names |= {name: name for name in config.baselines}
    return {name: registry.get(model) for name, model in names.items()}


def _score(
    config: EvaluateConfig,
    sets: "list[RecordSet]",
    folders: Mapping[str, Path],
    definitions: Mapping[str, registry.ModelDefinition],
) -> "list[ImageScores]":
    from decloud_lib.learning.record_sets import local_records
    from decloud_lib.learning.scoring import score_records
    from decloud_lib.models.devices import placed

    with (
        placed(config.strategy),
        local_records(sets, skip_damaged=config.skip_damaged) as records,
    ):
        models = _load(config, folders, definitions, sets)
        # What the network was trained to see.
        known = registry.trained_as(models[NETWORK].contract, str(config.savedmodel))
        return [score_records(item, models, config.batch_size, known) for item in records]


def _inputs(
    config: EvaluateConfig, sets: "list[RecordSet]", folders: Mapping[str, Path]
) -> list[storage.Entry]:
    """Return the files that decide on the scores.

    A network is known by its content: an alias moves from one version to the next.
    """
    entries = [entry for item in sets for entry in item.entries]
    networks = _networks(config)
    for network, folder in folders.items():
        entries += manifest.entries_by_content(networks[network], folder)
    return entries


def _load(
    config: EvaluateConfig,
    folders: Mapping[str, Path],
    definitions: Mapping[str, registry.ModelDefinition],
    sets: "list[RecordSet]",
) -> "dict[str, Estimator]":
    """Return the scored model first, then the others; each fits all the records."""
    from decloud_lib.models.store import load_model, serve_by_name

    models: dict[str, Estimator] = {name: load_model(folder) for name, folder in folders.items()}
    for name, definition in definitions.items():
        models[name] = serve_by_name(definition)
    models = {NETWORK: models.pop(NETWORK), **models}
    if config.savedmodel is not None and config.model is not None:
        found, wanted = models[NETWORK].contract, registry.get(config.model)
        same = found.name in (wanted.name, *wanted.aliases)
        if not same and set(found.input_keys) != set(wanted.input_keys):
            raise ConfigError(
                f"{config.savedmodel} holds model {found.name}, not {config.model}; leave --model "
                f"out, or give the folder of a {config.model}"
            )
    for item in sets:
        for model in models.values():
            item.check(model.contract, model.contract.target_keys[:1])
    return models


def _content(found: "list[ImageScores]") -> dict[str, Any]:
    from decloud_lib.learning.scoring import summarise

    return {"scores": summarise(found), "n": sum(item.n for item in found)}


def _tables(found: "list[ImageScores]") -> dict[str, str]:
    """Return file name -> content."""
    from decloud_lib.learning import tables

    content = _content(found)
    scores, n = content["scores"], content["n"]
    shown = {
        "The model against the others, first minus other": tables.comparison_rows(found),
        "By class": tables.class_rows(found),
        "Expected and found errors": tables.calibration_rows(found),
    }
    comparison, classes, calibration = shown.values()
    return {
        SCORES: json.dumps(
            {"n": n, "records": [item.uri for item in found], "scores": scores}, indent=2
        ),
        "scores.csv": tables.as_csv(tables.image_rows(found)),
        "classes.csv": tables.as_csv(classes),
        "comparison.csv": tables.as_csv(comparison),
        "calibration.csv": tables.as_csv(calibration),
        "scores.md": tables.markdown_table(scores, n),
        "scores.html": tables.html_page("Scores", tables.means(scores, n) | shown),
    }


def _record(
    config: EvaluateConfig,
    sets: "list[RecordSet]",
    found: "list[ImageScores]",
    tables: Mapping[str, str],
) -> None:
    """Record means, data and tables in MLflow."""
    from decloud_lib.learning import naming
    from decloud_lib.learning.scoring import summarise
    from decloud_lib.learning.tables import class_rows

    values: dict[str, float] = {}
    for item in found:
        for model, scores in summarise([item]).items():
            values |= {
                f"test/{item.data_set}/{_prefix(model)}{score}": value
                for score, value in scores.items()
            }
    with _opened_run(config, sets) as run:
        run.log_metrics(naming.headlines(values) | values)
        if config.output is not None:
            run.set_tags({"scores": storage.join(config.output, SCORES)})
        for data_set in sets:
            run.log_dataset(data_set.uri, data_set.name, data_set.fingerprint, "test")
        for name, text in tables.items():
            run.log_text(text, f"scores/{name}")
        heads, *rows = class_rows(found)
        run.log_table(dict(zip(heads, zip(*rows, strict=True), strict=True)), "scores/classes.json")
        for item in found:
            if item.preview is not None:
                run.log_image(item.preview, key=f"previews/test {item.data_set}", step=0)
        if found[0].thumbnail is not None:
            run.set_thumbnail(found[0].thumbnail)


def _opened_run(
    config: EvaluateConfig, sets: Sequence["RecordSet"]
) -> AbstractContextManager[tracking.Run]:
    """Return the run of the training, which keeps its own labels, or a new one."""
    from decloud_lib.learning import naming

    if config.run_id is not None:
        return tracking.reopen_run(config.run_id)
    scored = config.model or storage.name_of(str(config.savedmodel))
    origin = tracking.origin_tags(pipeline_run=config.pipeline_run)
    return tracking.open_run(
        config.experiment or naming.experiment_of(sets[0]),
        name=naming.run_name(f"evaluate {scored}", sets[0]),
        tags=naming.run_tags("evaluate", scored, sets) | origin,
    )


def _prefix(model: str) -> str:
    """Return what stands before a score's name: nothing for the scored model itself.

    A slash is a folder of metrics. Other outputs of the scored model are named as in a training.
    """
    name, _, output = model.partition(" ")
    if name == NETWORK:
        return f"{output}_" if output else ""
    return f"{model}/"


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
