"""Search samples that fit an acquisition layout and write them as TFRecords."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, model_validator

from decloud_lib import manifest, storage
from decloud_lib.acquisitions import AcquisitionsLayout, load_layout
from decloud_lib.acquisitions.acquisition_factory import shipped_layouts
from decloud_lib.arrays.layout import Conflicts
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, NoSampleError, OutputConflictError
from decloud_lib.raster.products.prepared import tile_folder
from decloud_lib.raster.views import VIEW_END
from decloud_lib.samples.schema import band_names, check_patchsize, schema_of
from decloud_lib.sampling.data_sets import DataSetRequest, DrawOptions, draw_all
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.sources import RoisFile, TilesFile, read_rois, read_tiles
from decloud_lib.sampling.writing import ShardPlan, write_data_set

logger = logging.getLogger(__name__)

_LAYOUT = "acquisition layout: name of a shipped one, or URI of a JSON file"
_OWN_FILES = re.compile(
    r"\d+\.(records|geojson)|output_(types|shape)\.json|manifest\.json|\.partial-.*"
)


class SampleConfig(StageConfig):
    """Settings of `sample`."""

    tiles: str = Field(
        description="Tiles JSON, as make-tiles writes it.", json_schema_extra={"flags": ["-t"]}
    )
    rois: str = Field(description="ROI JSON, as make-roi writes it.")
    acquisition_train: str | None = Field(default=None, description=f"Training {_LAYOUT}.")
    output_train: str | None = Field(default=None, description="Folder of the training samples.")
    acquisitions_valid: tuple[str, ...] = Field(
        default=(), description=f"For each validation set, the {_LAYOUT}."
    )
    outputs_valid: tuple[str, ...] = Field(
        default=(), description="Folders of the validation sets, in the same order."
    )
    acquisitions_test: tuple[str, ...] = Field(
        default=(), description=f"For each test set, the {_LAYOUT}."
    )
    outputs_test: tuple[str, ...] = Field(
        default=(), description="Folders of the test sets, in the same order."
    )
    patchsize: int = Field(
        default=256,
        description="Side of a patch, 10 m pixels; a multiple of 64.",
        json_schema_extra={"flags": ["-p"]},
    )
    n_samples_per_shard: int = Field(
        default=100,
        ge=1,
        description="Samples of a record file.",
        json_schema_extra={"flags": ["-s"]},
    )
    maxntrain: int | None = Field(default=None, ge=1, description="Most training samples.")
    maxnvalid: int | None = Field(
        default=None, ge=1, description="Most samples of each validation set."
    )
    maxntest: int | None = Field(default=None, ge=1, description="Most samples of each test set.")
    with_20m_bands: bool = Field(default=False, description="Add the six 20 m bands.")
    drop_remainder: bool = Field(
        default=False, description="Leave out the last samples that do not fill a record file."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw and of random cloud bounds.")
    valid_every: int = Field(
        default=0,
        ge=0,
        description="Split by time: of the days with a clear target every n-th belongs to the "
        "validation and test sets, and training uses no image of these days; 0 = by place only.",
    )
    guard_days: float = Field(
        default=0.0,
        ge=0.0,
        description="With a split by time, training uses no image closer than this to a held-out "
        "one, days.",
    )
    conflicts: Conflicts = Field(
        default="all_pairs",
        description="all_pairs: no Sentinel-2 image twice in a sample, siblings excepted; "
        "historic: no such rule, for the counts of the existing system.",
    )
    check_leaks: bool = Field(
        default=True,
        description="Fail when the target of a validation or test sample is in a training sample.",
    )

    @model_validator(mode="after")
    def _paired(self) -> Self:
        for split, (layouts, outputs) in self._by_split().items():
            if len(layouts) != len(outputs):
                raise ValueError(
                    f"{split}: {len(layouts)} layouts and {len(outputs)} outputs; "
                    "expected one output for each layout"
                )
        given = [output for _, _, output in self.asked()]
        if not given or len(set(given)) < len(given):
            raise ValueError(
                f"the outputs are {', '.join(given) or 'none'}; expected one or more, all different"
            )
        if self.valid_every == 1:
            raise ValueError("valid_every = 1 leaves nothing to train on; expected 0, or 2 or more")
        return self

    def asked(self) -> list[tuple[str, str, str]]:
        """Return (split, layout, output) of each data set."""
        return [
            (split, layout, output.rstrip("/"))
            for split, (layouts, outputs) in self._by_split().items()
            for layout, output in zip(layouts, outputs, strict=True)
        ]

    def _by_split(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        train = (self.acquisition_train, self.output_train)
        layouts, outputs = (() if value is None else (value,) for value in train)
        return {
            "train": (layouts, outputs),
            "valid": (self.acquisitions_valid, self.outputs_valid),
            "test": (self.acquisitions_test, self.outputs_test),
        }


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What was written."""

    counts: dict[str, int]
    """Number of samples, by output URI."""


