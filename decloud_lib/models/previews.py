"""Pictures of a batch: what went in, what should come out, what came out."""

from collections.abc import Mapping

import numpy as np

from decloud_lib.bands import S2_10M_BANDS
from decloud_lib.models.keys import kind_of
from decloud_lib.types import Array

MAX_SAMPLES = 4
THUMBNAIL_PX = 48
"""Side of one picture of a thumbnail."""
_TRUE_COLOUR = [S2_10M_BANDS.index(name) for name in ("B4", "B3", "B2")]
_GAP_PX = 4
#: Optical dates of all layouts, earliest first.
_SHOWN = (
    *(f"s2_t{month}" for month in range(6)),
    *(f"s2_{date}" for date in ("tm2", "tm1", "t", "tp1", "tp2")),
)


def can_draw(target_key: str) -> bool:
    """Say whether a target has the bands of a picture."""
    return kind_of(target_key).bands == S2_10M_BANDS


def side_by_side(inputs: Mapping[str, Array], target: Array, estimate: Array) -> Array:
    """Draw the first samples of a batch, one per row: optical inputs, target, estimate.

    Parameters
    ----------
    inputs
        Key -> stored values; the optical images among them are shown, earliest first.
    target, estimate
        (N, H, W, 4) reflectance.

    Returns
    -------
    (rows, columns, 3) uint8, true colour. Each row is stretched by the mean and two standard
    deviations of its *target*, band by band, so the pictures of a row can be compared.
    """
    optical = [np.asarray(inputs[key]) * 1e-4 for key in _SHOWN if key in inputs]
    columns = [*optical, np.asarray(target), np.asarray(estimate)]
    rows = []
    for index in range(min(MAX_SAMPLES, len(target))):
        truth = columns[-2][index][..., _TRUE_COLOUR]
        low, high = _stretch(truth)
        pictures = [(image[index][..., _TRUE_COLOUR] - low) / (high - low) for image in columns]
        rows.append(np.concatenate([_framed(picture) for picture in pictures], axis=1))
    return np.concatenate(rows, axis=0)


def thumbnail(inputs: Mapping[str, Array], target: Array, estimate: Array) -> Array:
    """Draw the first sample of a batch small: the cloudy date where there is one, estimate, target.

    Parameters
    ----------
    inputs, target, estimate
        As in `side_by_side`.

    Returns
    -------
    (THUMBNAIL_PX, columns, 3) uint8, true colour.
    """
    cloudy = [np.asarray(inputs["s2_t"]) * 1e-4] if "s2_t" in inputs else []
    low, high = _stretch(np.asarray(target)[0][..., _TRUE_COLOUR])
    pictures = []
    for image in (*cloudy, np.asarray(estimate), np.asarray(target)):
        step = max(1, image.shape[1] // THUMBNAIL_PX)
        small = _block_means(image[0][..., _TRUE_COLOUR], step)[:THUMBNAIL_PX, :THUMBNAIL_PX]
        pictures.append(_framed((small - low) / (high - low)))
    return np.concatenate(pictures, axis=1)


def _block_means(image: Array, step: int) -> Array:
    height, width = (side // step * step for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // step, step, width // step, step, -1)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _stretch(image: Array) -> tuple[Array, Array]:
    mean, deviation = image.mean(axis=(0, 1)), np.maximum(image.std(axis=(0, 1)), 1e-4)
    return mean - 2.0 * deviation, mean + 2.0 * deviation


def _framed(picture: Array) -> Array:
    # An estimate that is no number is black: it is scored, and told, elsewhere.
    known = np.nan_to_num(picture, nan=0.0)
    pixels = np.round(np.clip(known, 0.0, 1.0) * 255.0).astype(np.uint8)
    border = ((0, _GAP_PX), (0, _GAP_PX), (0, 0))
    return np.pad(pixels, border, constant_values=255)
