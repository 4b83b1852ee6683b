"""Keras without the libraries that it loads only where they happen to be installed."""

import importlib
import sys

_OPTIONAL = ("sklearn", "pandas", "matplotlib")


def import_keras() -> None:
    """Import Keras for a process that only applies networks.

    Keras loads scikit-learn, pandas and Matplotlib for wrappers, tables and plots; they would take
    150 MB beside TensorFlow's 580 MB. Whoever imports them afterwards finds them.
    """
    if "keras" in sys.modules:
        return
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        importlib.import_module("keras")
    finally:
        for name in hidden:
            del sys.modules[name]
