"""One image to make: from its sources to all its files, the manifest last."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from decloud_lib import bands, manifest, storage
from decloud_lib.errors import AlreadyExistsError, OutputConflictError
from decloud_lib.models.contract import ModelContract
from decloud_lib.reconstruction import catalog, quicklook
from decloud_lib.reconstruction.closed_form import CONTRACTS, closed_form
from decloud_lib.reconstruction.companions import InputOf, Quality
from decloud_lib.reconstruction.five_dates import shown_by
from decloud_lib.reconstruction.images import FINE, Wanted, beside, plan_rasters
from decloud_lib.reconstruction.render import Rendering, Written, model_tags, render
from decloud_lib.reconstruction.served import ModelInUse
from decloud_lib.reconstruction.sources import Source
from decloud_lib.reconstruction.stream import Target
from decloud_lib.types import Grid, Window

logger = logging.getLogger(__name__)

_PATIENCE_S, _PAUSE_S = 30.0, 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """All that is known of an image before it is computed."""

    sources: Sequence[Source]
    grid: Grid
    """10 m grid of the sources."""
    extent: Window
    """What of it is written."""
    wanted: Wanted
    how: Rendering
    scene: catalog.Scene
    """What the STAC item says."""
    tags: Mapping[str, str]
    """Metadata of the rasters, beside those of the model."""
    inputs: Mapping[str, Sequence[str]]
    """URIs by the name of the option."""
    observed: str | None = None
    """Key of the date itself among what is read, for the picture."""
    now_ms: int | None = None
    """Acquisition of the date, milliseconds since the epoch."""


def manifest_uri(output: str) -> str:
    """Return the URI of the manifest beside an image: `<stem>.manifest.json`."""
    return beside(output, ".manifest.json")


def make(model: ModelInUse, job: Job, planned: manifest.Manifest) -> list[str]:
    """Make an image with all that lies beside it, and its manifest; return the URIs.

    Two processes that make the same image do not mix: each raster appears whole, the last one
    stays, and who finds that another has taken its rasters' places writes no manifest.

    Raises
    ------
    OutputConflictError
        Another process has written the same image in the meantime.
    """
    estimated = _kind(model.contract) if job.wanted.quality else Quality.NETWORK
    formula = closed_form(model.contract, job.grid.shape)
    keys = formula.input_keys if formula else model.contract.input_keys
    how = replace(job.how, shown_by=shown_by(model.contract, composed=formula is not None))
    rasters = plan_rasters(model.contract, job.wanted, how.look(estimated, job.now_ms), keys)
    after = quicklook.Thumbnail(job.extent.shape, round(rasters[0].profile.nodata or 0))
    before = None
    if job.wanted.quicklook:
        watch: list[Target] = []
        if job.observed is not None:
            before = quicklook.Thumbnail(job.extent.shape, bands.S2_NODATA)
            watch.append(Target(InputOf(job.observed, "int16", how.finish(FINE)), before))
        how = replace(how, taps={"image": after}, watch=watch)
    tags = {**model_tags(model), **job.tags}
    written = render(model, job.sources, (job.grid, job.extent), rasters, how, tags)
    placed = {item.raster.uri: item.etag for item in written}
    scene, outputs = job.scene, list(placed)
    with _alone(beside(job.wanted.image, ".claim")):
        _check_ours(placed)
        if job.wanted.quicklook:
            picture = beside(job.wanted.image, ".png")
            scene = replace(scene, thumbnail=picture)
            storage.write_bytes(picture, quicklook.draw(before, after))
            outputs.append(picture)
        described = beside(job.wanted.image, ".json")
        storage.write_bytes(described, _item(model, described, scene, written, job))
        outputs.append(described)
        manifest.write(
            manifest_uri(job.wanted.image),
            planned,
            outputs,
            counts={"pixels": job.extent.height * job.extent.width},
            checksums={storage.name_of(item.raster.uri): item.sha256 for item in written},
        )
    logger.info("wrote %s and %d files beside it", job.wanted.image, len(outputs))
    return outputs


@contextmanager
def _alone(claim: str) -> Iterator[None]:
    """Keep other processes from describing the same image at the same time.

    It takes a moment, so a claim that stays longer is that of a process that has died.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            storage.write_bytes(claim, b"", create_only=True)
            break
        except AlreadyExistsError:
            if time.monotonic() > deadline:
                logger.warning("%s: taken over from a process that has ended", claim)
                break
            time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        storage.delete(claim)


def _check_ours(placed: Mapping[str, str]) -> None:
    for uri, etag in placed.items():
        found = storage.stat(uri)
        if found is None or found.etag != etag:
            raise OutputConflictError(
                f"{uri}: another process has written it in the meantime; its image stays, and this "
                "one is dropped: let one process make an image"
            )


def _item(
    model: ModelInUse, uri: str, scene: catalog.Scene, written: Sequence[Written], job: Job
) -> bytes:
    made = catalog.Provenance(
        model=None if model.has_name_only else model.version,
        model_name=model.contract.name,
        model_sha256=model.sha256(),
        code_version=manifest.code_version(),
        inputs=job.inputs,
    )
    return catalog.item_of(uri, scene, written, made)


def _kind(contract: ModelContract) -> Quality:
    """Say what an estimated pixel of a model is."""
    if contract.name in CONTRACTS:
        return Quality.INTERPOLATED
    # The network itself needs Keras anyway.
    from decloud_lib.models import registry

    known = contract.name in registry.names()
    trained = not known or registry.get(contract.name).trainable
    return Quality.NETWORK if trained else Quality.INTERPOLATED
