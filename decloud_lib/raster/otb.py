"""The same images as an Orfeo ToolBox pipeline: the only file that imports otbApplication.

Applications are connected in memory and pulled window by window: a request for a region travels up
the chain, so each application computes and each file gives only what the window needs. What is
arithmetic (encodings, masks, pairs) and the network stay outside, in numpy and TensorFlow.

Headers (band names, data type) are read with rasterio, because the toolbox does not know them.
"""

import ctypes
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from decloud_lib import storage
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.errors import ConfigError, ProductError
from decloud_lib.raster.compose import (
    TRANSPARENT,
    Composition,
    Engine,
    MosaicReader,
    Raster,
    must_be_placed,
)
from decloud_lib.raster.read import ImageReader, RasterReader, damaged, open_raster
from decloud_lib.raster.views import open_image
from decloud_lib.types import Array, Grid, Window

#: Where Debian's packages put the applications; an environment variable of the toolbox may name
#: another place.
_APPLICATIONS = "/usr/lib/x86_64-linux-gnu/otb/applications"
_GDAL, _ITK = "libgdal.so.32", "libITKCommon-4.13.so.1"
_INTERPOLATORS = {"nearest": "nn", "bicubic": "bco"}
#: One thread at a time: each call compiles its parameter's name with a parser that is shared by all
#: threads, and two at once end in a crash. The toolbox computes with threads of its own.
_ONE_AT_A_TIME = Lock()


def engine() -> Engine:
    """Return the engine.

    Raises
    ------
    ConfigError
        The toolbox is not installed.
    """
    _toolbox()
    _set_gdal_options()
    return open_composition


def version() -> str:
    """Return the version of the toolbox's module and the number of its applications."""
    count = len(_toolbox().Registry.GetAvailableApplications())
    return f"{metadata.version('otbApplication')} with {count} applications"


@contextmanager
def open_composition(composition: Composition) -> Iterator[ImageReader]:
    """Open a composition as a pipeline; see `compose.open_composition`."""
    with ExitStack() as stack:
        readers = [stack.enter_context(_open_placed(part)) for part in composition.rasters]
        if isinstance(composition, Raster):
            yield readers[0]
        elif len(readers) > 1 and all(isinstance(reader, OtbReader) for reader in readers):
            yield _MosaicChain([reader for reader in readers if isinstance(reader, OtbReader)])
        else:  # parts that are encoded in numpy
            yield MosaicReader(readers, lambda reader: reader)


@contextmanager
def open_file(uri: str, *, unnamed: tuple[str, ...] = ()) -> Iterator[RasterReader]:
    """Open a raster file; a `RasterOpener`."""
    with open_raster(uri, unnamed=unnamed) as header:
        yield OtbReader(header)


class Chain:
    """The end of a pipeline.

    Parameters
    ----------
    name
        Of the application whose output this is.
    settings
        Its parameters.
    inputs
        Parameter -> the pipelines that it takes; kept alive with this one.

    Raises
    ------
    ProductError
        The toolbox refuses: a file that it cannot read, for instance.
    """

    def __init__(
        self,
        name: str,
        settings: dict[str, str | float],
        inputs: dict[str, Sequence["Chain"]] | None = None,
    ) -> None:
        self._inputs = inputs or {}
        with _ONE_AT_A_TIME:
            self._application = _toolbox().Registry.CreateApplicationWithoutLogger(name)
            if self._application is None:
                raise ConfigError(
                    f"the Orfeo ToolBox has no application {name}: install it again with `make otb`"
                )
            try:
                self._prepare(settings)
            except RuntimeError as error:
                named = settings.get("in", name)
                raise ProductError(
                    f"{named}: the Orfeo ToolBox cannot use it ({error}); "
                    "try it with --engine rasterio"
                ) from error

    def _prepare(self, settings: dict[str, str | float]) -> None:
        application = self._application
        for key, value in settings.items():
            if isinstance(value, str):
                application.SetParameterString(key, value)
            else:
                application.SetParameterFloat(key, value)
        for key, chains in self._inputs.items():
            for chain in chains:
                image = chain._application.GetParameterOutputImage("out")
                if key == "il":
                    application.AddImageToParameterInputImageList(key, image)
                else:
                    application.SetParameterInputImage(key, image)
        application.Execute()

    def pull(self, window: Window, dtype: str = "float32") -> Array:
        """Return (H, W, C) pixels of a window inside the output, which computes in float32."""
        region = _toolbox().itkRegion()
        region["index"][0], region["index"][1] = window.col, window.row
        region["size"][0], region["size"][1] = window.width, window.height
        with _ONE_AT_A_TIME:
            self._application.PropagateRequestedRegion("out", region)
            # A view of memory that the chain would hold until the next request.
            view = self._application.GetVectorImageAsNumpyArray("out")
            pixels: Array = view.astype(dtype)
            del view
            _release(self._application.GetParameterOutputImage("out"))
        return pixels


