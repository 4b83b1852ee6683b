"""Record folders in use, the course of a training, and scores: what train and evaluate share."""
