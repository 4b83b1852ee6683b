"""Where the links of a STAC item lead: places that may be read, and no others."""

import posixpath
import re
from urllib.parse import urljoin

from decloud_lib import storage
from decloud_lib.errors import ProductError

#: A colon before the first slash: a scheme, or what GDAL takes for the name of a format.
_SCHEME = re.compile(r"[^/?#]*:")


def resolve(item_uri: str, href: str) -> str:
    """Return the URI of a link in a STAC item.

    Parameters
    ----------
    item_uri
        Where the item was read; relative links start there, whatever the item says of itself.
    href
        Relative path, `s3://bucket/key`, `https://host/path`, or an absolute local path in an item
        that is a local file.

    Raises
    ------
    ProductError
        Any other link: paths that GDAL would take for something else (`/vsi...`), other schemes,
        local files named by an item from elsewhere, paths that climb out of a bucket.
    """
    odd = not href.strip() or any(ord(letter) < ord(" ") for letter in href)
    if not odd and href.lower().startswith(("s3://", "https://", "http://")):
        # Schemes of s3 are case-sensitive further on.
        return f"s3://{href[5:]}" if href[:5].lower() == "s3://" else href
    local = not (storage.is_s3(item_uri) or storage.is_web(item_uri))
    problem = None
    if odd:
        problem = "is empty or holds control characters"
    elif _SCHEME.match(href) or href.startswith(("//", "\\")):
        problem = "has a scheme that is not read"
    elif href.startswith("/") and not local:
        problem = "is a local path in an item that is no local file"
    if problem is None:
        found = _resolved(item_uri, href)
        if found is not None and not found.lower().startswith("/vsi"):
            return found
        problem = "leads out of what may be read"
    raise ProductError(
        f"{item_uri}: the link {href!r} {problem}; expected a path beside the item, "
        "s3://bucket/key or https://host/path"
    )


def _resolved(item_uri: str, href: str) -> str | None:
    """Follow a relative link; None if it climbs out of its bucket."""
    if storage.is_web(item_uri):
        return urljoin(item_uri, href)
    if storage.is_s3(item_uri):
        bucket, _, key = item_uri.removeprefix("s3://").partition("/")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(key), href))
        return None if path.split("/")[0] in {"..", "."} else f"s3://{bucket}/{path}"
    return posixpath.normpath(posixpath.join(storage.parent_of(item_uri), href))
