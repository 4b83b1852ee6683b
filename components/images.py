"""Images that the tasks run in: the only place that names them. They come from the profile."""

from components import profile

#: Preparation, sampling, registration: no network runs.
CPU = profile.current().images.cpu

#: Training, evaluation, reconstruction.
NETWORK = profile.current().images.network
