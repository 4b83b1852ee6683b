"""Images that the tasks run in: the only place that names them.

`DECLOUD_IMAGE` and `DECLOUD_IMAGE_GPU` replace them when pipelines are compiled, for instance by
`registry.example.org/decloud@sha256:...`; `DECLOUD_GPUS` is the number of GPUs of a task that runs
a network (0: CPU only).
"""

import os

#: Preparation, sampling, registration: no network runs.
CPU = os.environ.get("DECLOUD_IMAGE", "decloud:cpu")

GPUS = int(os.environ.get("DECLOUD_GPUS", "0"))

#: Training, evaluation, reconstruction.
NETWORK = os.environ.get("DECLOUD_IMAGE_GPU", "decloud:gpu") if GPUS else CPU
