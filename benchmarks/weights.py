"""Train the weights that come with the package: `python -m benchmarks.weights`.

Makes synthetic places, prepares and samples them, trains `residual`, and writes `residual.npz`.
Each step is a stage as users run it; the same command goes on where it stopped.
"""

import argparse
import logging
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from decloud_lib.models import registry, shipped
from decloud_lib.models.checkpoint import find_state, read_state
from decloud_lib.stages.make_roi import MakeRoiConfig, make_roi
from decloud_lib.stages.prepare import PrepareConfig, prepare
from decloud_lib.stages.sample import SampleConfig, sample
from decloud_lib.stages.train import TrainConfig, train
from decloud_lib.synthetic import SyntheticConfig, make_products

MODEL, LAYOUT = "residual", "AL-five-dates"
SIZE_PX, PATCH_PX, DAYS, DATES = 192, 64, 300, 84
FIRST_SEED = 1000
#: These zones have the same columns of squares.
_ZONES, _COLUMNS, _ROWS = (28, 31, 34, 37), "ABCDEFGH", "CDEFGHJK"
MOST_PLACES = len(_ZONES) * len(_COLUMNS) * len(_ROWS)
logger = logging.getLogger(__name__)


def describe_place(seed: int) -> SyntheticConfig:
    """Return the settings of a place: ground, year, orbit and speckle of its own, and a tile."""
    rng = np.random.default_rng([seed, 77])
    rest, zone = divmod(seed - FIRST_SEED, len(_ZONES))
    row, column = divmod(rest, len(_COLUMNS))
    return SyntheticConfig(
        seed=seed,
        tile=f"T{_ZONES[zone]}T{_COLUMNS[column]}{_ROWS[row]}",
        size_px=SIZE_PX,
        start=date(2018, 1, 1) + timedelta(days=int(rng.integers(365))),
        days=DAYS,
        s2_dates=DATES,
        s2_zipped=0,
        s1_masked=0.0,
        s1_ascending=bool(seed % 2),
        s1_looks=float(rng.uniform(4, 9)),
        edges=0.03,
    )


def prepare_places(root: Path, places: int) -> Path:
    """Make and prepare places one after the other; return their tiles JSON."""
    for seed in range(FIRST_SEED, FIRST_SEED + places):
        done = root / f"{seed}.done"
        if done.exists():
            continue
        products = root / "products"
        make_products(describe_place(seed), products / "raw", truth=products / "truth")
        prepare(PrepareConfig(products=str(products / "raw"), prepared=str(root / "prepared")))
        shutil.rmtree(products)
        done.touch()
    return root / "prepared" / "tiles.json"


def sample_places(root: Path, tiles: Path, samples: int) -> Path:
    """Draw training samples on all the ground; return their folder."""
    records = root / "samples"
    rois = root / "roi"
    make_roi(
        MakeRoiConfig(
            tiles=str(tiles),
            output_dir=str(rois),
            datasets=("train",),
            props=(1.0,),
            patchsize=PATCH_PX,
        )
    )
    sample(
        SampleConfig(
            tiles=str(tiles),
            rois=str(rois / "rois.json"),
            acquisition_train=LAYOUT,
            output_train=str(records),
            patchsize=PATCH_PX,
            maxntrain=samples,
            with_cloud_masks=True,
        )
    )
    return records


def train_on(root: Path, records: Path, options: argparse.Namespace) -> None:
    """Train, and write the weights as they come with the package."""
    result = train(
        TrainConfig(
            training_record=str(records),
            model=MODEL,
            learning_rate=options.learning_rate,
            lr_schedule="cosine",
            warmup_epochs=0.1,
            clip_norm=2.0,
            augment=True,
            batch_size_train=options.batch,
            epochs=options.epochs,
            time_limit_s=options.time_limit_s,
            load_ckpt_dir=options.begin_from,
            ckpt_dir=str(root / "checkpoints"),
            out_savedmodel=str(root / "models"),
            verbose=True,
        )
    )
    assert result.savedmodel is not None
    folder = root / "checkpoints" / Path(result.savedmodel).name
    state = read_state(find_state(str(folder))).state
    assert state is not None
    network = registry.get(MODEL).build(registry.ModelSpec())
    for variable, array in zip(network.variables, state, strict=False):
        variable.assign(array)
    target = root / f"{MODEL}.npz"
    shipped.write_weights(network, target)
    print(f"{target}; score it: decloud evaluate-series --savedmodels {result.savedmodel} ...")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/weights"))
    parser.add_argument("--places", type=int, default=200, help=f"at most {MOST_PLACES}")
    parser.add_argument("--samples", type=int, default=20_000, help="270 kB each")
    parser.add_argument("--epochs", type=int, default=13)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--time-limit-s", type=float, help="of the training alone")
    parser.add_argument("--begin-from", help="`shipped`, or a checkpoint; default: nothing")
    options = parser.parse_args()
    if not 0 < options.places <= MOST_PLACES:
        parser.error(f"--places {options.places}: expected 1 to {MOST_PLACES}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tiles = prepare_places(options.out, options.places)
    train_on(options.out, sample_places(options.out, tiles, options.samples), options)


if __name__ == "__main__":
    main()
