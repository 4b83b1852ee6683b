"""Images that the tasks run in: the only place that names them. They come from the profile."""

from components import profile

#: Preparation, sampling, registration: no network runs, and no TensorFlow is there.
PREPARE = profile.current().images.prepare

#: Training and evaluation.
TRAIN = profile.current().images.train

#: Reconstruction: networks, and the Orfeo ToolBox.
INFER = profile.current().images.infer
