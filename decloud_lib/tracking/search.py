"""Runs of MLflow, many of them with one question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from decloud_lib.garbage import uncollected
from decloud_lib.tracking.runs import THUMBNAIL
from decloud_lib.tracking.server import (
    TrackingError,
    calling,
    client,
    is_missing,
    place,
    tracking_uri,
)

#: As many as MLflow gives at once.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class FoundRun:
    """What MLflow knows about a run, without its curves and files."""

    run_id: str
    name: str
    experiment: str
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    started: datetime
    seconds: float | None
    """None while it runs."""
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each."""
    tags: Mapping[str, str]
    page: str
    """Address in MLflow's UI; empty where no server is used."""

    @property
    def thumbnail(self) -> str:
        """Small JPEG, base 64; empty where there is none."""
        return self.tags.get(THUMBNAIL, "")


def search_runs(experiments: Sequence[str] = (), where: str = "") -> list[FoundRun]:
    """Return the runs of experiments, newest first; a request per thousand of them.

    Parameters
    ----------
    experiments
        Names; all experiments where none is given.
    where
        Filter in MLflow's own language, such as `tags.stage = 'train'`.

    Raises
    ------
    TrackingError
        There is no such experiment, or MLflow cannot be reached.
    """
    if is_missing():
        return []
    with calling(), uncollected():
        mlflow = client()
        known = {item.name: item.experiment_id for item in _pages(mlflow.search_experiments)}
        if missing := [name for name in experiments if name not in known]:
            raise TrackingError(
                f"MLflow at {place()}: no experiment {missing[0]!r}; "
                f"known: {', '.join(sorted(known)) or 'none'}"
            )
        names = {known[name]: name for name in experiments or known}
        ask = {"experiment_ids": list(names), "filter_string": where}
        found = _pages(mlflow.search_runs, **ask) if names else []
    return [_found(run, names[run.info.experiment_id]) for run in found]


def _pages(search: Any, **arguments: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = search(**arguments, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _found(run: Any, experiment: str) -> FoundRun:
    info = run.info
    # Browsers ask for a name and a password themselves.
    end, uri = info.end_time, re.sub(r"://[^/@]*@", "://", tracking_uri())
    page = f"{uri.rstrip('/')}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    return FoundRun(
        run_id=info.run_id,
        name=info.run_name,
        experiment=experiment,
        status=info.status,
        started=datetime.fromtimestamp(info.start_time / 1000.0, UTC),
        seconds=(end - info.start_time) / 1000.0 if end else None,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
        page=page if uri.startswith("http") else "",
    )
