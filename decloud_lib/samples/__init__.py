"""Training samples on disk: names and shapes, record files, data sets, splits."""
