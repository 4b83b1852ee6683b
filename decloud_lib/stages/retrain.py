"""Decide whether a model is to be trained again: what changed since the one in use was made."""

import logging
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from decloud_lib import fingerprint, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, DecloudError, ProductError
from decloud_lib.fingerprint import Change, Fingerprint
from decloud_lib.garbage import uncollected
from decloud_lib.learning import origins
from decloud_lib.learning.evidence import OUTCOME_TAG
from decloud_lib.learning.policy import read_policy
from decloud_lib.raster.products.discovery import discover
from decloud_lib.raster.products.found import select
from decloud_lib.sampling.sources import read_layout
from decloud_lib.stages.evaluate import EvaluateConfig
from decloud_lib.stages.prepare_config import ROOTS, PrepareConfig, as_in
from decloud_lib.stages.promote import PromoteConfig
from decloud_lib.stages.rollback import ROLLED_BACK_TAG
from decloud_lib.stages.sample_config import SampleConfig
from decloud_lib.stages.train_config import TrainConfig

logger = logging.getLogger(__name__)

#: Settings that decide how the model comes out, beside data, layouts and code.
_DECIDING = (
    *("model", "props", "share_ground", "patchsize", "maxntrain", "maxnvalid", "with_20m_bands"),
    *("with_cloud_masks", "valid_every", "valid_dates", "guard_days", "learning_rate"),
    *("lr_schedule", "augment", "hidden_weight", "clear_weight", "clear_target_only"),
    *("batch_size_train", "epochs", "time_limit_s", "save_best", "early_stopping", "use_dem"),
    *("width", "mixed_precision", "seed"),
)
#: Settings that the pipeline takes under the same name and that decide nothing about the weights.
_PASSED = (
    *("products", "prepared", "batch", "batch_size_valid", "baselines", "experiment", "name"),
    *("alias", "policy"),
)


