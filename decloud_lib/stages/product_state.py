"""What tells one preparation of a product from another: for Kubeflow's cache."""

import hashlib
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from itertools import takewhile

from decloud_lib import manifest, storage
from decloud_lib.raster.products.found import Found
from decloud_lib.raster.products.names import parse_s1_name
from decloud_lib.raster.products.s1tiling import file_of, prepared_stem


def product_states(products: Sequence[Found], root: str, target: str) -> list[str]:
    """Say in a text per product what its preparation would read, and what lies at its place.

    Two texts are equal when nothing changed between two calls: neither the files of the product,
    nor the manifest of its preparation, nor the code. A product that is not prepared gets a text
    that never comes again, so that nobody takes it for done. Two listings, whatever the number.

    Parameters
    ----------
    products
        Radar or optical products that were found.
    root
        Where they were looked for.
    target
        Root of what is prepared of their family.
    """
    made = {
        _stem_of(entry.uri): entry.etag
        for entry in storage.list_files(target)
        if entry.uri.endswith(manifest.NAME)
    }
    entries = sorted(storage.list_files(root), key=lambda entry: entry.uri)
    uris = [entry.uri for entry in entries]
    states = []
    for item in products:
        read = [entry for place in _places(item) for entry in _below(place, entries, uris)]
        done = made.get(_prepared_name(item))
        if done is None or not read:
            states.append(uuid.uuid4().hex)
            continue
        facts = [f"{entry.uri} {entry.size} {entry.etag}" for entry in read]
        text = "\n".join([manifest.code_version(), done, *facts])
        states.append(hashlib.sha256(text.encode()).hexdigest())
    return states


def _stem_of(manifest_uri: str) -> str:
    """Return the name of the folder of a manifest, or of the file that it stands beside."""
    name = storage.name_of(manifest_uri)
    if name == manifest.NAME:
        return storage.name_of(storage.parent_of(manifest_uri))
    return name.removesuffix(f".{manifest.NAME}")


def _prepared_name(item: Found) -> str:
    return prepared_stem(parse_s1_name(item.name).stem) if item.family == "s1" else item.name


def _places(item: Found) -> list[str]:
    if item.family == "s1":
        return [file_of(item.uri, polarisation) for polarisation in ("vh", "vv")]
    return [item.uri]


def _below(place: str, entries: list[storage.Entry], uris: list[str]) -> list[storage.Entry]:
    """Return a file, or the files below a folder, of a sorted listing."""
    first = bisect_left(uris, place)
    if first < len(uris) and uris[first] == place:
        return [entries[first]]
    first = bisect_left(uris, f"{place}/")
    rest = (entries[at] for at in range(first, len(entries)))
    return list(takewhile(lambda entry: entry.uri.startswith(f"{place}/"), rest))
