"""The rules by which a new network becomes the champion, as a small file."""

from importlib import resources
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import storage
from decloud_lib.config import parse_values, problem_of
from decloud_lib.errors import ConfigError

SHIPPED = "policy.yaml"

Metric = Literal["psnr_db", "ssim", "mae", "rmse", "sam_deg"]
_HIGHER_IS_BETTER = ("psnr_db", "ssim")


class Policy(BaseModel):
    """Rules of promotion; gains are in the unit of the metric, positive is better."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Metric = "psnr_db"
    """Score of each sample that is compared."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Of the two-sided interval of each mean gain."""
    min_samples: int = Field(default=30, ge=2)
    """Fewer evaluation samples prove nothing."""
    min_gain: float = Field(default=0.05, ge=0.0)
    """The lower end of the gain over the champion must be above this."""
    max_class_loss: float = Field(default=0.3, ge=0.0)
    """On no class of cloud cover may the mean be worse than the champion's by more."""
    min_class_samples: int = Field(default=10, ge=1)
    """Smaller classes are shown and not judged."""
    baseline: str | None = "linear_gap_filling"
    """Deterministic model that must be beaten too; None for none."""
    min_baseline_gain: float = Field(default=0.0, ge=0.0)
    """The lower end of the gain over the baseline must be above this."""
    evaluation_set: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", examples=["the 64 hexadecimal digits of a SHA-256"]
    )
    """Fingerprint of the only record folders that count; None for any."""

    @property
    def sign(self) -> float:
        """1 where a higher score is better, -1 where a lower one is."""
        return 1.0 if self.metric in _HIGHER_IS_BETTER else -1.0


def read_policy(uri: str | None = None) -> Policy:
    """Read a policy; the one that comes with the package when none is named.

    Raises
    ------
    ConfigError
        The file is no YAML or JSON, or holds a rule that is unknown or out of range.
    StorageError
        There is no such file.
    """
    if uri is None:
        text = resources.files("decloud_lib.learning").joinpath(SHIPPED).read_text("utf-8")
    else:
        text = storage.read_text(uri)
    name = uri or SHIPPED
    values = parse_values(text, name, PurePosixPath(name).suffix)
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        known = Policy.model_fields
        problems = (problem_of(item, known) for item in error.errors())
        told = (f"{field}: {text}" for field, text in problems)
        raise ConfigError(f"{name}: {'; '.join(told)}; the rules are {', '.join(known)}") from error
