"""One search over hyperparameters: four methods, one budget of epochs, one table of results.

Keras Tuner does the searching. What stands around it here are guards against its traps, each with
its reason where it stands, and the parts that a parallel search uses too: `check_search`,
`open_directory`, `make_tuner`, `run_search`, `trials_table`, `finish`.
"""

import contextlib
import dataclasses
import functools
import gc
import hashlib
import io
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import config as keras_tuner_config

from dlnotes import runtime
from dlnotes.training.callbacks import LARGER_IS_BETTER, SMALLER_IS_BETTER
from dlnotes.tuning.bayesian import QuickBayesianOracle
from dlnotes.validation import (
    check_array,
    check_choice,
    check_int,
    check_path,
    check_same_length,
    received,
)

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("random", "grid", "bayesian", "hyperband")
MAX_TRIALS = 200
GIVE_UP_AFTER = 5  # failed trials, if no other has completed
TOLERANCE = 1e-3  # between the recorded score and the reloaded model's; rounding gives 1e-6
VALIDATION_BATCH = 256
HYPERBAND_FACTOR = 3
SEARCH_NAME = "search.json"
BEST_NAME = "best.keras"
RECORD_NAME = "record.json"
PROJECT = "trials"
FROM, UNTIL, RESUMED = "tuner/initial_epoch", "tuner/epochs", "tuner/trial_id"
FACTS_BEFORE = ("trial",)
FACTS_AFTER = (
    "score",
    "best_epoch",
    "given_epochs",
    "trained_epochs",
    "resumed_from",
    "seconds",
    "status",
    "reason",
)
STATUS = {
    TrialStatus.COMPLETED: "completed",
    TrialStatus.FAILED: "failed",
    TrialStatus.INVALID: "failed",
}