class RetrainConfig(StageConfig):
    """Settings of `retrain`; those of the single steps are the same there."""

    products: str = as_in(PrepareConfig, "products", positional=False)
    prepared: str = Field(description="Root of the prepared data; what is missing there is made.")
    out: str = Field(
        description="Root of what retrainings make: fingerprints, and for each of them samples, "
        "checkpoints, model, scores."
    )
    layout: str = Field(
        description="Acquisition layout of all samples: name of a shipped one, or a JSON file."
    )
    model: str = as_in(TrainConfig, "model")
    name: str = as_in(PromoteConfig, "name")
    alias: str = Field(default="champion", min_length=1, description="Alias of the model in use.")
    policy: str | None = as_in(PromoteConfig, "policy")
    force: bool = Field(
        default=False,
        description="Train again though nothing changed; --if-changed, the default: only then.",
        json_schema_extra={"flags": [" /--if-changed"]},
    )
    monitoring: str | None = Field(
        default=None,
        description="JSON that `decloud monitor` wrote: a drift that it found counts as a change.",
    )
    runner: Literal["local", "docker", "kfp"] = Field(
        default="local",
        description="Where the pipeline runs: here as processes or as containers, or on Kubeflow.",
    )
    host: str | None = Field(
        default=None, description="With --runner kfp, address of Kubeflow Pipelines."
    )
    namespace: str | None = Field(
        default=None, description="With --runner kfp, namespace on a host with several users."
    )
    token_file: str | None = Field(
        default=None, description="With --runner kfp, file that holds what proves who asks."
    )
    profile: str | None = Field(
        default=None,
        description="With --runner kfp, settings of the cluster: name of k8s/profiles or a file.",
    )
    package: str | None = Field(
        default=None,
        description="The pipeline as `decloud compile` wrote it, local path; without it, it is "
        "compiled.",
    )
    wait: bool = Field(default=True, description="With --runner kfp, wait until the run has ended.")
    poll_s: float = Field(
        default=5.0, gt=0.0, description="With --wait, time between two questions, seconds."
    )
    output: str | None = Field(default=None, description="JSON file of the result.")
    report: str | None = Field(
        default=None, description="Markdown file of the result, for a comment or a summary."
    )
    run_dir: str = Field(
        default="build/runs",
        description="Local folder of logs and outputs of the pipeline's tasks.",
    )
    tiles: tuple[str, ...] = as_in(PrepareConfig, "tiles")
    start: date | None = as_in(PrepareConfig, "start")
    end: date | None = as_in(PrepareConfig, "end")
    batch: int = Field(
        default=1,
        ge=1,
        description="Products per preparation task: 1 for full products, more for very small ones.",
    )
    props: tuple[float, ...] = Field(
        default=(0.8, 0.2), description="Share of the ground of training and validation; any unit."
    )
    share_ground: bool = Field(
        default=False,
        description="Give all the ground to both: for samples that are split by time.",
    )
    patchsize: int = as_in(SampleConfig, "patchsize")
    maxntrain: int | None = as_in(SampleConfig, "maxntrain")
    maxnvalid: int | None = as_in(SampleConfig, "maxnvalid")
    with_20m_bands: bool = as_in(SampleConfig, "with_20m_bands")
    with_cloud_masks: bool = as_in(SampleConfig, "with_cloud_masks")
    valid_every: int = as_in(SampleConfig, "valid_every")
    valid_dates: tuple[str, ...] = as_in(SampleConfig, "valid_dates")
    guard_days: float = as_in(SampleConfig, "guard_days")
    learning_rate: float = as_in(TrainConfig, "learning_rate")
    lr_schedule: Literal["constant", "cosine", "step"] = as_in(TrainConfig, "lr_schedule")
    augment: bool = as_in(TrainConfig, "augment")
    hidden_weight: float = as_in(TrainConfig, "hidden_weight")
    clear_weight: float = as_in(TrainConfig, "clear_weight")
    clear_target_only: bool = as_in(TrainConfig, "clear_target_only")
    batch_size_train: int = as_in(TrainConfig, "batch_size_train")
    batch_size_valid: int = as_in(TrainConfig, "batch_size_valid")
    epochs: int = as_in(TrainConfig, "epochs")
    time_limit_s: float | None = as_in(TrainConfig, "time_limit_s")
    save_best: bool = as_in(TrainConfig, "save_best")
    early_stopping: bool = as_in(TrainConfig, "early_stopping")
    use_dem: bool = as_in(TrainConfig, "use_dem")
    width: int = as_in(TrainConfig, "width")
    mixed_precision: bool = as_in(TrainConfig, "mixed_precision")
    seed: int = as_in(TrainConfig, "seed")
    experiment: str | None = as_in(TrainConfig, "experiment")
    baselines: tuple[str, ...] = Field(
        default=("linear_gap_filling", "nearest_date"),
        description=EvaluateConfig.model_fields["baselines"].description,
    )
    test_records: tuple[str, ...] = Field(
        default=(),
        description="Folders of a frozen evaluation set, which challenger and champion are scored "
        "on; without it, the validation samples of this training.",
    )
    check_product: str | None = Field(
        default=None,
        description="Prepared product, PREPARED/S2_PREPARE/TILE/NAME, that is rebuilt with the new "
        "network at the end, to look at.",
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.runner == "kfp" and self.host is None:
            raise ValueError("--runner kfp: give --host, the address of Kubeflow Pipelines")
        if len(self.props) != 2 or min(self.props) <= 0:
            raise ValueError(f"--props {self.props}: expected two shares above 0")
        if self.runner != "local":
            self._check_places()
        if self.package is not None and self.profile is not None:
            raise ValueError("--package is compiled with a profile already: leave --profile out")
        root = storage.join(self.prepared, ROOTS["s2"])
        if self.check_product is not None and not self.check_product.startswith(f"{root}/"):
            raise ValueError(f"--check-product does not lie below {root}; give a prepared product")
        return self

    def _check_places(self) -> None:
        """Refuse what tasks in containers would not find."""
        places = [(name, getattr(self, name)) for name in ("products", "prepared", "out")]
        places += [("test_records", uri) for uri in self.test_records]
        places += [("policy", self.policy)] if self.policy is not None else []
        places += [("layout", self.layout)] if self.layout.endswith(".json") else []
        for name, uri in places:
            if not storage.is_s3(uri):
                raise ValueError(
                    f"--{name.replace('_', '-')} {uri}: tasks in containers see no folder of this "
                    "machine; give s3://bucket/prefix, or --runner local"
                )

    @property
    def fingerprints(self) -> str:
        """Folder of the fingerprints."""
        return storage.join(self.out, "fingerprints")

    def arguments(self, now: Fingerprint, listing: str) -> dict[str, Any]:
        """Return the parameters of the pipeline.

        Parameters
        ----------
        now
            What is trained on: names the folder, so that a broken run is gone on with.
        listing
            Where it was written.
        """
        folder = storage.join(self.out, "runs", now.digest)
        valid = (storage.join(folder, "samples", "valid"),)
        given = {name: getattr(self, name) for name in (*_DECIDING, *_PASSED)}
        given |= {
            "tiles": self.tiles,
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "layout": self.layout,
            "layouts": (self.layout,),
            "fingerprint": listing,
            "roi_dir": storage.join(folder, "ROI"),
            "train_records": storage.join(folder, "samples", "train"),
            "valid_records": valid,
            "test_records": self.test_records or valid,
            "models": storage.join(folder, "models"),
            "ckpt_dir": storage.join(folder, "checkpoints"),
            "scores": storage.join(folder, "scores"),
            "overwrite": self.overwrite,
            **self._check_arguments(now, folder),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _check_arguments(self, now: Fingerprint, folder: str) -> dict[str, str]:
        if self.check_product is None:
            return {}
        s2_dir = storage.parent_of(self.check_product)
        tile = storage.name_of(s2_dir)
        found = {
            "check_s2": self.check_product,
            "check_s2_dir": s2_dir,
            "check_image": storage.join(folder, "check.tif"),
            "check_s1_dir": storage.join(self.prepared, ROOTS["s1"], tile),
        }
        if self.use_dem and any(name.endswith(f"DEM/{tile}.tif") for name in now.data.items):
            found["check_dem"] = storage.join(self.prepared, ROOTS["dem"], f"{tile}.tif")
        return found


@dataclass(frozen=True, slots=True)
class RetrainPlan:
    """What is to be done, and why."""

    needed: bool
    reason: str
    """One line."""
    changes: tuple[Change, ...]
    """Since the version in use was made; of a drift, none."""
    champion: int | None
    """Version in use."""
    fingerprint: Fingerprint

    def text(self) -> str:
        """Say it in a few lines."""
        verb = "to be trained again" if self.needed else "nothing to do"
        lines = [f"{verb}: {self.reason}"]
        lines += [f"  {item.part}: {item.kind} {item}" for item in self.changes]
        return "\n".join(lines)


class _Monitored(BaseModel):
    """What a page of the monitoring says, as far as it is needed here."""

    model_config = ConfigDict(frozen=True)

    drift: bool
    reason: str


def plan_retraining(config: RetrainConfig) -> RetrainPlan:
    """Compare what a model would be made from now with what the one in use was made from.

    Products are listed and none is read; the former listing is read only when something changed.

    Raises
    ------
    ConfigError
        No such layout, rules that cannot be used, a fingerprint or a monitoring report that cannot
        be read; or, where something is to be done, no such network.
    ProductError
        No product that can be used.
    StorageError, TrackingError
        The bucket or MLflow cannot be reached.
    """
    read_policy(config.policy)
    read_layout(config.layout)
    now = take_fingerprint(config)
    versions = tracking.find_versions(config.name)
    champion = next((item for item in versions if config.alias in item.aliases), None)
    changes = _changes(now, champion, config)
    number = champion.number if champion else None

    def decided(reason: str, *, needed: bool) -> RetrainPlan:
        if needed:
            _check_model(config.model)
        return RetrainPlan(needed, reason, changes, number, now)

    told = fingerprint.describe(changes) if champion else f"{config.name} has no {config.alias} yet"
    if config.force:
        return decided(f"forced ({told})", needed=True)
    if config.monitoring is not None and (drift := _drift(config.monitoring)) is not None:
        return decided(f"drift: {drift}", needed=True)
    if champion is not None and not changes:
        return decided(f"nothing changed since version {number}", needed=False)
    same = (item for item in versions if not now.changed_parts(item.tags))
    tried = next(((item, why) for item in same if (why := _set_aside(item))), None)
    if tried is not None:
        return decided(
            f"version {tried[0].number} is made from the same and was {tried[1]} ({told}); "
            "--force tries again",
            needed=False,
        )
    return decided(told, needed=True)


def _check_model(name: str) -> None:
    """Refuse a network that the training would refuse, long after the start."""
    if find_spec("keras") is None:
        return  # as in the image that only starts runs elsewhere
    from decloud_lib.models import registry

    if not registry.get(name).trainable:
        raise ConfigError(f"--model {name} has no weights to train; name a network")


def _set_aside(version: tracking.Version) -> str | None:
    """Say why a version is not in use; None where nothing speaks against it.

    A promotion that was interrupted left no verdict, or one that was not carried out.
    """
    if ROLLED_BACK_TAG in version.tags:
        return "rolled back"
    verdict = version.tags.get(OUTCOME_TAG)
    return verdict if verdict == "not promoted" else None


def take_fingerprint(config: RetrainConfig) -> Fingerprint:
    """Return what a model would be made from now.

    Raises
    ------
    ProductError
        No optical product that can be used.
    """
    with uncollected():
        discovery = discover(config.products)
        chosen = select(discovery.found, tiles=config.tiles, start=config.start, end=config.end)
        data = origins.data_part(discovery, chosen, config.products)
    if not any(item.family == "s2" and item.problem is None for item in chosen):
        raise ProductError(
            f"{config.products}: no Sentinel-2 product that can be used, of these tiles and days; "
            "`decloud list-products` says why"
        )
    logger.info("retrain: %d products below %s", len(data.items), config.products)
    settings = config.model_dump(mode="json")
    return Fingerprint(
        data=data,
        layouts=origins.layouts_part([config.layout]),
        code=origins.code_part(config.model),
        configuration=origins.configuration_part({name: settings[name] for name in _DECIDING}),
    )


def _changes(
    now: Fingerprint, champion: tracking.Version | None, config: RetrainConfig
) -> tuple[Change, ...]:
    """Return what changed since the version in use; nothing is read when nothing did."""
    if champion is None:
        return ()
    parts = now.changed_parts(champion.tags)
    if not parts:
        return ()
    listing = champion.tags.get(fingerprint.LISTING_TAG)
    try:
        before = fingerprint.read(listing) if listing else None
    except DecloudError as error:
        logger.warning("what version %d was made from cannot be read: %s", champion.number, error)
        before = None
    if before is not None and (changes := now.since(before)):
        return changes
    missing = f"what version {champion.number} of {config.name} was made from is not known"
    return tuple(Change(part=part, kind="unknown", name=missing) for part in parts)


def _drift(uri: str) -> str | None:
    """Return what the monitoring found; None where the served data are as the model knows them."""
    try:
        found = _Monitored.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise ConfigError(f"{uri}: no report; expected the JSON of `decloud monitor`") from error
    return found.reason if found.drift else None
