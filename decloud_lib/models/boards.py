"""TensorBoard logs in a folder or bucket."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from decloud_lib import storage
from decloud_lib.errors import StorageError
from decloud_lib.types import Array


def _metadata(plugin: str, data_class: int) -> tf.compat.v1.SummaryMetadata:
    """Return what tells TensorBoard how to draw a value.

    Written by hand because `tf.summary.scalar` and `image` need the TensorBoard package, which a
    training has no other use for. Data classes: 1 = scalar, 3 = sequence of blobs (width, height,
    PNG files).
    """
    data = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin)
    return tf.compat.v1.SummaryMetadata(plugin_data=data, data_class=data_class)


class Board:
    """Event files, one folder per data set, so that TensorBoard draws their curves together."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder = folder
        self._uri = uri
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._is_profiling = False

    def begin(self) -> None:
        """Begin the file of the training: a place that cannot be written shows now."""
        with self._writing():
            self._writer("train")

    def scalars(self, data_set: str, values: Mapping[str, float], epoch: int) -> None:
        """Add a point to each curve, named `epoch_<metric>`."""
        with self._writing(), self._writer(data_set).as_default(step=epoch):
            for name, value in values.items():
                tensor = tf.constant(value, tf.float32)
                tf.summary.write(f"epoch_{name}", tensor, metadata=_metadata("scalars", 1))

    def image(self, data_set: str, name: str, image: Array, epoch: int) -> None:
        """Add a picture, (H, W, 3) uint8."""
        with self._writing(), self._writer(data_set).as_default(step=epoch):
            size = [str(image.shape[1]), str(image.shape[0])]
            content = tf.stack([*size, tf.io.encode_png(image)])
            tf.summary.write(name, content, metadata=_metadata("images", 3))

    def start_profile(self) -> None:
        """Record what devices and input pipeline do from now on; once is enough."""
        if not self._is_profiling:
            tf.profiler.experimental.start(str(self._folder / "train"))
            self._is_profiling = True

    def stop_profile(self) -> None:
        """Write what was recorded since the start; nothing happens without one."""
        if self._is_profiling:
            self._is_profiling = False
            with self._writing():
                tf.profiler.experimental.stop()

    def publish(self) -> None:
        """Bring what was written so far to its place."""
        with self._writing():
            for writer in self._writers.values():
                writer.flush()
        if storage.is_s3(self._uri):
            storage.upload_folder(self._folder, self._uri)

    def close(self) -> None:
        """Close the files."""
        self.stop_profile()
        with self._writing():
            for writer in self._writers.values():
                writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what TensorFlow says about the files into our error."""
        try:
            yield
        except tf.errors.OpError as error:
            raise StorageError(
                f"{self._uri}: the TensorBoard logs cannot be written ({_words(error)}); check "
                "disk and path, or leave out --logdir"
            ) from error

    def _writer(self, data_set: str) -> tf.summary.SummaryWriter:
        if data_set not in self._writers:
            self._writers[data_set] = tf.summary.create_file_writer(str(self._folder / data_set))
        return self._writers[data_set]


def _words(error: tf.errors.OpError) -> str:
    """Return what happened, without the operation in which it did."""
    return str(error.message).strip().splitlines()[0].rpartition("}} ")[2]


@contextmanager
def open_board(uri: str) -> Iterator[Board]:
    """Open TensorBoard logs for writing; local ones grow in place, those in a bucket per epoch."""
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        board = Board(Path(folder) if storage.is_s3(uri) else Path(uri), uri)
        board.begin()
        try:
            yield board
        finally:
            board.close()
            board.publish()
