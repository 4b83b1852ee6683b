"""Runs of MLflow: begun or gone on with, and what is recorded in them."""

import base64
import io
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from decloud_lib import checksums, storage
from decloud_lib.tracking.registry import DIGEST_TAG
from decloud_lib.tracking.server import TrackingError, artifact_location, calling, client, connect

if TYPE_CHECKING:
    from PIL.Image import Image

    from decloud_lib.types import Array

logger = logging.getLogger(__name__)

ARTIFACT = "sm"
"""Name under which a logged model holds the model folder."""
_PYFUNC = Path(__file__).parents[1] / "models" / "pyfunc_model.py"
THUMBNAIL = "mlflow.decloud.thumbnail"
"""Label with a small JPEG, base 64; MLflow's pages show no label that begins like this."""
#: MLflow's page of an experiment then has charts and models, and nothing about prompts and chats.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
#: What MLflow refuses in the name of a metric, and in that of a picture.
_NOT_IN_METRICS = re.compile(r"[^\w/.:\- ]")
_NOT_IN_PICTURES = re.compile(r"[^a-zA-Z0-9_/.\- ]")
#: What databases say of a second entry with the same key.
_CLASH = "unique"
#: MLflow keeps no more of a label.
_TAG_CHARACTERS = 8000
#: MLflow keeps no more of a digest.
_DIGEST_CHARACTERS = 36

#: Tensor name -> (dtype, shape with -1 for free sizes).
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


