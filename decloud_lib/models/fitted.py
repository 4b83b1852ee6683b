"""Five dates in the graph: what was seen before and after, and the fit to what is visible.

The same computation as `arrays.temporal` and `arrays.fitting`, which are its definition, over
batches of samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
from keras import KerasTensor, ops

from decloud_lib.arrays.fitting import (
    FOLD_BLOCK_PX,
    FOLDS,
    MIN_VISIBLE_PX,
    OUTLIER,
    PENALTIES,
    RIM_PX,
)
from decloud_lib.arrays.temporal import RADIUS_PX
from decloud_lib.bands import S2_NODATA, S2_SCALE
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

DATES = ("tm2", "tm1", "t", "tp1", "tp2")
OPTICAL_KEYS = tuple(f"s2_{kind}{name}" for name in DATES for kind in ("", "cld10m_", "timestamp_"))
RADAR_KEYS = tuple(f"s1_{name}" for name in DATES)
FITTED_RADAR_KEYS = ("s1_tm1", "s1_t", "s1_tp1")
"""What the fit asks for; a network may see the other dates too."""
_NEIGHBOURS = tuple(name for name in DATES if name != "t")
_LOWEST = 0.5 * S2_NODATA * S2_SCALE
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Neighbours:
    """See `arrays.temporal.Neighbours`; tensors with a batch axis."""

    before: KerasTensor
    before_2: KerasTensor
    after: KerasTensor
    after_2: KerasTensor
    ratio: KerasTensor
    found: KerasTensor
    """(N, H, W, 1) float32, 1 where an image is usable."""

    @property
    def linear(self) -> KerasTensor:
        """(N, H, W, B) linear interpolation in time between the nearest images."""
        return self.before + (self.after - self.before) * self.ratio


def usable(scaled: Mapping[str, KerasTensor], name: str) -> KerasTensor:
    """Return (N, H, W, 1) bool: the image of a date shows the ground.

    A date that is missing is given as no data, or with a mask that flags everything.
    """
    clear = ops.equal(scaled[f"s2_cld10m_{name}"], 0.0)
    return ops.logical_and(clear, ops.min(scaled[f"s2_{name}"], -1, keepdims=True) > _LOWEST)


def find_neighbours(scaled: Mapping[str, KerasTensor]) -> Neighbours:
    """Find at each pixel the nearest usable images before and after the date `t`.

    Parameters
    ----------
    scaled
        Normalised inputs by key. Times are of any one unit; `tm2` and `tm1` lie before `t`.
    """
    now = scaled["s2_timestamp_t"]
    images, masks, away = {}, {}, {}
    for name in _NEIGHBOURS:
        masks[name] = usable(scaled, name)
        images[name] = ops.where(masks[name], scaled[f"s2_{name}"], 0.0)
        away[name] = ops.reshape(
            ops.cast(ops.abs(scaled[f"s2_timestamp_{name}"] - now), "float32"), (-1, 1, 1, 1)
        )
    sides = []
    for first, second in (("tm1", "tm2"), ("tp1", "tp2")):
        ordered = away[first] <= away[second]
        near, far = (
            [ops.where(ordered, parts[one], parts[other]) for parts in (images, masks, away)]
            for one, other in ((first, second), (second, first))
        )
        image = ops.where(near[1], near[0], far[0])
        sides.append(
            (
                image,
                ops.where(ops.logical_and(near[1], far[1]), far[0], image),
                ops.where(near[1], near[2], far[2]),
                ops.logical_or(near[1], far[1]),
            )
        )
    (before, before_2, since, past), (after, after_2, until, future) = sides
    both = ops.logical_and(past, future)
    span = since + until
    ratio = ops.where(both, since / ops.where(span > 0.0, span, 1.0), 0.0)
    return Neighbours(
        before=ops.where(past, before, after),
        before_2=ops.where(past, before_2, after_2),
        after=ops.where(future, after, before),
        after_2=ops.where(future, after_2, before_2),
        ratio=ratio,
        found=ops.cast(ops.logical_or(past, future), "float32"),
    )


def radar_change(scaled: Mapping[str, KerasTensor], ratio: KerasTensor) -> KerasTensor:
    """Return (N, H, W, 2): radar of the date less its interpolation; 0 where one is missing."""
    before, now, after = (scaled[f"s1_{name}"] for name in ("tm1", "t", "tp1"))
    change = now - (before + (after - before) * ratio)
    known = ops.minimum(ops.minimum(before, now), after) > 0.0
    return ops.where(known, change, 0.0)


def fit_features(neighbours: Neighbours, radar: KerasTensor | None) -> KerasTensor:
    """Return (N, H, W, F) features; see `arrays.fitting.fit_features`."""
    linear, found = neighbours.linear, neighbours.found
    images = (neighbours.before, neighbours.before_2, neighbours.after, neighbours.after_2)
    local = ops.concatenate([linear, *(image - linear for image in images)], axis=-1)
    ones = ops.ones_like(found)
    known = ops.zeros_like(linear[..., :2]) if radar is None else radar
    means = [local_mean(local, found), local_mean(known, ones)]
    return ops.concatenate([ones, local, *means], axis=-1)


def local_mean(pixels: KerasTensor, known: KerasTensor) -> KerasTensor:
    """Average the known pixels of the 5 x 5 box around each pixel, boxes cut at the border."""
    side = 2 * RADIUS_PX + 1
    total = ops.average_pool(_padded(pixels * known), side, 1, "valid")
    weight = ops.average_pool(_padded(known), side, 1, "valid")
    return total / ops.maximum(weight, 1.0 / side**2)


def fit(features: KerasTensor, difference: KerasTensor, visible: KerasTensor) -> KerasTensor:
    """Fit the differences on the visible pixels and predict them everywhere.

    Parameters
    ----------
    features : (N, H, W, F)
        The first one is 1.
    difference : (N, H, W, B)
        The date less its linear estimate; finite everywhere.
    visible : (N, H, W, 1) float32
        1 where the date shows the ground.

    Returns
    -------
    (N, H, W, B) correction; see `arrays.fitting.solve` for the rule that makes it 0.
    """
    x, y, weights = _flat(features), _flat(difference), _flat(visible)
    count = ops.sum(weights, axis=1)  # (N, 1)
    x = _standardised(x, weights, count)
    folds = weights * _flat(_fold_weights(visible))  # (N, P, FOLDS)
    size, both = x.shape[-1], ops.concatenate([x, y], axis=-1)

    def next_fold(_: KerasTensor, fold: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
        found = _product(x * ops.take(folds, fold, axis=-1)[..., None], both)
        return found, found

    # One after the other, because each takes as much memory as all features.
    products = ops.scan(next_fold, _product(both[:, :1, :size], both[:, :1]), ops.arange(FOLDS))[1]
    grams, crosses = ops.split(ops.swapaxes(products, 0, 1), [size], axis=-1)
    energies = _product(folds, ops.square(y))
    gram, cross = ops.sum(grams, axis=1), ops.sum(crosses, axis=1)
    unseen = _ridge(gram[:, None] - grams, cross[:, None] - crosses, count)  # (N, FOLDS, P, F, B)
    errors = energies[:, :, None] - 2.0 * ops.sum(unseen * crosses[:, :, None], axis=-2)
    errors = errors + ops.sum(unseen * ops.matmul(grams[:, :, None], unseen), axis=-2)
    errors = ops.sum(errors, axis=1)  # (N, P, B)
    best = ops.one_hot(ops.argmin(errors, axis=1), len(PENALTIES), axis=1)  # (N, P, B)
    fitted = _ridge(gram[:, None], cross[:, None], count)[:, 0]  # (N, P, F, B)
    chosen = ops.sum(fitted * best[:, :, None], axis=1)
    better = ops.min(errors, axis=1) < ops.sum(energies, axis=1)
    keep = ops.logical_and(better, count >= MIN_VISIBLE_PX)
    chosen = ops.where(keep[:, None], chosen, 0.0)
    predicted = ops.matmul(x, chosen)
    return ops.reshape(predicted, ops.shape(difference))


def trusted_pixels(error: KerasTensor, shown: KerasTensor, sure: KerasTensor) -> KerasTensor:
    """Return (N, H, W, 1) float32; see `arrays.fitting.trusted_pixels`."""
    count = ops.sum(sure, axis=(1, 2), keepdims=True)
    squares = ops.sum(ops.square(error) * sure, axis=(1, 2), keepdims=True)
    unit = ops.sqrt(squares / ops.maximum(count, 1.0))
    fair = ops.all(ops.abs(error) <= OUTLIER * unit, axis=-1, keepdims=True)
    trusted = ops.maximum(sure, shown * ops.cast(fair, "float32"))
    return ops.where(count >= MIN_VISIBLE_PX, trusted, shown)


def _ridge(gram: KerasTensor, cross: KerasTensor, count: KerasTensor) -> KerasTensor:
    """Return (N, A, P, F, B) coefficients on standardised features, for each penalty."""
    size = gram.shape[-1]
    rows = ops.maximum(count, 1.0)[:, :, None, None]
    free = ops.cast(ops.arange(size) > 0, "float32")
    penalties = ops.convert_to_tensor(PENALTIES, "float32")[:, None, None]
    extra = (penalties * free + _TINY) * ops.eye(size)
    system = (gram / rows)[:, :, None] + extra
    right = ops.broadcast_to(
        (cross / rows)[:, :, None],
        (*ops.shape(cross)[:2], len(PENALTIES), size, cross.shape[-1]),
    )
    return ops.linalg.solve(system, right)


def _standardised(x: KerasTensor, weights: KerasTensor, count: KerasTensor) -> KerasTensor:
    """Give each feature but the first mean 0 and variance 1 over the visible pixels."""
    rows = ops.maximum(count, 1.0)[:, None]
    mean = _product(weights, x) / rows
    centred = x - mean
    variance = _product(weights, ops.square(centred)) / rows
    # A feature that does not vary over the visible pixels says nothing about the hidden ones.
    steady = variance <= _TINY * (1.0 + ops.square(mean))
    scaled = ops.where(steady, 0.0, centred / ops.sqrt(ops.where(steady, 1.0, variance)))
    return ops.concatenate([ops.ones_like(scaled[..., :1]), scaled[..., 1:]], axis=-1)


def _fold_weights(visible: KerasTensor) -> KerasTensor:
    """Return (N, H, W, FOLDS) float32, 1 in the pixel's fold."""
    shape = ops.shape(visible)
    rows, cols = (ops.floor_divide(ops.arange(shape[axis]), FOLD_BLOCK_PX) % 2 for axis in (1, 2))
    folds = ops.one_hot(2 * rows[:, None] + cols[None, :], FOLDS)
    return ops.broadcast_to(folds[None], (*shape[:3], FOLDS))


