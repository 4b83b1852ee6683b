"""How a fan-out of tasks runs on a cluster: a model of pods, bytes, hours and limits.

Pure arithmetic and a simulation of a queue; nothing is asked of any server.
"""

import heapq
import math
import random
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

GB = 1e9
MEGAPIXEL_PER_TILE = 10980**2 / 1e6
#: Doctor, two or three listings, the list of tiles, the report: of each run of the preprocessing.
_SINGLE_TASKS = 6


class Rates(BaseModel):
    """What the plan takes for granted; each value says whether it was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    s2_read_gb: float = Field(
        1.0, gt=0, description="Read of a Sentinel-2 product (ratio measured)"
    )
    s2_written_gb: float = Field(1.0, gt=0, description="A prepared one (measured)")
    s2_cpu_s: float = Field(20.0, gt=0, description="CPU seconds to prepare it (measured)")
    s1_read_gb: float = Field(0.79, gt=0, description="Read of a Sentinel-1 pair (ratio measured)")
    s1_written_gb: float = Field(0.43, gt=0, description="A prepared one (measured)")
    s1_cpu_s: float = Field(12.0, gt=0, description="CPU seconds to prepare it (measured)")
    dem_cpu_s: float = Field(20.0, gt=0, description="CPU seconds of an elevation (assumed)")
    cores_used: float = Field(
        1.45, gt=0, description="Cores that a preparation keeps busy (measured)"
    )
    files_per_product: int = Field(60, ge=1, description="Files of a Sentinel-2 delivery (Theia's)")
    network_cpu_s: float = Field(
        8.0, gt=0, description="CPU seconds per Mpixel of crga_os2_david (measured)"
    )
    network_gpu_mpixel: float = Field(
        20.0, gt=0, description="Mpixel per second on a GPU (assumed: not measured on any GPU)"
    )
    dates_read: int = Field(3, ge=1, description="Dates of both sensors that rebuild one")
    image_gb: float = Field(0.6, gt=0, description="A rebuilt image (measured)")
    bucket_mb: float = Field(
        80.0, gt=0, description="MB per second of a pod and the bucket (assumed)"
    )
    pod_s: float = Field(20.0, ge=0, description="Start of a pod with its image there (assumed)")
    driver_s: float = Field(5.0, ge=0, description="Life of a driver pod (assumed)")
    import_s: float = Field(10.0, ge=0, description="Import of TensorFlow and a model (measured)")
    spread: float = Field(0.2, ge=0, description="Spread of the time of equal tasks (assumed)")
    failing: float = Field(0.01, ge=0, lt=1, description="Share of tasks tried twice (assumed)")
    vcpu_price: float = Field(0.05, ge=0, description="Of a vCPU hour with its memory (assumed)")
    gpu_price: float = Field(1.0, ge=0, description="Of a GPU hour (assumed)")
    storage_price: float = Field(0.023, ge=0, description="Of a GB and month (assumed)")
    listing_s: float = Field(0.15, ge=0, description="Of a request that lists 1000 keys (assumed)")
    file_bytes: int = Field(
        1000, ge=1, description="Memory per listed file (measured: 372 and more)"
    )
    item_bytes: int = Field(230, ge=1, description="A product in a fan-out list (counted)")
    node_bytes: int = Field(250, ge=1, description="A node of a workflow, compressed (assumed)")
    nodes: int = Field(8, ge=1, description="Nodes of a workflow per loop item (read, not seen)")
    pods: int = Field(3, ge=1, description="Pods per loop item, drivers too: 2.15 (read, not seen)")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be done, and how it is divided."""

    tiles: int
    dates: int
    """Sentinel-2 dates of each tile."""
    s1_dates: int
    batch: int = 1
    """Products per task."""
    dates_per_task: int = 10
    """Dates that one task of the reconstruction rebuilds."""
    tiles_per_run: int = 1
    parallelism: int = 20
    """Items of a loop that run at once."""
    prefixes: int = 1
    """Prefixes that the delivery is spread over; a run lists one of them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of task asks for."""

    cpu: float
    """Cores that it may use."""
    cpu_request: float
    """Cores that are kept, and paid, for it."""
    gpus: int = 0
    memory: float = GB
    """Bytes that it may use."""


