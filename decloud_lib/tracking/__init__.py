"""Experiments, runs and registered models in MLflow; the only package that imports it."""

from decloud_lib.tracking.models import Version, find_versions, is_tracked, model_folder, register
from decloud_lib.tracking.runs import Run, Tensors, has_run, metric_curves, open_run
from decloud_lib.tracking.server import TrackingError, reach, tracking_uri

__all__ = [
    "Run",
    "Tensors",
    "TrackingError",
    "Version",
    "find_versions",
    "has_run",
    "is_tracked",
    "metric_curves",
    "model_folder",
    "open_run",
    "reach",
    "register",
    "tracking_uri",
]
