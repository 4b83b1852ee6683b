"""How long `decloud retrain` takes to say that nothing is to be done, with many products."""

import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.results import Row, compared
from decloud_lib.demo.server import serve_folder

_START = datetime(2016, 1, 1, 10, 50, 31, tzinfo=UTC)
#: Files of a Theia product: bands in two processings, masks, metadata, a picture.
_PARTS = (
    *(f"{kind}_{band}.tif" for kind in ("FRE", "SRE") for band in ("B2", "B3", "B4", "B8")),
    *("CLM_R1.tif", "EDG_R1.tif", "SAT_R1.tif", "MTD_ALL.xml", "QKL_ALL.jpg"),
)
_TILES = ("T31TCJ", "T31TDJ", "T30TYP", "T31TEJ", "T31UDQ")
_LIMIT_S = 10.0


def bench_fingerprints(products: int, rounds: int) -> list[Row]:
    """Time the answer for a folder, and for the same folder behind an S3 server."""
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        root = Path(folder)
        files = deliver(root / "bucket" / "decloud" / "raw", products)
        local = min(_answer(root, str(root / "bucket/decloud/raw"), {}) for _ in range(rounds))
        with serve_folder(root / "bucket") as server:
            remote = min(
                _answer(root, "s3://decloud/raw", server.environment) for _ in range(rounds)
            )
    title = f"retrain asks about {products} products in {files} files"
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


def _answer(root: Path, products: str, environment: dict[str, str]) -> tuple[float, float]:
    """Return how long the answer took by the clock, and the time of all its threads, seconds."""
    store = f"MLFLOW_TRACKING_URI=sqlite:///{root}/mlflow.db"
    variables = [f"{name}={value}" for name, value in environment.items()]
    program = str(Path(sys.executable).with_name("decloud"))
    options = ["--products", products, "--prepared", "prepared", "--out", "out"]
    options += ["--layout", "AL-CRGA-OS2-Occitanie", "--model", "crga_os2_david", "--dry-run"]
    start, before = time.perf_counter(), _children_s()
    subprocess.run(
        ["env", store, *variables, program, "retrain", *options],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
