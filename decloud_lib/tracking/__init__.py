"""Experiments, runs and registered models in MLflow; the only package that imports it."""

from decloud_lib.tracking.models import check_model, is_tracked, model_folder, resolve_version
from decloud_lib.tracking.origin import commit, origin_tags
from decloud_lib.tracking.registry import (
    Version,
    claim_alias,
    describe,
    drop_alias,
    drop_tag,
    find_alias,
    find_version,
    find_versions,
    point_alias,
    register,
    set_tags,
)
from decloud_lib.tracking.runs import (
    THUMBNAIL,
    Run,
    Tensors,
    has_run,
    metric_curves,
    open_run,
    read_text,
    reopen_run,
)
from decloud_lib.tracking.search import FoundRun, search_runs
from decloud_lib.tracking.server import TrackingError, place, reach, tracking_uri, vanishes

__all__ = [
    "THUMBNAIL",
    "FoundRun",
    "Run",
    "Tensors",
    "TrackingError",
    "Version",
    "check_model",
    "claim_alias",
    "commit",
    "describe",
    "drop_alias",
    "drop_tag",
    "find_alias",
    "find_version",
    "find_versions",
    "has_run",
    "is_tracked",
    "metric_curves",
    "model_folder",
    "open_run",
    "origin_tags",
    "place",
    "point_alias",
    "reach",
    "read_text",
    "register",
    "reopen_run",
    "resolve_version",
    "search_runs",
    "set_tags",
    "tracking_uri",
    "vanishes",
]
