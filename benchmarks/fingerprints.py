"""How long `decloud retrain` takes to say that nothing is to be done, with many products."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.results import Row, compared
from decloud_lib import storage
from decloud_lib.demo.server import serve_folder
from decloud_lib.stages.retrain import RetrainConfig, take_fingerprint
from decloud_lib.tracking.server import TrackingError, calling, client

_START = datetime(2016, 1, 1, 10, 50, 31, tzinfo=UTC)
#: Files of a Theia product: bands in two processings, masks, metadata, a picture.
_PARTS = (
    *(f"{kind}_{band}.tif" for kind in ("FRE", "SRE") for band in ("B2", "B3", "B4", "B8")),
    *("CLM_R1.tif", "EDG_R1.tif", "SAT_R1.tif", "MTD_ALL.xml", "QKL_ALL.jpg"),
)
_TILES = ("T31TCJ", "T31TDJ", "T30TYP", "T31TEJ", "T31UDQ")
_LIMIT_S = 10.0


def bench_fingerprints(products: int, rounds: int) -> list[Row]:
    """Time the answer for a folder, and for the same folder behind an S3 server.

    By the clock, the server's work is in the figure: it shares the processors with the client.
    """
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        root = Path(folder)
        files = deliver(root / "bucket" / "decloud" / "raw", products)
        local = _best_answer(root, str(root / "bucket/decloud/raw"), {}, rounds)
        with serve_folder(root / "bucket") as server:
            remote = _best_answer(root, "s3://decloud/raw", server.environment, rounds)
    title = f"retrain finds {products} products in {files} files unchanged"
    limit = ("limit", _LIMIT_S)
    return [
        compared(f"{title}, {place}, {kind}", value, "s", limit, 1.0 if kind == "CPU" else None)
        for place, found in (("folder", local), ("S3", remote))
        for kind, value in zip(("clock", "CPU"), found, strict=True)
    ]


def deliver(root: Path, products: int) -> int:
    """Write the names of deliveries, half optical and half radar; return the number of files."""
    files = 0
    for number in range(products // 2):
        tile = _TILES[number % len(_TILES)]
        moment = _START + timedelta(days=number // len(_TILES))
        name = f"SENTINEL2A_{moment:%Y%m%d-%H%M%S}-024_L2A_{tile}_C_V2-2"
        folder = root / "SENTINEL2" / tile / name
        folder.mkdir(parents=True)
        for part in _PARTS:
            (folder / f"{name}_{part}").touch()
        radar = root / "SENTINEL1" / tile
        radar.mkdir(parents=True, exist_ok=True)
        for polarisation in ("vv", "vh"):
            stem = f"s1b_{tile[1:]}_{polarisation}_DES_110_{moment:%Y%m%dt}060008"
            (radar / f"{stem}.tif").touch()
        files += len(_PARTS) + 2
    return files


def _best_answer(
    root: Path, products: str, environment: dict[str, str], rounds: int
) -> tuple[float, float]:
    """Return the least time by the clock, and of all threads, seconds."""
    config = RetrainConfig(
        products=products,
        prepared="prepared",
        out=str(root / "out"),
        layout="AL-CRGA-OS2-Occitanie",
        model="crga_os2_david",
    )
    storage.use_environment(environment)
    storage.use_environment({"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"})
    _crown(config)
    found = [_answer(config) for _ in range(rounds)]
    return min(clock for clock, _ in found), min(used for _, used in found)


def _crown(config: RetrainConfig) -> None:
    """Register a version in use that was made from the products as they are."""
    mlflow = client()
    with suppress(TrackingError), calling():
        mlflow.create_registered_model(config.name)
    tags = take_fingerprint(config).tags()
    version = mlflow.create_model_version(config.name, f"file://{config.out}/model", tags=tags)
    mlflow.set_registered_model_alias(config.name, config.alias, version.version)


def _answer(config: RetrainConfig) -> tuple[float, float]:
    """Return how long the command took by the clock, and the time of all its threads, seconds."""
    options = ["--products", config.products, "--prepared", config.prepared, "--out", config.out]
    options += ["--layout", config.layout, "--model", config.model, "--json"]
    program = str(Path(sys.executable).with_name("decloud"))
    start, before = time.perf_counter(), _children_s()
    done = subprocess.run([program, "retrain", *options], check=True, stdout=subprocess.PIPE)
    used = time.perf_counter() - start, _children_s() - before
    status = json.loads(done.stdout)["status"]
    assert status == "unchanged", status
    return used


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
