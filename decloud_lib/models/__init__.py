"""Networks, their registry, their metrics, and the model folder with its contract."""