class Run:
    """One open run; see `open_run`."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record settings; the same value again is fine, another one is an error."""
        with calling():
            connect().log_params({key: str(value) for key, value in params.items()})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record labels by which runs are found."""
        with calling():
            connect().set_tags(dict(tags))

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, of one step of a curve or once; infinite ones are left out and named.

        Characters that MLflow refuses in a name, which may be that of a folder, become `_`.
        """
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        if len(finite) < len(values):
            left = ", ".join(sorted(values.keys() - finite.keys()))
            logger.warning("Not a finite number, so not in MLflow: %s", left)
        with calling():
            named = {_NOT_IN_METRICS.sub("_", key): value for key, value in finite.items()}
            connect().log_metrics(named, step=step)

    def log_image(self, image: "Array", key: str, step: int) -> None:
        """Record a picture, (H, W, 3) uint8, of one step; MLflow shows the steps with a slider."""
        with calling():
            connect().log_image(image, key=_NOT_IN_PICTURES.sub("_", key), step=step)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Record a file as an artifact of the run."""
        with calling():
            connect().log_artifact(str(path), folder)

    def log_picture(self, picture: "Image", name: str) -> None:
        """Record a picture that belongs to no step as an artifact, by its path."""
        with calling():
            connect().log_image(picture, artifact_file=name)

    def set_thumbnail(self, image: "Array") -> None:
        """Keep a small picture, (H, W, 3) uint8, with the labels of the run, hidden in MLflow's UI.

        So a table of many runs shows pictures after the one request that finds them all.
        """
        text = as_label(image)
        if len(text) <= _TAG_CHARACTERS:
            self.set_tags({THUMBNAIL: text})

    def log_table(self, columns: Mapping[str, Sequence[object]], name: str) -> None:
        """Record a table, which MLflow can show for several runs beside each other."""
        with calling():
            connect().log_table({key: list(column) for key, column in columns.items()}, name)

    def log_text(self, text: str, name: str) -> None:
        """Record a text as an artifact of the run, by its path."""
        with calling():
            connect().log_text(text, name)

    def log_dataset(
        self, uri: str, name: str, digest: str, context: Literal["training", "validation", "test"]
    ) -> None:
        """Record which data were used: where they lie, and the digest of their manifest."""
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.meta_dataset import MetaDataset

        place = uri if storage.is_s3(uri) else str(Path(uri).resolve())
        with calling():
            source = resolve_dataset_source(place)
            data = MetaDataset(source, name=name, digest=digest[:_DIGEST_CHARACTERS])
        try:
            with calling():
                connect().log_input(data, context=context)
        except TrackingError as error:
            if _CLASH not in str(error.__cause__).lower():
                raise
            # The store looks for the data set and then adds it. Trainings side by side both found
            # none; now the other one's is there.
            with calling():
                connect().log_input(data, context=context)

    def log_model(
        self,
        folder: Path,
        name: str,
        inputs: Tensors,
        outputs: Tensors,
        requirements: Sequence[str],
        step: int,
    ) -> str:
        """Record a model folder as a logged model that MLflow can serve.

        Parameters
        ----------
        folder
            SavedModel and contract; stored as they are, with their digest as a tag.
        name
            Name of the logged model.
        inputs, outputs
            The signature.
        requirements
            What serving it needs, as for pip. Given, because finding it out would take MLflow
            half a minute and an import in another process.
        step
            MLflow shows the numbers that the run recorded at this step on the model's page.

        Returns
        -------
        Id of the logged model.
        """
        from importlib.metadata import version

        import numpy as np
        from mlflow import pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        schemas = [
            Schema([TensorSpec(np.dtype(kind), shape, key) for key, (kind, shape) in item.items()])
            for item in (inputs, outputs)
        ]
        with calling():
            connect()
            info = pyfunc.log_model(
                name=name,
                python_model=str(_PYFUNC),
                artifacts={ARTIFACT: str(folder)},
                signature=ModelSignature(*schemas),
                pip_requirements=[f"mlflow=={version('mlflow')}", *requirements],
                tags={DIGEST_TAG: checksums.folder_digest(folder)},
                step=step,
            )
        return str(info.model_id)


@contextmanager
def open_run(
    experiment: str,
    *,
    name: str | None = None,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    watch_system: bool = False,
    first: Sequence[str] = (),
) -> Iterator[Run]:
    """Start a run, or go on with one; it is marked finished or failed at the end.

    Parameters
    ----------
    experiment
        Name of the experiment; made when missing.
    name
        Name of a new run.
    run_id
        Go on with this run.
    tags
        Labels.
    watch_system
        Record load and memory of processor, GPUs, disk and network, as curves over time.
    first
        Metrics that a new run begins with, though their values (NaN for now) come later: MLflow's
        page of compared runs draws the one that was recorded first.

    Raises
    ------
    TrackingError
        MLflow cannot be reached, or has no such run.
    """
    mlflow = connect()
    with calling():
        experiment_id = None if run_id else _experiment_id(experiment)
        active = mlflow.start_run(
            run_id=run_id,
            experiment_id=experiment_id,
            run_name=None if run_id else name,
            tags=dict(tags or {}),
            log_system_metrics=watch_system,
        )
        if first and not run_id:
            mlflow.log_metrics(dict.fromkeys(first, math.nan), step=0)
    with active:
        yield Run(active.info.run_id)


@contextmanager
def reopen_run(run_id: str) -> Iterator[Run]:
    """Go on with a run that may have ended, to add what was found later.

    When it ended, and how, stay as they are: the duration remains that of the training.

    Raises
    ------
    TrackingError
        MLflow cannot be reached, or has no such run.
    """
    with calling():
        before = client().get_run(run_id).info
    try:
        with open_run("", run_id=run_id) as run:
            yield run
    finally:
        if before.end_time:
            with calling():
                client().set_terminated(run_id, before.status, before.end_time)


def as_label(image: "Array") -> str:
    """Return a picture, (H, W, 3) uint8, as a small JPEG, base 64."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "JPEG", quality=60, optimize=True)
        return base64.b64encode(file.getvalue()).decode()


def has_run(run_id: str) -> bool:
    """Say whether MLflow knows a run."""
    try:
        with calling():
            return bool(client().get_run(run_id))
    except TrackingError as error:
        if getattr(error.__cause__, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def read_text(run_id: str, name: str) -> str:
    """Return a text that was recorded as an artifact of a run.

    Raises
    ------
    TrackingError
        There is no such run or text.
    """
    with calling():
        return str(connect().artifacts.load_text(f"runs:/{run_id}/{name}"))


def metric_curves(run_id: str) -> dict[str, list[tuple[float, float]]]:
    """Return the curves of a run: metric name -> (epoch, value) of each step, in order.

    Raises
    ------
    TrackingError
        There is no such run.
    """
    with calling():
        names = sorted(client().get_run(run_id).data.metrics)
        histories = {name: client().get_metric_history(run_id, name) for name in names}
    return {
        name: [(float(point.step), point.value) for point in points]
        for name, points in histories.items()
        if len({point.step for point in points}) > 1
    }


def _experiment_id(name: str) -> str:
    mlflow = client()
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(
        mlflow.create_experiment(name, artifact_location=artifact_location(), tags=_EXPERIMENT_TAGS)
    )
