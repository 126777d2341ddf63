"""Searching known learning curves: budgets, scores, refusals; the quick Bayesian choice."""

import numpy as np
import pytest
import scipy.optimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from dlnotes.tuning import search_curves
from dlnotes.tuning.bayesian import QuickBayesianOracle

RATES = [float(rate) for rate in np.logspace(-3, 0, 13)]


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
    table = search_curves(space, curve_of, method="grid", budget=9 * 52, epochs=9, seed=0)
    assert len(table) == len(RATES) * (1 + 3)
    assert not table[["rate", "optimizer", "momentum"]].duplicated().any()
    assert set(table["best_epoch"]) == {8}
    for _, row in table.iterrows():
        values = {k: row[k] for k in ("rate", "momentum") if row[k] == row[k]}
        assert row["score"] == pytest.approx(curve_of(values)[7])


@pytest.mark.parametrize("method", ["random", "bayesian", "hyperband"])
def test_every_method_spends_the_budget_and_follows_its_seed(method):
    table = search_curves(space, curve_of, method=method, budget=60, epochs=9, seed=3)
    assert table["given_epochs"].sum() == 60
    again = search_curves(space, curve_of, method=method, budget=60, epochs=9, seed=3)
    assert table.equals(again)
    other = search_curves(space, curve_of, method=method, budget=60, epochs=9, seed=4)
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
    options = {"method": "bayesian", "budget": 108, "epochs": 9, "seed": 1}
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


@pytest.mark.parametrize("rows", [6, 20])
def test_the_quick_choice_is_as_low_as_keras_tuners_descents(rows):
    rng = np.random.RandomState(rows)
    x = rng.uniform(size=(rows, 4))
    process = GaussianProcessRegressor(Matern(0.5, nu=2.5), optimizer=None, normalize_y=True)
    process.fit(x, -np.exp(-3 * ((x - 0.4) ** 2).sum(axis=1)))

    def bound(point):
        mean, deviation = process.predict(point.reshape(1, -1), return_std=True)
        return float(mean[0] - 2.6 * deviation[0])

    oracle = QuickBayesianOracle(objective="val_loss", seed=1)
    oracle.gpr = process
    starts = rng.uniform(size=(8, 4))
    limits = [(0, 1)] * 4
    descents = [scipy.optimize.minimize(bound, s, bounds=limits, method="L-BFGS-B") for s in starts]
    values = [bound(point) for point in rng.uniform(size=(500, 4))]
    found, theirs = bound(oracle._lowest(4)), min(descent.fun for descent in descents)
    assert found < theirs + 0.02 * (np.median(values) - theirs)
