"""What MLflow runs when it serves a registered model: the SavedModel among its artifacts.

MLflow stores this file beside the model ("models from code"); nothing in this package imports it,
and it imports nothing of this package, so a registered model needs TensorFlow and MLflow only.
"""

import hashlib
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import tensorflow as tf


class _SavedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Serves the signature `predict`: raw stored values in, reflectance out."""

    def load_context(self, context: Any) -> None:
        """Load the SavedModel from the artifact `sm`, if its files are those of its checksums."""
        folder = Path(context.artifacts["sm"])
        for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{folder / name} changed since it was recorded; it is not loaded")
        self._saved = tf.saved_model.load(str(folder))
        self._predict = self._saved.signatures["predict"]

    def predict(
        self,
        context: Any,
        # A dictionary of arrays, really. MLflow derives a signature from this annotation and warns
        # about every other one, and about none; the true signature is recorded with the model.
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Estimate a batch: key -> (N, H, W, C) stored values in, tensor name -> array out."""
        del context, params
        specs = self._predict.structured_input_signature[1]
        tensors = {
            name: tf.constant(np.asarray(model_input[name]), dtype=spec.dtype)
            for name, spec in specs.items()
        }
        return {name: tensor.numpy() for name, tensor in self._predict(**tensors).items()}


mlflow.models.set_model(_SavedModel())
