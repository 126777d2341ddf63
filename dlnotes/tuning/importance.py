"""Which hyperparameters mattered among the trials of a search."""

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlnotes.tuning.search import FACTS_AFTER, FACTS_BEFORE
from dlnotes.validation import check_int, received

if TYPE_CHECKING:
    import pandas as pd

FEWEST_TRIALS = 10
ENOUGH_TRIALS = 30  # with fewer, another search of the same kind often ranks otherwise


class Importance(NamedTuple):
    """How much each hyperparameter mattered, the most important first.

    Attributes:
        names: Names of the hyperparameters.
        values: How much R² the forest loses when the column is shuffled; below 0
            means the same as 0.
        reliability: R² of the forest on trials that each tree has not seen. Near 0 or below it the
            forest knows nothing, and neither do the values.
    """

    names: tuple[str, ...]
    values: np.ndarray
    reliability: float


def importance_of(table: "pd.DataFrame", *, seed: int) -> Importance:
    """Measure by shuffling which hyperparameters a random forest needs to foretell the score.

    A forest is fitted to the completed trials, and each column is shuffled 10 times: what R² then
    loses is the importance. It holds for the ranges that were searched and the trials that were
    made, which are not independent for Bayesian search and Hyperband. Names of categories are
    numbered; where a hyperparameter is inactive, it has the value −1.

    Args:
        table: `SearchResult.table`, with 10 completed trials or more.
        seed: Seed of the forest and of the shuffling.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If too few trials completed.

    Warns:
        UserWarning: If fewer than 30 trials completed.

    References:
        Breiman, "Random forests", Machine Learning 45 (2001), section 10.
    """
    import pandas as pd
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    if not isinstance(table, pd.DataFrame) or "score" not in table:
        raise TypeError(f"`table` must be the table of a search. {received(table=type(table))}")
    seed = check_int("seed", seed, low=0)
    done = table[table["status"] == "completed"]
    if len(done) < FEWEST_TRIALS:
        raise ValueError(
            f"`table` must have {FEWEST_TRIALS} completed trials or more. "
            f"{received(completed=len(done))}"
        )
    if len(done) < ENOUGH_TRIALS:
        warnings.warn(
            f"importance from {len(done)} trials is a guess: {ENOUGH_TRIALS} or more are better. "
            "Look at the reliability.",
            stacklevel=2,
        )
    columns = done.drop(columns=[*FACTS_BEFORE, *FACTS_AFTER])
    columns = columns[[name for name in columns if columns[name].nunique(dropna=False) > 1]]
    x = columns.apply(_numbers)
    y = done["score"].to_numpy(float)
    forest = RandomForestRegressor(100, oob_score=True, random_state=seed).fit(x, y)
    lost = permutation_importance(forest, x, y, n_repeats=10, random_state=seed).importances_mean
    order = np.argsort(-lost, kind="stable")
    names = tuple(x.columns[i] for i in order)
    return Importance(names, lost[order], float(forest.oob_score_))


def _numbers(column: "pd.Series") -> "pd.Series":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float).fillna(-1.0)
    return pd.Series(pd.factorize(column, sort=True)[0], column.index, float)  # missing: −1
