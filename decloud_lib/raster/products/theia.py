"""Sentinel-2 L2A products as Theia delivers them: which file of a folder or archive is which."""

import re
from collections import defaultdict
from collections.abc import Iterable

from decloud_lib import storage
from decloud_lib.bands import S2_NODATA
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.archive import list_delivery
from decloud_lib.raster.products.names import S2Name, parse_s2_name
from decloud_lib.raster.products.optical import BandFile, OpticalProduct, OpticalSettings
from decloud_lib.raster.products.roles import BANDS, one_of_each

#: Reflectance and the masks at 10 m; anchored on both sides, so that side files and other
#: resolutions never match.
_WANTED = re.compile(
    r"(?P<product>SENTINEL2[A-D]_.+?)_"
    r"(?:(?P<reflectance>FRE|SRE)_(?P<band>B\d{1,2}A?)|(?P<mask>EDG_R1|CLM_R1))\.tif",
    re.IGNORECASE,
)
_PREPARED = re.compile(r"SENTINEL2[A-D]_.+_([FS]RE_[12]0m\.tif|delivered\.json)")
_CLOUD_MASK, _EDGE_MASK = "CLM_R1", "EDG_R1"
_DEFAULT = OpticalSettings()


def open_product(uri: str, settings: OpticalSettings = _DEFAULT) -> OpticalProduct:
    """Find the files of one product.

    Parameters
    ----------
    uri
        The product's folder, searched to any depth, or its `.zip`, which is read where it lies.
    settings
        Which of the two reflectances is taken; both may lie in the product.

    Raises
    ------
    ProductError
        Not such a product, a file that is there twice, a missing mask, files of another date, or a
        damaged or hostile archive.
    MissingBandError
        Bands that are missing, by name.
    """
    uri = uri.rstrip("/")
    name = parse_s2_name(storage.name_of(uri))
    delivery = list_delivery(uri)
    names = _by_role(uri, name, delivery.paths, settings.reflectance)
    found = {role: delivery.paths[name] for role, name in names.items()}
    return OpticalProduct(
        uri=uri,
        family="theia",
        name=name,
        reflectance=settings.reflectance,
        bands={band: BandFile(found[band], S2_NODATA) for band in BANDS},
        cloud_mask=found[_CLOUD_MASK],
        edge_mask=found[_EDGE_MASK],
        scene_classification=None,
        facts={},
        entries=delivery.take(names.values()),
    )


def _by_role(uri: str, name: S2Name, paths: Iterable[str], reflectance: str) -> dict[str, str]:
    """Return the path of each band and mask; anything else in the product is passed over."""
    found: dict[str, list[str]] = defaultdict(list)
    paths = list(paths)
    if any(_PREPARED.fullmatch(storage.name_of(path)) for path in paths):
        raise ProductError(f"{uri}: is prepared already; expected the product as delivered")
    for path in paths:
        match = _WANTED.fullmatch(storage.name_of(path))
        if match is None or (match["band"] and match["reflectance"].upper() != reflectance):
            continue
        other = parse_s2_name(match["product"])
        # The version at the end of the names may differ.
        if (other.tile, other.acquired) != (name.tile, name.acquired):
            raise ProductError(
                f"{uri}: {path} is a file of {other.name}, expected one of {name.name}"
            )
        found[(match["band"] or match["mask"]).upper()].append(path)
    expected = f"*_{reflectance}_<band>.tif for ten bands and MASKS/*_CLM_R1.tif, *_EDG_R1.tif"
    return one_of_each(uri, found, (_CLOUD_MASK, _EDGE_MASK), expected)
