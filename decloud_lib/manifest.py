"""The file that marks an output as complete: what it was made from, by what, and what came out.

A stage asks `is_current` first and writes the manifest last. The same settings and inputs: the
stage returns early. A manifest of other work there: refused, unless `overwrite`. No manifest:
whatever lies there is the rest of an interrupted run and is made anew.

The version of the code is recorded, and alone does not make an output outdated: a stage whose
output changes in meaning counts up the `version` that it gives to `plan`.
"""

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import __version__, storage
from decloud_lib.checksums import file_sha256
from decloud_lib.config import StageConfig
from decloud_lib.errors import OutputConflictError

logger = logging.getLogger(__name__)

NAME = "manifest.json"
#: From so many outputs on, one listing of their folder is cheaper than a question for each.
_LIST_FROM = 8
_WHAT_DECIDES = ("schema_version", "stage", "version", "config", "inputs")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the package's version and the start of a SHA-256 over its sources."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return f"{__version__}+{digest.hexdigest()[:12]}"


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

    # Infinite settings survive the way through JSON.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    schema_version: int = 1
    stage: str
    version: int = 1
    """Version of what the stage makes: another one is other work."""
    config: dict[str, Any]
    inputs: tuple[FileRef, ...]
    outputs: tuple[FileRef, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    checksums: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of outputs by name, where the stage takes them."""
    code_version: str = Field(default_factory=code_version)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def same_work(self, other: "Manifest") -> bool:
        """Say whether two manifests come from the same stage, its version, settings and inputs."""
        return all(getattr(self, name) == getattr(other, name) for name in _WHAT_DECIDES)

    def difference(self, other: "Manifest") -> str:
        """Say in words what differs between this manifest and another of the same output."""
        found = [
            f"{name} {getattr(self, name)!r} against {getattr(other, name)!r}"
            for name in ("stage", "version", "schema_version")
            if getattr(self, name) != getattr(other, name)
        ]
        for key in sorted(self.config.keys() | other.config.keys()):
            mine, theirs = self.config.get(key), other.config.get(key)
            if mine != theirs:
                found.append(f"{key} {_short(mine)} against {_short(theirs)}")
        return "; ".join(found + _input_differences(self.inputs, other.inputs))


def plan(
    stage: str, config: StageConfig, inputs: Iterable[storage.Entry], version: int = 1
) -> Manifest:
    """Describe the work a stage is about to do, before anything is written.

    Parameters
    ----------
    stage
        Name of the stage.
    config
        Its settings.
    inputs
        The files it reads, in any order.
    version
        Counted up by hand when the same settings and inputs lead to another output.
    """
    refs = (FileRef(uri=entry.uri, size=entry.size, etag=entry.etag) for entry in inputs)
    ordered = tuple(sorted(refs, key=lambda ref: ref.uri))
    return Manifest(stage=stage, version=version, config=config.identity(), inputs=ordered)


def read(uri: str) -> Manifest | None:
    """Read a manifest; None when there is none, or one that no version of ours wrote."""
    try:
        return Manifest.model_validate_json(storage.read_bytes(uri))
    except storage.MissingFileError:
        return None
    except ValidationError:
        logger.warning("%s: not a manifest, taken as if there were none", uri)
        return None


def entries_by_content(uri: str, folder: Path) -> list[storage.Entry]:
    """Return the files of a local copy as inputs that are known by their content.

    Parameters
    ----------
    uri
        What it is a copy of: an alias, say, which moves from one version to the next.
    folder
        The copy.
    """
    entries = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = storage.join(uri, path.relative_to(folder).as_posix())
        entries.append(storage.Entry(name, path.stat().st_size, file_sha256(path)))
    return entries


def is_current(uri: str, planned: Manifest, *, overwrite: bool = False) -> bool:
    """Say whether the planned work is already done and whole.

    When it is not and a manifest is there, the manifest is removed, and with `overwrite` the files
    it lists too: the rest of a run that is interrupted later must not look complete.

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
        broken = _broken(uri, found)
        if not broken:
            return True
        text = "%s: %d of %d outputs vanished or changed, first %s; made anew"
        logger.warning(text, uri, len(broken), len(found.outputs), broken[0])
        storage.delete(uri)
        return False
    if not overwrite:
        raise _conflict(uri, found, planned)
    logger.info("%s: replaced, because of %s", uri, found.difference(planned))
    storage.delete(uri)
    needed = {ref.uri for ref in planned.inputs}
    for ref in found.outputs:
        if ref.uri not in needed:
            storage.delete(ref.uri)
    return False


def is_done(uri: str, planned: Manifest, *, overwrite: bool = False) -> bool:
    """Say what `is_current` would say, and leave everything as it is: for plans.

    Raises
    ------
    OutputConflictError
        As `is_current`.
    """
    found = read(uri)
    if found is None:
        return False
    if found.same_work(planned):
        return not _broken(uri, found)
    if not overwrite:
        raise _conflict(uri, found, planned)
    return False


def _broken(uri: str, found: Manifest) -> list[str]:
    """Return the outputs that vanished or changed since."""
    present = _find([ref.uri for ref in found.outputs], storage.parent_of(uri))
    sizes = {entry.uri: entry.size for entry in present}
    return [ref.uri for ref in found.outputs if sizes.get(ref.uri) != ref.size]


def _conflict(uri: str, found: Manifest, planned: Manifest) -> OutputConflictError:
    return OutputConflictError(
        f"{uri} marks a complete output of other work "
        f"({found.difference(planned)}); use another output folder, or --overwrite"
    )


def write(
    uri: str,
    planned: Manifest,
    outputs: Iterable[str],
    *,
    counts: dict[str, int] | None = None,
    skipped: Iterable[Skipped] = (),
    checksums: dict[str, str] | None = None,
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
    checksums
        SHA-256 of outputs, by name.

    Raises
    ------
    OutputConflictError
        An output is not there.
    """
    wanted = list(outputs)
    present = {entry.uri: entry for entry in _find(wanted, storage.parent_of(uri))}
    if missing := [output for output in wanted if output not in present]:
        raise OutputConflictError(
            f"{missing[0]} vanished before its manifest was written ({len(missing)} of "
            f"{len(wanted)} outputs); does something else clean up there? run the stage again"
        )
    entries = [present[output] for output in wanted]
    refs = tuple(FileRef(uri=item.uri, size=item.size, etag=item.etag) for item in entries)
    done = planned.model_copy(
        update={
            "outputs": refs,
            "counts": counts or {},
            "skipped": tuple(skipped),
            "checksums": checksums or {},
        }
    )
    storage.write_bytes(uri, done.model_dump_json(indent=2).encode())
    return done


def _find(uris: list[str], folder: str) -> list[storage.Entry]:
    """Look up files with as few requests as their number makes sensible."""
    listed: dict[str, storage.Entry] = {}
    if len(uris) >= _LIST_FROM:
        listed = {entry.uri: entry for entry in storage.list_files(folder)}
    found = (listed.get(uri) or storage.stat(uri) for uri in uris)
    return [entry for entry in found if entry is not None]


def _input_differences(mine: tuple[FileRef, ...], theirs: tuple[FileRef, ...]) -> list[str]:
    before, now = ({ref.uri: ref for ref in refs} for refs in (mine, theirs))
    kinds = {
        "no longer an input": sorted(before.keys() - now.keys()),
        "new among the inputs": sorted(now.keys() - before.keys()),
        "changed since": sorted(uri for uri in before.keys() & now if before[uri] != now[uri]),
    }
    return [
        f"{uris[0]} {kind}" + (f" (and {len(uris) - 1} more)" if len(uris) > 1 else "")
        for kind, uris in kinds.items()
        if uris
    ]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
