"""Small registered networks whose quality is known, for the tests of promotion."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
from keras import ops

from decloud_lib import manifest, tracking
from decloud_lib.config import StageConfig
from decloud_lib.learning.publish import Destination, TrainRecord, publish
from decloud_lib.models.assemble import assemble
from decloud_lib.models.gapfilling import linear, time_ratio
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.samples.profile import Profile

_TIMES = tuple(f"s2_timestamp_{date}" for date in ("tm1", "target", "tp1"))
_KEYS = ("s2_tm1", "s2_tp1", *_TIMES)


@dataclass(frozen=True)
class Contestant:
    """A network that was recorded as `decloud train` records one."""

    run_id: str
    savedmodel: str


def record_network(folder: Path, bias: float, trained_on: str | None = None) -> Contestant:
    """Record the interpolation in time with a constant error, reflectance, as a network."""
    definition = ModelDefinition(
        name="biased",
        build=lambda _: assemble("biased", _KEYS, ("s2_target",), partial(_biased, bias=bias)),
        input_keys=_KEYS,
    )
    model = definition.build(ModelSpec())
    contract = definition.contract(ModelSpec()).model_copy(update={"data_fingerprint": trained_on})
    planned = manifest.plan("train", StageConfig(), [])
    with tracking.open_run("tests", name=f"bias {bias}") as run:
        record = TrainRecord(run_id=run.run_id, epochs=1, metrics={})
        to = Destination(str(folder), definition, contract, planned)
        publish(model, to, record, run, Profile(items=0, features={}))
    return Contestant(run.run_id, str(folder))


def _biased(scaled: dict[str, keras.KerasTensor], *, bias: float) -> dict[str, keras.KerasTensor]:
    ratio = ops.reshape(time_ratio(*(scaled[key] for key in _TIMES)), (-1, 1, 1, 1))
    estimate = linear(scaled["s2_tm1"], scaled["s2_tp1"], ratio)
    return {"s2_target": ops.add(estimate, bias)}