class OtbReader(RasterReader):
    """A raster whose pixels come out of a pipeline; the rest is what its header says.

    Attributes
    ----------
    chain : Chain
        The pipeline.
    """

    def __init__(self, header: RasterReader) -> None:
        super().__init__(header._dataset, header.uri, header.bands)
        # A question mark starts the toolbox's own options.
        if "?" in self.uri:
            raise ProductError(
                f"{self.uri}: the engine otb cannot read a name with a question mark"
            )
        self.chain = Chain("ExtractROI", {"in": storage.gdal_path(self.uri)})
        self._rounds = False

    def place(self, grid: Grid, raster: Raster, reference: str) -> None:
        """Bring the pixels on another grid, which a reference file has."""
        settings: dict[str, str | float] = {
            "interpolator": _INTERPOLATORS[raster.resampling],
            "fv": float(raster.fill or 0),
        }
        like = Chain("ExtractROI", {"in": reference})
        self.chain = Chain("Superimpose", settings, {"inr": [like], "inm": [self.chain]})
        self.grid = grid
        self._rounds = raster.resampling == "bicubic"

    def _read(self, window: Window, indexes: int | list[int] | None, out: Array | None) -> Array:
        self.check_inside(window)
        rounds = self._rounds and np.issubdtype(self.dtype, np.integer)
        try:
            pixels = self.chain.pull(window, "float32" if rounds else self.dtype)
        except RuntimeError as error:
            raise ProductError(damaged(self.uri, window, error)) from error
        if indexes is not None:
            pixels = pixels[..., np.atleast_1d(np.asarray(indexes)) - 1]
        if rounds:
            limits = np.iinfo(self.dtype)
            pixels = np.clip(np.rint(pixels), limits.min, limits.max).astype(self.dtype)
        planes: Array = np.moveaxis(pixels, -1, 0)
        if out is None:
            return planes
        out[...] = planes[0]
        return out


class _MosaicChain:
    """A mosaic as a pipeline on top of those of its parts, the first part on top."""

    def __init__(self, readers: Sequence[OtbReader]) -> None:
        top = readers[0]
        self._top = top
        # The toolbox lays later images over earlier ones.
        inputs = [reader.chain for reader in reversed(readers)]
        settings: dict[str, str | float] = {
            "comp.feather": "none",
            "interpolator": "nn",
            "nodata": float(TRANSPARENT),
        }
        self._chain = Chain("Mosaic", settings, {"il": inputs})
        self.uri, self.grid, self.bands, self.dtype = top.uri, top.grid, top.bands, top.dtype
        self.nodata: float | None = TRANSPARENT

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        """Return (H, W, C) pixels of a window; 0 where no part has any."""
        pixels = self._top.read(window)
        # The application reads all parts. Mostly the top one is enough.
        if all_nodata(pixels, TRANSPARENT).any():
            try:
                pixels = self._chain.pull(window, self.dtype)
            except RuntimeError as error:
                raise ProductError(damaged(f"mosaic over {self.uri}", window, error)) from error
        return pixels if names is None else pixels[..., [self.bands.index(name) for name in names]]


@contextmanager
def _open_placed(raster: Raster) -> Iterator[ImageReader]:
    with open_image(raster.uri, raster.unnamed, open_file) as reader, ExitStack() as stack:
        if must_be_placed(raster, reader):
            assert isinstance(reader, OtbReader)
            assert raster.grid is not None
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            reader.place(raster.grid, raster, _write_reference(Path(folder), raster.grid))
        yield reader


def _write_reference(folder: Path, grid: Grid) -> str:
    """Write an image without pixels on a grid: the toolbox takes grids from files only."""
    transform = ", ".join(str(number) for number in grid.transform.to_gdal())
    path = folder / "grid.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">'
        f"<SRS>{escape(grid.crs)}</SRS><GeoTransform>{transform}</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    return str(path)


@lru_cache(maxsize=1)
def _toolbox() -> Any:
    """Load the toolbox once, with its applications and without its log."""
    try:
        import otbApplication
    except ImportError as error:
        raise ConfigError(
            f"the engine otb needs the Orfeo ToolBox and its Python module ({error}): run "
            "`make otb` (Debian 12), use the image that has it, or --engine rasterio"
        ) from error
    registry = otbApplication.Registry
    if not registry.GetAvailableApplications():
        registry.SetApplicationPath(_APPLICATIONS)
    if "Mosaic" not in registry.GetAvailableApplications():
        raise ConfigError(
            f"the Orfeo ToolBox has no applications in {_APPLICATIONS}: install otb-bin (`make "
            "otb`), set OTB_APPLICATION_PATH to where they are, or use --engine rasterio"
        )
    otbApplication.Logger.Instance().ResetOutputs()
    # The module has no functions for these: filters warn on standard error, and each of them keeps
    # its last output, of all images that are open.
    itk = ctypes.CDLL(_ITK)
    itk["_ZN3itk6Object23SetGlobalWarningDisplayEb"](ctypes.c_bool(0))
    itk["_ZN3itk10DataObject24SetGlobalReleaseDataFlagEb"](ctypes.c_bool(1))
    return otbApplication


def _release(image: Any) -> None:
    """Free the pixels at the end of a pipeline, which no filter takes."""
    ctypes.CDLL(_ITK)["_ZN3itk10DataObject11ReleaseDataEv"](ctypes.c_void_p(int(image)))


def _set_gdal_options() -> None:
    """Give the GDAL behind the toolbox, another one than rasterio's, the options of `storage`."""
    gdal = ctypes.CDLL(_GDAL)
    for name, value in (storage.gdal_options() | {"GDAL_PAM_ENABLED": "NO"}).items():
        gdal.CPLSetConfigOption(name.encode(), str(value).encode())
