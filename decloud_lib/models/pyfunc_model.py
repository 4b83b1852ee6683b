"""What MLflow runs when it serves a registered model: the SavedModel among its artifacts.

MLflow stores this file beside the model ("models from code"); nothing in this package imports it,
and it imports nothing of this package, so a registered model needs TensorFlow and MLflow only.
"""

from typing import Any

import mlflow
import numpy as np
import tensorflow as tf


class _SavedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Serves the signature `predict`: raw stored values in, reflectance out."""

    def load_context(self, context: Any) -> None:
        """Load the SavedModel from the artifact `sm`."""
        self._saved = tf.saved_model.load(context.artifacts["sm"])
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