def sample(config: SampleConfig) -> SampleResult:
    """Search the samples of one or more data sets and write each as a folder of TFRecords.

    Candidates are found from the statistics of the prepared images alone; then samples are drawn
    at random, checked for leaks between the sets, and their pixels are read and written shard by
    shard.

    Raises
    ------
    ConfigError
        Settings, layouts or JSON files that cannot be used, or a leak.
    NoSampleError
        A data set that comes out empty; says what each condition left.
    GridMismatchError
        Rasters of a tile that do not share a grid.
    OutputConflictError
        An output holds other work, or files that are not samples.
    """
    check_patchsize(config.patchsize)
    tiles, rois = read_tiles(config.tiles), read_rois(config.rois)
    requests = _requests(config, tiles, rois)
    plans = {found.output: _plan(config, found, tiles, requests) for found in requests}
    current = {
        found.output: manifest.is_current(
            found.manifest_uri, plans[found.output], overwrite=config.overwrite
        )
        for found in requests
    }
    if not all(current.values()):
        options = DrawOptions(**config.model_dump(include=set(DrawOptions.model_fields)))
        drawn = draw_all(requests, tiles, options)
        for found in requests:
            if not current[found.output]:
                _write(config, found, drawn[found.output], plans[found.output])
    counts = {found.output: _count(found) for found in requests}
    for output, count in counts.items():
        logger.info(
            "sample: %d samples in %s%s", count, output, " (were there)" if current[output] else ""
        )
    return SampleResult(counts)


def _requests(config: SampleConfig, tiles: TilesFile, rois: RoisFile) -> list[DataSetRequest]:
    limits = {"train": config.maxntrain, "valid": config.maxnvalid, "test": config.maxntest}
    found: list[DataSetRequest] = []
    for split, layout_name, output in config.asked():
        layout = _load_layout(layout_name)
        if tiles.s1_root is None and any(layout.has_s1(name) for name in layout.names):
            raise ConfigError(
                f"{layout_name} asks for Sentinel-1, and {config.tiles} has no S1_ROOT_DIR; "
                "prepare Sentinel-1, or use a layout of Sentinel-2 only"
            )
        number = sum(other.split == split for other in found)
        name = storage.name_of(layout_name).removesuffix(".json")
        rasters = rois.rasters(split, tiles.tiles)
        found.append(DataSetRequest(split, number, layout, name, output, limits[split], rasters))
    return found


def _load_layout(name_or_uri: str) -> AcquisitionsLayout:
    try:
        return load_layout(name_or_uri, storage.read_text)
    except storage.MissingFileError as error:
        raise ConfigError(
            f"{name_or_uri}: there is no such layout; expected a JSON file or one of "
            f"{', '.join(shipped_layouts())}"
        ) from error


