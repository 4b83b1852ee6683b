"""The demo: from delivered products to a cloud-free image, all pipelines on this machine."""

import json
import logging
import os
import platform
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from pydantic import Field

from decloud_lib import manifest, storage, tracking
from decloud_lib.cli import stage_command
from decloud_lib.commands import StageCommand
from decloud_lib.config import StageConfig
from decloud_lib.demo.bucket import put_products
from decloud_lib.demo.choice import Cover, choose_cloudy_date, measure_cover
from decloud_lib.demo.gallery import Gallery, Images, draw_gallery
from decloud_lib.demo.report import render
from decloud_lib.demo.server import serve_folder
from decloud_lib.demo.summary import BASELINES, Score, Summary
from decloud_lib.raster.products.prepared import PreparedS2, list_s2
from decloud_lib.raster.views import open_image
from decloud_lib.synthetic import SyntheticConfig, make_products
from pipelines.local import run_local
from pipelines.preprocessing import preprocessing
from pipelines.reconstruction import reconstruction, reconstruction_series
from pipelines.runs import PipelineRun, TaskRun
from pipelines.sampling import sampling
from pipelines.training import training

logger = logging.getLogger(__name__)

BUCKET = "s3://decloud"
LAYOUT = "AL-CRGA-OS2-clear-neighbours"
MODEL = "crga_os2_david"
#: Its weights come with the package; what is trained here within minutes does not reach it.
BEST_MODEL = "residual"
PATCH_PX = 64
#: Fewer positions than this cannot be split by place: the target dates are split instead.
FEW_POSITIONS = 16
VALID_EVERY = 5
SPLITS = {
    False: "Training and scoring patches lie in different parts of the tile.",
    True: "Training and scoring use different target dates; training saw no image of the latter.",
}
#: More products than this are prepared several per task.
MOST_TASKS = 40
SERIES_DAYS = 6
QUICK_SIZE_PX = 384
QUICK_TRAIN_SECONDS = 10.0


class DemoConfig(StageConfig):
    """What the demo runs on."""

    out: str = Field(default="build/demo", description="Local folder for everything it makes.")
    products: str | None = Field(
        default=None,
        description="Folder of delivered products (SENTINEL1, SENTINEL2, DEM); "
        "without it, synthetic ones are made.",
    )
    bucket: str | None = Field(
        default=None,
        description="Where the data live: s3://bucket[/prefix] or a folder; "
        "without it, a bucket is served from the output folder.",
    )
    endpoint: str | None = Field(
        default=None, description="URL of the S3 server of --bucket; credentials: AWS_* variables."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the products, the split, the training.")
    name: str = Field(default="decloud", description="Name of the registered model.")
    size_px: int = Field(
        default=768, ge=256, multiple_of=64, description="Side of the synthetic tile, 10 m pixels."
    )
    train_seconds: float = Field(default=125.0, gt=0, description="Time for training, seconds.")
    quick: bool = Field(
        default=False, description="A small tile and a very short training: shows that all works."
    )


@dataclass(frozen=True)
class DemoResult:
    """Where to look."""

    report: Path
    before_after: Path
    reconstruction: Path
    summary: Path
    open_mlflow: str
    """Command that opens the MLflow UI on this run."""


@dataclass(frozen=True)
class _Trained:
    model_uri: str
    run_id: str
    scores: dict[str, Any]
    promotion: str


@dataclass(frozen=True)
class _Rebuilt:
    image: str
    series: tuple[str, ...]
    s1_dir: str


@dataclass
class _Demo:
    """One run: where things are, and how long each step took."""

    config: DemoConfig
    out: Path
    root: str
    steps: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, float] = field(default_factory=dict)

    def at(self, *parts: str) -> str:
        """Return a URI below the root of all data."""
        return storage.join(self.root, *parts)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step and say that it begins."""
        logger.info("== %s", name)
        start = time.monotonic()
        yield
        self.steps[name] = round(time.monotonic() - start, 2)

    def run(self, step: str, function: Callable[..., Any], /, **arguments: Any) -> PipelineRun:
        """Run one pipeline with Kubeflow's local runner, as a step."""
        arguments["overwrite"] = self.config.overwrite
        with self.step(step):
            finished = run_local(function, arguments, self.out / "pipelines", on_line=show_line)
        for task in finished.tasks:
            key = f"{step}/{task.name}"
            self.tasks[key] = round(self.tasks.get(key, 0.0) + (task.seconds or 0.0), 2)
        return finished