def _flat(image: KerasTensor) -> KerasTensor:
    return ops.reshape(image, (ops.shape(image)[0], -1, image.shape[-1]))


def _product(x: KerasTensor, y: KerasTensor) -> KerasTensor:
    return ops.matmul(ops.swapaxes(x, 1, 2), y)


def _padded(pixels: KerasTensor) -> KerasTensor:
    side = (RADIUS_PX, RADIUS_PX)
    return ops.pad(pixels, ((0, 0), side, side, (0, 0)))


class Fitted(keras.layers.Layer):  # type: ignore[misc]
    """Linear interpolation, and the same corrected by a fit to what is visible of the date.

    A layer, because the fit needs sizes that are known only when pixels come in. No weights.
    """

    def __init__(self, name: str = "fitted") -> None:
        # Casting would cut times to 32 bits.
        super().__init__(name=name, autocast=False)

    def call(self, inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
        """Estimate the date `t` from raw inputs by key.

        Returns
        -------
        `linear` and `estimate`: (N, H, W, B) reflectance; `shown` and `visible`: (N, H, W, 1)
        float32, 1 where the date is not masked, and where it is trusted too; `seen`: (N, H, W, B)
        the date less the estimate there, else 0; `features`: see `fit_features`.
        """
        scaled = normalise(inputs)
        neighbours = find_neighbours(scaled)
        features = fit_features(neighbours, radar_change(scaled, neighbours.ratio))
        linear = neighbours.linear
        visible = ops.cast(usable(scaled, "t"), "float32") * neighbours.found
        difference = ops.where(visible > 0.0, scaled["s2_t"] - linear, 0.0)
        sure = visible * (1.0 - ops.max_pool(1.0 - visible, 2 * RIM_PX + 1, 1, "same"))
        first = fit(features, difference, sure)
        trusted = trusted_pixels(difference - first, visible, sure)
        estimate = linear + fit(features, difference, trusted)
        return {
            "linear": linear,
            "estimate": estimate,
            "shown": visible,
            "visible": trusted,
            "seen": ops.where(trusted > 0.0, scaled["s2_t"] - estimate, 0.0),
            "features": features,
        }


def fitted(spec: ModelSpec) -> keras.Model:
    """Build linear interpolation that is corrected by a fit to what is visible of the date."""
    del spec
    inputs = make_inputs((*OPTICAL_KEYS, *FITTED_RADAR_KEYS))
    return keras.Model(inputs, {"s2_t": Fitted()(inputs)["estimate"]}, name="gapfilling_fitted")


register(
    ModelDefinition(
        name="gapfilling_fitted",
        build=fitted,
        input_keys=(*OPTICAL_KEYS, *FITTED_RADAR_KEYS),
        target_keys=("s2_t",),
        # Of the local means; the fit itself looks at all visible pixels of a window.
        reach_px=RADIUS_PX,
        in_context=True,
        trainable=False,
    )
)
