"""Scores of several models over the same samples, image by image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from decloud_lib.arrays import quality
from decloud_lib.arrays.comparison import Calibration, cover_class, season
from decloud_lib.learning.feeding import Sight
from decloud_lib.learning.record_sets import LocalRecords
from decloud_lib.models import previews
from decloud_lib.models.contract import ModelContract, ModelOutput
from decloud_lib.models.registry import ModelDefinition
from decloud_lib.progress import track
from decloud_lib.types import Array

#: Mask of the date that is rebuilt, not 0 = cloud or shadow.
_HIDDEN = "s2_cld10m_t"
COVER, SEASON = "cloud cover", "season"


class Estimator(Protocol):
    """A network or a deterministic model."""

    @property
    def contract(self) -> ModelContract:
        """What goes in and comes out."""

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return tensor name -> (N, H, W, C) float32 reflectance."""


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of the images of one record folder, in stored order."""

    data_set: str
    uri: str
    by_model: Mapping[str, Mapping[str, Array]]
    """Model -> score -> (N,). Outputs after the first are models of their own, `<model> <key>`."""
    groups: Mapping[str, Array] = field(default_factory=dict)
    """`cloud cover` and `season` where the samples tell -> (N,) class, empty where unknown."""
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    """Of the models that say how large their errors are."""
    preview: Array | None = None
    """What the first model makes of the first samples, (H, W, 3) uint8, where it can be drawn."""
    thumbnail: Array | None = None
    """The same of one sample, small."""

    @property
    def n(self) -> int:
        """Number of images."""
        return len(next(iter(self.by_model.values()))[quality.NAMES[0]])


def score_records(
    records: LocalRecords,
    models: Mapping[str, Estimator],
    batch_size: int,
    definition: ModelDefinition | None = None,
) -> ImageScores:
    """Score models on the samples of a record folder, all of them on the same pass.

    Parameters
    ----------
    records
        The samples.
    models
        By the name under which they appear in the tables. Each output is scored whose target the
        samples hold.
    batch_size
        Samples per step.
    definition
        Of the model that decides what is seen of the samples: where it was trained on simulated
        gaps, all models are scored on such gaps, the same ones each time.
    """
    keys = records.source.schema.keys
    outputs = {
        name: [item for item in model.contract.outputs if item.target_key in keys]
        for name, model in models.items()
    }
    tallies = {
        _name(name, place, item): _Tally(item)
        for name, items in outputs.items()
        for place, item in enumerate(items)
    }
    facts = _Facts(keys, next(iter(tallies.values())).output.target_key)
    sight = _sight(models, tallies, facts, definition, keys)
    batches = sight.all(records, batch_size).as_numpy_iterator()
    total = math.ceil(records.samples / batch_size)
    pictures: dict[str, Array] = {}
    for arrays, truth in track(batches, total, f"scores of {records.source.name}", "batch"):
        facts.add(arrays, truth)
        for name, model in models.items():
            estimates = model.predict(arrays)
            pictures = pictures or _pictures(arrays, truth, estimates, outputs[name])
            for place, item in enumerate(outputs[name]):
                hidden = arrays.get(_HIDDEN)
                tallies[_name(name, place, item)].add(truth[item.target_key], estimates, hidden)
    return ImageScores(
        records.source.name,
        records.source.uri,
        {name: tally.scores() for name, tally in tallies.items()},
        facts.groups(),
        {name: tally.calibration for name, tally in tallies.items() if tally.calibration.n},
        **pictures,
    )


def summarise(sets: Sequence[ImageScores]) -> dict[str, dict[str, float]]:
    """Return model -> score over the images of all the folders together."""
    found = {}
    for model in sets[0].by_model:
        scores = joined(sets, model)
        parts = {
            name: float(np.mean(values[np.isfinite(values)]))
            for name, values in scores.items()
            if name.endswith(("_hidden", "_clear")) and np.isfinite(values).any()
        }
        found[model] = quality.summary(scores) | parts
    return found


def joined(sets: Sequence[ImageScores], model: str) -> dict[str, Array]:
    """Return score -> (N,) over the images of all the folders."""
    names = [
        name for name in sets[0].by_model[model] if all(name in s.by_model[model] for s in sets)
    ]
    return {name: np.concatenate([item.by_model[model][name] for item in sets]) for name in names}


def _pictures(
    arrays: Mapping[str, Array],
    truth: Mapping[str, Array],
    estimates: Mapping[str, Array],
    outputs: Sequence[ModelOutput],
) -> dict[str, Array]:
    """Draw the first output that can be drawn."""
    for item in outputs:
        if previews.can_draw(item.target_key):
            shown = arrays, truth[item.target_key], estimates[item.tensor]
            return {
                "preview": previews.side_by_side(*shown),
                "thumbnail": previews.thumbnail(*shown),
            }
    return {}


def _name(model: str, place: int, output: ModelOutput) -> str:
    return f"{model} {output.target_key}" if place else model


def _sight(
    models: Mapping[str, Estimator],
    tallies: "Mapping[str, _Tally]",
    facts: "_Facts",
    definition: ModelDefinition | None,
    keys: Sequence[str],
) -> Sight:
    inputs = {key for model in models.values() for key in model.contract.input_keys}
    inputs |= {key for key in (_HIDDEN, facts.time) if key in keys}
    simulate = None
    if definition is not None and definition.simulate is not None:
        simulate = definition.simulate
        inputs |= {key for key in definition.simulation_keys if key in keys}
    targets = sorted({tally.output.target_key for tally in tallies.values()})
    return Sight(tuple(sorted(inputs)), tuple(targets), simulate)


class _Tally:
    """Collects the scores of one output."""

    def __init__(self, output: ModelOutput) -> None:
        self.output = output
        self.calibration = Calibration()
        self._parts: dict[str, list[Array]] = {}

    def add(self, truth: Array, estimates: Mapping[str, Array], stored: Array | None) -> None:
        """Add a batch; `stored` is the mask of the date that is rebuilt, where there is one."""
        estimate = estimates[self.output.tensor]
        found = quality.scores(truth, estimate)
        found |= quality.band_scores(truth, estimate, self.output.bands)
        hidden = None
        if stored is not None:
            step = stored.shape[1] // truth.shape[1]
            # A pixel at 20 m is hidden where any of its four is.
            hidden = _any_of(stored[..., 0] != 0, step)
            found |= quality.part_scores(truth, estimate, hidden, "hidden")
            found |= quality.part_scores(truth, estimate, ~hidden, "clear")
        for name, values in found.items():
            self._parts.setdefault(name, []).append(values)
        if self.output.scale_tensor is not None:
            scale = estimates[self.output.scale_tensor]
            counted = None if hidden is None else np.broadcast_to(hidden[..., None], scale.shape)
            self.calibration.add(truth - estimate, scale, counted)

    def scores(self) -> dict[str, Array]:
        """Return score -> (N,)."""
        return {name: np.concatenate(values) for name, values in self._parts.items()}


class _Facts:
    """Collects what is known about each sample: how cloudy, and when."""

    def __init__(self, keys: Sequence[str], target_key: str) -> None:
        time = target_key.replace("s2_20m_", "s2_").replace("s2_", "s2_timestamp_", 1)
        self.time = time if time in keys else ""
        self._cover: list[Array] = []
        self._times: list[Array] = []

    def add(self, inputs: Mapping[str, Array], truth: Mapping[str, Array]) -> None:
        n = len(next(iter(truth.values())))
        unknown = np.full(n, np.nan)
        mask = inputs.get(_HIDDEN)
        cover = unknown if mask is None else 100.0 * np.mean(mask != 0, axis=(1, 2, 3))
        self._cover.append(cover)
        self._times.append(inputs.get(self.time, unknown))

    def groups(self) -> dict[str, Array]:
        found = {
            COVER: cover_class(np.concatenate(self._cover)),
            SEASON: season(np.concatenate(self._times)),
        }
        return {name: classes for name, classes in found.items() if np.any(classes != "")}


def _any_of(mask: Array, step: int) -> Array:
    if step == 1:
        return mask
    n, height, width = mask.shape
    blocks = mask.reshape(n, height // step, step, width // step, step)
    return np.asarray(blocks.any(axis=(2, 4)))
