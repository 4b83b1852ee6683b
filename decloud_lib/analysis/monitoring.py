"""Compare the tables of what is served with what a network was trained on."""

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from decloud_lib import storage
from decloud_lib.analysis.charts import DPI
from decloud_lib.analysis.parts import Figure as Picture
from decloud_lib.analysis.parts import Part, Table
from decloud_lib.arrays.drift import chance_level, merge_bins, population_stability
from decloud_lib.errors import ConfigError
from decloud_lib.samples.profile import Histogram, Profile

SELF_CHECK = "self_check/"
_READERS = 8
_TRAINED, _SERVED, _ALARM = "#6b7b86", "#2c7fb8", "#c0392b"
_MOST_PICTURES = 24


@dataclass(frozen=True, slots=True)
class Product:
    """The table of one rebuilt date."""

    name: str
    tile: str
    acquired: datetime
    made: datetime
    model_uri: str
    histograms: dict[str, Histogram]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature, compared."""

    feature: str
    index: float
    """Population stability index."""
    chance: float
    """What it stays below by chance, with 95 %."""
    moved: bool
    trained: Histogram
    served: Histogram


def read_products(folder: str, since: date | None = None) -> list[Product]:
    """Read the tables below a folder, sorted by date of acquisition.

    Parameters
    ----------
    folder
        Where the reconstruction writes its tables.
    since
        Nothing that was rebuilt before this day, UTC.

    Raises
    ------
    ConfigError
        A file that is no such table.
    """
    names = [entry.uri for entry in storage.list_files(folder) if entry.uri.endswith(".parquet")]
    with ThreadPoolExecutor(_READERS) as pool:
        products = list(pool.map(_read_product, names))
    chosen = [item for item in products if since is None or item.made.date() >= since]
    return sorted(chosen, key=lambda item: (item.acquired, item.name))


def compare_features(
    profile: Profile, products: Sequence[Product], threshold: float
) -> list[Drift]:
    """Compare each feature that both sides have; the most moved comes first.

    Parameters
    ----------
    profile
        Of the training; all samples of the same dates count as one independent item.
    products
        What was served; each counts as one independent item, however many pixels it has.
    threshold
        A feature has moved when its index is above this, and above what chance makes.
    """
    found = []
    for name, trained in profile.features.items():
        parts = [item.histograms[name] for item in products if name in item.histograms]
        served = _sum(parts)
        if served is None or served.edges != trained.edges or not sum(served.counts):
            continue
        if not sum(trained.counts):
            continue
        expected, actual = merge_bins(np.array(trained.counts), np.array(served.counts))
        index = population_stability(expected, actual)
        independent = profile.moments or profile.items
        chance = chance_level(len(expected), independent, len(parts))
        moved = index > max(threshold, chance)
        found.append(Drift(name, index, chance, moved, trained, served))
    return sorted(found, key=lambda item: (not item.moved, -item.index, item.feature))


def drift_part(drifts: Sequence[Drift], threshold: float) -> Part:
    """Return the table and the pictures of the comparison."""
    rows = tuple(
        (
            item.feature,
            item.index,
            item.chance,
            item.trained.mean,
            item.served.mean,
            _word(item, threshold),
        )
        for item in drifts
    )
    table = Table(
        "drift",
        "Features of the inputs",
        ("feature", "PSI", "by chance below", "trained, mean", "served, mean", "verdict"),
        rows,
        note="PSI: population stability index over the same bins, those of few training samples "
        f"joined. Moved: above {threshold:g} and above what chance makes of so few images. Means "
        "are those of the bins: percent, days, hours, stored values.",
        marked=tuple(number for number, item in enumerate(drifts) if item.moved),
        alarming=True,
    )
    caption = (
        "Grey: trained on. Line: served; red where it has moved. Density, each with its own height."
    )
    pictures = (
        [Picture("features", "Distributions", caption, draw_drifts(drifts))] if drifts else []
    )
    moved = [item.feature for item in drifts if item.moved]
    return Part(
        key="drift",
        title="Inputs",
        text=f"{len(moved)} of {len(drifts)} features have moved.",
        tables=(table,),
        figures=tuple(pictures),
        numbers={item.feature: item.index for item in drifts},
    )


def check_part(products: Sequence[Product], trained_mae: float | None) -> Part:
    """Return the self-check of each product: how well clear pixels of the very date are met."""
    names = ("pixels", "mae", "bias", "psnr_db", "coverage_90")
    rows = tuple(
        (
            item.name,
            f"{item.acquired:%Y-%m-%d}",
            *(item.values.get(SELF_CHECK + name) for name in names),
        )
        for item in products
    )
    table = Table(
        "self_check",
        "Error on the clear pixels of the date itself",
        ("product", "date", "clear pixels", "MAE", "bias", "PSNR, dB", "within 90 % interval"),
        rows,
        note="Reflectance, 0-1. Empty where the clear pixels were kept, or where there are none.",
    )
    figures = []
    if any(SELF_CHECK + "mae" in item.values for item in products):
        caption = "Mean absolute error on clear pixels, by date of acquisition."
        figures = [Picture("errors", "Self-check", caption, draw_checks(products, trained_mae))]
    return Part(
        key="self_check",
        title="Self-check",
        text="A network sees the clear pixels of the date, where its layout gives it that image: "
        "the error there is smaller than under clouds. It tells when something breaks, not how "
        "good the filled pixels are.",
        tables=(table,),
        figures=tuple(figures),
        numbers={},
    )


def draw_drifts(drifts: Sequence[Drift]) -> bytes:
    """Draw the distributions of the most moved features beside each other."""
    shown = drifts[:_MOST_PICTURES]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.0 * rows), layout="constrained", dpi=DPI)
    for number, item in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, number)
        colour = _ALARM if item.moved else _SERVED
        for histogram, shade, filled in (
            (item.trained, _TRAINED, True),
            (item.served, colour, False),
        ):
            # Bins differ in width: what is drawn is the density.
            density = np.asarray(histogram.counts, float) / np.diff(histogram.edges)
            axes.stairs(
                density / density.max(), histogram.edges, color=shade, fill=filled,
                alpha=0.45 if filled else 1.0, linewidth=1.4,
            )  # fmt: skip
        axes.set_title(f"{item.feature}  {item.index:.2f}", fontsize=8, color=colour)
        axes.tick_params(labelsize=7)
        axes.set_yticks([])
    return _png(figure)


def draw_checks(products: Sequence[Product], trained_mae: float | None) -> bytes:
    """Draw the error of the self-check over the dates."""
    name = SELF_CHECK + "mae"
    known = [item for item in products if name in item.values]
    figure = Figure(figsize=(9.5, 2.6), layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    days = date2num([item.acquired for item in known])
    errors = [item.values[name] for item in known]
    axes.plot(days, errors, "o-", color=_SERVED, markersize=4, linewidth=1)
    if trained_mae is not None:
        axes.axhline(trained_mae, color=_TRAINED, linestyle="--", linewidth=1)
        axes.annotate("validation", (0.01, trained_mae), xycoords=("axes fraction", "data"),
                      fontsize=8, color=_TRAINED, va="bottom")  # fmt: skip
    axes.xaxis_date()
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MAE, reflectance", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, linewidth=0.6)
    return _png(figure)


def _read_product(uri: str) -> Product:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows = parquet.read_table(io.BytesIO(storage.read_bytes(uri))).to_pylist()
        first = rows[0]
        return Product(
            name=first["product"],
            tile=first["tile"],
            acquired=first["acquired"],
            made=first["made"],
            model_uri=first["model_uri"],
            histograms={
                row["feature"]: Histogram(edges=row["edges"], counts=row["counts"])
                for row in rows
                if row["counts"] is not None
            },
            values={row["feature"]: row["value"] for row in rows if row["value"] is not None},
        )
    except (pa.ArrowException, KeyError, IndexError) as error:
        raise ConfigError(
            f"{uri}: no table of a reconstruction ({error}); expected files that "
            "`decloud reconstruct --statistics` writes"
        ) from error


def _sum(parts: Iterable[Histogram]) -> Histogram | None:
    total: Histogram | None = None
    for part in parts:
        total = part if total is None else total + part
    return total


def _word(item: Drift, threshold: float) -> str:
    if item.moved:
        return "MOVED"
    return "may be chance" if item.index > threshold else "stable"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
