"""Which rasters a reconstruction writes, and what is in them."""

from collections.abc import Callable
from dataclasses import dataclass

from decloud_lib import bands
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput
from decloud_lib.models.keys import DEM
from decloud_lib.raster.write import RasterProfile
from decloud_lib.reconstruction.companions import (
    QUALITY_BANDS,
    UNKNOWN,
    InputOf,
    Quality,
    QualityOf,
    UncertaintyOf,
)
from decloud_lib.reconstruction.finish import (
    OUTPUT_NODATA,
    Finish,
    Finisher,
    OutputType,
    Unsigned,
)
from decloud_lib.reconstruction.keep import KeepClear, Kept

FINE = 1
#: Type and no data of inputs, by the start of their keys; the first that fits.
_STORED = {
    "s2_cld10m_": ("uint8", 255),
    "s2_": ("int16", bands.S2_NODATA),
    "s1_": ("uint16", bands.S1_NODATA),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files that a user wants of one date or month."""

    image: str
    """URI of the 10 m bands; all others are named after it."""
    image_20m: str | None = None
    """URI of the 20 m bands."""
    dtype: OutputType = "int16"
    """Of the images: int16 with -10000 as no data, or uint16 with 0."""
    quality: bool = False
    """Where each pixel comes from."""
    uncertainty: bool = False
    """The expected error, of a network that gives it."""
    inputs: bool = False
    """What the network took."""
    quicklook: bool = False
    """A picture of the date before and after."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the finishing of all images of one reconstruction has in common."""

    finish: Callable[[int], Finish]
    """By the side of a pixel, 10 m pixels."""
    keep: KeepClear | None = None
    estimated: Quality = Quality.NETWORK
    now_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OutputRaster:
    """One raster on its way."""

    role: str
    """`image`, `image_20m`, `quality`, `uncertainty`, `uncertainty_20m`, or the key of an input."""
    uri: str
    factor: int
    """Side of a pixel, 10 m pixels."""
    profile: RasterProfile
    finisher: Finisher
    source: int = 0
    """Number of the network's tensor that it is made of, as `Caller` gives them."""

    @property
    def can_be_mixed(self) -> bool:
        """Whether pixels of windows that overlap may be averaged: they are estimates."""
        return self.role.startswith(("image", "uncertainty"))


def beside(uri: str, end: str) -> str:
    """Return the URI of a file beside an image: its name without `.tif`, and an ending."""
    return uri.rpartition(".")[0] + end


def plan_rasters(
    contract: ModelContract, wanted: Wanted, look: Look, keys: tuple[str, ...]
) -> list[OutputRaster]:
    """List the rasters to write.

    Parameters
    ----------
    contract
        What the network takes and gives.
    wanted
        What the user wants.
    look
        How pixels are finished.
    keys
        What is read for the estimate.
    """
    found = []
    scales = [item for item in contract.outputs if item.scale_tensor is not None]
    for number, item in enumerate(contract.outputs):
        uri = wanted.image if item.factor == FINE else wanted.image_20m
        if uri is None:
            continue
        end = "" if item.factor == FINE else "_20m"
        found.append(_image(f"image{end}", uri, (number, item), wanted, look))
        if wanted.uncertainty and item in scales:
            source = len(contract.outputs) + scales.index(item)
            profile = _profile(item.bands, "uint16", UNKNOWN)
            error = UncertaintyOf(look.finish(item.factor), look.keep)
            name = beside(uri, "_uncertainty.tif")
            found.append(
                OutputRaster(f"uncertainty{end}", name, item.factor, profile, error, source)
            )
    if wanted.quality:
        found.append(_quality(contract, beside(wanted.image, "_quality.tif"), look))
    if wanted.inputs:
        taken = tuple(item for item in contract.inputs if item.key in keys)
        found += _inputs(taken, wanted.image, look)
    return found


def _image(
    role: str, uri: str, output: tuple[int, ModelOutput], wanted: Wanted, look: Look
) -> OutputRaster:
    number, item = output
    finisher: Finisher = look.finish(item.factor)
    if look.keep is not None:
        finisher = Kept(look.finish(item.factor), look.keep)
    if wanted.dtype == "uint16":
        finisher = Unsigned(finisher)
    profile = _profile(item.bands, wanted.dtype, OUTPUT_NODATA[wanted.dtype])
    return OutputRaster(role, uri, item.factor, profile, finisher, number)


def _quality(contract: ModelContract, uri: str, look: Look) -> OutputRaster:
    quality = QualityOf(
        look.finish(FINE), look.keep, contract.reach_px, look.estimated, look.now_ms
    )
    profile = RasterProfile(
        QUALITY_BANDS, "uint16", UNKNOWN, predictor=1, cog=True, overview_resampling="NEAREST"
    )
    return OutputRaster("quality", uri, FINE, profile, quality)


def _inputs(taken: tuple[ModelInput, ...], image: str, look: Look) -> list[OutputRaster]:
    """List the images that the network takes; the elevation lies on disk as it is."""
    found = []
    for item in taken:
        if not item.bands or item.key == DEM:
            continue
        stored = next(stored for start, stored in _STORED.items() if item.key.startswith(start))
        dtype, nodata = stored
        uri = beside(image, f"_{item.key}.tif")
        finisher = InputOf(item.key, dtype, look.finish(item.factor))
        profile = _profile(item.bands, dtype, nodata)
        found.append(OutputRaster(item.key, uri, item.factor, profile, finisher))
    return found


def _profile(names: tuple[str, ...], dtype: str, nodata: int) -> RasterProfile:
    return RasterProfile(names, dtype, nodata, cog=True)
