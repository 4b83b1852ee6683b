"""Settings of the stage `sample`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from decloud_lib.arrays.draw_rules import (
    AnySample,
    ConstantPerPosition,
    DrawRule,
    EvenSeasons,
    parse_months,
)
from decloud_lib.arrays.layout import Conflicts
from decloud_lib.config import StageConfig
from decloud_lib.sampling.drawing import HELD
from decloud_lib.sampling.split import parse_days

_LAYOUT = "acquisition layout: name of a shipped one, or URI of a JSON file"
Split = Literal["train", "valid", "test"]


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
    with_cloud_masks: bool = Field(
        default=False,
        description="Add the cloud mask of each Sentinel-2 image; not 0 = cloud or shadow.",
    )
    with_timestamps: bool = Field(
        default=True, description="Keep the acquisition times, UTC seconds since 1970."
    )
    drop_remainder: bool = Field(
        default=False, description="Leave out the last samples that do not fill a record file."
    )
    constant: bool = Field(
        default=False,
        description="Take the same number of samples from each patch position that has so many.",
    )
    constant_nb: int = Field(
        default=10, ge=1, description="With --constant, most samples of a patch position."
    )
    oversampling: bool = Field(
        default=False,
        description="Take as many samples of each season of the reference date, repeating those of "
        "small seasons; goes before --constant.",
    )
    oversampled_sets: tuple[Split, ...] = Field(
        default=("valid", "test"), description="With --oversampling, the data sets that it is for."
    )
    season_months: tuple[str, ...] = Field(
        default=("3-5", "6-8", "9-11", "12-2"),
        description="With --oversampling, the months of each season; the default suits both "
        "hemispheres.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw and of random cloud bounds.")
    valid_every: int = Field(
        default=0,
        ge=0,
        description="Split by time: of the days with a clear target every n-th belongs to the "
        "validation and test sets (in turns where there are both), and training uses no image of "
        "these days; 0 = not in this way.",
    )
    valid_dates: tuple[str, ...] = Field(
        default=(),
        description="Split by time: days of the targets of the validation sets, which training "
        "does not use, FIRST/LAST as 2018-07-01/2018-09-30 (UTC, both inclusive).",
    )
    test_dates: tuple[str, ...] = Field(
        default=(), description="The same for the targets of the test sets."
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
        description="Leave out of training the ground that a neighbouring tile gives to validation "
        "or test, and fail when a target of theirs is in a training sample.",
    )

    workers: int = Field(
        default=0,
        ge=0,
        description="Threads that read and write; 0 takes the machine's cores, at most 8.",
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
        EvenSeasons(tuple(map(parse_months, self.season_months)))
        if self.valid_every == 1:
            raise ValueError("valid_every = 1 leaves nothing to train on; expected 0, or 2 or more")
        return self

    @model_validator(mode="after")
    def _dates(self) -> Self:
        ranges = {name: [*map(parse_days, getattr(self, f"{name}_dates"))] for name in HELD}
        if self.valid_every and any(ranges.values()):
            raise ValueError("valid_every and dates are given; expected one way to split by time")
        for first, last in ranges["valid"]:
            for begin, end in ranges["test"]:
                if first <= end and begin <= last:
                    raise ValueError(
                        f"valid_dates {first}/{last} and test_dates {begin}/{end} have days in "
                        "common; expected none"
                    )
        return self

    def asked(self) -> list[tuple[str, str, str]]:
        """Return (split, layout, output) of each data set."""
        return [
            (split, layout, output.rstrip("/"))
            for split, (layouts, outputs) in self._by_split().items()
            for layout, output in zip(layouts, outputs, strict=True)
        ]

    def draw_rule(self, split: str) -> DrawRule:
        """Return how the samples of a data set are drawn."""
        if self.oversampling and split in self.oversampled_sets:
            return EvenSeasons(tuple(map(parse_months, self.season_months)))
        return ConstantPerPosition(self.constant_nb) if self.constant else AnySample()

    def _by_split(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        train = (self.acquisition_train, self.output_train)
        layouts, outputs = (() if value is None else (value,) for value in train)
        return {
            "train": (layouts, outputs),
            "valid": (self.acquisitions_valid, self.outputs_valid),
            "test": (self.acquisitions_test, self.outputs_test),
        }
