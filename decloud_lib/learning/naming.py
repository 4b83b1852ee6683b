"""Names under which trainings and evaluations of the same data stand side by side in MLflow."""

from collections.abc import Mapping, Sequence

from decloud_lib import manifest, storage, tracking
from decloud_lib.learning.record_sets import RecordSet

#: Folders that are a part of a data set, which has the name of the folder around them.
_PARTS = {"train", "training", "valid", "validation", "val", "test", "testing"}
VALID_HEADLINE = "score/valid/psnr_db"
"""Stands first when trainings are compared."""
_HEADLINES = {"test": "score/test/psnr_db", "valid": VALID_HEADLINE}


def data_name(records: RecordSet) -> str:
    """Return the name of the data set that a record folder is a part of: `os2` of `os2/train`."""
    name = storage.name_of(records.uri)
    parent = storage.name_of(storage.parent_of(records.uri))
    return parent if name in _PARTS and parent else name


def experiment_of(records: RecordSet) -> str:
    """Return the experiment for a data set and its task, which is the layout of its samples."""
    # Folders of samples are often named after their layout.
    return " ".join(dict.fromkeys(filter(None, (data_name(records), records.layout_name))))


def run_name(model: str, records: RecordSet) -> str:
    """Return model, data set and commit; the checksum of the sources where no commit is known."""
    source = tracking.commit() or manifest.code_version().rpartition("+")[2][:7]
    return f"{model} {data_name(records)} {source}"


def run_tags(stage: str, model: str, sets: Sequence[RecordSet]) -> dict[str, str]:
    """Return the labels by which runs are found and grouped.

    Parameters
    ----------
    stage
        What made the run.
    model
        Name of the model.
    sets
        Record folders; the first one says what the data are.
    """
    first = sets[0]
    return {
        "stage": stage,
        "model": model,
        "data_set": data_name(first),
        "data_fingerprint": first.fingerprint,
        "layout": first.layout_name,
        "code_version": manifest.code_version(),
    }


def headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of a run that stand first when it is compared with others.

    MLflow's page shows metrics in alphabetical order, and those of different data sets under
    different names; these are in all runs. Recorded at step 0, they are drawn as bars.

    Parameters
    ----------
    metrics
        `<split>/<data set>/<name>` -> value; of several data sets the first one counts.
    """
    found: dict[str, float] = {}
    for metric, value in metrics.items():
        split, _, rest = metric.partition("/")
        if split in _HEADLINES and rest.partition("/")[2] == "psnr_db":
            found.setdefault(_HEADLINES[split], value)
    return found