def _plan(
    config: SampleConfig,
    found: DataSetRequest,
    tiles: TilesFile,
    requests: Sequence[DataSetRequest],
) -> manifest.Manifest:
    """Describe what decides one output; the other outputs of the call do not."""
    common = ("patchsize", "n_samples_per_shard", "with_20m_bands", "drop_remainder", "seed")
    settings: dict[str, Any] = {
        "data_set": found.split,
        "number": found.number,
        "layout_name": found.layout_name,
        "layout": found.layout.to_json(),
        "limit": found.limit,
        "bands": band_names(),
        "roots": tiles.model_dump(mode="json", exclude={"tiles", "table_root"}),
        "regions": found.rasters,
        "conflicts": config.conflicts,
        **{name: getattr(config, name) for name in common},
    }
    rasters = dict(found.rasters)
    if config.valid_every:
        # The held-out days follow from the dates of all tiles of the call.
        for other in requests:
            rasters |= other.rasters
        settings |= {
            "valid_every": config.valid_every,
            "guard_days": config.guard_days,
            "split_layout": requests[0].layout.to_json(),
            "split_regions": [other.rasters for other in requests],
        }
    inputs = [entry for tile in rasters for entry in _prepared_files(tiles, tile)]
    regions = [entry for uri in found.rasters.values() if (entry := storage.stat(uri))]
    planned = manifest.plan("sample", config, (*inputs, *regions))
    return planned.model_copy(update={"config": settings})


def _prepared_files(tiles: TilesFile, tile: str) -> list[storage.Entry]:
    roots = (tiles.s2_root, tiles.s1_root)
    found = [
        entry for root in roots if root for entry in storage.list_files(tile_folder(root, tile))
    ]
    if tiles.dem_root and (dem := storage.stat(storage.join(tiles.dem_root, f"{tile}.tif"))):
        found.append(dem)
    return [entry for entry in found if entry.uri.endswith((".tif", VIEW_END))]


def _write(
    config: SampleConfig, found: DataSetRequest, drawn: DrawnSamples, planned: manifest.Manifest
) -> None:
    schema = schema_of(
        found.layout,
        config.patchsize,
        with_20m_bands=config.with_20m_bands,
        with_dem=drawn.indexes[0].dem is not None,
    )
    plan = ShardPlan(
        schema, config.n_samples_per_shard, config.drop_remainder, config.with_20m_bands
    )
    shards = plan.shards(len(drawn))
    kept = sum(map(len, shards))
    if not shards:
        raise NoSampleError(
            f"{found.name}: {len(drawn)} samples do not fill a shard of "
            f"{config.n_samples_per_shard}; leave out --drop-remainder or make smaller shards"
        )
    if len(shards[-1]) < config.n_samples_per_shard:
        logger.info("%s: the last shard holds %d samples", found.output, len(shards[-1]))
    _clear(found.output)
    written = write_data_set(drawn, found.output, plan)
    counts = {"samples": kept, "shards": len(shards), "possible": drawn.found}
    left_out = [manifest.Skipped(item=f"{len(drawn) - kept} samples", reason="drop_remainder")]
    skipped = left_out if kept < len(drawn) else []
    manifest.write(found.manifest_uri, planned, written, counts=counts, skipped=skipped)


def _clear(output: str) -> None:
    """Delete the rest of an earlier run; refuse to touch files that sampling does not make."""
    names = [storage.name_of(uri) for uri in storage.list_children(output)]
    foreign = [name for name in names if not _OWN_FILES.fullmatch(name)]
    if foreign:
        raise OutputConflictError(
            f"{output} holds other files ({', '.join(foreign[:3])}); expected an empty folder or "
            "samples: use another output folder"
        )
    # The manifest first: from here on the folder is not complete.
    for name in sorted(names, key=lambda name: (name != manifest.NAME, name)):
        storage.delete(storage.join(output, name))


def _count(found: DataSetRequest) -> int:
    done = manifest.read(found.manifest_uri)
    return done.counts["samples"] if done else 0