Data = tuple[Any, Any, Any, Any]


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """A search that was checked and can begin.

    Attributes:
        hypermodel: The hypermodel, or a function that builds a compiled model.
        method: "random", "grid", "bayesian" or "hyperband".
        objective: Name and direction of the score.
        budget: Epochs that all trials share.
        epochs: Epochs of a full trial.
        seed: Seed of the choice of trials, and of training where the hypermodel has none.
        directory: Where everything is kept.
        max_trials: The most trials.
        dtype_policy: Name of the policy under which models are built.
        identity: What makes this search another one than those in other directories.
    """

    hypermodel: Any
    method: str
    objective: keras_tuner.Objective
    budget: int
    epochs: int
    seed: int
    directory: Path
    max_trials: int
    dtype_policy: str
    identity: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        table: One row a trial: ``trial``, the hyperparameters (NaN or None where inactive),
            ``score``, ``best_epoch`` (from 1, within the model's whole training), ``given_epochs``
            (charged to the budget), ``trained_epochs``, ``resumed_from`` (the trial whose weights
            it goes on with), ``seconds``, ``status`` ("completed", "failed", "running"),
            ``reason``.
        objective: Name of the score.
        direction: "min" or "max", whether less or more is better.
        best_trial: Name of the best trial.
        best_hyperparameters: Its hyperparameters.
        best_score: Its score: the best over its epochs.
        best_model: The model with the weights of that epoch, reloaded from `path`.
        path: The file of that model.
        failed: Number of failed trials; the table has their reasons.
    """

    table: "pd.DataFrame"
    objective: str
    direction: str
    best_trial: str
    best_hyperparameters: dict[str, Any]
    best_score: float
    best_model: keras.Model
    path: Path
    failed: int


def search(
    hypermodel: Any,
    data: Data,
    *,
    method: str,
    objective: str,
    budget: int,
    seed: int,
    directory: str | os.PathLike[str],
    epochs: int = 20,
    direction: str | None = None,
    resume: bool = False,
    max_trials: int = MAX_TRIALS,
    progress: bool | TextIO = True,
) -> SearchResult:
    """Search for good hyperparameters with a budget of trained epochs, the same for each method.

    A trial is charged with the epochs that it is given when it begins: `epochs`, or its own
    hyperparameter called "epochs"; with "hyperband" what its bracket says, and a trial that goes on
    with another's weights only its further epochs. It pays in full even if it fails or stops early,
    so every search ends, and no order of workers can change it. The last trial gets what is left.
    A search ends before its budget is used up when no other hyperparameters are left to try, after
    `max_trials`, or when the first 5 trials have all failed.

    The score of a trial is the best value of the objective over its epochs, and the saved model has
    the weights of that epoch: nothing is trained again. Reloaded, it must have the recorded score,
    to 0.001 absolute or relative. The table, not the score, tells how much was chosen: the best of
    many trials looks better on the validation data than it is, so keep test data aside.

    Every trial starts from the same seed; see `HyperMLP`. Keras' session and random numbers are
    not those of before when this function returns: Keras Tuner clears them in each trial.

    A search that was interrupted goes on with ``resume=True``: no finished trial runs again, one
    that was running does so from its beginning. A higher `budget` then makes the search longer.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, such as `HyperMLP`, or a function that returns a
            compiled model for given hyperparameters.
        data: ``(x_train, y_train, x_val, y_val)``, arrays with one row an example.
        method: "random", "grid" (each combination in order, numbers without steps at 10 points),
            "bayesian" (a Gaussian process over the trials so far) or "hyperband" (many short
            trials, of which the best third goes on).
        objective: What to improve: the name of a value on the validation data, such as
            "val_accuracy".
        budget: Epochs that all trials may train altogether, >= 1.
        seed: Seed of the choice of trials, and of weights and batches where the hypermodel has no
            seed of its own, >= 0. `runtime.seed_offset` is added.
        directory: Where everything is kept: a new or empty directory, unless `resume`.
        epochs: Epochs of a full trial, >= 1.
        direction: "min" or "max"; None knows it for losses, mse, rmse, mae, accuracy, precision,
            recall, auc and r2.
        resume: Whether to go on with the search in the directory; with none there it begins.
        max_trials: The most trials, >= 1: TensorFlow keeps about 3 MB of each that trains a small
            model, the graph of its training step.
        progress: True writes one line a trial to stderr (not with DLNOTES_HEADLESS=1), False
            nothing; or a stream to write to.

    Returns:
        The table of the trials and the best model.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the objective is none of the model's, or the
            directory is in use or belongs to another search. The directory stays as it was.
        RuntimeError: If every trial failed; the directory is then as before. Or if the best model
            does not reload to its recorded score.

    References:
        Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband", JMLR 18 (2018), algorithm 1.
        Bergstra, Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012).

    Example:
        >>> import tempfile
        >>> from dlnotes.tuning import HyperMLP
        >>> x = np.linspace(-1, 1, 40).reshape(40, 1)
        >>> data = (x[::2], (x[::2, 0] > 0), x[1::2], (x[1::2, 0] > 0))
        >>> hypermodel = HyperMLP((1,), 1, num_layers=(1,), units=(2, 4))
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     result = search(
        ...         hypermodel, data, method="random", objective="val_accuracy", budget=3,
        ...         epochs=2, seed=0, directory=directory, progress=False,
        ...     )
        >>> result.table["given_epochs"].tolist()
        [2, 1]
    """
    settings = check_search(
        hypermodel,
        data,
        method=method,
        objective=objective,
        budget=budget,
        epochs=epochs,
        seed=seed,
        directory=directory,
        direction=direction,
        max_trials=max_trials,
    )
    stream = _stream(progress)
    opened = open_directory(settings, resume=resume)
    policy = keras.config.dtype_policy()
    try:
        run_search(make_tuner(settings, progress=stream), data)
        return finish(settings, data)
    except Exception:
        if not has_completed(settings.directory):
            opened.undo()
        raise
    finally:
        keras.config.set_dtype_policy(policy)  # clear_session took it away


# === Checks, before anything is written ===


def check_search(
    hypermodel: Any,
    data: Data,
    *,
    method: str,
    objective: str,
    budget: int,
    epochs: int,
    seed: int,
    directory: str | os.PathLike[str],
    direction: str | None = None,
    max_trials: int = MAX_TRIALS,
) -> SearchSettings:
    """Check all that can be checked without training or writing; arguments as in `search`."""
    if not isinstance(hypermodel, keras_tuner.HyperModel) and not callable(hypermodel):
        raise TypeError(
            "`hypermodel` must be a keras_tuner.HyperModel, such as HyperMLP, or a function that "
            f"builds a model. {received(hypermodel=hypermodel)}"
        )
    data = check_data(data)
    method = check_choice("method", method, METHODS)
    budget = check_int("budget", budget, low=1)
    epochs = check_int("epochs", epochs, low=1)
    seed = check_int("seed", seed, low=0, high=2**31 - 1)
    max_trials = check_int("max_trials", max_trials, low=1)
    directory = check_path("directory", directory)
    if not isinstance(objective, str):
        raise TypeError(f"`objective` must be the name of a value. {received(objective=objective)}")
    if direction is not None:
        direction = check_choice("direction", direction, ("min", "max"))
    policy = keras.config.dtype_policy()
    try:
        space, names = _probe(hypermodel, data)
    finally:
        keras.config.set_dtype_policy(policy)  # a hypermodel may have one of its own
    found = _check_objective(objective, direction, names)
    _check_space(space, method)
    facts = hypermodel.get_config() if hasattr(hypermodel, "get_config") else {}
    kind = hypermodel if hasattr(hypermodel, "__qualname__") else type(hypermodel)
    identity = {
        "hypermodel": f"{kind.__module__}.{kind.__qualname__}",
        "facts": facts,
        "space": [hp.get_config() for hp in space],
        "method": method,
        "objective": found.name,
        "direction": found.direction,
        "epochs": epochs,
        "seed": seed + runtime.seed_offset(),
        "dtype_policy": policy.name,
        "data": _digest(data),
    }
    return SearchSettings(
        hypermodel=hypermodel,
        method=method,
        objective=found,
        budget=budget,
        epochs=epochs,
        seed=seed + runtime.seed_offset(),
        directory=directory,
        max_trials=max_trials,
        dtype_policy=policy.name,
        identity=json.loads(json.dumps(identity, default=str)),  # as it will be read again
    )


def check_data(data: Any) -> Data:
    """Return ``(x_train, y_train, x_val, y_val)`` as arrays of numbers, rows matching."""
    if not isinstance(data, tuple | list) or len(data) != 4:
        kind = f"{type(data).__name__} of length {len(data)}" if hasattr(data, "__len__") else data
        raise TypeError(
            f"`data` must be (x_train, y_train, x_val, y_val). Received: data is a {kind}"
        )
    names = ("x_train", "y_train", "x_val", "y_val")
    arrays = [check_array(n, a, dtype=None) for n, a in zip(names, data, strict=True)]
    for i in (0, 2):
        check_same_length(**dict(zip(names[i : i + 2], arrays[i : i + 2], strict=True)))
    return tuple(arrays)


def _probe(hypermodel: Any, data: Data) -> tuple[list[Any], list[str]]:
    """Build the default model: the hyperparameters, and the names that its training reports."""
    hp = keras_tuner.HyperParameters()
    try:
        if isinstance(hypermodel, keras_tuner.HyperModel):
            hypermodel.declare_hyperparameters(hp)
            model = hypermodel.build(hp)
        else:
            model = hypermodel(hp)
        if not isinstance(model, keras.Model) or not model.compiled:
            raise TypeError(f"not a compiled Keras model: {model!r}")
        model.run_eagerly = True  # two rows are not worth compiling
        values = model.test_on_batch(data[2][:2], data[3][:2], return_dict=True)
    except Exception as error:
        raise ValueError(
            "`hypermodel` must build a compiled model that takes the data, with the default of "
            f"every hyperparameter. Received: {_reason(error)}"
        ) from error
    return hp.space, [f"val_{name}" for name, value in values.items() if np.ndim(value) == 0]


def _check_objective(
    objective: str, direction: str | None, names: list[str]
) -> keras_tuner.Objective:
    if objective not in names:
        raise ValueError(
            "`objective` must be a value that the model has on the validation data: "
            f"{', '.join(names)}. {received(objective=objective)}"
        )
    if direction is None:
        # not Keras Tuner's guess: it takes r2_score and f1_score for values to make small
        name = objective.removeprefix("val_")
        if name in LARGER_IS_BETTER:
            direction = "max"
        elif name in SMALLER_IS_BETTER or name.endswith("_loss"):
            direction = "min"
        else:
            raise ValueError(
                '`direction` must be "min" or "max" for an objective that does not say which is '
                f"better. {received(direction=None, objective=objective)}"
            )
    return keras_tuner.Objective(objective, direction)


def _check_space(space: list[Any], method: str) -> None:
    names = [hp.name for hp in space]
    taken = sorted(set(names) & set(FACTS_BEFORE + FACTS_AFTER))
    if taken:
        raise ValueError(
            "`hypermodel` must not use the names of the table's other columns for its "
            f"hyperparameters. Received: {', '.join(taken)}"
        )
    if method == "hyperband" and "epochs" in names:
        raise ValueError(
            '`method` must not be "hyperband" for a hypermodel that tunes its epochs: Hyperband '
            f"sets them. {received(method=method)}"
        )


def _digest(data: Data) -> str:
    digest = hashlib.sha256()
    for array in data:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _stream(progress: Any) -> TextIO | None:
    if progress is True:
        return None if os.environ.get("DLNOTES_HEADLESS") == "1" else sys.stderr
    if progress is False:
        return None
    if not hasattr(progress, "write"):
        raise TypeError(
            f"`progress` must be True, False or a stream. {received(progress=progress)}"
        )
    return progress


def _reason(error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


# === The directory ===


@dataclasses.dataclass(frozen=True)
class Opened:
    """A directory that a search has entered; `undo` leaves it as it was found.

    Attributes:
        directory: The directory.
        made: The topmost directory that had to be made, or None.
        kept: A copy of what was there, if no trial in it had completed; or None.
    """

    directory: Path
    made: Path | None
    kept: tempfile.TemporaryDirectory | None

    def undo(self) -> None:
        """Put everything back."""
        if self.made is not None:
            shutil.rmtree(self.made)
            return
        for path in self.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if self.kept is not None:
            shutil.copytree(self.kept.name, self.directory, dirs_exist_ok=True)


def open_directory(settings: SearchSettings, *, resume: bool) -> Opened:
    """Make the directory of a search, or enter it again.

    Raises:
        TypeError: If `resume` is not a bool.
        ValueError: If the directory is a file, is in use and `resume` is False, or holds no search
            or another one.
    """
    if not isinstance(resume, bool):
        raise TypeError(f"`resume` must be True or False. {received(resume=resume)}")
    directory = settings.directory
    shown = received(directory=str(directory))
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"`directory` must be a directory, not a file. {shown}")
    if not directory.exists() or not any(directory.iterdir()):
        made = None
        for path in (directory, *directory.parents):
            if path.exists():
                break
            made = path
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(settings.identity, indent=1)
        runtime.write_atomically(directory / SEARCH_NAME, text + "\n")
        return Opened(directory, made, None)
    if not resume:
        raise ValueError(
            "`directory` must be new or empty; resume=True goes on with the search that it holds. "
            f"{shown}"
        )
    try:
        found = json.loads((directory / SEARCH_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`directory` must hold a search to resume, with its {SEARCH_NAME}. {shown}"
        ) from error
    differing = [key for key, value in settings.identity.items() if found.get(key) != value]
    if differing:
        short = [key for key in differing if key not in ("facts", "space", "data")]
        changes = [f"{key} was {found.get(key)!r}" for key in short] or [
            f"{' and '.join(differing)} changed"
        ]
        raise ValueError(
            f"`directory` must hold the same search, but its {'; '.join(changes)}. {shown}"
        )
    kept = None
    if not has_completed(directory):
        kept = tempfile.TemporaryDirectory()
        shutil.copytree(directory, kept.name, dirs_exist_ok=True)
    return Opened(directory, None, kept)


def _trials(directory: Path) -> list[Trial]:
    """Return the trials in the files of a search, in the order in which they began."""
    found = []
    for path in sorted((Path(directory) / PROJECT).glob("trial_*/trial.json")):
        with contextlib.suppress(ValueError):  # just being written
            found.append(Trial.load(str(path)))
    return found


def has_completed(directory: Path) -> bool:
    """Return whether a trial of the search in this directory has completed."""
    return any(trial.status == TrialStatus.COMPLETED for trial in _trials(directory))


def given_epochs(trial: Trial) -> int:
    """Return the epochs that a trial was given when it began."""
    values = trial.hyperparameters.values
    return values.get(UNTIL, 0) - values.get(FROM, 0)


# === The oracles: which trial comes next ===


class _Budgeted:
    """What each oracle of Keras Tuner gets here: a budget of epochs, and repairs."""

    settings: SearchSettings
    stream: TextIO | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        ended = [self.trials[name].status for name in self.end_order]
        failing = TrialStatus.COMPLETED not in ended and len(ended) >= GIVE_UP_AFTER
        left = self.settings.budget - sum(given_epochs(t) for t in self.trials.values())
        if failing or left < 1 or len(self.trials) >= self.settings.max_trials:
            return {"status": TrialStatus.STOPPED, "values": None}
        answer = super().populate_space(trial_id)
        if answer["status"] == TrialStatus.RUNNING:
            values = answer["values"]
            if self.settings.method != "hyperband":  # which sets both itself
                values[FROM] = 0
                values[UNTIL] = values.get("epochs", self.settings.epochs)
            values[UNTIL] = min(values[UNTIL], values[FROM] + left)
        return answer

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        # epochs make no other trial: without this no repetition would be noticed
        values = {k: v for k, v in values.items() if k == RESUMED or not k.startswith("tuner/")}
        return super()._compute_values_hash(values)

    def reload(self) -> None:
        super().reload()
        # read in the order of the file system, which differs from that of the search
        self.trials = dict(sorted(self.trials.items()))

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        super().end_trial(trial)
        if self.stream is not None:
            self.stream.write(_line(self, self.trials[trial.trial_id]) + "\n")
            self.stream.flush()


class _RandomOracle(_Budgeted, keras_tuner.oracles.RandomSearchOracle):
    pass


class _GridOracle(_Budgeted, keras_tuner.oracles.GridSearchOracle):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        answer = super().populate_space(trial_id)
        # Keras Tuner lets the next trial wait until this one has ended: workers would take turns
        if answer["status"] == TrialStatus.RUNNING:
            self._populate_next.append(trial_id)
        return answer

    def reload(self) -> None:
        super().reload()
        # Keras Tuner does not save these two, and a search that is resumed would end at once
        names = sorted(self.trials, key=functools.cmp_to_key(self._compare_trials))
        for name in names:
            self._ordered_ids.insert(name)
        self._populate_next = list(self.start_order)

    def _compare_trials(self, a: str, b: str) -> int:
        return self._compare(*(self.trials[name].hyperparameters.values for name in (a, b)))


class _BayesianOracle(_Budgeted, QuickBayesianOracle):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # Its state is not saved: drawn from the number of the trial, a resumed search goes on alike
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        answer = super().populate_space(trial_id)
        values = answer.get("values")
        if values and self._duplicate(values):  # the best known point again, which teaches nothing
            rest = {key: values[key] for key in (FROM, UNTIL)}
            answer = self._random_populate_space()
            if answer["values"]:
                answer["values"].update(rest)
        return answer


class _HyperbandOracle(_Budgeted, keras_tuner.oracles.HyperbandOracle):
    pass


def _oracle(settings: SearchSettings) -> keras_tuner.Oracle:
    # Seeds s and s + d would share all trials but one in a space of d hyperparameters, because
    # Keras Tuner counts its seed up with each number that it draws; and it takes 0 for no seed.
    seed = int(np.random.SeedSequence(settings.seed).generate_state(1)[0] >> 1) or 1
    common = {
        "objective": settings.objective,
        "seed": seed,
        # Three failures in a row would end the search with an error, whatever came before them.
        "max_consecutive_failed_trials": sys.maxsize,
    }
    if settings.method == "hyperband":
        oracle = _HyperbandOracle(
            **common,
            max_epochs=settings.epochs,
            factor=HYPERBAND_FACTOR,
            hyperband_iterations=None,  # begin again until the budget is used up
        )
    else:
        kind = {"random": _RandomOracle, "grid": _GridOracle, "bayesian": _BayesianOracle}
        oracle = kind[settings.method](**common, max_trials=None)  # populate_space counts them
    if settings.method == "bayesian":
        # By itself it would draw 3 random trials a hyperparameter first: often all of them.
        oracle.num_initial_points = max(3, settings.budget // settings.epochs // 3)
    oracle.settings = settings
    oracle.verbose = 0
    return oracle


def _line(oracle: Any, trial: Trial) -> str:
    """One line on a trial that has ended, with the best so far."""
    name = oracle.objective.name
    record = _record(oracle.settings.directory, trial.trial_id)
    spent = sum(given_epochs(t) for t in oracle.trials.values())
    done = [t for t in oracle.trials.values() if t.status == TrialStatus.COMPLETED]
    parts = [f"trial {trial.trial_id}"]
    if trial.status == TrialStatus.COMPLETED:
        parts.append(f"{name} {trial.score:.4g}")
    else:
        parts.append(f"failed: {record.get('reason') or 'no reason recorded'}")
    if done:
        best = _best(done, oracle.objective.direction)
        parts.append(f"best {best.score:.4g} (trial {best.trial_id})")
    parts.append(f"{spent} of {oracle.settings.budget} epochs")
    if "seconds" in record:
        parts.append(f"{record['seconds']:.1f} s")
    return " · ".join(parts)


def _best(trials: list[Trial], direction: str) -> Trial:
    return (min if direction == "min" else max)(trials, key=lambda trial: trial.score)


# === The tuner: how one trial is run ===


class _SearchTuner(keras_tuner.Tuner):
    def __init__(self, settings: SearchSettings, oracle: keras_tuner.Oracle) -> None:
        self.settings = settings
        super().__init__(
            oracle,
            settings.hypermodel,
            directory=str(settings.directory),
            project_name=PROJECT,
        )

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        # the session was cleared just now, and with it the seed and the policy
        keras.utils.set_random_seed(self.settings.seed)
        keras.config.set_dtype_policy(self.settings.dtype_policy)
        model = super()._build_hypermodel(hp)
        # an optimizer that is not built would start anew: its saved state would be skipped
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if RESUMED in hp.values:  # as keras_tuner.Hyperband does
            model.load_weights(self._get_checkpoint_fname(hp.values[RESUMED]))
        return model

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        self._start, self._seen, self._why = time.perf_counter(), [], None
        values = trial.hyperparameters.values
        kwargs.update(epochs=values[UNTIL], initial_epoch=values[FROM])
        name = self.oracle.objective.name
        try:
            results = super().run_trial(trial, *args, **kwargs)
            if self._seen and not np.isfinite(self._seen).any():
                # Keras Tuner would take an infinite score, and give no reason for NaN
                raise keras_tuner.errors.FailedTrialError(
                    f"{name} was {self._seen[-1]}, never a finite number"
                )
        except Exception as error:
            self._why = _reason(error)
            raise
        # NaN in the first epoch would stay the best that Keras Tuner finds
        worst = math.inf if self.oracle.objective.direction == "min" else -math.inf
        for history in results:
            if isinstance(history, keras.callbacks.History) and name in history.history:
                history.history[name] = [
                    value if math.isfinite(value) else worst for value in history.history[name]
                ]
        return results

    def on_epoch_end(
        self, trial: Trial, model: keras.Model, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._seen.append(float((logs or {}).get(self.oracle.objective.name, math.nan)))
        if len(self._seen) > given_epochs(trial):
            raise keras_tuner.errors.FatalRuntimeError(
                "`hypermodel` must train in `fit` for the `epochs` that it is given. "
                f"Received: {len(self._seen)} epochs, given {given_epochs(trial)}"
            )

    def on_trial_end(self, trial: Trial) -> None:
        # before the oracle hears of it, so that no ended trial is without; gRPC carries no reason
        record = {
            "trained_epochs": len(self._seen),
            "seconds": round(time.perf_counter() - self._start, 3),
            "reason": self._why,
            "tuner": self.tuner_id,
        }
        path = Path(self.get_trial_dir(trial.trial_id)) / RECORD_NAME
        runtime.write_atomically(path, json.dumps(record) + "\n")
        super().on_trial_end(trial)


def make_tuner(settings: SearchSettings, *, progress: TextIO | None = None) -> keras_tuner.Tuner:
    """Return the tuner of a search, with the trials that its directory holds.

    It is the same for a search in one process, the chief and the workers of a parallel one; Keras
    Tuner reads from the environment which of them this process is.

    Args:
        settings: What `check_search` returned.
        progress: Where to write a line when a trial ends; None writes nothing.
    """
    oracle = _oracle(settings)
    oracle.stream = progress
    with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from …"
        tuner = _SearchTuner(settings, oracle)
        saved = settings.directory / PROJECT / "oracle.json"
        # reloaded already, unless it was saved under another tuner's name
        if tuner.oracle is oracle and saved.exists() and not oracle.trials:
            oracle.reload()
    return tuner


def run_search(tuner: keras_tuner.Tuner, data: Data) -> None:
    """Run trials until the search ends; the chief of a parallel search serves until then."""
    x_train, y_train, x_val, y_val = check_data(data)
    with _no_retracing_warnings(), _no_tracebacks(), _frozen_garbage():
        tuner.search(x_train, y_train, validation_data=(x_val, y_val), verbose=0)


@contextlib.contextmanager
def _no_tracebacks() -> Iterator[None]:
    """Keras Tuner prints the traceback of each failed trial; it is kept in the trial's file too."""
    before = keras_tuner_config.DEBUG
    keras_tuner_config.DEBUG = False
    try:
        yield
    finally:
        keras_tuner_config.DEBUG = before


