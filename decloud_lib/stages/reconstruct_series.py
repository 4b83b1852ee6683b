"""Rebuild all dates of a period, with one model that is loaded once."""

import logging
from dataclasses import dataclass
from datetime import date

from pydantic import Field, model_validator

from decloud_lib import manifest, storage
from decloud_lib.errors import DecloudError, NoSampleError
from decloud_lib.manifest import Skipped
from decloud_lib.raster.products.prepared import PreparedS2, list_s1, list_s2
from decloud_lib.reconstruction.gather import Candidates
from decloud_lib.reconstruction.render import check_outputs
from decloud_lib.reconstruction.scene import roles_of
from decloud_lib.reconstruction.served import ModelInUse, open_model
from decloud_lib.stages.reconstruct import ReconstructConfig, rebuild
from decloud_lib.stages.reconstruct_options import ReconstructOptions

logger = logging.getLogger(__name__)


class ReconstructSeriesConfig(ReconstructOptions):
    """Rebuild the dates of a prepared tile that lie in a period."""

    s2_dir: str = Field(description="Folder of the prepared S2 products of a tile (URI).")
    s1_dir: str | None = Field(
        default=None, description="Folder of the prepared S1 images of the tile (URI)."
    )
    out_dir: str = Field(
        description="Folder (URI) for the images, `<product>_reconstructed.tif` each."
    )
    with_20m_bands: bool = Field(
        default=False,
        description="Write the 20 m bands too, as `<product>_reconstructed_20m.tif`; the model "
        "must give them.",
    )
    start: date | None = Field(default=None, description="First day to rebuild (UTC).")
    end: date | None = Field(default=None, description="Last day to rebuild (UTC), included.")

    @model_validator(mode="after")
    def _period_in_order(self) -> "ReconstructSeriesConfig":
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


@dataclass(frozen=True, slots=True)
class ReconstructSeriesResult:
    """The rebuilt dates."""

    made: tuple[str, ...]
    """URIs of the images of this call."""
    reused: tuple[str, ...]
    """URIs of the images that were there."""
    skipped: tuple[Skipped, ...]
    """Products that could not be rebuilt, with the reason."""


def reconstruct_series(config: ReconstructSeriesConfig) -> ReconstructSeriesResult:
    """Rebuild each date of a period; a date that fails is skipped with its reason.

    Each image has a manifest of its own, so an interrupted series goes on where it stopped, and a
    longer period redoes nothing. The manifest of the folder lists this call.

    Raises
    ------
    NoSampleError
        No date lies in the period, or all of them failed.
    ConfigError, ModelFolderError
        Window, margin or model are wrong for all dates.
    """
    everything = list_s2(config.s2_dir)
    products = [item for item in everything if _in_period(item, config)]
    if not products:
        raise NoSampleError(_nothing(config, everything))
    candidates = Candidates(list_s1(config.s1_dir) if config.s1_dir else (), everything)
    made: list[str] = []
    reused: list[str] = []
    skipped: list[Skipped] = []
    with open_model(config.savedmodel, config.runtime) as model:
        roles_of(model.contract)
        config.rendering(model.contract)
        coarse = config.out_dir if config.with_20m_bands else None
        check_outputs(model.contract, coarse, uncertainty=config.uncertainty)
        for number, product in enumerate(products, start=1):
            logger.info("date %d of %d: %s", number, len(products), product.name)
            try:
                result = rebuild(_one(config, product), model, _of_tile(candidates, product.tile))
            except DecloudError as error:
                logger.warning("skipped %s: %s", product.name, error)
                skipped.append(Skipped(item=product.name, reason=str(error)))
                continue
            (reused if result.reused else made).append(result.output)
        if len(skipped) == len(products):
            raise NoSampleError(
                f"none of the {len(products)} dates could be rebuilt; the first, "
                f"{skipped[0].item}: {skipped[0].reason}"
            )
        _record(config, model, (made, reused, skipped))
    return ReconstructSeriesResult(tuple(made), tuple(reused), tuple(skipped))


def _in_period(product: PreparedS2, config: ReconstructSeriesConfig) -> bool:
    day = product.acquired.date()
    return (config.start or day) <= day <= (config.end or day)


def _one(config: ReconstructSeriesConfig, product: PreparedS2) -> ReconstructConfig:
    # The same settings as for a single date, so that both find each other's outputs current.
    shared = config.model_dump(include=set(ReconstructOptions.model_fields))
    return ReconstructConfig(
        **shared,
        in_s2=product.uri,
        s1_dir=config.s1_dir,
        s2_dir=config.s2_dir,
        output=storage.join(config.out_dir, f"{product.name}_reconstructed.tif"),
        output_20m=storage.join(config.out_dir, f"{product.name}_reconstructed_20m.tif")
        if config.with_20m_bands
        else None,
    )


def _of_tile(candidates: Candidates, tile: str) -> Candidates:
    return Candidates(
        [item for item in candidates.s1 if item.tile == tile],
        [item for item in candidates.s2 if item.tile == tile],
    )


def _record(
    config: ReconstructSeriesConfig,
    model: ModelInUse,
    done: tuple[list[str], list[str], list[Skipped]],
) -> None:
    made, reused, skipped = done
    manifest.write(
        storage.join(config.out_dir, manifest.NAME),
        manifest.plan("reconstruct-series", config, model.files()),
        sorted([*made, *reused]),
        counts={"made": len(made), "reused": len(reused), "skipped": len(skipped)},
        skipped=skipped,
    )


def _nothing(config: ReconstructSeriesConfig, everything: list[PreparedS2]) -> str:
    days = sorted({f"{item.acquired:%Y-%m-%d}" for item in everything})
    found = f"{len(days)} dates from {days[0]} to {days[-1]}" if days else "no prepared product"
    return (
        f"{config.s2_dir}: no S2 date from {config.start or 'the first'} to "
        f"{config.end or 'the last'}; found {found}; check --s2-dir, --start and --end"
    )
