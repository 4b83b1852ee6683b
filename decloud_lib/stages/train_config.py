"""Settings of a training."""

import re
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from decloud_lib.config import StageConfig

#: What says where things go and how much is told, and not what comes out.
_WITHOUT_INFLUENCE = {
    *("logdir", "ckpt_dir", "ckpt_steps", "ckpt_minutes", "ckpt_keep"),
    *("experiment", "run_name", "pipeline_run", "parent_run_id"),
    *("previews", "verbose", "profiling", "plot_model"),
}


class TrainConfig(StageConfig):
    """Settings of `train`."""

    model_config = ConfigDict(allow_inf_nan=False)

    training_record: str = Field(description="Folder of the training records.")
    valid_records: tuple[str, ...] = Field(
        default=(), description="Folders of validation records; the first drives val_*."
    )
    model: str = Field(
        description="Name of the network, such as crga_os2_david; an unknown name lists all. One "
        "of your own: path/to/file.py:NAME, which runs the file.",
        json_schema_extra={"flags": ["-m"]},
    )
    out_savedmodel: str | None = Field(
        default=None,
        description="Parent of the model folder, which is named after model and settings; without "
        "it nothing is exported.",
    )
    valid_only: bool = Field(
        default=False,
        description="Score the weights of --load-ckpt-dir or --ckpt-dir on the validation records, "
        "and train nothing.",
    )
    logdir: str | None = Field(default=None, description="Parent folder of TensorBoard logs.")
    learning_rate: float = Field(
        default=2e-4,
        gt=0.0,
        le=1.0,
        description="Step size of the optimiser, per device.",
        json_schema_extra={"flags": ["-lr"]},
    )
    scale_learning_rate: bool = Field(
        default=True, description="Multiply the learning rate with the number of devices."
    )
    lr_schedule: Literal["constant", "cosine", "step"] = Field(
        default="constant",
        description="cosine: the learning rate falls to zero over the epochs, or over the time "
        "limit where that is shorter; step: it is multiplied every so many epochs.",
    )
    warmup_epochs: float = Field(
        default=0.0, ge=0.0, description="Epochs in which the learning rate rises from zero."
    )
    lr_step_epochs: int = Field(
        default=10, ge=1, description="Epochs between two steps of --lr-schedule step."
    )
    lr_step_factor: float = Field(
        default=0.5, gt=0.0, le=1.0, description="What each step multiplies the learning rate with."
    )
    clip_norm: float | None = Field(
        default=None, gt=0.0, description="Longest gradient; longer ones are shortened to it."
    )
    mixed_precision: bool = Field(
        default=False,
        description="Compute in bfloat16 on GPUs; weights, loss and scores stay float32.",
    )
    augment: bool = Field(
        default=False,
        description="Mirror and turn each training sample at random, all keys alike; for residual, "
        "dates differ in level, haze and registration too.",
    )
    hidden_weight: float = Field(
        default=1.0,
        ge=0.0,
        description="Weight in the loss of pixels under cloud in the rebuilt date (s2_t); other "
        "than 1 needs cloud masks in the records.",
    )
    clear_weight: float = Field(
        default=1.0, ge=0.0, description="Weight in the loss of its clear pixels; 0: cloud only."
    )
    clear_target_only: bool = Field(
        default=False, description="Leave out pixels where the target's own mask says cloud."
    )
    batch_size_train: int = Field(
        default=4,
        ge=1,
        description="Samples per training step and device.",
        json_schema_extra={"flags": ["-bt"]},
    )
    batch_size_valid: int = Field(
        default=4,
        ge=1,
        description="Samples per validation step and device.",
        json_schema_extra={"flags": ["-bv"]},
    )
    epochs: int = Field(
        default=300,
        ge=0,
        description="Passes over the training records; 0 only builds and exports.",
        json_schema_extra={"flags": ["-e"]},
    )
    ckpt_dir: str | None = Field(
        default=None,
        description="Folder of the training's states: the same command, started again after an "
        "interruption, goes on from the last.",
        json_schema_extra={"flags": ["--save-ckpt-dir"]},
    )
    ckpt_steps: int | None = Field(
        default=None, ge=1, description="Keep the state every so many batches too."
    )
    ckpt_minutes: float = Field(
        default=10.0,
        gt=0.0,
        description="Keep the state so often within an epoch, minutes.",
    )
    ckpt_keep: int = Field(default=2, ge=1, description="Number of last states that stay.")
    load_ckpt_dir: str | None = Field(
        default=None,
        description="Begin from the weights and the optimiser of another training: its checkpoint "
        "folder, or one of the files in it; with --save-best from its best weights. `shipped`: "
        "from the weights that come with the package, for `residual`.",
    )
    save_best: bool = Field(
        default=False,
        description="Export the best epoch's weights instead of the last one's; until the end they "
        "are kept with the state in --ckpt-dir.",
    )
    save_best_ref: str = Field(
        default="val_loss",
        description="Value that decides on the best epoch and on stopping early: loss or a metric, "
        "with val_ for the first validation set.",
    )
    all_metrics: bool = Field(
        default=False, description="Follow SSIM and the spectral angle too; takes more time."
    )
    previews: bool = Field(
        default=False,
        description="Pictures of some validation samples before the first epoch and after each.",
    )
    early_stopping: bool = Field(
        default=False, description="Stop after 10 epochs without a gain of 1e-4 in save_best_ref."
    )
    strategy: Literal["mirrored", "multiworker", "singlecpu"] = Field(
        default="mirrored",
        description="mirrored: all GPUs (the CPU where there is none); multiworker: this process "
        "is one of those named in TF_CONFIG, or a Slurm task; singlecpu: one CPU.",
    )
    shuffle_buffer_size: int = Field(
        default=512,
        ge=1,
        description="Samples in memory among which the order is drawn; one of 256 px takes 3.4 MB.",
    )
    skip_damaged: bool = Field(
        default=False,
        description="Leave out records whose checksum is wrong, and say how many.",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Same seed, same weights and order.")
    time_limit_s: float | None = Field(
        default=None, gt=0.0, description="Stop training when so many seconds are over."
    )
    use_dem: bool = Field(default=True, description="Give the elevation to networks that take it.")
    width: int = Field(
        default=16,
        ge=4,
        le=128,
        description="Channels at full resolution of networks that come in sizes: residual has "
        "0.3 million parameters with 16 and 5 million with 64.",
    )
    verbose: bool = Field(default=False, description="Show how far each epoch is.")
    profiling: str = Field(
        default="0",
        description="Batch, or first and last batch such as 10,20, to profile for TensorBoard, "
        "counted from 1 over all epochs; 0: none; needs --logdir.",
    )
    plot_model: bool = Field(
        default=False, description="Draw the network's layers; the PNG goes to the MLflow run."
    )
    experiment: str | None = Field(
        default=None,
        description="MLflow experiment; default: the names of the data set and of its layout.",
    )
    run_name: str | None = Field(
        default=None, description="Name of the MLflow run; default: model, data set and commit."
    )
    pipeline_run: str | None = Field(
        default=None, description="Run of the pipeline that this is part of, a label in MLflow."
    )
    parent_run_id: str | None = Field(
        default=None, description="MLflow run that this one appears below."
    )

    @property
    def profiled(self) -> tuple[int, int] | None:
        """First and last batch to profile, from 1; None for none."""
        first, _, last = self.profiling.replace("-", ",").partition(",")
        batches = int(first), int(last or first)
        return batches if batches[1] else None

    def identity(self) -> dict[str, Any]:
        """Return what decides the weights, so that a resumed training may say more or less."""
        return {
            key: value for key, value in super().identity().items() if key not in _WITHOUT_INFLUENCE
        }

    @field_validator("profiling")
    @classmethod
    def _batches(cls, text: str) -> str:
        numbers = re.fullmatch(r"(\d+)(?:[,-](\d+))?", text)
        if numbers is None or (numbers[2] and int(numbers[2]) < int(numbers[1])):
            raise ValueError("expected a batch such as 10, or two such as 10,20")
        return text

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.profiled and self.logdir is None:
            raise ValueError("--profiling writes for TensorBoard: give --logdir")
        if (self.previews or self.valid_only) and not self.valid_records:
            option = "--previews shows" if self.previews else "--valid-only scores"
            raise ValueError(f"{option} validation samples: give --valid-records")
        if self.save_best and self.out_savedmodel is None:
            raise ValueError("--save-best exports the best weights: give --out-savedmodel")
        return self
