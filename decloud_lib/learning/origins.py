"""The fingerprint of the model that would be trained now: data, layouts, code, configuration.

Data are known by a listing, nothing is downloaded: a product has changed when the name, size or
ETag of one of its files has.
"""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from decloud_lib import storage
from decloud_lib.acquisitions import load_layout
from decloud_lib.fingerprint import Part, digest_of
from decloud_lib.models.registry import split_name
from decloud_lib.raster.products.found import Discovery, Found

_PACKAGE = Path(__file__).parents[1]
#: The stages that decide how a model comes out; what they import decides with them.
_STAGES = ("prepare_s1", "prepare_s2", "prepare_dem", "make_tiles", "make_roi", "sample", "train")
#: What carries data or shows something, and changes nothing in it.
_CARRIERS = {
    *("storage", "tracking", "progress.py", "manifest.py", "fingerprint.py", "errors.py"),
    *("learning/recording.py", "learning/diagnosis.py", "models/boards.py", "models/diagram.py"),
    *("models/previews.py", "stages/quarantine.py", "learning/publish.py", "learning/seen.py"),
    *("samples/profile.py", "checksums.py", "learning/naming.py"),
}
_POLARISATION = re.compile(r"_v[vh]_", re.IGNORECASE)


def data_part(discovery: Discovery, chosen: Iterable[Found], root: str) -> Part:
    """Return the digests of delivered products.

    Parameters
    ----------
    discovery
        What lies below the root, with the listing.
    chosen
        The products that count; those that cannot be used do not.
    root
        The digests stay the same when everything is moved to another root.
    """
    owners = {_pair(item.uri): item for item in chosen if item.problem is None}
    files: dict[str, list[str]] = defaultdict(list)
    for entry in discovery.entries:
        owner = _owner(entry.uri, owners)
        if owner is not None:
            shown = f"{_relative(entry.uri, root)} {entry.size} {entry.etag}"
            files[_relative(owner.uri, root)].append(shown)
    return Part(items={name: digest_of("\n".join(lines).encode()) for name, lines in files.items()})


def layouts_part(names: Iterable[str]) -> Part:
    """Return the digests of acquisition layouts, shipped ones or files, by their content.

    Raises
    ------
    ConfigError
        There is no such layout, or it cannot be used.
    """
    items = {}
    for name in sorted(set(names)):
        content = json.dumps(load_layout(name, storage.read_text).to_json(), sort_keys=True)
        items[storage.name_of(name).removesuffix(".json")] = digest_of(content.encode())
    return Part(items=items)


def code_part(model: str, package: Path = _PACKAGE) -> Part:
    """Return the digests of the source files that decide how a model comes out.

    These are the stages from products to a network with all that they import, and the modules
    that define the model. Comments, docstrings and the layout of the text do not count.

    Parameters
    ----------
    model
        Name of the network; `file.py:NAME` counts with its file.
    package
        Folder of the package.
    """
    own_file, name = split_name(model)
    roots = [package / "stages" / f"{stage}.py" for stage in _STAGES]
    items = {path.relative_to(package).as_posix() for path in _closure(roots, package)}
    if own_file is None:
        items |= {
            path.relative_to(package).as_posix()
            for path in _closure(_defining(name, package), package)
        }
    digests = {item: _source(package / item).digest for item in sorted(items)}
    if own_file is not None:
        digests[own_file.name] = _source(own_file).digest
    return Part(items=digests)


def configuration_part(settings: Mapping[str, Any]) -> Part:
    """Return settings as JSON texts, so that a change can be shown."""
    return Part(items={name: json.dumps(value) for name, value in sorted(settings.items())})


def _pair(uri: str) -> str:
    """Return one name for both polarisations of a radar product."""
    folder, slash, name = uri.rpartition("/")
    return folder + slash + _POLARISATION.sub("_v*_", name, count=1)


def _owner(uri: str, owners: Mapping[str, Found]) -> Found | None:
    """Return the product that a file belongs to: itself, its pair, or a folder above it."""
    found = owners.get(_pair(uri))
    place = uri
    while found is None and "/" in (place := place.rpartition("/")[0]):
        found = owners.get(place)
    return found


def _relative(uri: str, root: str) -> str:
    start = root.rstrip("/") + "/"
    return uri.removeprefix(start) if uri.startswith(start) else storage.name_of(uri)


def _closure(roots: Iterable[Path], package: Path) -> set[Path]:
    """Return files with all files of the package that they import, at any depth."""
    waiting, seen = list(roots), set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen or _carries(path, package):
            continue
        seen.add(path)
        waiting += (found for name in _source(path).imports if (found := _file_of(name, package)))
    return seen


def _carries(path: Path, package: Path) -> bool:
    relative = path.relative_to(package)
    return relative.as_posix() in _CARRIERS or relative.parts[0] in _CARRIERS


def _defining(model: str, package: Path) -> list[Path]:
    """Return the modules that name a model in their code; all of them for a name of elsewhere."""
    modules = sorted((package / "models").glob("*.py"))
    naming = [path for path in modules if model in _source(path).texts]
    return naming or modules


@dataclass(frozen=True, slots=True)
class _Source:
    """What one source file says."""

    imports: tuple[str, ...]
    """Modules, and what is taken from them: `package.module`, `package.module.name`."""
    texts: frozenset[str]
    """Literal texts."""
    digest: str
    """Of the statements, without docstrings."""


def _source(path: Path) -> _Source:
    return _read(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=1024)
def _read(text: str) -> _Source:
    tree = ast.parse(text)
    imports: list[str] = []
    texts: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports.append(node.module)
            imports += (f"{node.module}.{item.name}" for item in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return _Source(tuple(imports), frozenset(texts), digest_of(ast.dump(tree).encode()))


def _file_of(module: str, package: Path) -> Path | None:
    first, *parts = module.split(".")
    if first != package.name or not parts:
        return None
    place = package.joinpath(*parts)
    found = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in found if path.is_file()), None)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
