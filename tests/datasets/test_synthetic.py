import numpy as np
import pytest

from dlnotes.datasets import make_blobs, make_moons, make_spiral, make_xor

MAKERS = (make_xor, make_moons, make_spiral, make_blobs)


def test_xor_corners():
    data = make_xor(40, noise=0)
    corners, counts = np.unique(data.x, axis=0, return_counts=True)
    np.testing.assert_array_equal(corners, [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(counts, [10, 10, 10, 10])
    np.testing.assert_array_equal(data.y, data.x[:, 0] != data.x[:, 1])


def test_xor_noise_is_the_standard_deviation():
    data = make_xor(20_000, noise=0.05, seed=3)
    np.testing.assert_allclose((data.x - np.round(data.x)).std(axis=0), 0.05, rtol=0.02)


def test_moons_are_half_circles():
    data = make_moons(101, noise=0)
    upper, lower = data.x[data.y == 0], data.x[data.y == 1]
    assert (len(upper), len(lower)) == (51, 50)
    np.testing.assert_allclose(np.hypot(*upper.T), 1, atol=2e-6)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, atol=2e-6)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5
    inside = lower[(lower[:, 0] < 1) & (lower[:, 0] > 0)]
    assert (np.hypot(*inside.T) < 1).any()  # they reach into each other


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_spiral_arms_are_turned_copies(num_classes):
    data = make_spiral(20 * num_classes, num_classes=num_classes, turns=1.5, noise=0)
    radius = np.hypot(*data.x.T)
    np.testing.assert_allclose([radius.min(), radius.max()], [0.1, 1.0], atol=2e-6)
    assert data.target_names[-1] == f"arm {num_classes - 1}"
    angle = np.arctan2(data.x[:, 1], data.x[:, 0])
    expected = 2 * np.pi * (1.5 * (radius - 0.1) / 0.9 + data.y / num_classes)
    np.testing.assert_allclose(np.cos(angle - expected), 1, atol=1e-5)


def test_blobs_lie_around_their_centres():
    centers = [(0, 0), (5, 0), (0, 5)]
    data = make_blobs(6000, centers=centers, spread=0.5, seed=1)
    for k, center in enumerate(centers):
        cloud = data.x[data.y == k]
        assert len(cloud) == 2000
        np.testing.assert_allclose(cloud.mean(axis=0), center, atol=0.05)
        np.testing.assert_allclose(cloud.std(axis=0), 0.5, rtol=0.05)


@pytest.mark.parametrize("make", MAKERS)
def test_seed_decides_and_nothing_else(make, monkeypatch):
    first = make(60, seed=1)
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "2")
    np.random.seed(9)
    np.testing.assert_array_equal(make(60, seed=1).x_train, first.x_train)
    assert not np.array_equal(make(60, seed=2).x_train, first.x_train)
    assert first.seed == 1
    np.testing.assert_array_equal(first.x, np.round(first.x, 6))


@pytest.mark.parametrize("make", MAKERS)
def test_common_errors(make):
    with pytest.raises(TypeError, match=r"`num_samples` must be an integer.*num_samples=10.5"):
        make(10.5)
    with pytest.raises(ValueError, match=r"`num_samples` must be an integer >= \d.*num_samples=1"):
        make(1)
    with pytest.raises(ValueError, match=r"`seed` must be an integer >= 0.*seed=-1"):
        make(seed=-1)
    with pytest.raises(ValueError, match=r"their sum must be < 1"):
        make(test_size=0.5, val_size=0.5)
    spread = "spread" if make is make_blobs else "noise"
    with pytest.raises(ValueError, match=f"`{spread}` must be a finite number >= 0.*{spread}=-1"):
        make(**{spread: -1})
    with pytest.raises(TypeError, match=f"`{spread}` must be a number"):
        make(**{spread: "little"})


def test_own_errors():
    with pytest.raises(ValueError, match=r"`num_classes` must be an integer >= 2"):
        make_spiral(num_classes=1)
    with pytest.raises(ValueError, match=r"`turns` must be a finite number > 0.*turns=0"):
        make_spiral(turns=0)
    with pytest.raises(ValueError, match=r"`centers` must have shape \(any, 2\).*\(2, 3\)"):
        make_blobs(centers=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"`len\(centers\)` must be an integer >= 2"):
        make_blobs(centers=[(0, 0)])
    with pytest.raises(TypeError, match=r"`centers` must be an array of numbers"):
        make_blobs(centers="two")
