import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import Field

from decloud_lib import manifest, storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import OutputConflictError, StorageError
from decloud_lib.manifest import Manifest, Skipped


class ThingConfig(StageConfig):
    seed: int = Field(default=0, description="Seed.")
    gap: float = Field(default=72, description="Gap, hours.")
    names: tuple[str, ...] = Field(default=(), description="Names.")


class Thing:
    """A small stage: copies its inputs, in upper case, to an output folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        for name in ("a", "b"):
            storage.write_bytes(storage.join(root, "in", name), name.encode())

    @property
    def manifest(self) -> str:
        return storage.join(self.root, "out", manifest.NAME)

    def output(self, name: str) -> str:
        return storage.join(self.root, "out", name)

    def run(self, config: StageConfig, *, version: int = 1, fail_after: int = 99) -> bool:
        """Say whether the work was done, and not skipped."""
        inputs = storage.list_files(storage.join(self.root, "in"))
        planned = manifest.plan("thing", config, inputs, version)
        if manifest.is_current(self.manifest, planned, overwrite=config.overwrite):
            return False
        outputs = []
        for number, entry in enumerate(inputs):
            if number == fail_after:
                raise InterruptedError("the machine went away")
            outputs.append(self.output(storage.name_of(entry.uri)))
            storage.write_bytes(outputs[-1], storage.read_bytes(entry.uri).upper())
        manifest.write(self.manifest, planned, outputs, counts={"files": len(outputs)})
        return True


@pytest.fixture
def thing(bucket: str) -> Thing:
    return Thing(bucket)


def test_what_is_complete_is_skipped(thing: Thing) -> None:
    assert thing.run(ThingConfig())
    assert not thing.run(ThingConfig())
    # `overwrite` is about other work: it does not repeat what is there.
    assert not thing.run(ThingConfig(overwrite=True))


def test_the_manifest_says_how_the_output_came_about(thing: Thing) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    thing.run(ThingConfig(seed=3))
    found = manifest.read(thing.manifest)
    assert found is not None
    assert found.config == {"seed": 3, "gap": 72, "names": []}
    assert [storage.name_of(ref.uri) for ref in found.inputs] == ["a", "b"]
    assert [(storage.name_of(ref.uri), ref.size) for ref in found.outputs] == [("a", 1), ("b", 1)]
    assert found.counts == {"files": 2}
    assert found.created > before
    assert found.code_version.startswith(manifest.__version__ + "+")


def test_an_interrupted_run_is_made_anew(thing: Thing) -> None:
    with pytest.raises(InterruptedError):
        thing.run(ThingConfig(), fail_after=1)
    assert storage.stat(thing.output("a")) is not None
    # Also with other settings: nothing says that what lies there is complete.
    assert thing.run(ThingConfig(seed=1))


def test_outputs_that_vanished_or_shrank_are_made_anew(
    thing: Thing, caplog: pytest.LogCaptureFixture
) -> None:
    thing.run(ThingConfig())
    storage.delete(thing.output("b"))
    assert thing.run(ThingConfig())
    assert "1 of 2 outputs vanished or changed" in caplog.text
    storage.write_bytes(thing.output("b"), b"")
    assert thing.run(ThingConfig())
    assert storage.read_bytes(thing.output("b")) == b"B"


def test_other_settings_are_refused_by_name(thing: Thing) -> None:
    thing.run(ThingConfig(seed=1, gap=24))
    with pytest.raises(OutputConflictError, match=r"seed 1 against 2\); use another") as caught:
        thing.run(ThingConfig(seed=2, gap=24))
    assert "gap" not in str(caught.value)
    assert thing.manifest in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert not thing.run(ThingConfig(seed=1, gap=24))


def test_a_new_version_of_the_stage_is_other_work(thing: Thing) -> None:
    thing.run(ThingConfig())
    with pytest.raises(OutputConflictError, match="version 1 against 2"):
        thing.run(ThingConfig(), version=2)


def test_another_version_of_the_code_alone_is_not(thing: Thing) -> None:
    thing.run(ThingConfig())
    found = manifest.read(thing.manifest)
    assert found is not None
    older = found.model_copy(update={"code_version": "0.0.1+abc"})
    storage.write_bytes(thing.manifest, older.model_dump_json().encode())
    assert not thing.run(ThingConfig())


def test_other_inputs_are_refused_by_name(thing: Thing) -> None:
    thing.run(ThingConfig())
    storage.write_bytes(storage.join(thing.root, "in", "b"), b"changed")
    storage.write_bytes(storage.join(thing.root, "in", "c"), b"c")
    storage.write_bytes(storage.join(thing.root, "in", "d"), b"d")
    storage.delete(storage.join(thing.root, "in", "a"))
    with pytest.raises(OutputConflictError) as caught:
        thing.run(ThingConfig())
    text = str(caught.value)
    assert "in/a no longer an input" in text
    assert "in/c new among the inputs (and 1 more)" in text
    assert "in/b changed since" in text


def test_overwrite_makes_other_work_anew(thing: Thing) -> None:
    thing.run(ThingConfig(seed=1))
    assert thing.run(ThingConfig(seed=2, overwrite=True))
    assert not thing.run(ThingConfig(seed=2))


def test_an_interrupted_overwrite_leaves_nothing_that_looks_complete(thing: Thing) -> None:
    thing.run(ThingConfig(seed=1))
    with pytest.raises(InterruptedError):
        thing.run(ThingConfig(seed=2, overwrite=True), fail_after=1)
    assert storage.stat(thing.output("b")) is None
    assert thing.run(ThingConfig(seed=1))


def test_overwrite_never_deletes_an_input(bucket: str) -> None:
    both = storage.join(bucket, "both")
    record = storage.join(bucket, manifest.NAME)
    storage.write_bytes(both, b"1")
    manifest.write(record, manifest.plan("first", ThingConfig(), []), [both])
    planned = manifest.plan("second", ThingConfig(), _entries(both))
    assert not manifest.is_current(record, planned, overwrite=True)
    assert storage.read_bytes(both) == b"1"


def _entries(uri: str) -> list[storage.Entry]:
    entry = storage.stat(uri)
    assert entry is not None
    return [entry]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"stage": "thing"}'])
def test_what_is_no_manifest_counts_as_none(
    thing: Thing, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    storage.write_bytes(thing.manifest, content)
    assert manifest.read(thing.manifest) is None
    assert thing.run(ThingConfig())
    assert "not a manifest" in caplog.text


def test_no_manifest_without_all_outputs(bucket: str) -> None:
    record = storage.join(bucket, manifest.NAME)
    planned = manifest.plan("thing", ThingConfig(), [])
    storage.write_bytes(storage.join(bucket, "there"), b"")
    outputs = [storage.join(bucket, name) for name in ("there", "gone")]
    with pytest.raises(OutputConflictError, match=r"gone vanished before .*\(1 of 2 outputs\)"):
        manifest.write(record, planned, outputs)
    assert storage.stat(record) is None


def test_settings_survive_the_way_through_json(bucket: str) -> None:
    record = storage.join(bucket, manifest.NAME)
    config = ThingConfig(gap=math.inf, names=("é", "b"))
    planned = manifest.plan("thing", config, [])
    manifest.write(record, planned, [], skipped=[Skipped(item="x", reason="cloudy")])
    assert manifest.is_current(record, manifest.plan("thing", config, []))
    found = manifest.read(record)
    assert found is not None
    assert found.skipped == (Skipped(item="x", reason="cloudy"),)


def test_the_order_of_the_inputs_does_not_matter(bucket: str) -> None:
    entries = [storage.Entry(storage.join(bucket, name), 1, "e") for name in ("b", "a")]
    one = manifest.plan("thing", ThingConfig(), entries)
    assert one.same_work(manifest.plan("thing", ThingConfig(), entries[::-1]))


def test_many_outputs_are_checked_by_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    outputs = [str(tmp_path / "out" / f"{number}.records") for number in range(50)]
    for output in outputs:
        Path(output).write_text("x")
    record = str(tmp_path / "out" / manifest.NAME)
    inputs = [storage.Entry(f"s3://b/{number}", 1, "e") for number in range(10_000)]
    planned = manifest.plan("thing", ThingConfig(), inputs)
    asked: list[str] = []
    real = storage.stat
    monkeypatch.setattr(storage, "stat", lambda uri: asked.append(uri) or real(uri))
    manifest.write(record, planned, outputs)
    assert manifest.is_current(record, planned)
    assert asked == []
    # Outputs elsewhere are found as well, one by one.
    elsewhere = str(tmp_path / "elsewhere")
    Path(elsewhere).write_text("x")
    manifest.write(record, planned, [*outputs, elsewhere])
    assert asked == [elsewhere]


def test_a_missing_bucket_is_said_before_the_work(s3: str) -> None:
    planned = manifest.plan("thing", ThingConfig(), [])
    with pytest.raises(StorageError, match="there is no bucket 'no-such-output'"):
        manifest.is_current("s3://no-such-output/x/manifest.json", planned)


def test_the_code_version_follows_the_sources() -> None:
    assert manifest.code_version() == manifest.code_version()
    assert len(manifest.code_version().rpartition("+")[2]) == 12
    made = Manifest(stage="x", config={}, inputs=())
    assert made.code_version == manifest.code_version()
