import itertools
import math

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.scratch import (
    SGD,
    Adam,
    NetworkLoss,
    Quadratic,
    best_walk,
    follow,
    race_at_best_rate,
    train_at_best_rate,
    walk,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
LAND = NetworkLoss(X[:30], Y[:30], (3, 2))
VAL = NetworkLoss(X[30:], Y[30:], (3, 2))
WIDER = NetworkLoss(X, Y, (3, 4, 2))


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("thing", [walk, follow, best_walk, race_at_best_rate, train_at_best_rate])
def test_docstrings(thing):
    check_docstring(thing)


# === walk and follow ===


def test_walk_uses_every_row_once_an_epoch_in_an_order_of_its_own():
    seen = []

    class Spy:
        num_rows, num_weights = 10, 2

        def gradient(self, weights, rows):
            seen.append(rows)
            return np.zeros_like(weights)

    path = walk(Spy(), np.zeros((2, 2)), SGD(1.0), batch_size=3, rng=rng())
    list(itertools.islice(path, 7))  # the start and 6 steps: 2 epochs, a row left over in each
    assert [rows.shape for rows in seen] == [(2, 3)] * 6
    epochs = [np.concatenate(seen[i : i + 3], axis=1) for i in (0, 3)]
    for epoch in epochs:
        for row in epoch:
            assert len(set(row)) == 9
    assert not np.array_equal(epochs[0][0], epochs[0][1])
    assert not np.array_equal(epochs[0], epochs[1])


def test_walk_with_all_rows_is_follow():
    start = LAND.draw(2, rng())
    path = np.array(
        list(itertools.islice(walk(LAND, start, Adam(0.1), batch_size=30, rng=rng()), 6))
    )
    np.testing.assert_allclose(path, follow(Adam(0.1), LAND, start, 5), atol=1e-12)


def test_walks_that_diverge_leave_the_others_alone():
    start = WIDER.draw(2, rng())
    rates = np.array([[1e200], [0.1]])
    with np.errstate(over="raise", invalid="raise"):
        path = walk(WIDER, start, Adam(rates), batch_size=8, rng=rng())
        end = next(itertools.islice(path, 30, None))
    assert np.isfinite(end[1]).all()
    assert WIDER.loss(end)[1] < WIDER.loss(start)[1]


def test_follow_keeps_every_so_many_th_point():
    whole = follow(SGD(0.1), Quadratic(np.eye(2)), [1.0, 2.0], 10)
    assert whole.shape == (11, 2)
    np.testing.assert_array_equal(
        follow(SGD(0.1), Quadratic(np.eye(2)), [1.0, 2.0], 10, every=4), whole[[0, 4, 8]]
    )


def test_follow_refuses_a_gradient_of_another_shape():
    class Column:
        def gradient(self, weights):
            return weights[:, None]

    with pytest.raises(ValueError, match=r"`gradient` must return an array of the weights' shape"):
        follow(SGD(0.1), Column(), [1.0, 2.0], 1)


# === best_walk ===


def test_best_walk_counts_steps_until_it_stays_near():
    bowl = Quadratic([[1.0]])
    result = best_walk(SGD, bowl, [[8.0]], rates=[0.1, 0.5, 1.9])
    assert (result.steps, result.rate) == (7, 0.5)
    assert result.path.shape == (401, 1, 1)
    assert not result.at_edge
    assert best_walk(SGD, bowl, [[8.0]], rates=[0.5, 0.1]).at_edge
    assert abs(result.path[7, 0, 0]) <= 0.1 < abs(result.path[6, 0, 0])


def test_best_walk_does_not_count_passing_by():
    class Swing:
        def __init__(self, rate):
            self.points = iter([0.05, 5.0, 0.05, 0.05])

        def step(self, weights, gradient):
            return np.full_like(weights, next(self.points))

    assert best_walk(Swing, Quadratic([[1.0]]), [[8.0]], rates=[0.1], num_steps=4).steps == 3
    assert best_walk(SGD, Quadratic([[1.0]]), [[0.01]], rates=[0.1]).steps == 0


def test_best_walk_takes_the_median_and_says_never():
    starts = np.array([[0.2], [0.8], [100.0]])
    result = best_walk(SGD, Quadratic([[1.0]]), starts, rates=[0.5])
    assert result.steps == 3  # 0.8 → 0.4 → 0.2 → 0.1
    assert best_walk(SGD, Quadratic([[1.0]]), starts, rates=[3.0]).steps == math.inf


def test_best_walk_takes_the_smallest_of_equal_rates():
    result = best_walk(SGD, Quadratic([[1.0]]), [[0.01]], rates=[0.5, 0.1, 0.2])
    assert (result.steps, result.rate) == (0, 0.1)


# === race_at_best_rate and train_at_best_rate ===


class Toy:
    """A parabola behind the methods that a race needs of `NetworkLoss`; its starts are given."""

    sizes, num_rows, num_weights = (1, 1), 1, 1

    def __init__(self, goal=0.0, starts=()):
        self.goal, self.starts, self.drawn = goal, list(starts), []

    def draw(self, copies, rng):
        self.drawn.append(copies)
        start = self.starts.pop(0) if self.starts else 1.0
        return np.tile(np.reshape(start, (-1, 1)), (copies // np.size(start), 1))

    def gradient(self, weights, rows=None):
        return weights - self.goal

    def loss(self, weights):
        return 0.5 * ((weights - self.goal) ** 2)[..., 0]


def test_race_chooses_by_tuning_and_counts_its_price():
    options = {"num_steps": 200, "batch_size": 10, "runs": 3}
    result = race_at_best_rate(SGD, LAND, VAL, 0.4, rates=[1e-4, 1.0, 0.05], rng=rng(), **options)
    assert result.rate == 1.0
    assert result.losses.shape == (3, 41)
    for steps, losses in zip(result.steps, result.losses, strict=True):
        assert steps % 5 == 0
        assert losses[int(steps) // 5] <= 0.4
        assert (losses[: int(steps) // 5] > 0.4).all()
    assert result.tuning_updates % (3 * 3 * 5) == 0
    assert 0 < result.tuning_updates < 3 * 3 * 200


def test_race_judges_fresh_runs_by_the_validation_loss():
    land, validation = Toy(starts=[1.0, 2.0]), Toy(goal=1.0)  # trained to 0, judged by 1
    options = {"num_steps": 10, "batch_size": 1, "runs": 3, "rng": rng()}
    result = race_at_best_rate(SGD, land, validation, 0.02, rates=[1e-6, 0.05], **options)
    assert land.drawn == [6, 3]  # tuning, then as many fresh runs again
    assert result.rate == 1e-6  # at step 0 all are there: a tie
    assert (result.losses[:, 0] == 0.5).all()  # the fresh ones start at 2
    assert (result.steps == math.inf).all()


def test_race_takes_the_smallest_of_equal_rates_in_any_order():
    options = {"num_steps": 20, "batch_size": 1, "runs": 1, "rng": rng()}
    result = race_at_best_rate(SGD, Toy(), Toy(), 0.01, rates=[0.9, 0.01, 0.5, 0.8], **options)
    assert (result.rate, result.tuning_updates) == (0.5, 4 * 5)


def test_race_is_not_decided_by_one_lucky_run():
    starts = [0.01, 1.0, 1.0]  # the first is there before it begins
    options = {"num_steps": 40, "batch_size": 1, "runs": 3, "rng": rng()}
    land = Toy(starts=[starts])
    result = race_at_best_rate(SGD, land, Toy(), 0.01, rates=[1e-6, 0.5], **options)
    assert (result.rate, result.tuning_updates) == (0.5, 6 * 5)


def test_race_that_nobody_finishes():
    result = race_at_best_rate(
        SGD, LAND, VAL, 0.0, rates=[0.1], num_steps=10, runs=2, batch_size=5, rng=rng()
    )
    assert np.isnan(result.rate)
    assert (result.steps == math.inf).all()
    assert result.tuning_updates == 2 * 10


def test_train_at_best_rate_takes_the_lowest_validation_loss_and_ignores_nan():
    options = {"num_steps": 60, "batch_size": 10, "runs": 3}
    result = train_at_best_rate(SGD, WIDER, WIDER, rates=[1e-6, 1.0, 1e308], rng=rng(), **options)
    assert result.rate == 1.0
    assert result.weights.shape == (3, WIDER.num_weights)
    assert (WIDER.loss(result.weights) < 0.5).all()


def test_train_at_best_rate_chooses_by_validation_and_trains_anew():
    land, validation = Toy(starts=[1.0, 2.0]), Toy(goal=1.0)  # the more training, the worse
    options = {"num_steps": 10, "batch_size": 1, "runs": 3, "rng": rng()}
    result = train_at_best_rate(SGD, land, validation, rates=[0.5, 0.01], **options)
    assert (result.rate, result.tuning_updates) == (0.01, 2 * 3 * 10)
    assert land.drawn == [6, 3]
    np.testing.assert_allclose(result.weights, 2 * 0.99**10, rtol=1e-12)


def test_train_at_best_rate_is_not_decided_by_one_lucky_run():
    land = Toy(starts=[[0.0, 1.0, 1.0, 0.3, 0.3, 0.3]])  # networks of 1e-6, then of 2e-6
    options = {"num_steps": 1, "batch_size": 1, "runs": 3, "rng": rng()}
    assert train_at_best_rate(SGD, land, Toy(), rates=[1e-6, 2e-6], **options).rate == 2e-6


def test_train_at_best_rate_takes_the_smallest_of_equal_rates_and_says_when_all_diverge():
    options = {"num_steps": 4, "batch_size": 10, "runs": 2, "rng": rng()}
    tie = train_at_best_rate(
        SGD, Toy(), Toy(goal=1.0), rates=[2.0, 1e-30], **(options | {"batch_size": 1})
    )
    assert tie.rate == 1e-30
    with pytest.raises(FloatingPointError, match="Every training diverged"):
        train_at_best_rate(SGD, WIDER, WIDER, rates=[1e308], **options)


def test_train_follows_the_schedule():
    asked = []

    def schedule(step):
        asked.append(step)
        return 0.0

    options = {"num_steps": 4, "batch_size": 10, "runs": 2, "schedule": schedule}
    result = train_at_best_rate(SGD, LAND, VAL, rates=[0.1], rng=rng(), **options)
    assert asked == [0, 1, 2, 3] * 2  # tuning, then fresh
    generator = rng()
    np.testing.assert_array_equal(result.weights.shape, LAND.draw(2, generator).shape)
    assert (result.weights[:, -2:] == 0).all()  # biases never moved


def test_refusals():
    good = {"rates": [0.1], "num_steps": 5, "batch_size": 5, "rng": rng()}
    for race, args in (
        (race_at_best_rate, (SGD, LAND, VAL, 0.1)),
        (train_at_best_rate, (SGD, LAND, VAL)),
    ):
        check_refusals(
            race,
            [
                Refusal(
                    (SGD, LAND, WIDER, *args[3:]), good, ValueError, "`validation` must be of the"
                ),
                Refusal(args, {**good, "rates": []}, ValueError, "`rates` must not be empty"),
                Refusal(args, {**good, "rates": [-1.0]}, ValueError, "`learning_rate"),
                Refusal(args, {**good, "num_steps": 0}, ValueError, "`num_steps` must be an int"),
                Refusal(args, {**good, "runs": 0}, ValueError, "`runs` must be an integer >= 1"),
                Refusal(args, {**good, "batch_size": 31}, ValueError, "`batch_size` must be an in"),
                Refusal(args, {**good, "rng": 1}, TypeError, "`rng` must be a numpy.random.Gen"),
            ],
        )
    bowl = Quadratic([[1.0]])
    check_refusals(
        best_walk,
        [
            Refusal((SGD, bowl, [1.0]), {}, ValueError, "`starts` must be 2-dimensional"),
            Refusal((SGD, bowl, [[1.0]]), {"rates": [0.0]}, ValueError, "`learning_rate` must"),
            Refusal((SGD, bowl, [[1.0]]), {"distance": 0}, ValueError, "`distance` must be"),
            Refusal((SGD, bowl, [[1.0]]), {"num_steps": 0}, ValueError, "`num_steps` must be"),
        ],
    )
    check_refusals(
        follow,
        [
            Refusal((SGD(1), bowl, [1.0], -1), {}, ValueError, "`num_steps` must be an integer"),
            Refusal((SGD(1), bowl, "a", 1), {}, TypeError, "`start` must be an array of numbers"),
            Refusal((SGD(1), bowl, [1.0], 1), {"every": 0}, ValueError, "`every` must be an int"),
        ],
    )
