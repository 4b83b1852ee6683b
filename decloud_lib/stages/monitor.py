"""Compare what is served with what the network was trained on, and say when it has moved."""

import json
import logging
from dataclasses import dataclass
from datetime import date
from statistics import fmean
from typing import Any

from pydantic import Field

from decloud_lib import storage, tracking
from decloud_lib.analysis.monitoring import (
    SELF_CHECK,
    Drift,
    Product,
    check_part,
    compare_features,
    drift_part,
    read_products,
)
from decloud_lib.analysis.parts import Table
from decloud_lib.analysis.writing import PAGE, plain, render, write_part
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.samples.profile import NAME, Profile, read_profile

logger = logging.getLogger(__name__)

REPORT = "monitor.json"
_DRIFT = 4
_SHOWN = 8


class MonitorConfig(StageConfig):
    """Settings of `monitor`."""

    statistics: str = Field(
        description="Folder of the tables that the reconstruction writes with --statistics."
    )
    savedmodel: str = Field(
        default="models:/decloud@champion",
        description="Model in use, whose training is compared with: a folder, or in MLflow.",
    )
    out: str = Field(description="Folder of the page, report.html, and of monitor.json.")
    since: date | None = Field(
        default=None, description="Nothing that was rebuilt before this day, UTC."
    )
    min_products: int = Field(
        default=5, ge=1, description="Fewer rebuilt dates than this raise no alarm."
    )
    threshold: float = Field(
        default=0.25,
        gt=0.0,
        description="Population stability index above which a feature has moved; 0.1 is sensitive.",
    )
    error_ratio: float = Field(
        default=1.5,
        gt=0.0,
        description="Alarm when the mean error of the self-check is so many times that of the "
        "validation.",
    )


@dataclass(frozen=True, slots=True)
class MonitorResult:
    """What was found."""

    drift: bool
    """Say whether it is time to train again."""
    reason: str
    """One line."""
    products: int
    """Rebuilt dates that were looked at."""
    moved: dict[str, float]
    """Population stability index of the features that have moved."""
    features: dict[str, float]
    """The index of all features."""
    chance: dict[str, float]
    """What each of them stays below by chance, with 95 %: high for few dates."""
    self_check_mae: float | None
    """Mean over the dates, reflectance."""
    validation_mae: float | None
    """Of the training."""
    page: str
    """URI of the page."""

    @property
    def exit_status(self) -> int:
        """4 when something has moved, else 0."""
        return _DRIFT if self.drift else 0

    def text(self) -> str:
        """Return what was found, and the features that differ most."""
        names = sorted(self.features, key=lambda name: -self.features[name])[:_SHOWN]
        rows = tuple((name, self.features[name], self.chance[name]) for name in names)
        table = Table(
            "features",
            f"Features that differ most, of {len(self.features)} (* has moved)",
            ("feature", "PSI", "by chance below"),
            rows,
            marked=tuple(i for i, name in enumerate(names) if name in self.moved),
        )
        errors = (self.self_check_mae, self.validation_mae)
        check, trained = ("unknown" if value is None else f"{value:.4f}" for value in errors)
        return (
            f"{'time to train again' if self.drift else 'no alarm'}: {self.reason}\n"
            f"self-check MAE {check}, validation had {trained}\n\n{table.text()}\n\n"
            f"page: {self.page}"
        )


def monitor(config: MonitorConfig) -> MonitorResult:
    """Compare, and write a page and a JSON file that `decloud retrain --monitoring` reads.

    Raises
    ------
    NoSampleError
        There are no tables.
    ConfigError
        The model was trained without a profile of its data, or a table cannot be read.
    """
    products = read_products(config.statistics, config.since)
    if not products:
        since = f" since {config.since}" if config.since else ""
        raise NoSampleError(
            f"{config.statistics}: no tables{since}; rebuild dates with --statistics "
            f"{config.statistics}"
        )
    profile, trained_mae = _training_of(config.savedmodel)
    drifts = compare_features(profile, products, config.threshold)
    page = storage.join(config.out, PAGE)
    result = _conclude(config, products, drifts, trained_mae, page)
    parts = [drift_part(drifts, config.threshold), check_part(products, trained_mae)]
    title = f"Monitoring of {config.savedmodel}: {result.reason}"
    for part in parts:
        for uri in write_part(storage.join(config.out, part.key), part):
            logger.debug("wrote %s", uri)
    storage.write_bytes(page, render(title, parts).encode())
    fields = {name: getattr(result, name) for name in MonitorResult.__slots__}
    text = json.dumps(plain(fields), indent=2, allow_nan=False)
    storage.write_bytes(storage.join(config.out, REPORT), text.encode())
    logger.info("monitor: %s; %s to read", result.reason, page)
    return result


def _training_of(uri: str) -> tuple[Profile, float | None]:
    """Return the profile of a model's training data, and its error on validation samples."""
    from decloud_lib.learning.publish import RESULT, read_record

    with tracking.model_folder(uri) as folder:
        profile = read_profile(str(folder))
        if profile is None:
            raise ConfigError(
                f"{uri}: has no {NAME}, so it is not known what it was trained on; expected a "
                "model that this version of `decloud train` made"
            )
        metrics: dict[str, float] = {}
        if storage.stat(storage.join(str(folder), RESULT)) is not None:
            metrics = read_record(str(folder)).metrics
    errors = [
        value
        for name, value in sorted(metrics.items())
        if name.startswith("valid/") and name.endswith("/mae")
    ]
    return profile, errors[0] if errors else None


def _conclude(
    config: MonitorConfig,
    products: list[Product],
    drifts: list[Drift],
    trained_mae: float | None,
    page: str,
) -> MonitorResult:
    checks = [item.values[name] for item in products if (name := f"{SELF_CHECK}mae") in item.values]
    mae = fmean(checks) if checks else None
    moved = {item.feature: round(item.index, 4) for item in drifts if item.moved}
    reasons = [f"{name} has moved (PSI {index:.2f})" for name, index in list(moved.items())[:3]]
    if len(moved) > 3:
        reasons.append(f"{len(moved) - 3} more features have moved")
    if mae is not None and trained_mae is not None and mae > config.error_ratio * trained_mae:
        reasons.append(f"self-check MAE {mae:.4f}, validation had {trained_mae:.4f}")
    drift = bool(reasons) and len(products) >= config.min_products
    dates = f"{len(products)} date{'' if len(products) == 1 else 's'}"
    told = "; ".join(reasons) or f"{dates} as in the training"
    if reasons and not drift:
        told = f"only {dates} of {config.min_products} that are needed ({told})"
    common: dict[str, Any] = {"products": len(products), "self_check_mae": mae, "page": page}
    return MonitorResult(
        drift=drift,
        reason=told,
        moved=moved,
        features={item.feature: round(item.index, 4) for item in drifts},
        chance={item.feature: round(item.chance, 4) for item in drifts},
        validation_mae=trained_mae,
        **common,
    )
