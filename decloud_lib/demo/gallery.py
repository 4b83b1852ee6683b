"""The demo's pictures: one date before and after, and the dates around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from decloud_lib import storage
from decloud_lib.arrays.pictures import Picture, radar_colour
from decloud_lib.bands import S1_BANDS
from decloud_lib.demo.choice import Cover, nearest_clear
from decloud_lib.demo.pictures import (
    Panel,
    central_window,
    draw_panels,
    read_true_colour,
)
from decloud_lib.raster.products.prepared import PreparedS2, list_s1
from decloud_lib.raster.read import read_bands
from decloud_lib.raster.views import open_image
from decloud_lib.types import Window

#: Shown pixel by pixel, so not more than fits a panel.
PICTURE_PX = 512
_SERIES_DATES = 4


@dataclass(frozen=True)
class Gallery:
    """Pictures on disk."""

    before_after: Path
    series: Path | None
    """None when no other date was rebuilt."""


@dataclass(frozen=True)
class Images:
    """What the pictures are made of."""

    reconstruction: str
    """URI of the image of the chosen date, by the network that was trained."""
    series: tuple[str, ...]
    """URIs of the images of that date and those around it, by the network of the package."""
    truth: Path
    """Folder of cloud-free images; need not be there."""


def draw_gallery(
    out: Path,
    covers: Sequence[Cover],
    chosen: Cover,
    images: Images,
    s1_dir: str,
) -> Gallery:
    """Draw `before_after.png` and `series.png`.

    Parameters
    ----------
    out
        Folder of the pictures.
    covers
        All prepared dates.
    chosen
        The date that was rebuilt.
    images
        What was rebuilt.
    s1_dir
        Prepared Sentinel-1 tile folder.
    """
    with open_image(images.reconstruction) as reader:
        window = central_window(reader.grid, PICTURE_PX)
        rebuilt = read_true_colour(reader, window)
    product = chosen.product
    cloudy = f"cloudy input: {_day(product)} ({chosen.cloud_percent:.0f} %)"
    panels = [
        *_neighbour(covers, chosen, window, after=False),
        Panel(cloudy, _picture(product, window)),
        *_neighbour(covers, chosen, window, after=True),
        _radar_panel(s1_dir, product, window),
        Panel(f"new network: {_day(product)}", rebuilt),
        *(
            Panel(f"residual: {_day(product)}", _read(uri, window))
            for uri in images.series
            if _product_of(uri) == product.name
        ),
    ]
    truth = images.truth / f"{product.name}_truth.tif"
    if truth.exists():
        panels.append(Panel(f"truth: {_day(product)}", _read(str(truth), window)))
    before_after = out / "before_after.png"
    draw_panels(panels, before_after, columns=4)
    return Gallery(before_after, _draw_series(out, covers, images.series, window))


def _neighbour(
    covers: Sequence[Cover], chosen: Cover, window: Window, *, after: bool
) -> list[Panel]:
    found = nearest_clear(covers, chosen, after=after)
    if found is None:
        return []
    side = "after" if after else "before"
    title = f"clear date {side}: {_day(found.product)}"
    return [Panel(title, _picture(found.product, window))]


def _draw_series(
    out: Path, covers: Sequence[Cover], series: Sequence[str], window: Window
) -> Path | None:
    by_name = {cover.product.name: cover for cover in covers}
    rebuilt = {by_name[_product_of(uri)]: uri for uri in series}
    in_order = sorted(rebuilt.items(), key=lambda item: item[0].product.acquired)
    inputs, outputs = [], []
    for cover, uri in in_order[:_SERIES_DATES]:
        label = f"{_day(cover.product)}, {cover.cloud_percent:.0f} % cloud"
        inputs.append(Panel(label, _picture(cover.product, window)))
        outputs.append(Panel("residual", _read(uri, window)))
    if not inputs:
        return None
    path = out / "series.png"
    draw_panels([*inputs, *outputs], path, columns=len(inputs))
    return path


def _product_of(uri: str) -> str:
    return storage.name_of(uri).removesuffix("_reconstructed.tif")


def _picture(product: PreparedS2, window: Window) -> Picture:
    return _read(product.stack_10m, window)


def _read(uri: str, window: Window) -> Picture:
    with open_image(uri) as reader:
        return read_true_colour(reader, window)


def _radar_panel(s1_dir: str, product: PreparedS2, window: Window) -> Panel:
    nearest = min(list_s1(s1_dir), key=lambda image: abs(image.acquired - product.acquired))
    with open_image(nearest.uri) as reader:
        picture = radar_colour(read_bands(reader, S1_BANDS, window))
    return Panel(f"radar: {nearest.acquired:%Y-%m-%d} (VV, VH, ratio)", picture)


def _day(product: PreparedS2) -> str:
    return f"{product.acquired:%Y-%m-%d}"
