"""Which family a delivered optical product belongs to."""

import re

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products import esa, stac, theia
from decloud_lib.raster.products.names import parse_s2_name
from decloud_lib.raster.products.optical import OpticalProduct, OpticalSettings

_DEFAULT = OpticalSettings()


def open_optical(uri: str, settings: OpticalSettings = _DEFAULT) -> OpticalProduct:
    """Find the files of a delivered optical product of any family.

    Parameters
    ----------
    uri
        A Theia or ESA product, folder or `.zip`, or the JSON file of a STAC item: the last part of
        the path decides.
    settings
        How it is read.

    Raises
    ------
    ProductError
        Not such a product, of another level, incomplete, ambiguous or hostile.
    MissingBandError
        Bands that are missing, by name.
    StorageError
        A bucket or server that cannot be reached.
    """
    name = storage.name_of(uri)
    if re.search(r"\.(geo)?json$", name, re.IGNORECASE):
        return stac.open_item(uri, settings)
    if re.match(r"S2[A-D]_MSIL2A_", name):
        return esa.open_product(uri, settings)
    if re.match(r"SENTINEL2[A-D]_", name):
        return theia.open_product(uri, settings)
    # Says what the name stands for, if anything.
    parse_s2_name(name)
    raise ProductError(
        f"{uri}: is the name of an item of a catalogue; expected its JSON file, or a product of "
        "Theia or ESA"
    )
