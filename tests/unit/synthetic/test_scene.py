"""What a synthetic scene shows: seasons, clouds, shadows, speckle."""

from datetime import UTC, datetime

import numpy as np
import pytest

from decloud_lib.synthetic import BANDS, Scene, SyntheticConfig
from decloud_lib.synthetic.noise import cell_random, fractal, grown
from decloud_lib.synthetic.sky import BIT_CLOUD, BIT_SHADOW, BIT_SHADOW_FROM_OUTSIDE, draw_sky
from tests.products import small_scene

NOON = datetime(2020, 6, 15, 10, 55, tzinfo=UTC)


def test_dates_can_be_drawn_in_any_order() -> None:
    first, second = (Scene(SyntheticConfig(size_px=64, s2_dates=4, days=24)) for _ in range(2))
    late, early = first.optical_dates[3], first.optical_dates[0]
    first.view(late)
    np.testing.assert_array_equal(first.view(early).seen, second.view(early).seen)
    radar = first.radar_dates[2]
    np.testing.assert_array_equal(first.sigma0(radar), second.sigma0(radar))


def test_reflectance_is_plausible_and_follows_the_season() -> None:
    scene = small_scene(start="2020-01-01", days=366)
    winter, spring = scene.reflectance(20.0), scene.reflectance(130.0)
    for pixels in (winter, spring):
        assert pixels.shape == (128, 128, 10)
        assert pixels.dtype == np.float32
        assert pixels.min() > 0
        assert pixels.max() < 1.2
    near_infrared, red = BANDS.index("B8"), BANDS.index("B4")
    assert spring[..., near_infrared].mean() > winter[..., near_infrared].mean()
    assert spring[..., near_infrared].mean() > 2.5 * spring[..., red].mean()


def test_harvest_changes_single_parcels_at_once() -> None:
    scene = small_scene(start="2020-06-15", days=60)
    labels = scene.landscape.labels
    size = np.bincount(labels.ravel())
    series = np.stack([_parcel_means(scene, day) for day in range(50)])[:, size > 60]
    steps = np.abs(np.diff(series, axis=0)).max(axis=0)
    assert (steps > 0.05).mean() > 0.1
    assert (steps < 0.03).mean() > 0.2


def _parcel_means(scene: Scene, day: float) -> np.ndarray:
    labels = scene.landscape.labels.ravel()
    near_infrared = scene.reflectance(day)[..., BANDS.index("B8")].ravel()
    means: np.ndarray = np.bincount(labels, near_infrared) / np.bincount(labels)
    return means


@pytest.mark.parametrize("cover", [0.05, 0.3, 0.6, 0.9])
def test_cover_is_met(cover: float) -> None:
    sky = draw_sky(np.random.default_rng(3), (256, 256), cover, NOON)
    assert float((sky.mask != 0).mean()) == pytest.approx(cover, abs=0.05)


def test_closed_deck_hides_everything_and_a_clear_sky_nothing() -> None:
    closed = draw_sky(np.random.default_rng(3), (128, 128), 1.0, NOON)
    clear = draw_sky(np.random.default_rng(3), (128, 128), 0.0, NOON)
    assert (closed.mask != 0).all()
    assert not clear.mask.any()
    ground = np.full((128, 128, 10), 0.2, dtype=np.float32)
    np.testing.assert_array_equal(clear.over(ground), ground)


def test_clouds_brighten_and_shadows_darken() -> None:
    ground = np.full((256, 256, 10), 0.1, dtype=np.float32)
    seen_clouds = seen_shadows = 0
    for seed in range(6):
        sky = draw_sky(np.random.default_rng(seed), (256, 256), 0.4, NOON)
        change = sky.over(ground) - ground
        cloud, shadow = sky.opacity > 0.5, (sky.shade > 0.5) & (sky.opacity < 0.01)
        assert (change[cloud] > 0).all()
        assert (change[shadow] < 0).all()
        seen_clouds, seen_shadows = seen_clouds + cloud.sum(), seen_shadows + shadow.sum()
        assert (sky.mask[cloud] & BIT_CLOUD).astype(bool).mean() > 0.95
        marks = sky.mask[shadow] & (BIT_SHADOW | BIT_SHADOW_FROM_OUTSIDE)
        assert shadow.sum() < 100 or marks.astype(bool).mean() > 0.6
    assert seen_clouds > 1000
    assert seen_shadows > 1000


def test_thick_clouds_pass_a_reflectance_of_one() -> None:
    skies = [draw_sky(np.random.default_rng(seed), (128, 128), 1.0, NOON) for seed in range(12)]
    seen = np.stack([sky.opacity * sky.brightness for sky in skies])
    assert seen.max() > 1.0
    assert np.percentile(seen, 5) < 0.4


def test_shadows_lie_to_the_north_west_of_their_clouds_in_the_morning() -> None:
    sky = draw_sky(np.random.default_rng(1), (256, 256), 0.2, NOON)
    spectrum = np.fft.rfft2(sky.shade) * np.conj(np.fft.rfft2(sky.opacity))
    match = np.fft.irfft2(spectrum, s=sky.shade.shape)
    row, col = np.unravel_index(int(np.argmax(match)), match.shape)
    assert row > 128
    assert col > 128


def test_speckle_has_the_looks_asked_for() -> None:
    config = SyntheticConfig(size_px=128, s1_every_days=1, days=40, s2_dates=1, edges=0.0)
    scene = Scene(config)
    power = np.stack([scene.sigma0(date)[..., 0] for date in scene.radar_dates])
    smooth = Scene(config.model_copy(update={"s1_looks": 1000.0}))
    ground = np.stack([smooth.sigma0(date)[..., 0] for date in smooth.radar_dates])
    speckle = power / ground
    looks = 1.0 / speckle.var(axis=0).mean() * speckle.mean() ** 2
    assert looks == pytest.approx(config.s1_looks, rel=0.25)


def test_fractal_noise_is_standardised_and_periodic() -> None:
    field = fractal(np.random.default_rng(0), (128, 128), slope=1.8, longest_px=40)
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=1e-3)
    assert field.std() == pytest.approx(1, abs=1e-3)
    inner = np.abs(np.diff(field, axis=0)).mean()
    assert np.abs(field[0] - field[-1]).mean() < 3 * inner


def test_cell_random_is_uniform_and_depends_on_every_key() -> None:
    rows, cols = np.mgrid[0:100, -50:50]
    draws = cell_random(1, rows, cols)
    assert abs(float(draws.mean()) - 0.5) < 0.02
    assert np.unique(draws).size > 9900
    assert not np.array_equal(draws, cell_random(2, rows, cols))
    np.testing.assert_array_equal(draws, cell_random(1, rows, cols))


def test_mask_grows_by_a_square() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    assert grown(mask, 2)[2:7, 2:7].all()
    assert grown(mask, 2).sum() == 25
