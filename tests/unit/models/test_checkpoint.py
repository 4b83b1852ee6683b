import errno
import os
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import ConfigError, OutputConflictError, StorageError
from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved, find_state

FIRST = Progress(work="w")
STATE = [np.arange(6.0, dtype="float32").reshape(2, 3), np.array(7)]


def saved(epoch: int, best_epoch: int = 0, best: float | None = None) -> Saved:
    progress = Progress(work="w", epoch=epoch, best_epoch=best_epoch, best_value=best)
    return Saved(progress, [array + epoch for array in STATE], STATE if best_epoch else None)


def names(uri: str) -> list[str]:
    return [storage.name_of(child) for child in storage.list_children(uri)]


def test_a_state_comes_back_as_it_was(bucket: str) -> None:
    checkpoints = Checkpoints(storage.join(bucket, "ckpt"))
    checkpoints.save(saved(3, best_epoch=2, best=0.5))
    found = checkpoints.load(FIRST)
    assert found.progress == saved(3, 2, 0.5).progress
    for array, expected in zip(found.state or [], STATE, strict=True):
        np.testing.assert_array_equal(array, expected + 3)
        assert array.dtype == (expected + 3).dtype
    assert found.best is not None


def test_only_the_last_and_the_best_are_kept(bucket: str) -> None:
    uri = storage.join(bucket, "ckpt")
    for epoch in range(1, 5):
        Checkpoints(uri).save(saved(epoch, best_epoch=min(epoch, 3), best=0.5))
    states = [f"epoch-0000{epoch}-step-0000000.npz" for epoch in (3, 4)]
    assert names(uri) == ["best-00002.npz", "best-00003.npz", *states]
    Checkpoints(uri, keep=1).save(saved(5, best_epoch=3, best=0.5))
    assert names(uri) == ["best-00003.npz", "epoch-00005-step-0000000.npz"]


def test_a_state_within_an_epoch_comes_before_its_end(bucket: str) -> None:
    checkpoints = Checkpoints(storage.join(bucket, "ckpt"))
    for epoch, step in ((0, 90), (0, 100), (1, 0)):
        progress = Progress(work="w", epoch=epoch, step=step)
        checkpoints.save(Saved(progress, STATE))
        assert checkpoints.load(FIRST).progress == progress


def test_without_a_state_it_begins_before_the_first_epoch(bucket: str) -> None:
    found = Checkpoints(storage.join(bucket, "ckpt")).load(FIRST)
    assert found.progress == Progress(work="w")
    assert found.state is None


def test_a_state_of_other_work_is_refused(bucket: str) -> None:
    checkpoints = Checkpoints(storage.join(bucket, "ckpt"))
    checkpoints.save(saved(1))
    with pytest.raises(OutputConflictError, match="other settings, records or code"):
        checkpoints.load(Progress(work="other"))
    checkpoints.clear()
    assert checkpoints.load(Progress(work="other")).state is None


@pytest.mark.parametrize("damage", [b"", b"{", b"PK\x03\x04half of an archive"])
def test_a_damaged_state_gives_way_to_the_one_before(
    bucket: str, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    uri = storage.join(bucket, "ckpt")
    for epoch in (1, 2):
        Checkpoints(uri).save(saved(epoch, best_epoch=1, best=0.5))
    storage.write_bytes(storage.join(uri, "epoch-00002-step-0000000.npz"), damage)
    found = Checkpoints(uri).load(FIRST)
    assert found.progress.epoch == 1
    assert found.best is not None
    assert "or damaged" in caplog.text
    storage.write_bytes(storage.join(uri, "epoch-00001-step-0000000.npz"), damage)
    with pytest.raises(OutputConflictError, match="none of the 2 states can be read"):
        Checkpoints(uri).load(FIRST)


def test_a_state_is_found_by_its_training_or_its_parent(bucket: str) -> None:
    for name in ("one", "two"):
        Checkpoints(storage.join(bucket, "ckpt", name)).save(saved(3))
    expected = storage.join(bucket, "ckpt", "one", "epoch-00003-step-0000000.npz")
    assert find_state(storage.join(bucket, "ckpt", "one")) == expected
    assert find_state(expected) == expected
    with pytest.raises(ConfigError, match=r"found one, two; expected one training's folder"):
        find_state(storage.join(bucket, "ckpt"))
    Checkpoints(storage.join(bucket, "ckpt", "two")).clear()
    assert find_state(storage.join(bucket, "ckpt")) == expected
    with pytest.raises(ConfigError, match="no state of a training"):
        find_state(storage.join(bucket, "elsewhere"))


def test_a_full_disk_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(str(tmp_path), keep=1)
    checkpoints.save(saved(1))

    def write(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(StorageError, match=r"epoch-00002.*No space left on device; check disk"):
            checkpoints.save(saved(2))
    assert names(str(tmp_path)) == ["epoch-00001-step-0000000.npz"]
    assert checkpoints.load(FIRST).progress.epoch == 1
