"""What training samples go through that others do not."""

from pathlib import Path
from typing import Any

import numpy as np

from decloud_lib.learning.feeding import Feeding, Sight
from decloud_lib.learning.record_sets import find_record_sets, local_records
from tests.records import write_records

KEY = "s2_t"


def _marked(mark: float) -> Any:
    def change(inputs: Any, targets: Any, _seed: object) -> Any:
        return {**inputs, KEY: inputs[KEY] * 0.0 + mark}, targets

    return change


def _doubled(inputs: Any, targets: Any, _seed: object) -> Any:
    return {**inputs, KEY: inputs[KEY] * 2.0}, targets


def test_only_augmented_training_samples_are_varied_and_before_the_gap_is_laid(
    tmp_path: Path,
) -> None:
    write_records(tmp_path, n=3)
    with local_records(find_record_sets((str(tmp_path),))) as (records,):
        sight = Sight((KEY,), ("s2_target",), simulate=_doubled, vary=_marked(21.0))

        def seen(batches: Any) -> Any:
            return np.concatenate([inputs[KEY] for inputs, _ in batches.as_numpy_iterator()])

        assert np.all(seen(Feeding(records, sight, 2, 4, seed=1, augment=True).epoch(0)) == 42.0)
        plain = seen(Feeding(records, sight, 2, 4, seed=1).epoch(0))
        assert np.all(plain == 12_000.0)
        assert np.all(seen(sight.all(records, 2)) == 12_000.0)
