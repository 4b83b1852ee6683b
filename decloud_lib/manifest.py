"""The file that marks an output as complete: what it was made from, by what, and what came out.

A stage asks `is_current` first and writes the manifest last. The same configuration and inputs: the
stage returns early. Another manifest there: refused, unless `overwrite`. No manifest: whatever lies
there is the rest of an interrupted run and is made anew.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import __version__, storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import OutputConflictError

NAME = "manifest.json"


class FileRef(BaseModel):
    """One input or output file."""

    model_config = ConfigDict(frozen=True)

    uri: str
    size: int
    etag: str


class Skipped(BaseModel):
    """An item that a stage left out, and why."""

    model_config = ConfigDict(frozen=True)

    item: str
    reason: str


class Manifest(BaseModel):
    """Provenance of one output folder."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    stage: str
    config: dict[str, Any]
    inputs: tuple[FileRef, ...]
    outputs: tuple[FileRef, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    code_version: str = __version__
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def same_work(self, other: "Manifest") -> bool:
        """Say whether two manifests come from the same stage, settings, inputs and code."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("schema_version", "stage", "config", "inputs", "code_version")
        )

    def difference(self, other: "Manifest") -> str:
        """Say in words what differs between two manifests of one output."""
        names = ("stage", "code_version", "schema_version")
        found = [
            f"{name} {getattr(self, name)!r} against {getattr(other, name)!r}"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]
        for key in sorted(self.config.keys() | other.config.keys()):
            mine, theirs = self.config.get(key), other.config.get(key)
            if mine != theirs:
                found.append(f"{key} {mine!r} against {theirs!r}")
        if self.inputs != other.inputs:
            found.append("other inputs, or inputs that changed")
        return "; ".join(found)


def plan(stage: str, config: StageConfig, inputs: Iterable[storage.Entry]) -> Manifest:
    """Describe the work a stage is about to do, before anything is written."""
    refs = tuple(FileRef(uri=entry.uri, size=entry.size, etag=entry.etag) for entry in inputs)
    return Manifest(stage=stage, config=config.identity(), inputs=refs)


def read(uri: str) -> Manifest | None:
    """Read a manifest; None when there is none or it cannot be parsed (an interrupted run)."""
    if storage.stat(uri) is None:
        return None
    try:
        return Manifest.model_validate_json(storage.read_bytes(uri))
    except ValidationError:
        return None


def is_current(uri: str, planned: Manifest, *, overwrite: bool = False) -> bool:
    """Say whether the planned work is already done and whole.

    Parameters
    ----------
    uri
        URI of the manifest file itself.
    planned
        Result of `plan`.
    overwrite
        Make the output anew when it was made from something else.

    Raises
    ------
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    found = read(uri)
    if found is None:
        return False
    if found.same_work(planned):
        return all(
            (entry := storage.stat(ref.uri)) is not None and entry.size == ref.size
            for ref in found.outputs
        )
    if overwrite:
        return False
    raise OutputConflictError(
        f"{storage.parent_of(uri)} holds a complete output of other work "
        f"({found.difference(planned)}); use another output folder, or --overwrite"
    )


def write(
    uri: str,
    planned: Manifest,
    outputs: Iterable[str],
    *,
    counts: dict[str, int] | None = None,
    skipped: Iterable[Skipped] = (),
) -> Manifest:
    """Write the manifest, last of all: from here on the output is complete.

    Parameters
    ----------
    uri
        URI of the manifest file itself.
    planned
        Result of `plan`.
    outputs
        URIs of the files that were made; each must exist.
    counts
        What came out, by name.
    skipped
        What was left out, with reasons.
    """
    refs = []
    for output in outputs:
        entry = storage.stat(output)
        if entry is None:
            raise OutputConflictError(f"{output} vanished before its manifest was written")
        refs.append(FileRef(uri=entry.uri, size=entry.size, etag=entry.etag))
    done = planned.model_copy(
        update={"outputs": tuple(refs), "counts": counts or {}, "skipped": tuple(skipped)}
    )
    storage.write_bytes(uri, done.model_dump_json(indent=2).encode())
    return done
