"""What the demo hands to programs: `summary.json`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: Models that are scored beside the network.
BASELINES = ("linear_gap_filling", "nearest_date")


class Score(BaseModel):
    """Mean scores over the held-out patches; architecture: reflectance 0-1, degrees, decibels."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    psnr_db: float
    mae: float
    ssim: float
    sam_deg: float


class Summary(BaseModel):
    """One run of the demo."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    kind: Literal["synthetic", "real"]
    steps: dict[str, float]
    """Seconds per step, in order."""
    tasks: dict[str, float] = Field(default_factory=dict)
    """Seconds per pipeline task, `<pipeline>/<task>`."""
    scores: dict[str, Score]
    patches: int
    """Held-out patches that were scored."""
    split: str
    """How training and held-out patches were kept apart, in words."""
    date: str
    """Day of the reconstructed product."""
    cloud_percent: float
    reconstruction: str
    series: tuple[str, ...]
    model_uri: str
    promotion: str = ""
    """Whether the network became the champion, and why."""
    mlflow_tracking_uri: str
    mlflow_run_id: str
    bucket: str
    code_version: str
    machine: str

    @property
    def verdict(self) -> str:
        """Say honestly how the network compares with interpolation, score by score."""
        model, linear = self.scores["model"], self.scores["linear_gap_filling"]
        gain = model.psnr_db - linear.psnr_db
        better = [
            name.removesuffix("_deg").upper()
            for name in ("mae", "ssim", "sam_deg")
            if (getattr(model, name) > getattr(linear, name)) == (name == "ssim")
        ]
        others = [name for name in ("MAE", "SSIM", "SAM") if name not in better]
        said = [
            f"better in {' and '.join(better)}" if better else "",
            f"worse in {' and '.join(others)}" if others else "",
        ]
        beats = (
            f"beats linear gap-filling by {gain:.2f} dB PSNR"
            if gain > 0
            else f"does not beat linear gap-filling: it is {-gain:.2f} dB PSNR below"
        )
        return (
            f"The network {beats} on {self.patches} held-out patches; it is "
            f"{', '.join(part for part in said if part)}. It is small and trained for minutes only."
        )
