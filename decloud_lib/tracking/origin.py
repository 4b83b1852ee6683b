"""Where a run comes from: commit, image, pipeline, parent run."""

import os
import subprocess
from functools import lru_cache
from pathlib import Path

#: MLflow's own name: runs are shown below the run that it names.
_PARENT = "mlflow.parentRunId"
_PACKAGE = Path(__file__).parents[1]


def origin_tags(
    *, pipeline_run: str | None = None, parent_run: str | None = None
) -> dict[str, str]:
    """Return labels that say where a run comes from; what is unknown is left out.

    Parameters
    ----------
    pipeline_run
        Run of a Kubeflow pipeline that the work is a task of.
    parent_run
        MLflow run that this one shall appear below.

    Returns
    -------
    `commit`, `image` and `image_digest` as the image tells them, `pipeline_run`, and MLflow's label
    of the parent.
    """
    image = os.environ.get("DECLOUD_IMAGE", "") if _image_commit() else ""
    found = {
        "commit": commit(),
        "image": image,
        # A reference by digest is known; what a tag pointed at when the pod began is not.
        "image_digest": image.partition("@")[2],
        # A runner that numbers no runs leaves the placeholder as it is.
        "pipeline_run": None if pipeline_run and "{{" in pipeline_run else pipeline_run,
        _PARENT: parent_run,
    }
    return {name: value for name, value in found.items() if value}


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Return the commit of the code that runs: that of the image, or of the checkout it is in.

    A checkout with changes has `-dirty` at the end. None outside both.
    """
    if found := _image_commit():
        return found[:7]
    # An environment for packages may lie in a checkout of something else, which does not track it.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=7", "--exclude=*")


def _image_commit() -> str:
    found = os.environ.get("DECLOUD_COMMIT", "")
    return "" if found == "unknown" else found


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
