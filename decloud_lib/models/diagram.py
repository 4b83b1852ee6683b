"""The layers of a network as a picture, drawn without Graphviz."""

from collections.abc import Iterator
from typing import Any

import keras
from PIL import Image, ImageDraw, ImageFont

_BOX = (210, 34)
_GAP = (18, 30)
_LINE = (120, 120, 120)
_FILL = {
    "InputLayer": (214, 232, 214),
    "Conv2D": (214, 224, 244),
    "Conv2DTranspose": (244, 226, 214),
}
_OTHER = (240, 240, 240)


def draw_layers(model: keras.Model) -> Image.Image:
    """Draw each use of a layer as a box, inputs above, a line per tensor.

    Parameters
    ----------
    model
        A functional network.

    Notes
    -----
    A row holds what can be computed after the rows above it: the depth of a box is the longest way
    to it from an input. A layer that is used several times, such as a shared encoder, has a box
    per use.
    """
    uses = _uses(model)
    depth: dict[tuple[str, int], int] = {}
    for use in uses:
        depth[use] = _depth(use, uses, depth)
    rows: dict[int, list[tuple[str, int]]] = {}
    for use in uses:
        rows.setdefault(depth[use], []).append(use)
    columns = max(len(row) for row in rows.values())
    width = columns * (_BOX[0] + _GAP[0]) + _GAP[0]
    image = Image.new("RGB", (width, len(rows) * (_BOX[1] + _GAP[1]) + _GAP[1]), "white")
    places = {
        use: (
            (width - len(row) * (_BOX[0] + _GAP[0]) + _GAP[0]) // 2 + place * (_BOX[0] + _GAP[0]),
            _GAP[1] + level * (_BOX[1] + _GAP[1]),
        )
        for level, row in rows.items()
        for place, use in enumerate(row)
    }
    kinds = {layer.name: type(layer).__name__ for layer in model.layers}
    _draw(ImageDraw.Draw(image), uses, places, kinds)
    return image


def _draw(
    pen: ImageDraw.ImageDraw,
    uses: dict[tuple[str, int], list[tuple[str, int]]],
    places: dict[tuple[str, int], tuple[int, int]],
    kinds: dict[str, str],
) -> None:
    font = ImageFont.load_default(12)
    for use, sources in uses.items():
        x, y = places[use]
        for source in sources:
            from_x, from_y = places[source]
            line = (from_x + _BOX[0] // 2, from_y + _BOX[1], x + _BOX[0] // 2, y)
            pen.line(line, fill=_LINE, width=1)
    for (name, _), (x, y) in places.items():
        kind = kinds.get(name, "")
        corner = (x, y, x + _BOX[0], y + _BOX[1])
        pen.rectangle(corner, fill=_FILL.get(kind, _OTHER), outline=_LINE)
        pen.text((x + 6, y + 3), name[:34], fill="black", font=font)
        pen.text((x + 6, y + 17), kind, fill=_LINE, font=font)


def _uses(model: keras.Model) -> dict[tuple[str, int], list[tuple[str, int]]]:
    """Return (layer, number of its use) -> the uses that it takes its inputs from."""
    uses = {}
    for layer in model.get_config()["layers"]:
        nodes = layer["inbound_nodes"] or [None]
        for number, node in enumerate(nodes):
            uses[layer["name"], number] = list(_sources(node))
    return {use: [source for source in sources if source in uses] for use, sources in uses.items()}


def _sources(node: Any) -> Iterator[tuple[str, int]]:
    """Yield the origins of the tensors in the arguments of a call, wherever they are nested."""
    if isinstance(node, dict):
        history = node.get("config", {}).get("keras_history") if "config" in node else None
        if history:
            yield history[0], history[1]
            return
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for part in node:
            yield from _sources(part)


def _depth(
    use: tuple[str, int],
    uses: dict[tuple[str, int], list[tuple[str, int]]],
    known: dict[tuple[str, int], int],
) -> int:
    if use not in known:
        sources = uses[use]
        known[use] = 1 + max((_depth(source, uses, known) for source in sources), default=-1)
    return known[use]
