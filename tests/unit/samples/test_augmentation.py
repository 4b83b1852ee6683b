import numpy as np
import tensorflow as tf

from decloud_lib.samples.augmentation import simulated, turned


def batches(n: int = 64, size: tuple[int, int] = (8, 8), batch: int = 4) -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    height, width = size
    fine = rng.uniform(size=(n, height, width, 1)).astype("float32")
    # Every array shows the same scene: the target twice the input, the 20 m image its means.
    coarse = fine.reshape(n, height // 2, 2, width // 2, 2, 1).mean((2, 4))
    inputs = {"fine": fine, "coarse": coarse, "number": np.arange(n, dtype="float64")}
    return tf.data.Dataset.from_tensor_slices((inputs, {"target": 2 * fine})).batch(batch)


def flat(data: tf.data.Dataset) -> dict[str, np.ndarray]:
    parts = [{**inputs, **targets} for inputs, targets in data.as_numpy_iterator()]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def positions(image: np.ndarray) -> list[np.ndarray]:
    turns = [np.rot90(image, k) for k in range(4)]
    return [*turns, *(turn[:, ::-1] for turn in turns)]


def test_all_keys_are_turned_together() -> None:
    before, after = flat(batches()), flat(turned(batches(), seed=3))
    np.testing.assert_array_equal(after["number"], before["number"])
    np.testing.assert_array_equal(after["target"], 2 * after["fine"])
    means = after["fine"].reshape(64, 4, 2, 4, 2, 1).mean((2, 4))
    np.testing.assert_allclose(after["coarse"], means, rtol=1e-6)


def test_each_sample_takes_one_of_eight_positions() -> None:
    before, after = flat(batches(n=400)), flat(turned(batches(n=400), seed=3))
    counts = np.zeros(8, int)
    for image, found in zip(before["fine"], after["fine"], strict=True):
        (place,) = [
            index for index, turn in enumerate(positions(image)) if np.array_equal(turn, found)
        ]
        counts[place] += 1
    # Fair draws: 50 each, with a standard deviation of 6.6.
    assert counts.min() > 20
    assert counts.max() < 85


def test_the_same_seed_turns_alike_wherever_reading_begins() -> None:
    whole = flat(turned(batches(), seed=3))
    np.testing.assert_array_equal(flat(turned(batches(), seed=3))["fine"], whole["fine"])
    rest = flat(turned(batches(), seed=3).skip(5))
    np.testing.assert_array_equal(rest["fine"], whole["fine"][20:])
    assert np.any(flat(turned(batches(), seed=4))["fine"] != whole["fine"])


def test_images_that_are_not_square_keep_their_shape() -> None:
    before, after = (flat(data) for data in (batches(size=(4, 8)), turned(batches(size=(4, 8)), 1)))
    assert after["fine"].shape == before["fine"].shape
    for image, found in zip(before["fine"], after["fine"], strict=True):
        assert any(
            np.array_equal(turn, found)
            for turn in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])
        )


def test_a_simulation_depends_on_the_sample_and_not_on_its_batch() -> None:
    def noisy(inputs: dict, targets: dict, seed: tf.Tensor) -> tuple[dict, dict]:
        assert inputs["fine"].shape == (8, 8, 1)
        noise = tf.random.stateless_uniform((8, 8, 1), seed)
        return inputs | {"fine": inputs["fine"] + noise, "mask": noise}, targets

    def run(batch: int, first: int = 0, seed: int = 5) -> dict[str, np.ndarray]:
        data = batches(n=10, batch=batch).skip(first)
        return flat(simulated(data, noisy, seed, batch, first))

    before, after = flat(batches(n=10)), run(4)
    np.testing.assert_array_equal(after["fine"], before["fine"] + after["mask"])
    np.testing.assert_array_equal(after["target"], before["target"])
    assert len({mask.tobytes() for mask in after["mask"]}) == 10
    np.testing.assert_array_equal(run(3)["fine"], after["fine"])
    np.testing.assert_array_equal(run(2, first=3)["fine"], after["fine"][6:])
    assert np.all(run(4, seed=6)["mask"].mean((1, 2, 3)) != after["mask"].mean((1, 2, 3)))
