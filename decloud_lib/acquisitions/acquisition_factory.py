"""Layouts by name or from a file."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from decloud_lib.acquisitions.grammar import parse_layout
from decloud_lib.acquisitions.sensing_layout import AcquisitionsLayout
from decloud_lib.errors import ConfigError

_SUFFIX = ".json"


@cache
def shipped_layouts() -> tuple[str, ...]:
    """Return the names of the layouts that come with the package, sorted."""
    folder = files("decloud_lib.acquisitions") / "layouts"
    found = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)))


def _read_local(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"layout {path!r} cannot be read ({error}); expected a JSON file or one of the shipped "
            f"layouts: {', '.join(shipped_layouts())}"
        ) from error


def load_layout(
    name_or_uri: str, read_text: Callable[[str], str] = _read_local
) -> AcquisitionsLayout:
    """Return a shipped layout by its name, or the layout of a JSON file.

    Parameters
    ----------
    name_or_uri
        `AL-CRGA-OS2-Occitanie` (with or without `.json`), or the path of a file.
    read_text
        Reads the file; give `storage.read_text` where the file may lie in a bucket.

    Raises
    ------
    ConfigError
        There is no such layout, or it cannot be used.
    """
    name = name_or_uri.removesuffix(_SUFFIX)
    if name in shipped_layouts():
        shipped = files("decloud_lib.acquisitions") / "layouts" / f"{name}{_SUFFIX}"
        return parse_layout(shipped.read_text(encoding="utf-8"), f"shipped layout {name}")
    return parse_layout(read_text(name_or_uri), name_or_uri)


class AcquisitionFactory:
    """Historic entry point; `load_layout` does the same."""

    @staticmethod
    def get_acquisition(path: str | Path) -> AcquisitionsLayout:
        """Return a shipped layout by its name, or the layout of a local JSON file."""
        return load_layout(str(path))
