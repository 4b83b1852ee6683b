"""What a network was trained on, in numbers that the monitoring compares with later."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from decloud_lib.models.contract import ModelContract
from decloud_lib.samples.profile import Profile, profile_of
from decloud_lib.types import Array

if TYPE_CHECKING:
    from decloud_lib.learning.record_sets import LocalRecords

#: Files and samples that are looked at: enough for histograms, a small part of an epoch.
_FILES = 20
_SAMPLES = 200
#: What samples may hold beside the images, and a reconstruction knows too.
_ABOUT = ("s2_timestamp_", "s1_timestamp_", "s2_cld10m_")


def training_profile(records: "LocalRecords", contract: ModelContract) -> Profile:
    """Return the profile of training samples, of files spread over all of them.

    Parameters
    ----------
    records
        The training records.
    contract
        What the network takes; cloud masks and times count too where the samples hold them.
    """
    about = (key for key in records.source.schema.keys if key.startswith(_ABOUT))
    keys = tuple(dict.fromkeys([*contract.input_keys, *about]))
    return profile_of(_samples(records, keys))


def _samples(records: "LocalRecords", keys: tuple[str, ...]) -> Iterator[Mapping[str, Array]]:
    from decloud_lib.samples.dataset import read_dataset

    step = max(1, len(records.files) // _FILES)
    chosen: tuple[Path, ...] = records.files[::step][:_FILES]
    of_each = _SAMPLES // len(chosen)
    for path in chosen:
        found = read_dataset((path,), records.source.schema, keys, (), 1).take(of_each)
        for inputs, _ in found.as_numpy_iterator():
            yield inputs
