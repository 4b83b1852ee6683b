"""What a model was made from, in four digests: data, layouts, code, configuration.

A digest says whether something changed, the listing behind it says what. The digests are tags of a
registered version (`decloud.fingerprint.data` and so on); the listing is a JSON file in the bucket,
whose address is one more tag, as ten thousand products do not fit into tags.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from decloud_lib import storage
from decloud_lib.errors import ConfigError

PartName = Literal["data", "layouts", "code", "configuration"]
Kind = Literal["added", "removed", "changed", "unknown"]

PARTS: tuple[PartName, ...] = ("data", "layouts", "code", "configuration")
TAGS: dict[PartName, str] = {part: f"decloud.fingerprint.{part}" for part in PARTS}
"""Part -> name of the tag that holds its digest."""
LISTING_TAG = "decloud.fingerprint.listing"
"""Name of the tag that holds the URI of the whole fingerprint."""

_DIGEST_CHARACTERS = 16
_KINDS: tuple[Kind, ...] = ("added", "removed", "changed", "unknown")
_MOST_NAMES = 3


def digest_of(content: bytes) -> str:
    """Return the start of a SHA-256: enough to tell versions apart, no protection from forgers."""
    return hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]


class Change(BaseModel):
    """One thing that is not as it was."""

    model_config = ConfigDict(frozen=True)

    part: PartName
    kind: Kind
    """`unknown`: the digests differ, and nothing says in what."""
    name: str
    """Product, layout, source file or setting; for `unknown` the reason."""
    before: str | None = None
    """Of a setting: its former value; else a digest."""
    now: str | None = None

    def __str__(self) -> str:
        if self.part == "configuration" and self.kind == "changed":
            return f"{self.name} {self.before} -> {self.now}"
        return self.name


class Part(BaseModel):
    """One part of a fingerprint."""

    model_config = ConfigDict(frozen=True)

    items: dict[str, str]
    """Name -> digest of the content, or the value itself where it is short."""

    @property
    def digest(self) -> str:
        """Digest over all items, whatever their order."""
        lines = (f"{name}\0{value}\n" for name, value in sorted(self.items.items()))
        return digest_of("".join(lines).encode())


class Fingerprint(BaseModel):
    """What decides how a model comes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    data: Part
    """Product -> digest of the names, sizes and ETags of its files."""
    layouts: Part
    """Layout -> digest of its content."""
    code: Part
    """Source file -> digest of its statements."""
    configuration: Part
    """Setting -> its value as JSON."""

    def part(self, name: PartName) -> Part:
        """Return a part by its name."""
        found: Part = getattr(self, name)
        return found

    @property
    def digest(self) -> str:
        """Digest over all parts: names the listing."""
        return digest_of("".join(self.part(name).digest for name in PARTS).encode())

    def tags(self, listing: str | None = None) -> dict[str, str]:
        """Return the tags of a version that is made from this.

        Parameters
        ----------
        listing
            URI that the fingerprint was written to.
        """
        tags = {TAGS[name]: self.part(name).digest for name in PARTS}
        return tags | ({LISTING_TAG: listing} if listing is not None else {})

    def since(self, before: "Fingerprint") -> tuple[Change, ...]:
        """Return what is not as it was before, part by part, each sorted by name."""
        return tuple(
            change
            for name in PARTS
            for change in _part_changes(name, before.part(name).items, self.part(name).items)
        )

    def changed_parts(self, tags: Mapping[str, str]) -> tuple[PartName, ...]:
        """Return the parts whose digest is not that of a version's tags."""
        return tuple(name for name in PARTS if tags.get(TAGS[name]) != self.part(name).digest)


def describe(changes: tuple[Change, ...]) -> str:
    """Say in one line what changed: numbers, and the first names.

    `data: 2 products added (A, B), 1 changed (C); configuration: learning_rate 0.001 -> 0.0002`
    """
    texts = []
    for part in PARTS:
        of_part = [change for change in changes if change.part == part]
        groups = []
        for kind in _KINDS:
            found = [str(change) for change in of_part if change.kind == kind]
            if found:
                more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
                names = ", ".join(found[:_MOST_NAMES]) + more
                groups.append(names if kind == "unknown" else f"{len(found)} {kind} ({names})")
        if groups:
            texts.append(f"{part}: {', '.join(groups)}")
    return "; ".join(texts) or "nothing changed"


def read(uri: str) -> Fingerprint:
    """Read a fingerprint.

    Raises
    ------
    MissingFileError
        There is none.
    ConfigError
        The file is something else.
    """
    try:
        return Fingerprint.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"{uri}: is no fingerprint ({place or 'the file'}: {problem['msg']}); expected what "
            "`decloud retrain` writes"
        ) from error


def write(fingerprint: Fingerprint, folder: str) -> str:
    """Write a fingerprint into a folder under the name of its digest; return its URI."""
    uri = storage.join(folder, f"{fingerprint.digest}.json")
    storage.write_bytes(uri, fingerprint.model_dump_json(indent=1).encode())
    return uri


def _part_changes(
    part: PartName, before: Mapping[str, str], now: Mapping[str, str]
) -> Iterator[Change]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new:
            kind: Kind = "added" if old is None else "removed" if new is None else "changed"
            yield Change(part=part, kind=kind, name=name, before=old, now=new)
