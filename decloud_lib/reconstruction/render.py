"""From sources and a model to finished rasters: what all reconstructions share."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from math import lcm

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.compose import EngineName, engine
from decloud_lib.raster.environment import block_cache
from decloud_lib.raster.write import RasterWriter, create_raster
from decloud_lib.reconstruction import heap, stream
from decloud_lib.reconstruction.blend import Blended, Own, WholeBlocks, Writer
from decloud_lib.reconstruction.budget import WINDOW_CACHE_MB, Load, fitting_tiling, memory_of
from decloud_lib.reconstruction.closed_form import CONTRACTS, closed_form
from decloud_lib.reconstruction.companions import InputOf, Quality
from decloud_lib.reconstruction.finish import CLOSING_PX, Finish, NodataRule
from decloud_lib.reconstruction.images import Look, OutputRaster
from decloud_lib.reconstruction.keep import KeepClear
from decloud_lib.reconstruction.network import Caller, Tiling, make_tiling
from decloud_lib.reconstruction.pipeline import Reader
from decloud_lib.reconstruction.processes import ProcessReader
from decloud_lib.reconstruction.readers import ReaderPool
from decloud_lib.reconstruction.recheck import recheck
from decloud_lib.reconstruction.regional_fit import RegionalFit
from decloud_lib.reconstruction.served import ModelInUse
from decloud_lib.reconstruction.sources import SceneReader, Source
from decloud_lib.reconstruction.turns import Turns
from decloud_lib.types import Array, Grid, Window

logger = logging.getLogger(__name__)

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
    extra_keys: tuple[str, ...] = ()
    """What is read beside the network's inputs, for the finishing."""
    taps: Mapping[str, Writer] = field(default_factory=dict)
    """Who else gets the windows of a raster, by its role."""
    watch: Sequence[stream.Target] = ()
    """Who else follows the windows, without a raster."""
    shown_by: tuple[str, ...] = ()
    """See `Finish`."""
    turns: Turns = field(default_factory=Turns)
    """Shared by all that use the network in this process."""
    recheck: bool = False
    """Check cloud masks with the dates around; see `recheck`. For models that take five dates."""
    limit_gb: float | None = None
    """Memory for which windows are still to be chosen, 10^9 bytes; None: they are given."""

    @property
    def load(self) -> Load:
        """What runs at the same time."""
        return Load(self.batch_size, self.readers, self.turns.dates, self.engine == "otb")

    def for_extent(self, contract: ModelContract, shape: tuple[int, int]) -> "Rendering":
        """Return it with the windows for an extent, where they are not given.

        Raises
        ------
        ConfigError
            The memory is too small for any.
        """
        if self.limit_gb is None:
            return self
        tiling = fitting_tiling(contract, self.tiling, shape, self.limit_gb, self.load)
        need = memory_of(contract, tiling, shape, self.load).total / 1000
        logger.info("windows of %d px: about %.1f GB of memory", tiling.window_px, need)
        return replace(self, tiling=tiling, limit_gb=None)

    def widened(self, reach_px: int) -> "Rendering":
        """Return it with a margin of at least `reach_px`."""
        return replace(self, tiling=self.tiling.widened(reach_px))

    def finish(self, factor: int) -> Finish:
        """Return what finishes pixels whose side is `factor` 10 m pixels."""
        return Finish(self.tiling.margin_px, factor, self.rule, self.erosion_px, self.shown_by)

    def look(self, estimated: Quality = Quality.NETWORK, now_ms: int | None = None) -> Look:
        """Return what the finishing of all rasters has in common."""
        return Look(self.finish, self.keep, estimated, now_ms)


@dataclass(frozen=True, slots=True)
class Written:
    """A raster that is whole and in its place."""

    raster: OutputRaster
    grid: Grid
    size: int
    """Bytes."""
    sha256: str
    etag: str
    """Of the file as this process put it there."""


