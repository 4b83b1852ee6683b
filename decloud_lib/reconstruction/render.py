"""From sources and a model to finished images: what all reconstructions share."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from decloud_lib import bands, manifest, storage
from decloud_lib.errors import ConfigError
from decloud_lib.models.contract import ModelContract, ModelOutput
from decloud_lib.raster.compose import EngineName, engine
from decloud_lib.raster.write import RasterProfile, create_raster
from decloud_lib.reconstruction import stream
from decloud_lib.reconstruction.blend import Blended, Own, Writer
from decloud_lib.reconstruction.closed_form import CONTRACTS, RegionalFit, closed_form
from decloud_lib.reconstruction.finish import CLOSING_PX, Finish, NodataRule
from decloud_lib.reconstruction.five_dates import shown_by
from decloud_lib.reconstruction.keep import KeepClear, Kept, Quality, QualityOf, extra_keys
from decloud_lib.reconstruction.network import Caller, Tiling, make_tiling
from decloud_lib.reconstruction.pipeline import Reader
from decloud_lib.reconstruction.processes import ProcessReader
from decloud_lib.reconstruction.readers import ReaderPool
from decloud_lib.reconstruction.served import ModelInUse
from decloud_lib.reconstruction.sources import SceneReader, Source
from decloud_lib.types import Array, Grid, Window

_QUALITY = RasterProfile(
    ("quality",),
    "uint8",
    int(Quality.NO_DATA),
    predictor=1,
    cog=True,
    overview_resampling="NEAREST",
)
#: How far the existing system takes away what lies around pixels without data, by default.
HISTORIC_MARGIN_PX = 64


@dataclass(frozen=True, slots=True)
class Rendering:
    """How windows are read, computed and finished."""

    tiling: Tiling
    rule: NodataRule
    erosion_px: int
    batch_size: int
    readers: int
    engine: EngineName
    keep: KeepClear | None = None
    """Keep clear observed pixels."""
    quality: str | None = None
    """URI of the image that says where each pixel comes from."""


def tiling_of(
    contract: ModelContract, window_px: int, margin_px: int | None, rule: NodataRule
) -> tuple[Tiling, int]:
    """Return windows and margin, and how far the historic rule takes away surroundings, pixels.

    The historic rule looks farther than most networks; the margin is widened to what it needs.

    Raises
    ------
    ConfigError
        Window or margin do not suit the model.
    """
    tiling = make_tiling(contract, window_px, margin_px)
    if contract.name in CONTRACTS:  # its windows are estimated together
        tiling = replace(tiling, overlap_px=0)
    if rule == "required":
        return tiling, 0
    erosion_px = HISTORIC_MARGIN_PX if margin_px is None else margin_px
    return tiling.widened(erosion_px + 2 * CLOSING_PX), erosion_px


def check_outputs(contract: ModelContract, output_20m: str | None) -> None:
    """Check that a model gives what is asked for.

    Raises
    ------
    ConfigError
        An image at 20 m is wanted of a model without 20 m bands.
    """
    if output_20m is not None and len(contract.outputs) < 2:
        raise ConfigError(
            f"--output-20m: model {contract.name} gives no 20 m bands; leave the option out, "
            "or use a model for all bands"
        )


def render(
    model: ModelInUse,
    sources: Sequence[Source],
    grid: Grid,
    outputs: Mapping[int, str],
    how: Rendering,
    tags: Mapping[str, str],
) -> None:
    """Run a network over a whole extent and write its images.

    Parameters
    ----------
    model
        The network.
    sources
        All that it takes.
    grid
        The 10 m grid.
    outputs
        Side of a pixel, 10 m pixels -> URI of the image: 1, and 2 where it is wanted.
    how
        Windows, rules, engine.
    tags
        Metadata of the images.
    """
    formula = closed_form(model.contract, grid.shape)
    estimator = formula or Caller(model.network())
    keys = estimator.input_keys + (extra_keys(how.keep.observed) if how.keep else ())
    if isinstance(formula, RegionalFit):
        formula.learn(open_readers(sources, keys, grid, how))
    readers = open_readers(sources, keys, grid, how)
    batches = how.tiling.batches(grid.shape, how.batch_size)
    with ExitStack() as stack:
        targets = []
        enough = shown_by(model.contract, composed=formula is not None)
        for number, item in enumerate(estimator.outputs):
            finish = Finish(how.tiling.margin_px, item.factor, how.rule, how.erosion_px, enough)
            if item.factor in outputs:
                own = grid.coarsened(item.factor)
                writer = create_raster(outputs[item.factor], own, _profile(item), tags)
                finisher = finish if how.keep is None else Kept(finish, how.keep)
                placed = _overlapping(stack, stack.enter_context(writer), own, how, item.factor)
                targets.append(stream.Target(finisher, placed, number))
            if how.quality and item.factor == 1:
                writer = create_raster(how.quality, grid, _QUALITY, tags)
                quality = QualityOf(finish, how.keep)
                opened = stack.enter_context(writer)
                overlap = how.tiling.overlap_px
                placed = Own(opened, overlap) if overlap else opened
                targets.append(stream.Target(quality, placed, number))
        stream.run(readers, estimator, targets, batches, how.tiling)


def _overlapping(
    stack: ExitStack, writer: Writer, grid: Grid, how: Rendering, factor: int
) -> Writer:
    """Return what mixes windows where they overlap; the writer itself where they do not."""
    overlap = how.tiling.overlap_px // factor
    if not overlap:
        return writer
    return stack.enter_context(Blended(writer, grid.shape, overlap, bands.S2_NODATA))


def open_readers(
    sources: Sequence[Source], keys: tuple[str, ...], grid: Grid, how: Rendering
) -> list[Reader[Window, dict[str, Array]]]:
    """Return what reads windows of a scene, one per thread.

    Several readers of the Orfeo ToolBox are processes of their own: its calls exclude each other.
    """
    make = partial(_scene_reader, sources, keys, grid, how.engine)
    if how.engine == "otb" and how.readers > 1:
        return [ProcessReader(make) for _ in range(how.readers)]
    return [make() for _ in range(how.readers)]


def _scene_reader(
    sources: Sequence[Source], keys: tuple[str, ...], grid: Grid, name: EngineName
) -> SceneReader:
    return SceneReader(sources, keys, ReaderPool(grid, engine(name)))


def model_tags(model: ModelInUse) -> dict[str, str]:
    """Return what an image says about the model and the code that made it."""
    graph = [item.etag for item in model.files() if item.uri.endswith("/saved_model.pb")]
    return {
        "DECLOUD_MODEL": model.contract.name,
        "DECLOUD_SAVEDMODEL": model.uri,
        "DECLOUD_MODEL_SHA256": "".join(graph),
        "DECLOUD_VERSION": manifest.code_version(),
    }


def input_tags(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what an image says about what went in: names by option."""
    return {
        f"DECLOUD_{role.upper()}": ",".join(storage.name_of(uri) for uri in uris)
        for role, uris in names.items()
    }


def _profile(output: ModelOutput) -> RasterProfile:
    return RasterProfile(output.bands, "int16", bands.S2_NODATA, cog=True)
