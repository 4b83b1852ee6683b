"""Random fields: fractal noise by Fourier synthesis, and random numbers that belong to cells."""

import numpy as np

from decloud_lib.types import Array


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    slope: float,
    longest_px: float,
    stretch: float = 1.0,
) -> Array:
    """Draw a Gaussian random field with a power-law spectrum.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Height and width, pixels.
    slope
        Exponent of the amplitude spectrum: 0 is white, 1 is rough, 2 is smooth.
    longest_px
        Wavelength beyond which the spectrum is flat, pixels.
    stretch
        Elongation along the columns, for streaks.

    Returns
    -------
    Array
        (H, W) float32, mean 0, standard deviation 1; periodic: a rolled field has no seam.
    """
    height, width = shape
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    rows = np.fft.fftfreq(height)[:, None] * stretch
    cols = np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(rows, cols)
    gain = (frequency**2 + 1.0 / longest_px**2) ** (-slope / 2.0)
    gain[0, 0] = 0.0
    field = np.fft.irfft2((spectrum * gain).astype(np.complex64), s=shape)
    return (field / max(float(field.std()), 1e-12)).astype(np.float32)


def cell_random(seed: int, *keys: Array) -> Array:
    """Return a number in 0..1 that depends only on integer keys, the same for equal keys.

    A hash by multiplication and shifts (the finaliser of the 64-bit splitmix generator), so that
    every cell of an irregular grid has its own number without a table of the cells.

    Parameters
    ----------
    seed
        Tells independent draws apart.
    keys
        Integer arrays of one shape.

    Returns
    -------
    Array
        float32 of that shape, uniform in 0..1.
    """
    state = np.full(keys[0].shape, np.uint64(seed * 2654435769 % 2**63 + 1), dtype=np.uint64)
    for key in keys:
        state += key.astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return ((state >> np.uint64(40)).astype(np.float32) / np.float32(2**24)).astype(np.float32)


def smoothed(field: Array, taps: tuple[float, float, float], axis: int) -> Array:
    """Convolve along one axis with three taps; the border is repeated.

    Parameters
    ----------
    field
        Array of any shape.
    taps
        Weights of the pixel before, the pixel itself and the pixel after.
    axis
        Which axis.

    Returns
    -------
    Array
        Same shape and dtype.
    """
    rolled = np.moveaxis(field, axis, 0)
    before = np.concatenate([rolled[:1], rolled[:-1]])
    after = np.concatenate([rolled[1:], rolled[-1:]])
    result = taps[0] * before + taps[1] * rolled + taps[2] * after
    return np.moveaxis(result, 0, axis).astype(field.dtype, copy=False)


def grown(mask: Array, radius_px: int) -> Array:
    """Grow a boolean (H, W) mask by a square of `2 * radius_px + 1` pixels."""
    result = mask.copy()
    for axis in (0, 1):
        source = np.moveaxis(result, axis, 0)
        target = source.copy()
        for shift in range(1, radius_px + 1):
            target[shift:] |= source[:-shift]
            target[:-shift] |= source[shift:]
        result = np.moveaxis(target, 0, axis)
    return result


def halved(field: Array) -> Array:
    """Average 2 x 2 pixels of an (H, W, ...) array with even sides."""
    total = field[0::2, 0::2] + field[1::2, 0::2] + field[0::2, 1::2] + field[1::2, 1::2]
    return total / 4


def doubled(field: Array) -> Array:
    """Repeat each pixel of an (H, W, ...) array twice along both sides."""
    return field.repeat(2, axis=0).repeat(2, axis=1)
