import warnings

import numpy as np
import pandas as pd
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    from dlnotes.tuning.importance import importance_of
    from dlnotes.tuning.search import FACTS_AFTER


def table(count, noise=0.0):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: [None] * count for name in ("trial", *FACTS_AFTER)})
    frame["rate"] = rng.uniform(size=count)
    frame["kind"] = rng.choice(["a", "b"], size=count)
    frame["unused"] = rng.uniform(size=count)
    frame["fixed"] = 3
    frame["momentum"] = np.where(frame["kind"] == "a", rng.uniform(size=count), np.nan)
    score = 3 * frame["rate"] + (frame["kind"] == "b") * 1.0
    frame["score"] = noise * rng.normal(size=count) + (1 - noise) * score
    frame["status"] = "completed"
    return frame


def test_what_makes_the_score_is_important():
    found = importance_of(table(60), seed=0)
    assert found.names[0] == "rate"
    assert set(found.names) == {"rate", "kind", "unused", "momentum"}
    values = dict(zip(found.names, found.values, strict=True))
    assert values["rate"] > 5 * values["unused"]
    assert values["kind"] + values["momentum"] > 2 * values["unused"]
    assert found.reliability > 0.8


def test_noise_is_called_unreliable():
    assert importance_of(table(60, noise=1.0), seed=0).reliability < 0.2


def test_failed_trials_do_not_count():
    frame = table(40)
    failed = frame.copy()
    failed.loc[len(failed)] = failed.loc[0]
    failed.loc[len(frame), ["score", "status"]] = [np.nan, "failed"]
    np.testing.assert_array_equal(
        importance_of(frame, seed=0).values, importance_of(failed, seed=0).values
    )


@pytest.mark.parametrize(("count", "warned"), [(29, 1), (30, 0)])
def test_few_trials_bring_a_warning(count, warned):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        importance_of(table(count), seed=0)
    texts = [str(warning.message) for warning in told]
    assert (
        texts
        == ["importance from 29 trials is a guess: 30 or more are better. Look at the reliability."]
        * warned
    )


def test_refusals():
    refusals = [
        Refusal((3,), {"seed": 0}, TypeError, "`table` must be the table of a search"),
        Refusal((table(9),), {"seed": 0}, ValueError, "10 completed trials or more.*completed=9"),
        Refusal((table(20),), {"seed": 0.5}, TypeError, "`seed` must be an integer"),
    ]
    check_refusals(importance_of, refusals)
    check_docstring(importance_of)
    with pytest.raises(ValueError, match="`seed` must be an integer >= 0"):
        importance_of(table(20), seed=-1)
