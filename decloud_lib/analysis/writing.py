"""Write the parts of an analysis: their files, one page, and the manifest last."""

import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from decloud_lib import __version__, manifest, storage
from decloud_lib.analysis.parts import Part
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError
from decloud_lib.raster.write import write_raster

logger = logging.getLogger(__name__)

PAGE, TEXT = "report.html", "report.txt"


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """What was written."""

    page: str
    """URI of the page."""
    files: tuple[str, ...]
    """URIs of everything, the page too."""
    tables: str
    """All tables as text."""

    def text(self) -> str:
        """Return the tables and where the page is."""
        return f"{self.tables}\n\npage: {self.page}"


@dataclass(frozen=True, slots=True)
class Analysis:
    """Where an analysis is written, and what decides it."""

    stage: str
    config: StageConfig
    title: str
    out: str
    """Folder or prefix."""
    inputs: tuple[storage.Entry, ...]

    def run(self, parts: Callable[[], Iterable[Part]]) -> AnalysisResult:
        """Compute and write the parts, unless they are there already.

        Parameters
        ----------
        parts
            Computes them, one after the other.

        Raises
        ------
        ConfigError
            There is no part.
        OutputConflictError
            The folder holds another analysis, and `overwrite` is off.
        """
        out = self.out.rstrip("/")
        done_uri = storage.join(out, manifest.NAME)
        planned = manifest.plan(self.stage, self.config, self.inputs)
        if manifest.is_current(done_uri, planned, overwrite=self.config.overwrite):
            logger.info("%s: is complete", out)
            return _result(out, manifest.read(done_uri))
        found = list(parts())
        if not found:
            raise ConfigError("there is nothing to show; name parts, and what they are made from")
        written = [uri for part in found for uri in write_part(storage.join(out, part.key), part)]
        for name, text in ((TEXT, _tables(found)), (PAGE, render(self.title, found))):
            written.append(_write(storage.join(out, name), text))
        done = manifest.write(
            done_uri, planned, written, counts={"parts": len(found), "files": len(written)}
        )
        logger.info("%s: %d files, %s to read", out, len(written), storage.join(out, PAGE))
        return _result(out, done)


def render(title: str, parts: Sequence[Part], *, with_files: bool = True) -> str:
    """Return one HTML page that needs nothing beside it: pictures are in it.

    Parameters
    ----------
    title
        Heading.
    parts
        In the order in which they are shown.
    with_files
        Name the files that lie beside the page.
    """
    name = "templates/report.html.j2"
    template = resources.files("decloud_lib.analysis").joinpath(name).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page: str = environment.from_string(template).render(
        title=title,
        parts=parts,
        version=__version__,
        made=datetime.now(UTC),
        with_files=with_files,
    )
    return page


def plain(value: Any) -> Any:
    """Return a value with null instead of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_part(folder: str, part: Part) -> Iterable[str]:
    """Write the files of a part and give their URIs, one after the other."""
    for raster in part.rasters:
        uri = storage.join(folder, f"{raster.name}.tif")
        write_raster(uri, raster.grid, raster.profile, raster.pixels)
        yield uri
    for figure in part.figures:
        uri = storage.join(folder, f"{figure.name}.png")
        storage.write_bytes(uri, figure.png)
        yield uri
    texts = {f"{table.name}.csv": table.csv() for table in part.tables} | dict(part.files)
    texts[f"{part.key}.json"] = json.dumps(plain(dict(part.numbers)), indent=2, allow_nan=False)
    for name, text in texts.items():
        yield _write(storage.join(folder, name), text)


def _write(uri: str, text: str) -> str:
    storage.write_bytes(uri, text.encode())
    return uri


def _tables(parts: Sequence[Part]) -> str:
    return "\n\n".join(table.text() for part in parts for table in part.tables)


def _result(out: str, done: manifest.Manifest | None) -> AnalysisResult:
    files = tuple(ref.uri for ref in done.outputs) if done else ()
    text = storage.read_text(storage.join(out, TEXT))
    return AnalysisResult(storage.join(out, PAGE), files, text)