@contextlib.contextmanager
def _frozen_garbage() -> Iterator[None]:
    """Collect only what the trials leave: Keras Tuner collects twice before each of them.

    Going through all that TensorFlow has loaded takes 0.2 s a time, half of a small trial.
    """
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


@contextlib.contextmanager
def _no_retracing_warnings() -> Iterator[None]:
    """TensorFlow warns that functions are traced again and again: here each is another model's."""
    logger = logging.getLogger("tensorflow")

    def keep(record: logging.LogRecord) -> bool:
        return "retracing" not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


# === The results ===


def trials_table(directory: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return the trials of a search from its files, also while it runs or after it was killed.

    Args:
        directory: The directory of the search.

    Returns:
        One row a trial, in the order in which they began; the columns of `SearchResult.table`.

    Raises:
        ValueError: If the directory holds no search.
    """
    import pandas as pd

    directory = check_path("directory", directory)
    if not (directory / SEARCH_NAME).is_file():
        raise ValueError(f"`directory` must hold a search. {received(directory=str(directory))}")
    rows, names = [], []
    for trial in _trials(directory):
        values = trial.hyperparameters.values
        names += [hp.name for hp in trial.hyperparameters.space if hp.name not in names]
        record = _record(directory, trial.trial_id)
        completed = trial.status == TrialStatus.COMPLETED
        status = STATUS.get(trial.status, "running")
        reason = record.get("reason") if status == "failed" else None
        rows.append(
            {
                "trial": trial.trial_id,
                **{name: value for name, value in values.items() if not name.startswith("tuner/")},
                "score": float(trial.score) if completed else math.nan,
                # Keras Tuner's step counts from 0 and from the trial's own first epoch
                "best_epoch": trial.best_step + values.get(FROM, 0) + 1 if completed else None,
                "given_epochs": given_epochs(trial),
                "trained_epochs": record.get("trained_epochs"),
                "resumed_from": values.get(RESUMED),
                "seconds": record.get("seconds"),
                "status": status,
                "reason": reason or ("no reason recorded" if status == "failed" else None),
            }
        )
    table = pd.DataFrame(rows, columns=[*FACTS_BEFORE, *names, *FACTS_AFTER])
    whole = ["best_epoch", "given_epochs", "trained_epochs"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _record(directory: Path, trial_id: str) -> dict[str, Any]:
    try:
        path = directory / PROJECT / f"trial_{trial_id}" / RECORD_NAME
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none: the process was killed
        return {}


def finish(settings: SearchSettings, data: Data) -> SearchResult:
    """Collect the results of a search that has ended; save the best model, reload and compare it.

    Args:
        settings: What `check_search` returned.
        data: The data of the search.

    Raises:
        RuntimeError: If no trial completed, or the reloaded model's score differs from the
            recorded one by more than 0.001, absolute and relative.
    """
    table = trials_table(settings.directory)
    name, direction = settings.objective.name, settings.objective.direction
    completed = [t for t in _trials(settings.directory) if t.status == TrialStatus.COMPLETED]
    failed = int((table["status"] == "failed").sum())
    if not completed:
        reasons = table.loc[table["status"] == "failed", "reason"].value_counts()
        listed = "; ".join(f"{reason} ({count} times)" for reason, count in reasons.items())
        raise RuntimeError(
            f"`hypermodel` must have hyperparameters with which it trains: all {len(table)} trials "
            f"failed. Received: {listed or 'no trial ended'}"
        )
    best = _best(completed, direction)
    path = settings.directory / BEST_NAME
    with _frozen_garbage():
        make_tuner(settings).load_model(best).save(path)
    model = keras.models.load_model(path)
    _, _, x_val, y_val = check_data(data)
    with _no_retracing_warnings():
        values = model.evaluate(
            x_val, y_val, batch_size=VALIDATION_BATCH, verbose=0, return_dict=True
        )
    score = float(values[name.removeprefix("val_")])
    if not math.isclose(score, best.score, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        raise RuntimeError(
            f"The best model must have its recorded {name} when it is reloaded from {path}. "
            f"Received: recorded {best.score:.6g}, reloaded {score:.6g} (trial {best.trial_id})"
        )
    values = best.hyperparameters.values
    return SearchResult(
        table=table,
        objective=name,
        direction=direction,
        best_trial=best.trial_id,
        best_hyperparameters={k: v for k, v in values.items() if not k.startswith("tuner/")},
        best_score=float(best.score),
        best_model=model,
        path=path,
        failed=failed,
    )