@dataclass(frozen=True, slots=True)
class Step:
    """One loop of a pipeline, over all runs."""

    name: str
    tasks: int
    seconds: float
    """Of one task, without the start of its pod."""
    read_gb: float
    """Of all tasks."""
    written_gb: float
    """Of all tasks."""
    shape: Shape
    wall_h: float = 0.0

    def pods(self, rates: Rates) -> int:
        """Return how many pods Kubernetes starts for it."""
        return math.ceil(self.tasks * rates.pods * (1 + rates.failing))

    def hours(self, rates: Rates) -> float:
        """Return how long its pods live, together; drivers too."""
        own = self.seconds + rates.pod_s
        drivers = (rates.pods - 1) * rates.driver_s
        return self.tasks * (own * (1 + rates.failing) + drivers) / 3600

    def cpu_hours(self, rates: Rates) -> float:
        """Return the core hours that are kept for its tasks."""
        return self.tasks * self.seconds * (1 + rates.failing) * self.shape.cpu_request / 3600

    def gpu_hours(self, rates: Rates) -> float:
        """Return the GPU hours that are kept for its tasks."""
        own = self.seconds + rates.pod_s
        return self.tasks * own * (1 + rates.failing) * self.shape.gpus / 3600

    def cost(self, rates: Rates) -> float:
        """Return what its hours cost."""
        return self.cpu_hours(rates) * rates.vcpu_price + self.gpu_hours(rates) * rates.gpu_price


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that a run must stay below."""

    name: str
    value: float
    bound: float
    unit: str
    remedy: str

    @property
    def holds(self) -> bool:
        """Say whether the run stays below it."""
        return self.value <= self.bound


def steps(scope: Scope, rates: Rates, prepare: Shape, rebuild: Shape) -> tuple[Step, ...]:
    """Return the loops of preprocessing and reconstruction with the time that they take.

    Parameters
    ----------
    scope
        What is to be done.
    rates
        What is taken for granted.
    prepare
        What a task of the preparation asks for.
    rebuild
        What a task of the reconstruction asks for.
    """
    rebuilds = math.ceil(scope.dates / scope.dates_per_task)
    per_rebuild = min(scope.dates, scope.dates_per_task)
    radar = _product_s(rates.s1_read_gb, rates.s1_written_gb, rates.s1_cpu_s, rates, prepare)
    optical = _product_s(rates.s2_read_gb, rates.s2_written_gb, rates.s2_cpu_s, rates, prepare)
    n_s1, n_s2 = scope.tiles * scope.s1_dates, scope.tiles * scope.dates
    one_gb = rates.dates_read * (rates.s1_written_gb + rates.s2_written_gb)
    loops = (
        Step("prepare-s1", scope.tiles * math.ceil(scope.s1_dates / scope.batch),
             radar * min(scope.batch, scope.s1_dates), n_s1 * rates.s1_read_gb,
             n_s1 * rates.s1_written_gb, prepare),
        Step("prepare-s2", scope.tiles * math.ceil(scope.dates / scope.batch),
             optical * min(scope.batch, scope.dates), n_s2 * rates.s2_read_gb,
             n_s2 * rates.s2_written_gb, prepare),
        Step("prepare-dem", scope.tiles, rates.dem_cpu_s, scope.tiles * 0.05, scope.tiles * 0.03,
             prepare),
        Step("reconstruct", scope.tiles * rebuilds,
             rates.import_s + per_rebuild * _image_s(one_gb, rates, rebuild), n_s2 * one_gb,
             n_s2 * rates.image_gb, rebuild),
    )  # fmt: skip
    return tuple(_timed(step, scope, rates) for step in loops)


def limits(scope: Scope, rates: Rates, small: Shape, found: tuple[Step, ...]) -> tuple[Limit, ...]:
    """Return what one run of the preprocessing must stay below.

    Parameters
    ----------
    scope
        What is to be done.
    rates
        What is taken for granted.
    small
        What a listing asks for.
    found
        The loops.
    """
    share = min(scope.tiles_per_run / scope.tiles, 1.0)
    widest = max(step.tasks for step in found[:2]) * share
    tasks = sum(step.tasks for step in found[:3]) * share
    products = scope.tiles * (scope.dates * rates.files_per_product + 2 * scope.s1_dates)
    listed = products / scope.prefixes
    at_once = 2 * scope.parallelism * 2 + _SINGLE_TASKS
    return (
        Limit("files listed at once", listed, small.memory / rates.file_bytes, "files",
              "one prefix per zone, each a run of its own: --prefixes"),
        Limit("time of a listing", listed / 1000 * rates.listing_s / 60, 30, "min",
              "the same"),
        Limit("list of a fan-out", widest * scope.batch * rates.item_bytes / 1e6, 4, "MB",
              "fewer tiles per run: --tiles-per-run"),
        Limit("workflow object in etcd", tasks * rates.nodes * rates.node_bytes / 1e6, 1, "MB",
              "fewer tiles per run, or more products per task: --batch"),
        Limit("width of a loop", widest, 2000, "items", "fewer tiles per run"),
        Limit("pods at once", at_once, 100, "pods",
              "the quota of the namespace, or less parallelism: the profile"),
    )  # fmt: skip


def largest_run(scope: Scope, rates: Rates, small: Shape, prepare: Shape) -> int:
    """Return the most tiles of a run that keep the limits that depend on them; at least one."""
    low, high = 1, scope.tiles
    while low < high:
        middle = (low + high + 1) // 2
        tried = replace(scope, tiles_per_run=middle)
        loops = tuple(
            Step(name, scope.tiles * math.ceil(n / scope.batch), 0, 0, 0, prepare)
            for name, n in (("s1", scope.s1_dates), ("s2", scope.dates), ("dem", scope.batch))
        )
        _, _, *mine, _ = limits(tried, rates, small, loops)
        low, high = (middle, high) if all(limit.holds for limit in mine) else (low, middle - 1)
    return low


def simulate(tasks: int, seconds: float, parallelism: int, rates: Rates, seed: int = 0) -> float:
    """Return how long a loop takes, s, when each free place takes the next task.

    Parameters
    ----------
    tasks
        Number of equal tasks.
    seconds
        Mean time of one.
    parallelism
        Places.
    rates
        Start of pods, spread (log-normal) and share of tasks that run twice.
    seed
        Of the spread.
    """
    draw = random.Random(seed)
    sigma = math.sqrt(math.log1p(rates.spread**2))
    places = [0.0] * min(parallelism, max(tasks, 1))
    for _ in range(tasks):
        once = seconds * draw.lognormvariate(-(sigma**2) / 2, sigma) + rates.pod_s
        times = 2 if draw.random() < rates.failing else 1
        overhead = (rates.pods - 1) * rates.driver_s
        heapq.heapreplace(places, places[0] + times * once + overhead)
    return max(places)


def _product_s(read: float, written: float, cpu_s: float, rates: Rates, shape: Shape) -> float:
    """Return the seconds of one product: through the wire, and computed."""
    return (read + written) * 1000 / rates.bucket_mb + cpu_s / min(shape.cpu, rates.cores_used)


def _image_s(read: float, rates: Rates, shape: Shape) -> float:
    """Return the seconds of one rebuilt image; reading overlaps with the network."""
    if shape.gpus:
        computed = MEGAPIXEL_PER_TILE / (rates.network_gpu_mpixel * shape.gpus)
    else:
        computed = MEGAPIXEL_PER_TILE * rates.network_cpu_s / shape.cpu
    return max(computed, read * 1000 / rates.bucket_mb) + rates.image_gb * 1000 / rates.bucket_mb


def _timed(step: Step, scope: Scope, rates: Rates) -> Step:
    """Simulate one run and multiply: runs follow each other."""
    runs = math.ceil(scope.tiles / scope.tiles_per_run)
    per_run = math.ceil(step.tasks / runs)
    one = simulate(per_run, step.seconds, scope.parallelism, rates)
    return replace(step, wall_h=one * runs / 3600)
