"""Networks, their registry, their metrics, and the model folder with its contract."""

from decloud_lib.models.model import Model

__all__ = ["Model"]
