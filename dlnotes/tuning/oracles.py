"""What Keras Tuner gets here: oracles with one budget of epochs, and the tuner that asks them.

`make_tuner` is the same for a search in one process, and for the chief and the workers of a
parallel one. Each repair of a trap of Keras Tuner has its reason where it stands.
"""

import contextlib
import dataclasses
import functools
import io
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from dlnotes import runtime
from dlnotes.tuning.bayesian import QuickBayesianOracle

GIVE_UP_AFTER = 5  # failed trials, if no other has completed
HYPERBAND_FACTOR = 3
PROJECT = "trials"
RECORD_NAME = "record.json"
FROM, UNTIL, RESUMED = "tuner/initial_epoch", "tuner/epochs", "tuner/trial_id"


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


# === Trials ===


def given_epochs(trial: Trial) -> int:
    """Return the epochs that a trial was given when it began."""
    values = trial.hyperparameters.values
    return values.get(UNTIL, 0) - values.get(FROM, 0)


def read_record(directory: Path, trial_id: str) -> dict[str, Any]:
    """Return what the tuner wrote on a trial that has ended; nothing for any other."""
    try:
        path = directory / PROJECT / f"trial_{trial_id}" / RECORD_NAME
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none: the process was killed
        return {}


def best_of(trials: list[Trial], direction: str) -> Trial:
    """Return the trial with the best score, the first of equals."""
    return (min if direction == "min" else max)(trials, key=lambda trial: trial.score)


def reason_of(error: BaseException) -> str:
    """Return an error as one short line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


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
    record = read_record(oracle.settings.directory, trial.trial_id)
    spent = sum(given_epochs(t) for t in oracle.trials.values())
    done = [t for t in oracle.trials.values() if t.status == TrialStatus.COMPLETED]
    parts = [f"trial {trial.trial_id}"]
    if trial.status == TrialStatus.COMPLETED:
        parts.append(f"{name} {trial.score:.4g}")
    else:
        parts.append(f"failed: {record.get('reason') or 'no reason recorded'}")
    if done:
        best = best_of(done, oracle.objective.direction)
        parts.append(f"best {best.score:.4g} (trial {best.trial_id})")
    parts.append(f"{spent} of {oracle.settings.budget} epochs")
    if "seconds" in record:
        parts.append(f"{record['seconds']:.1f} s")
    return " · ".join(parts)


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
            self._why = reason_of(error)
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
