"""Gap filling fitted to the date: what is visible of a date says how it differs from interpolation.

A date differs from the interpolation between its clear neighbours by haze, light, moisture and
growth. Where the date is visible that difference is known; a ridge regression on what the
neighbours show carries it over to the hidden pixels.

The fit needs only sums over pixels (`accumulate`), which add up over blocks: a whole tile is
fitted in one pass (`fit_grid`). The sums are kept in four interleaved folds of 8 px blocks, so that
the strength of the regularisation is chosen by how well blocks are predicted that the fit has not
seen. Leaving out single pixels, as generalised cross-validation does, is too kind: neighbouring
pixels err alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.fit_planes import planes_of
from decloud_lib.arrays.masks import grow
from decloud_lib.arrays.temporal import Neighbours
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

FOLDS = 4
FOLD_BLOCK_PX = 8
MIN_VISIBLE_PX = 128
"""Fewer visible pixels than this, about three per feature: linear interpolation."""
RIM_PX = 5
"""Visible pixels within this distance of hidden ones may be hazy or shaded, and are looked at."""
OUTLIER = 8.0
"""Largest error of a pixel of the rim, in units of the error elsewhere. On the real series, with
haze and shadow simulated around the gaps, and without: 4 gives 33.4 and 34.1 dB, 8 gives 32.8 and
34.7, no look at all 30.7 and 34.9."""
PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 3))
"""Candidates, relative to the number of pixels and the variance of each feature."""
FEW_PENALTIES = PENALTIES[::4]
"""Enough to tell haze and shadow from ground, which `trusted_sums` does."""
_TINY = 1e-12
_PIECE, _LONG_PIECE = 128, 1024


def fit_features(neighbours: Neighbours, radar_change: Array | None = None) -> Array:
    """Return what a fit predicts from: estimate, differences of the dates, local means, radar.

    Parameters
    ----------
    neighbours
        Two images before and two after the date.
    radar_change : (H, W, 2) float
        VV and VH of the date less their interpolation between the neighbours, on a logarithmic
        scale; 0 where not known. None leaves radar out: the columns are 0.

    Returns
    -------
    (H, W, 43) float32 for four bands: a 1, the linear estimate, differences of the four images to
    it, the 5 px means of all these, and those of the radar change.
    """
    return np.moveaxis(planes_of(neighbours, radar_change).features(), 1, 2)


@dataclass(frozen=True, slots=True)
class FitSums:
    """Sums over visible pixels, all that a fit needs; those of two areas add up.

    Leading axes, if any, are areas that are fitted on their own.
    """

    gram: Array
    """(..., FOLDS, F, F) float64, sums of products of features."""
    cross: Array
    """(..., FOLDS, F, B) float64, sums of products of features and differences."""
    energy: Array
    """(..., FOLDS, B) float64, sums of squared differences."""

    @property
    def count(self) -> Array:
        """(...,) float64, how many pixels were summed up."""
        return np.asarray(self.gram[..., 0, 0].sum(axis=-1))

    def __add__(self, other: "FitSums") -> "FitSums":
        return FitSums(self.gram + other.gram, self.cross + other.cross, self.energy + other.energy)


def accumulate(
    features: Array, difference: Array, visible: Array, origin: tuple[int, int] = (0, 0)
) -> FitSums:
    """Sum up what a fit needs over one block of pixels.

    Parameters
    ----------
    features : (H, W, F) float
        See `fit_features`.
    difference : (H, W, B) float
        The date less its linear estimate, reflectance; any value where not visible.
    visible : (H, W) bool
        True where the date shows the ground and the estimate exists.
    origin
        Row and column of the first pixel in the whole image: decides the fold of each pixel.

    Raises
    ------
    ShapeError
        The arrays differ in height and width.
    """
    if not features.shape[:2] == difference.shape[:2] == visible.shape:
        raise ShapeError(
            f"features {features.shape}, differences {difference.shape} and mask {visible.shape}; "
            "expected one height and width"
        )
    folds = fold_numbers(visible.shape, origin)[visible]
    everything = np.ones_like(folds, bool)
    return _accumulated(features[visible], difference[visible], folds, everything)


def _accumulated(features: Array, difference: Array, folds: Array, chosen: Array) -> FitSums:
    """Sum up over the chosen ones of N pixels: (N, F) features, (N, B) differences, (N,) folds."""
    grams, crosses, energies = [], [], []
    for fold in range(FOLDS):
        numbers = np.flatnonzero(chosen & (folds == fold))
        x, y = (part[numbers].astype(np.float64) for part in (features, difference))
        grams.append(_product(x, x))
        crosses.append(_product(x, y))
        energies.append((y * y).sum(axis=0))
    return FitSums(np.stack(grams), np.stack(crosses), np.stack(energies))


def _product(x: Array, y: Array) -> Array:
    """Return x^T y, (F, B), of (N, F) and (N, B), by short pieces.

    A product of few columns and a million rows is cut up among threads that wait for each other:
    on a busy machine it takes twenty times as long as its pieces.
    """
    first = len(x) % _PIECE
    total = x[:first].T @ y[:first]
    of_x, of_y = (part[first:].reshape(-1, _PIECE, part.shape[1]) for part in (x, y))
    for start in range(0, len(of_x), _PIECE):
        part = slice(start, start + _PIECE)
        total += np.matmul(of_x[part].swapaxes(1, 2), of_y[part]).sum(axis=0)
    return total


def fold_numbers(shape: tuple[int, int], origin: tuple[int, int] = (0, 0)) -> Array:
    """Return (H, W) fold of each pixel, 0..3: blocks of 8 px, two by two."""
    rows = (np.arange(shape[0]) + origin[0]) // FOLD_BLOCK_PX % 2
    cols = (np.arange(shape[1]) + origin[1]) // FOLD_BLOCK_PX % 2
    return np.asarray(2 * rows[:, None] + cols[None, :])


def solve(sums: FitSums, penalties: Sequence[float] = PENALTIES) -> Array:
    """Fit the differences, each band with the penalty that predicts unseen blocks best.

    Parameters
    ----------
    sums
        Of one area, or of several.
    penalties
        Candidates, see `PENALTIES`.

    Returns
    -------
    (..., F, B) float64 coefficients. All 0, which is linear interpolation, where fewer than
    `MIN_VISIBLE_PX` pixels are visible, and for a band whose unseen blocks no fit predicts better.

    Notes
    -----
    Ridge regression on standardised features with a free constant (Hoerl and Kennard, 1970).
    """
    strengths = np.asarray(penalties)
    count = sums.gram[..., 0, 0].sum(axis=-1)
    gram, cross = sums.gram.sum(axis=-3), sums.cross.sum(axis=-3)
    diagonal = _penalty_diagonal(gram)
    errors = np.zeros((*count.shape, strengths.size, cross.shape[-1]))
    for fold in range(FOLDS):
        unseen_gram, unseen_cross = sums.gram[..., fold, :, :], sums.cross[..., fold, :, :]
        found = _ridge(gram - unseen_gram, cross - unseen_cross, diagonal, strengths)
        errors += sums.energy[..., fold, :][..., None, :]
        # x' (G x - 2 c), the same for each band.
        slopes = unseen_gram[..., None, :, :] @ found - 2.0 * unseen_cross[..., None, :, :]
        errors += (found * slopes).sum(axis=-2)
    best = errors.argmin(axis=-2)
    fitted = _ridge(gram, cross, diagonal, strengths)
    chosen = np.take_along_axis(fitted, best[..., None, None, :], axis=-3)[..., 0, :, :]
    better = errors.min(axis=-2) < sums.energy.sum(axis=-2)
    keep = better & (count >= MIN_VISIBLE_PX)[..., None]
    return np.asarray(np.where(keep[..., None, :], chosen, 0.0))


def apply(features: Array, coefficients: Array) -> Array:
    """Return the (..., B) float32 correction of the linear estimate."""
    return np.asarray(features @ coefficients.astype(np.float32))


def fill_gap(
    neighbours: Neighbours, radar_change: Array | None, image: Array, visible: Array
) -> Array:
    """Estimate a partly hidden date: linear interpolation, corrected by a fit to what is visible.

    Parameters
    ----------
    neighbours
        Clear images around the date.
    radar_change : (H, W, 2) float
        See `fit_features`.
    image : (H, W, B) float
        The date, reflectance; any value where hidden.
    visible : (H, W) bool
        True where the date shows the ground.

    Returns
    -------
    (H, W, B) float32 reflectance, everywhere; visible pixels are estimated too.
    """
    features = fit_features(neighbours, radar_change)
    linear = neighbours.linear
    usable = visible & neighbours.found
    sums = trusted_sums(
        features[usable],
        (image - linear)[usable],
        sure_pixels(usable)[usable],
        fold_numbers(usable.shape)[usable],
    )
    return np.asarray(linear + apply(features, solve(sums)))


def sure_pixels(usable: Array) -> Array:
    """Return the (H, W) bool usable pixels that have no other ones within `RIM_PX`."""
    return usable & ~grow(~usable, RIM_PX)


def trusted_sums(
    features: Array,
    difference: Array,
    sure: Array,
    folds: Array,
    penalties: Sequence[float] = PENALTIES,
) -> FitSums:
    """Sum up what a fit needs over the usable pixels that can be trusted.

    Parameters
    ----------
    features : (N, F) float
        See `fit_features`; of one pixel after the other.
    difference : (N, B) float
        See `accumulate`.
    sure : (N,) bool
        See `sure_pixels`.
    folds : (N,) int
        See `fold_numbers`.
    penalties
        Candidates for the fit that tells which pixels can be trusted.
    """
    sums = _accumulated(features, difference, folds, sure)
    coefficients = solve(sums, penalties)
    error = difference.copy()
    for start in range(0, len(error), _LONG_PIECE):  # see `_product`
        part = slice(start, start + _LONG_PIECE)
        error[part] -= apply(features[part], coefficients)
    more = trusted_pixels(error, np.ones_like(sure), sure) & ~sure
    return sums + _accumulated(features, difference, folds, more)


def trusted_pixels(error: Array, usable: Array, sure: Array) -> Array:
    """Say which visible pixels a fit may learn from: not the haze and shadow that masks miss.

    Parameters
    ----------
    error : (..., B) float
        Of a first fit, to the sure pixels alone.
    usable : (...) bool
        Visible, with an estimate.
    sure : (...) bool
        Those of them that are far from the gap.

    Returns
    -------
    (...) bool: the sure pixels, and those of the rim that the first fit predicts about as well.
    All that are usable where fewer than `MIN_VISIBLE_PX` are sure.
    """
    if np.count_nonzero(sure) < MIN_VISIBLE_PX:
        return usable
    unit = np.sqrt(np.mean(np.square(error[sure]), axis=0))
    return np.asarray(sure | (usable & (np.abs(error) <= OUTLIER * unit).all(axis=-1)))


def _penalty_diagonal(gram: Array) -> Array:
    """Return (..., F): pixels times the variance of each feature; the constant is free."""
    count = np.maximum(gram[..., 0, 0], 1.0)[..., None]
    squares = np.diagonal(gram, axis1=-2, axis2=-1)
    variance = squares - gram[..., 0, :] ** 2 / count
    floor = _TINY * np.maximum(count, squares)
    return np.asarray(np.maximum(variance, floor) * _is_penalised(gram))


def _is_penalised(gram: Array) -> Array:
    return np.asarray(np.arange(gram.shape[-1]) > 0)


def _ridge(gram: Array, cross: Array, diagonal: Array, penalties: Array) -> Array:
    """Return (..., P, F, B) coefficients, for each penalty."""
    size = gram.shape[-1]
    scale = np.sqrt(
        np.where(_is_penalised(gram), diagonal, np.maximum(gram[..., 0, 0], 1.0)[..., None])
    )
    scaled = gram / (scale[..., :, None] * scale[..., None, :])
    extra = penalties[:, None] * _is_penalised(gram) + 1e-9
    system = scaled[..., None, :, :] + extra[:, :, None] * np.eye(size)
    right = (cross / scale[..., None])[..., None, :, :]
    return np.asarray(np.linalg.solve(system, right) / scale[..., None, :, None])
