"""One search over hyperparameters: four methods, one budget of epochs, one table of results.

Keras Tuner does the searching; `dlnotes.tuning.oracles` mends it. The parts here are used by a
parallel search too: `check_search`, `entered_directory`, `run_search`, `trials_table`, `finish`.
"""

import contextlib
import dataclasses
import gc
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import config as keras_tuner_config

from dlnotes import runtime
from dlnotes.training.callbacks import LARGER_IS_BETTER, SMALLER_IS_BETTER
from dlnotes.tuning.hypermodels import VALIDATION_BATCH
from dlnotes.tuning.oracles import (
    FROM,
    PROJECT,
    RESUMED,
    SearchSettings,
    best_of,
    given_epochs,
    make_tuner,
    read_record,
    reason_of,
)
from dlnotes.tuning.output import no_retracing_warnings, progress_stream
from dlnotes.validation import (
    check_array,
    check_choice,
    check_flag,
    check_int,
    check_path,
    check_same_length,
    received,
)

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("random", "grid", "bayesian", "hyperband")
MAX_TRIALS = 200
TOLERANCE = 1e-3  # between the recorded score and the reloaded model's; rounding gives 1e-6
SEARCH_NAME = "search.json"
BEST_NAME = "best.keras"
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
            "bayesian" (a Gaussian process over the trials so far, not quite Keras Tuner's: a third
            of the full trials that fit into the budget are random first, 3 at least, where Keras
            Tuner takes 3 for each hyperparameter; the next point is found by many samples, not by
            descents; and a repeated point is replaced by a random one. Where a trial takes minutes
            `keras_tuner.BayesianOptimization` itself can pay) or "hyperband" (many short trials,
            of which the best third goes on).
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
    stream = progress_stream(progress)
    with entered_directory(settings, resume=resume):
        run_search(make_tuner(settings, progress=stream), data)
        return finish(settings, data)


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
            f"every hyperparameter. Received: {reason_of(error)}"
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
    check_flag("resume", resume)
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


@contextlib.contextmanager
def entered_directory(settings: SearchSettings, *, resume: bool) -> Iterator[None]:
    """Open the directory for a search; leave it as it was if an error comes before any success.

    What a search cost stays: after a trial has completed, or on Ctrl-C, it can be resumed.

    Raises:
        TypeError: As `open_directory`.
        ValueError: As `open_directory`.
    """
    opened = open_directory(settings, resume=resume)
    policy = keras.config.dtype_policy()
    try:
        yield
    except Exception:
        if not has_completed(settings.directory):
            opened.undo()
        raise
    finally:
        keras.config.set_dtype_policy(policy)  # clear_session took it away


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


def run_search(tuner: keras_tuner.Tuner, data: Data) -> None:
    """Run trials until the search ends; the chief of a parallel search serves until then."""
    x_train, y_train, x_val, y_val = check_data(data)
    with no_retracing_warnings(), _no_tracebacks(), _frozen_garbage():
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
        record = read_record(directory, trial.trial_id)
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
    best = best_of(completed, direction)
    path = settings.directory / BEST_NAME
    with _frozen_garbage():
        make_tuner(settings).load_model(best).save(path)
    model = keras.models.load_model(path)
    _, _, x_val, y_val = check_data(data)
    with no_retracing_warnings():
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
