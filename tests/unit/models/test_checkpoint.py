import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import OutputConflictError
from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved

STATE = [np.arange(6.0, dtype="float32").reshape(2, 3), np.array(7)]


def saved(epoch: int, best_epoch: int = 0, best: float | None = None) -> Saved:
    progress = Progress(work="w", epoch=epoch, best_epoch=best_epoch, best_value=best)
    return Saved(progress, [array + epoch for array in STATE], STATE if best_epoch else None)


def names(uri: str) -> list[str]:
    return [storage.name_of(child) for child in storage.list_children(uri)]


def test_a_state_comes_back_as_it_was(bucket: str) -> None:
    checkpoints = Checkpoints(storage.join(bucket, "ckpt"))
    checkpoints.save(saved(3, best_epoch=2, best=0.5))
    found = checkpoints.load("w")
    assert found.progress == saved(3, 2, 0.5).progress
    for array, expected in zip(found.state or [], STATE, strict=True):
        np.testing.assert_array_equal(array, expected + 3)
        assert array.dtype == (expected + 3).dtype
    assert found.best is not None


def test_only_the_last_and_the_best_are_kept(bucket: str) -> None:
    uri = storage.join(bucket, "ckpt")
    for epoch in (1, 2, 3):
        Checkpoints(uri).save(saved(epoch, best_epoch=min(epoch, 2), best=0.5))
    assert names(uri) == ["best-00002.npz", "epoch-00003.npz", "state.json"]


def test_without_a_state_it_begins_before_the_first_epoch(bucket: str) -> None:
    found = Checkpoints(storage.join(bucket, "ckpt")).load("w")
    assert found.progress == Progress(work="w")
    assert found.state is None


def test_a_state_of_other_work_is_refused(bucket: str) -> None:
    checkpoints = Checkpoints(storage.join(bucket, "ckpt"))
    checkpoints.save(saved(1))
    with pytest.raises(OutputConflictError, match="other settings, records or code"):
        checkpoints.load("other")
    checkpoints.clear()
    assert checkpoints.load("other").state is None


def test_a_damaged_pointer_is_named(bucket: str) -> None:
    uri = storage.join(bucket, "ckpt")
    storage.write_bytes(storage.join(uri, "state.json"), b"{")
    with pytest.raises(OutputConflictError, match="not the state of a training"):
        Checkpoints(uri).load("w")