def tiling_of(
    contract: ModelContract, window_px: int | None, margin_px: int | None, rule: NodataRule
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


def check_outputs(contract: ModelContract, output_20m: str | None, *, uncertainty: bool) -> None:
    """Check that a model gives what is asked for.

    Raises
    ------
    ConfigError
        An image at 20 m is wanted of a model without 20 m bands, or the uncertainty of one that
        does not say it.
    """
    if output_20m is not None and len(contract.outputs) < 2:
        raise ConfigError(
            f"--output-20m: model {contract.name} gives no 20 m bands; leave the option out, "
            "or use a model for all bands"
        )
    if uncertainty and not any(item.scale_tensor for item in contract.outputs):
        raise ConfigError(
            f"--uncertainty: model {contract.name} does not say how sure it is; leave the option "
            "out, or use a model that does, such as residual"
        )


def extent_multiple(tiling: Tiling) -> int:
    """Return of what the corners of an extent must be multiples, 10 m pixels.

    The network then sees the same phase of its strides as over the whole image, so a part equals
    the same part of the whole.
    """
    return lcm(tiling.multiple_px, 2)


@block_cache(WINDOW_CACHE_MB)
def render(
    model: ModelInUse,
    sources: Sequence[Source],
    where: tuple[Grid, Window],
    rasters: Sequence[OutputRaster],
    how: Rendering,
    tags: Mapping[str, str],
) -> list[Written]:
    """Run a network over an extent and write its rasters.

    Parameters
    ----------
    model
        The network.
    sources
        All that it takes.
    where
        The 10 m grid of the sources, and the part of it to write.
    rasters
        What to write.
    how
        Windows, rules, engine.
    tags
        Metadata of the rasters.
    """
    grid, extent = where
    how = how.for_extent(model.contract, extent.shape)
    formula = closed_form(model.contract, grid.shape)
    estimator = formula or Caller(model.network())
    keys = estimator.input_keys
    if isinstance(formula, RegionalFit):
        # Of the whole image also for a part of it, which then has the same pixels.
        formula.learn(open_readers(sources, keys, grid, how))
        keys = formula.applied_keys
    stored = (item.finisher.key for item in rasters if isinstance(item.finisher, InputOf))
    readers = open_readers(sources, (*keys, *how.extra_keys, *stored), grid, how)
    writers: list[tuple[OutputRaster, Grid, RasterWriter]] = []
    with ExitStack() as stack:
        stack.callback(heap.give_back)
        targets = [
            replace(target, writer=_Inside(_own(target.writer, how, 1), extent))
            for target in how.watch
        ]
        for raster in rasters:
            own = grid.cropped(extent).coarsened(raster.factor)
            creating = create_raster(raster.uri, own, raster.profile, tags, checksum=True)
            writer = stack.enter_context(creating)
            writers.append((raster, own, writer))
            taps = [how.taps[raster.role]] if raster.role in how.taps else []
            placed: Writer = _All((writer, *taps))
            if raster.can_be_mixed:
                placed = _mixed(placed, raster, own, how)
            else:
                placed = _own(placed, how, raster.factor)
            inside = _Inside(placed, extent, raster.factor)
            targets.append(stream.Target(raster.finisher, inside, raster.source))
        batches = [
            [_moved(window, extent.row, extent.col) for window in batch]
            for batch in how.tiling.batches(extent.shape, how.batch_size)
        ]
        with how.turns.take(estimator, len(batches)) as ours:
            stream.run(readers, ours, targets, batches, how.tiling)
    return [_placed(*item) for item in writers]


def _placed(raster: OutputRaster, grid: Grid, writer: RasterWriter) -> Written:
    found = None if writer.etag else storage.stat(raster.uri)
    etag = found.etag if found else writer.etag
    return Written(raster, grid, writer.size, writer.sha256, etag)


def _mixed(writer: Writer, raster: OutputRaster, grid: Grid, how: Rendering) -> Writer:
    """Return what mixes windows where they overlap; it hands on whole blocks in any case."""
    overlap = how.tiling.overlap_px // raster.factor
    if not overlap:
        return WholeBlocks(writer, grid.shape)
    nodata = raster.profile.nodata
    assert nodata is not None
    return Blended(WholeBlocks(writer, grid.shape), grid.shape, overlap, nodata)


def _own(writer: Writer, how: Rendering, factor: int) -> Writer:
    """Return what takes the own area of windows that overlap."""
    overlap = how.tiling.overlap_px // factor
    return Own(writer, overlap) if overlap else writer


def open_readers(
    sources: Sequence[Source], keys: tuple[str, ...], grid: Grid, how: Rendering
) -> list[Reader[Window, dict[str, Array]]]:
    """Return what reads windows of a scene, one per thread.

    Several readers of the Orfeo ToolBox are processes of their own: its calls exclude each other.
    """
    make = partial(_scene_reader, sources, keys, grid, how.engine, checked=how.recheck)
    if how.engine == "otb" and how.readers > 1:
        return [ProcessReader(make) for _ in range(how.readers)]
    return [make() for _ in range(how.readers)]


def _scene_reader(
    sources: Sequence[Source], keys: tuple[str, ...], grid: Grid, name: EngineName, *, checked: bool
) -> SceneReader:
    pool = ReaderPool(grid, engine(name))
    return SceneReader(sources, keys, pool, recheck if checked else None)


def model_tags(model: ModelInUse) -> dict[str, str]:
    """Return what an image says about the model and the code that made it."""
    return {
        "DECLOUD_MODEL": model.contract.name,
        "DECLOUD_SAVEDMODEL": model.version,
        "DECLOUD_MODEL_SHA256": model.sha256(),
        "DECLOUD_VERSION": manifest.code_version(),
    }


def input_tags(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what an image says about what went in: names by option."""
    return {
        f"DECLOUD_{role.upper()}": ",".join(storage.name_of(uri) for uri in uris)
        for role, uris in names.items()
    }


@dataclass(frozen=True, slots=True)
class _Inside:
    """Writes windows of a scene into a raster that covers an extent of it."""

    writer: Writer
    extent: Window
    """10 m pixels."""
    factor: int = 1

    def write(self, window: Window, pixels: Array) -> None:
        row, col = self.extent.row // self.factor, self.extent.col // self.factor
        self.writer.write(_moved(window, -row, -col), pixels)


@dataclass(frozen=True, slots=True)
class _All:
    writers: tuple[Writer, ...]

    def write(self, window: Window, pixels: Array) -> None:
        for writer in self.writers:
            writer.write(window, pixels)


def _moved(window: Window, rows: int, cols: int) -> Window:
    return replace(window, row=window.row + rows, col=window.col + cols)