def run_demo(config: DemoConfig) -> DemoResult:
    """Run the whole chain on this machine and write a report; finished work is not redone.

    Parameters
    ----------
    config
        What to run on.

    Returns
    -------
    DemoResult
        Where the report, the pictures and the image are.

    Raises
    ------
    DecloudError
        A step failed; the message names it.
    """
    out = Path(config.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{out}/mlflow.db")
    with ExitStack() as stack:
        demo = _Demo(config, out, _open_bucket(config, out, stack))
        logger.info("%s: everything goes there; data live below %s", out, demo.root)
        with demo.step("products"):
            products = _products(demo)
        with demo.step("bucket"):
            storage.create_bucket(demo.root)
            storage.honours_create_only(demo.root)
            put_products(products, demo.at("raw"))
        return _chain(demo)


def _open_bucket(config: DemoConfig, out: Path, stack: ExitStack) -> str:
    """Return the URI under which all data live; start a server where none is named."""
    if config.endpoint:
        storage.use_environment({"AWS_ENDPOINT_URL": config.endpoint})
    if config.bucket:
        return config.bucket if storage.is_s3(config.bucket) else str(Path(config.bucket).resolve())
    storage.use_environment(stack.enter_context(serve_folder(out / "bucket")).environment)
    return storage.join(BUCKET, _series_name(config))


def _series_name(config: DemoConfig) -> str:
    """Name the products, so that those of several calls lie side by side in one bucket."""
    if config.products:
        place = Path(config.products).resolve()
        return f"{place.name}-{zlib.crc32(str(place).encode()):08x}"
    return f"synthetic-{_size_px(config)}px-seed{config.seed}"


def _size_px(config: DemoConfig) -> int:
    return QUICK_SIZE_PX if config.quick else config.size_px


def _products(demo: _Demo) -> Path:
    config = demo.config
    if config.products:
        return Path(config.products)
    synthetic = SyntheticConfig(seed=config.seed, size_px=_size_px(config))
    return make_products(synthetic, demo.out / _series_name(config) / "products").root


def _chain(demo: _Demo) -> DemoResult:
    """Run the pipelines one after another, then write what people look at."""
    raw, prepared = demo.at("raw"), demo.at("prepared")
    demo.run("preprocessing", preprocessing, products=raw, prepared=prepared, batch=_batch(raw))
    covers = [measure_cover(product) for product in list_s2(f"{prepared}/S2_PREPARE")]
    chosen = choose_cloudy_date(covers)
    by_time = _positions(chosen.product) < FEW_POSITIONS
    _sample(demo, by_time=by_time)
    trained = _train(demo)
    rebuilt = _reconstruct(demo, chosen, trained.model_uri)
    image = demo.out / storage.name_of(rebuilt.image)
    with demo.step("report"):
        storage.download(rebuilt.image, image)
        gallery = draw_gallery(
            demo.out,
            covers,
            chosen,
            Images(rebuilt.image, rebuilt.series, demo.out / _series_name(demo.config) / "truth"),
            rebuilt.s1_dir,
        )
    summary = _summarise(demo, trained, chosen, rebuilt, SPLITS[by_time])
    return _finish(demo, summary.model_copy(update={"reconstruction": str(image)}), gallery)


def show_line(pipeline: str, task: TaskRun, level: int, text: str) -> None:
    """Show what a stage says; of tasks that run once per product, only warnings."""
    if level > logging.INFO or not task.name.startswith("prepare-"):
        logger.log(level, "%s: %s: %s", pipeline, task.name, text)


def _batch(raw: str) -> int:
    """Return the products per task: more than one only where starting tasks would cost more."""
    return max(1, len(storage.list_files(storage.join(raw, "SENTINEL1"))) // 2 // MOST_TASKS)


def _positions(product: PreparedS2) -> int:
    with open_image(product.stack_10m) as reader:
        height, width = reader.grid.shape
    return (height // PATCH_PX) * (width // PATCH_PX)


def _sample(demo: _Demo, *, by_time: bool) -> None:
    demo.run(
        "sampling",
        sampling,
        tiles=demo.at("prepared", "tiles.json"),
        roi_dir=demo.at("prepared", "ROI"),
        share_ground=by_time,
        acquisition_train=LAYOUT,
        output_train=demo.at("samples", LAYOUT, "train"),
        acquisitions_valid=[LAYOUT],
        outputs_valid=[demo.at("samples", LAYOUT, "valid")],
        props=[0.75, 0.25],
        patchsize=PATCH_PX,
        maxntrain=400,
        maxnvalid=80,
        valid_every=VALID_EVERY if by_time else 0,
        seed=demo.config.seed,
    )


def _train(demo: _Demo) -> _Trained:
    """Train, score and register."""
    seconds = QUICK_TRAIN_SECONDS if demo.config.quick else demo.config.train_seconds
    finished = demo.run(
        "training",
        training,
        training_record=demo.at("samples", LAYOUT, "train"),
        valid_records=[demo.at("samples", LAYOUT, "valid")],
        test_records=[demo.at("samples", LAYOUT, "valid")],
        out_savedmodel=demo.at("models"),
        ckpt_dir=demo.at("checkpoints"),
        scores=demo.at("scores"),
        model=MODEL,
        baselines=list(BASELINES),
        learning_rate=1e-3,
        lr_schedule="cosine",
        batch_size_train=4,
        batch_size_valid=16,
        epochs=100,
        time_limit_s=seconds,
        previews=True,
        seed=demo.config.seed,
        experiment="decloud-demo",
        name=demo.config.name,
    )
    run_id = next(
        ref.metadata["run_id"] for ref in finished.artifacts() if "run_id" in ref.metadata
    )
    scores = json.loads(storage.read_bytes(demo.at("scores", "scores.json")))
    found = json.loads(storage.read_bytes(demo.at("scores", "promotion", "promotion.json")))
    promotion = f"{found['outcome']}: {found['reason']}"
    return _Trained(str(finished.output), str(run_id), scores, promotion)


def _reconstruct(demo: _Demo, chosen: Cover, model_uri: str) -> _Rebuilt:
    """Rebuild the chosen date with the new network; it and those around it with the best."""
    product = chosen.product
    common = {
        "s1_dir": demo.at("prepared", "S1_PREPARE", product.tile),
        "s2_dir": demo.at("prepared", "S2_PREPARE", product.tile),
    }
    dem = demo.at("prepared", "DEM_PREPARE", f"{product.tile}.tif")
    if storage.exists(dem):
        common["dem"] = dem
    image = demo.at("reconstructed", f"{product.name}_reconstructed.tif")
    new = {"savedmodel": model_uri, "in_s2": product.uri, "output": image}
    demo.run("reconstruction", reconstruction, **new, **common)
    reach = timedelta(days=SERIES_DAYS)
    finished = demo.run(
        "reconstruction-series",
        reconstruction_series,
        savedmodel=BEST_MODEL,
        out_dir=demo.at("reconstructed", "series"),
        start=(product.acquired - reach).date().isoformat(),
        end=(product.acquired + reach).date().isoformat(),
        **common,
    )
    return _Rebuilt(image, tuple(finished.output), common["s1_dir"])


def _summarise(
    demo: _Demo, trained: _Trained, chosen: Cover, rebuilt: _Rebuilt, split: str
) -> Summary:
    scores = {name: Score(**values) for name, values in trained.scores["scores"].items()}
    memory = psutil.virtual_memory().total / 2**30
    return Summary(
        kind="real" if demo.config.products else "synthetic",
        steps=demo.steps,
        tasks=demo.tasks,
        scores=scores,
        patches=trained.scores["n"],
        split=split,
        date=f"{chosen.product.acquired:%Y-%m-%d}",
        cloud_percent=round(chosen.cloud_percent, 1),
        reconstruction=rebuilt.image,
        series=rebuilt.series,
        model_uri=trained.model_uri,
        promotion=trained.promotion,
        mlflow_tracking_uri=os.environ["MLFLOW_TRACKING_URI"],
        mlflow_run_id=trained.run_id,
        bucket=demo.root,
        code_version=manifest.code_version(),
        machine=f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}",
    )


def _finish(demo: _Demo, summary: Summary, gallery: Gallery) -> DemoResult:
    """Write the report, and the summary last of all."""
    mlflow = Path(sys.executable).with_name("mlflow")
    command = f"{mlflow} ui --backend-store-uri {summary.mlflow_tracking_uri}"
    report, path = demo.out / "report.html", demo.out / "summary.json"
    curves = tracking.metric_curves(summary.mlflow_run_id)
    report.write_text(render(summary, gallery, curves, command), encoding="utf-8")
    path.write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
    logger.info("%s", summary.verdict)
    return DemoResult(report, gallery.before_after, Path(summary.reconstruction), path, command)


demo = stage_command(
    "demo",
    StageCommand(
        "pipelines.demo:DemoConfig:run_demo",
        "Run the whole chain on this machine, with report.",
        "decloud demo --out build/demo\n"
        "decloud demo --products /data/PRODUCTS --bucket s3://mine --endpoint http://127.0.0.1:9000",
    ),
)
