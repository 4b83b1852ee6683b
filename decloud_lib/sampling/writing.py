"""Write the drawn samples of one data set as shards below a URI."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from decloud_lib import storage
from decloud_lib.progress import track
from decloud_lib.raster.footprint import Corners, lonlat_corners
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.patches import Patches, keys_of, read_patches
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array

if TYPE_CHECKING:
    from decloud_lib.samples.shards import Sample

#: Pixels that are held at a time, bytes: as many shards as fit are read together, one at least.
_GROUP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """How the samples of a data set are cut into files."""

    schema: SampleSchema
    per_shard: int
    """Samples of a full shard."""
    drop_remainder: bool

    def shards(self, total: int) -> list[range]:
        """Return the samples of each shard."""
        cut = [
            range(begin, min(begin + self.per_shard, total))
            for begin in range(0, total, self.per_shard)
        ]
        return [shard for shard in cut if len(shard) == self.per_shard or not self.drop_remainder]

    def groups(self, total: int) -> Iterator[list[tuple[int, range]]]:
        """Yield numbered shards that are read together."""
        sample_bytes = sum(
            np.dtype(dtype).itemsize * int(np.prod(self.schema.shapes[key]))
            for key, dtype in self.schema.dtypes.items()
        )
        step = max(1, _GROUP_BYTES // max(1, sample_bytes * self.per_shard))
        numbered = list(enumerate(self.shards(total)))
        for begin in range(0, len(numbered), step):
            yield numbered[begin : begin + step]


def write_data_set(drawn: DrawnSamples, output: str, plan: ShardPlan) -> list[str]:
    """Write all shards, footprints and schema files of a data set.

    Each shard is written locally and brought to the output whole.

    Parameters
    ----------
    drawn
        What to write, in this order.
    output
        Folder or prefix.
    plan
        How it is cut.

    Returns
    -------
    URIs of all files.
    """
    from decloud_lib.samples.shards import FOOTPRINTS, RECORDS, write_shard

    shards = len(plan.shards(len(drawn)))
    written: list[str] = []
    with tempfile.TemporaryDirectory(prefix="decloud-") as name:
        folder = Path(name)
        work = (
            (number, shard, patches)
            for group in plan.groups(len(drawn))
            for patches in [_read_group(drawn, [shard for _, shard in group], plan)]
            for number, shard in group
        )
        for number, shard, patches in track(work, shards, f"write {output}", "shard"):
            write_shard(folder, number, assemble(drawn, shard, patches, plan.schema), plan.schema)
            for suffix in (RECORDS, FOOTPRINTS):
                path = folder / f"{number}{suffix}"
                written.append(storage.join(output, path.name))
                storage.upload(path, written[-1])
                path.unlink()
        for path in plan.schema.write(folder):
            written.append(storage.join(output, path.name))
            storage.upload(path, written[-1])
    return written


def assemble(
    drawn: DrawnSamples, samples: range, patches: Patches, schema: SampleSchema
) -> Iterator["Sample"]:
    """Yield samples made of patches that were read.

    Parameters
    ----------
    drawn
        Samples of a data set.
    samples
        Which of them.
    patches
        See `read_patches`.
    schema
        Order of the keys.
    """
    from decloud_lib.samples.shards import Sample

    corners = _corners(drawn, samples)
    for sample in samples:
        position = int(drawn.rows["position"][sample])
        rasters = keys_of(drawn, sample, schema)
        found: dict[str, Array] = {key: patches[at, position] for key, at in rasters.items()}
        found |= _numbers(drawn, sample)
        yield Sample(
            {key: found[key] for key in schema.keys},
            corners[int(drawn.tile[sample]), position],
            provenance(drawn, sample),
        )


def provenance(drawn: DrawnSamples, sample: int) -> dict[str, Any]:
    """Say where a sample comes from: tile, position, products, dates, cloud cover."""
    index, row = drawn.indexes[int(drawn.tile[sample])], drawn.rows[sample]
    position = int(row["position"])
    found: dict[str, Any] = {"tile": index.tile, "position": list(divmod(position, index.shape[1]))}
    for role, name in enumerate(drawn.layout.names):
        s2, s1 = int(row["s2"][role]), int(row["s1"][role])
        if s2 >= 0:
            image = index.s2[s2]
            cloud = float(index.catalogue.s2_cloud_percent[s2, position])
            found[f"s2_{name}"] = image.name
            found[f"s2_{name}_date"] = image.acquired.isoformat(timespec="milliseconds")
            found[f"s2_{name}_cloud_percent"] = round(cloud, 3)
        if s1 >= 0:
            radar = index.s1[s1]
            found[f"s1_{name}"] = radar.name
            found[f"s1_{name}_date"] = radar.acquired.isoformat(timespec="milliseconds")
            found[f"s1_{name}_time_is_assumed"] = radar.time_is_assumed
    return found


def _numbers(drawn: DrawnSamples, sample: int) -> dict[str, Array]:
    """Return times (UTC seconds since the epoch) and passes of a sample, by key."""
    index, row = drawn.indexes[int(drawn.tile[sample])], drawn.rows[sample]
    found: dict[str, Array] = {}
    for role, name in enumerate(drawn.layout.names):
        s2, s1 = int(row["s2"][role]), int(row["s1"][role])
        if s2 >= 0:
            found[f"s2_timestamp_{name}"] = _seconds(index.catalogue.s2_time_ms[s2])
        if s1 >= 0:
            found[f"s1_timestamp_{name}"] = _seconds(index.catalogue.s1_time_ms[s1])
            found[f"s1_ascending_{name}"] = np.array(index.s1[s1].ascending, dtype=bool)
    return found


def _seconds(time_ms: np.int64) -> Array:
    return np.array(int(time_ms) / 1000.0, dtype=np.float64)


def _read_group(drawn: DrawnSamples, shards: list[range], plan: ShardPlan) -> Patches:
    samples = [sample for shard in shards for sample in shard]
    return read_patches(drawn, samples, plan.schema)


def _corners(drawn: DrawnSamples, samples: range) -> dict[tuple[int, int], Corners]:
    """Return the corners of each (tile, position) that occurs."""
    places = {(int(drawn.tile[i]), int(drawn.rows["position"][i])) for i in samples}
    found: dict[tuple[int, int], Corners] = {}
    for number, index in enumerate(drawn.indexes):
        found |= _tile_corners(number, index, sorted(at for tile, at in places if tile == number))
    return found


def _tile_corners(
    number: int, index: TileIndex, positions: list[int]
) -> dict[tuple[int, int], Corners]:
    corners = lonlat_corners(index.grid, [index.window(at) for at in positions])
    return {(number, at): corner for at, corner in zip(positions, corners, strict=True)}
