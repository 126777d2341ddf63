"""Searching known learning curves: budgets, scores, refusals; the quick Bayesian choice."""

import keras_tuner
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from dlnotes.tuning import search_curves
from dlnotes.tuning.bayesian import QuickBayesianOracle

RATES = [float(rate) for rate in np.logspace(-3, 0, 7)]


def space(hp):
    hp.Choice("rate", RATES)
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Choice("momentum", [0.0, 0.5, 0.9])


def curve_of(values):
    """Return nine scores that rise to an end of their own; the eighth is the best."""
    end = 1 - abs(np.log10(values["rate"]) + 1) / 4 - 0.1 * values.get("momentum", 0.3)
    return end * np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.95])


def test_a_finished_grid_has_each_combination_once_and_its_best_epoch():
    table = search_curves(space, curve_of, method="grid", budget=9 * 28, epochs=9, seed=0)
    assert len(table) == len(RATES) * (1 + 3)
    assert not table[["rate", "optimizer", "momentum"]].duplicated().any()
    assert set(table["best_epoch"]) == {8}
    for _, row in table.iterrows():
        values = {k: row[k] for k in ("rate", "momentum") if row[k] == row[k]}
        assert row["score"] == pytest.approx(curve_of(values)[7])


@pytest.mark.parametrize("method", ["random", "bayesian", "hyperband"])
def test_every_method_spends_the_budget_and_follows_its_seed(method):
    table = search_curves(space, curve_of, method=method, budget=40, epochs=9, seed=3)
    assert table["given_epochs"].sum() == 40
    again = search_curves(space, curve_of, method=method, budget=40, epochs=9, seed=3)
    assert table.equals(again)
    other = search_curves(space, curve_of, method=method, budget=40, epochs=9, seed=4)
    assert not table.equals(other)


def test_hyperband_goes_on_where_a_trial_stopped():
    table = search_curves(space, curve_of, method="hyperband", budget=40, epochs=9, seed=1)
    resumed = table[table["resumed_from"].notna()]
    assert len(resumed)
    for _, row in resumed.iterrows():
        before = table[table["trial"] == row["resumed_from"]].iloc[0]
        assert row["rate"] == before["rate"]
        assert row["best_epoch"] > before["best_epoch"]


def test_the_direction_decides_where_the_search_goes():
    options = {"method": "bayesian", "budget": 81, "epochs": 9, "seed": 1}
    late = {  # the trials after the random ones
        direction: search_curves(space, curve_of, direction=direction, **options)["score"][4:]
        for direction in ("min", "max")
    }
    assert late["min"].mean() < late["max"].mean() - 0.05


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"method": "evolution"}, ValueError, "`method` must be one of"),
        ({"direction": "up"}, ValueError, "`direction` must be one of"),
        ({"budget": 0}, ValueError, "`budget` must be"),
        ({"epochs": 0}, ValueError, "`epochs` must be"),
        ({"seed": -1}, ValueError, "`seed` must be"),
        ({"max_trials": 0}, ValueError, "`max_trials` must be"),
        ({"space": None}, TypeError, "`space` must be a function"),
        ({"curve_of": [1]}, TypeError, "`curve_of` must be a function"),
    ],
)
def test_bad_arguments_are_refused(change, error, text):
    given = {"space": space, "curve_of": curve_of, "method": "grid", "budget": 9, "epochs": 9}
    with pytest.raises(error, match=text):
        search_curves(**{**given, "seed": 1, **change})


def process_of(x, y, length):
    kernel = Matern(length, nu=2.5)
    return GaussianProcessRegressor(kernel, alpha=1e-4, optimizer=None, normalize_y=True).fit(x, y)


def bound_of(process, points):
    mean, deviation = process.predict(np.atleast_2d(points), return_std=True)
    return mean - 2.6 * deviation


def descend(process, starts):
    """Return the lowest point of the bound that Keras Tuner's descents find, with exact slopes."""
    x, alpha, scale = process.X_train_, process.alpha_, process._y_train_std
    length = process.kernel_.length_scale
    inverse = scipy.linalg.cho_solve((process.L_, True), np.eye(len(x)))

    def bound(point):
        away = point - x
        r = np.sqrt(5 * (away**2).sum(axis=1)) / length
        k = (1 + r + r**2 / 3) * np.exp(-r)
        slope = -5 / (3 * length**2) * ((1 + r) * np.exp(-r))[:, None] * away
        deviation = np.sqrt(max(1 - k @ inverse @ k, 1e-12))
        steep = slope.T @ alpha + 2.6 * slope.T @ inverse @ k / deviation
        return scale * (k @ alpha - 2.6 * deviation), scale * steep

    limits = [(0, 1)] * x.shape[1]
    assert scipy.optimize.check_grad(lambda p: bound(p)[0], lambda p: bound(p)[1], starts[0]) < 1e-3
    ends = [scipy.optimize.minimize(bound, s, jac=True, bounds=limits).x for s in starts]
    return ends[np.argmin(bound_of(process, ends))]


@pytest.mark.parametrize("rows", [6, 20])
@pytest.mark.parametrize(("length", "dimensions"), [(0.5, 4), (0.5, 8), (0.1, 4), (0.1, 8)])
def test_the_quick_choice_is_about_as_low_as_fifty_descents(rows, length, dimensions):
    rng = np.random.RandomState(rows)
    x = rng.uniform(size=(rows, dimensions))
    process = process_of(x, -np.exp(-3 * ((x - 0.4) ** 2).sum(axis=1)), length)
    oracle = QuickBayesianOracle(objective="val_loss", seed=1)
    oracle.gpr = process
    found = bound_of(process, oracle._lowest(dimensions))[0]
    theirs = bound_of(process, descend(process, rng.uniform(size=(50, dimensions))))[0]
    usual = np.median(bound_of(process, rng.uniform(size=(500, dimensions))))
    assert found < theirs + 0.02 * (usual - theirs)


def test_in_a_space_of_choices_the_quick_choice_is_the_trial_of_fifty_descents():
    hp = keras_tuner.HyperParameters()
    for name, number in {"rate": 9, "units": 4, "batch": 2, "activation": 2, "rule": 2}.items():
        hp.Choice(name, list(range(number)))
    same = 0
    for history in range(10):
        rng = np.random.RandomState(history)
        oracle = QuickBayesianOracle(objective="val_loss", seed=history + 1, hyperparameters=hp)
        x = rng.uniform(size=(6 + history, 5))
        process = process_of(x, ((x - 0.6) ** 2).sum(axis=1) + rng.normal(0, 0.02, len(x)), 0.7)
        oracle.gpr = process
        found, theirs = oracle._lowest(5), descend(process, rng.uniform(size=(50, 5)))
        low, usual = (
            bound_of(process, theirs)[0],
            np.median(bound_of(process, rng.uniform(size=(500, 5)))),
        )
        near = bound_of(process, found)[0] < low + 0.02 * (usual - low)
        same += near or oracle._vector_to_values(found) == oracle._vector_to_values(theirs)
    assert same >= 8
