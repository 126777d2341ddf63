"""A search over learning curves that are known already: it tests methods of search, not models."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from dlnotes import runtime
from dlnotes.tuning.oracles import SearchSettings, make_tuner
from dlnotes.tuning.search import (
    MAX_TRIALS,
    METHODS,
    open_directory,
    trials_table,
)
from dlnotes.validation import check_choice, check_int, received

if TYPE_CHECKING:
    import pandas as pd


def ask_and_tell(oracle: Any, curve_of: Callable[[dict[str, Any]], Sequence[float]]) -> None:
    """Ask an oracle of Keras Tuner for trials, and tell it their scores, until it stops.

    Args:
        oracle: The oracle of `make_tuner`.
        curve_of: A function from the values of a trial to its score after each epoch.
    """
    name = oracle.objective.name
    while (trial := oracle.create_trial("lookup")).status == TrialStatus.RUNNING:
        values = trial.hyperparameters.values
        first, end = values["tuner/initial_epoch"], values["tuner/epochs"]
        for step, score in enumerate(curve_of(values)[first:end]):
            oracle.update_trial(trial.trial_id, {name: float(score)}, step=step)
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)


def search_curves(
    space: Callable[[keras_tuner.HyperParameters], None],
    curve_of: Callable[[dict[str, Any]], Sequence[float]],
    *,
    method: str,
    budget: int,
    epochs: int,
    seed: int,
    direction: str = "max",
    max_trials: int = MAX_TRIALS,
) -> "pd.DataFrame":
    """Let a method search among finished trainings, with the oracle and the budget of `search`.

    Nothing is trained, so that methods can be compared over many seeds.

    Args:
        space: A function that declares the hyperparameters.
        curve_of: A function from their values to the scores after each of `epochs` epochs.
        method: As in `search`.
        budget: As in `search`: the epochs that count as trained.
        epochs: As in `search`: those of a full trial.
        seed: As in `search`.
        direction: "min" or "max".
        max_trials: As in `search`.

    Returns:
        The table of the trials, as `SearchResult.table`; the columns on training are empty.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or a name is unknown.

    Example:
        >>> table = search_curves(
        ...     lambda hp: hp.Choice("power", [1, 2, 3]), lambda v: [0.5 ** v["power"], 0],
        ...     method="grid", budget=6, epochs=2, seed=1,
        ... )
        >>> table["score"].tolist()
        [0.5, 0.25, 0.125]
    """
    for name, function in {"space": space, "curve_of": curve_of}.items():
        if not callable(function):
            raise TypeError(f"`{name}` must be a function. {received(**{name: function})}")
    with tempfile.TemporaryDirectory() as folder:
        settings = SearchSettings(
            hypermodel=space,
            method=check_choice("method", method, METHODS),
            objective=keras_tuner.Objective(
                "score", check_choice("direction", direction, ("min", "max"))
            ),
            budget=check_int("budget", budget, low=1),
            epochs=check_int("epochs", epochs, low=1),
            seed=check_int("seed", seed, low=0, high=2**31 - 1) + runtime.seed_offset(),
            directory=Path(folder) / "search",
            max_trials=check_int("max_trials", max_trials, low=1),
            dtype_policy=keras.config.dtype_policy().name,
            identity={"method": method},
        )
        open_directory(settings, resume=False)
        ask_and_tell(make_tuner(settings).oracle, curve_of)
        return trials_table(settings.directory)
