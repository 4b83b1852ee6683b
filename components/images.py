"""Images that the tasks run in: the only place that names them. They come from the profile."""

from components import profile

#: Preparation, sampling, analysis: no network runs, and no TensorFlow is there.
PREPARE = profile.current().images.prepare

#: Training, evaluation and promotion, which scores the networks that compete.
TRAIN = profile.current().images.train

#: Reconstruction: networks, and the Orfeo ToolBox.
INFER = profile.current().images.infer
