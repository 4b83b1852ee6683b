"""Whether what a preparation made is all there."""

from collections.abc import Sequence

from decloud_lib import manifest, storage
from decloud_lib.inspection.facts import Completeness

#: What the existing system writes beside each raster when it is whole.
_MARK = ".complete"


def completeness(manifest_uri: str, outputs: Sequence[str]) -> Completeness:
    """Compare what is there with what a manifest lists.

    Parameters
    ----------
    manifest_uri
        Where the manifest should be.
    outputs
        Files that the existing system marks as complete, each by a file of its own.
    """
    found = manifest.read(manifest_uri)
    if found is None:
        if outputs and all(storage.stat(uri + _MARK) is not None for uri in outputs):
            return Completeness(whole=True, told=f"each raster is marked by its {_MARK} file")
        return Completeness(
            whole=False,
            told="there is no manifest; interrupted, or made by another program",
        )
    # Products may be moved or copied as a whole: what counts is what lies beside the manifest.
    folder = storage.parent_of(manifest_uri)
    for ref in found.outputs:
        uri = storage.join(folder, storage.name_of(ref.uri))
        entry = storage.stat(uri)
        if entry is None:
            return Completeness(whole=False, told=f"{uri} is missing")
        if entry.size != ref.size:
            told = f"{uri} has {entry.size} bytes, the manifest says {ref.size}"
            return Completeness(whole=False, told=told)
    files = "1 file" if len(found.outputs) == 1 else f"{len(found.outputs)} files"
    told = (
        f"{files} as the manifest lists them, made by {found.stage} of decloud "
        f"{found.code_version} at {found.created:%Y-%m-%d %H:%M} UTC"
    )
    return Completeness(whole=True, told=told)
