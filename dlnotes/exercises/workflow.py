"""Exercises of lesson 06, the workflow."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def scale(train, new):
    """Return both tables, each column of `train` moved to the range from 0 to 1."""
    low, high = train.min(axis=0), train.max(axis=0)
    width = np.where(high > low, high - low, np.inf)  # a division by infinity gives 0
    return (train - low) / width, (new - low) / width


def _with_own_range(train, new):
    return scale(train, train)[0], scale(new, new)[0]


def _with_joint_range(train, new):
    both = np.concatenate([train, new])
    return scale(both, train)[1], scale(both, new)[1]


def _whole_table(train, new):
    low, width = train.min(), np.ptp(train)
    return (train - low) / width, (new - low) / width


def _divided_by_zero(train, new):
    low, high = train.min(axis=0), train.max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (train - low) / (high - low), (new - low) / (high - low)


def _filled_with_huge(train, new):
    return tuple(np.nan_to_num(part) for part in _divided_by_zero(train, new))


def _clipped(train, new):
    return scale(train, train)[0], np.clip(scale(train, new)[1], 0, 1)


def _standardised(train, new):
    mean, spread = train.mean(axis=0), train.std(axis=0)
    return (train - mean) / spread, (new - mean) / spread


def _check_scale(answer):
    train = np.array([[4.0, 100.0, 7.0], [9.0, 80.0, 7.0], [6.0, 140.0, 7.0]])
    new = np.array([[10.0, 90.0, 7.0], [5.0, 120.0, 9.0]])
    for columns, plain in ((slice(0, 2), True), (slice(0, 3), False)):
        inputs = train[:, columns].copy(), new[:, columns].copy()
        result = answer(*inputs)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise WrongAnswer("return two tables: the training rows and the new rows, scaled.")
        parts = [np.asarray(part, dtype=float) for part in result]
        right = scale(train[:, columns], new[:, columns])
        if _same(parts, right):
            continue
        if plain:
            _explain_scaling(parts, train[:, columns], new[:, columns])
        if not all(np.isfinite(part).all() for part in parts):
            raise WrongAnswer(
                "a column that never changes has the range 0, and you divide by it. Such a column "
                "shall become 0, in both tables."
            )
        raise WrongAnswer(
            "a column that never changes in training shall become 0 in both tables, also where a "
            "new value differs: training has taught nothing about such a difference."
        )


def _same(parts, others):
    return all(
        part.shape == other.shape and np.allclose(part, other)
        for part, other in zip(parts, others, strict=True)
    )


def _explain_scaling(parts, train, new):
    reasons = {
        _with_own_range: "the new rows are scaled with their own range. A grade of 10 must not "
        "mean one thing in training and another thing later: take the training range for both.",
        _with_joint_range: "the range was taken from both tables together: a leak. Only the "
        "training rows may decide.",
        _whole_table: "the range of the whole table was used; every column has a range of its own "
        "(axis=0).",
        _clipped: "the new rows were cut off at 0 and 1. A grade above all training grades may "
        "come out above 1: that is information.",
        _standardised: "that is standardisation. Here the smallest training value of a column "
        "shall become 0 and the largest 1.",
    }
    for mistake, reason in reasons.items():
        theirs = mistake(train, new)
        if _same(parts, theirs):
            raise WrongAnswer(reason)
    right = scale(train, new)
    raise WrongAnswer(
        f"for training values 4, 9, 6 and the new value 10 the new value becomes "
        f"{right[1][0, 0]:g}; your tables differ from that."
    )


def precision_recall(y, answers):
    """Return precision and recall of yes-or-no answers."""
    y, answers = np.asarray(y), np.asarray(answers)
    hits = np.sum((y == 1) & (answers == 1))
    called, real = np.sum(answers == 1), np.sum(y == 1)
    return (hits / called if called else 0.0), (hits / real if real else 0.0)


def _swapped(y, answers):
    return precision_recall(y, answers)[::-1]


def _accuracy_twice(y, answers):
    share = np.mean(np.asarray(y) == np.asarray(answers))
    return share, share


def _of_all_rows(y, answers):
    hits = np.mean((np.asarray(y) == 1) & (np.asarray(answers) == 1))
    return hits, hits


def _never_called(y, answers):
    y, answers = np.asarray(y), np.asarray(answers)
    hits = np.sum((y == 1) & (answers == 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return hits / np.sum(answers == 1), hits / np.sum(y == 1)


def _check_precision_recall(answer):
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    cases = (np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0]))
    for answers in (*cases, np.zeros(10, dtype=int)):
        result = np.asarray(answer(y.copy(), answers.copy()), dtype=float)
        right = np.asarray(precision_recall(y, answers))
        if result.shape != (2,):
            raise WrongAnswer("return two numbers: precision first, then recall.")
        if np.allclose(result, right):
            continue
        if not answers.any():
            raise WrongAnswer(
                "a model that never says 1 divides 0 by 0 in the precision. Return 0 for it: there "
                "was no right call."
            )
        reasons = {
            _swapped: "the two are swapped: precision divides by how often the model SAID 1, "
            "recall by how often 1 is TRUE.",
            _accuracy_twice: "that is the accuracy. Here right zeros count nothing.",
            _of_all_rows: "you divide by all rows. Precision divides by the rows called 1, recall "
            "by the rows that are 1.",
        }
        for mistake, reason in reasons.items():
            if np.allclose(result, mistake(y, answers)):
                raise WrongAnswer(reason)
        raise WrongAnswer(
            f"for y = {y.tolist()} and answers = {answers.tolist()} precision and recall are "
            f"{right[0]:.3g} and {right[1]:.3g}; yours are {result[0]:.3g} and {result[1]:.3g}."
        )


def deal_folds(ids, k):
    """Return each row's fold, 0 to k - 1, so that rows of one student share a fold."""
    number = {}
    for student in ids:
        number.setdefault(student.upper(), len(number))
    return [number[student.upper()] % k for student in ids]


def _row_by_row(ids, k):
    return [row % k for row in range(len(ids))]


def _case_matters(ids, k):
    number = {}
    for student in ids:
        number.setdefault(student, len(number))
    return [number[student] % k for student in ids]


def _one_fold(ids, k):
    return [0 for _ in ids]


def _from_one(ids, k):
    return [fold + 1 for fold in deal_folds(ids, k)]


def _halves(ids, k):
    return [fold + 0.5 for fold in deal_folds(ids, k)]


def _check_folds(answer):
    ids = ["S01", "S02", "S03", "S04", "S02", "S05", "s03", "S06", "S07", "s01", "S08"]
    for k in (2, 4):
        given = list(answer(list(ids), k))
        whole = [isinstance(fold, int | np.integer) or fold in range(k) for fold in given]
        if not all(whole):
            raise WrongAnswer(f"a fold is a whole number, 0 to {k - 1}. You return {given}.")
        folds = [int(fold) for fold in given]
        if len(folds) != len(ids):
            raise WrongAnswer(f"return one fold for each of the {len(ids)} rows, in their order.")
        if min(folds) < 0 or max(folds) >= k:
            raise WrongAnswer(
                f"with k = {k} the folds are numbered 0 to {k - 1}; yours run from {min(folds)} to "
                f"{max(folds)}."
            )
        homes = {}
        for student, fold in zip(ids, folds, strict=True):
            homes.setdefault(student, set()).add(fold)
        torn = [student for student, where in homes.items() if len(where) > 1]
        if torn:
            raise WrongAnswer(
                f"student {torn[0]} stands in two folds, so a copy is in training while the other "
                "is being judged: a leak. Deal students, not rows."
            )
        torn = [s for s in homes if s.upper() in homes and homes[s] != homes[s.upper()]]
        if torn:
            raise WrongAnswer(
                f"{torn[0]} and {torn[0].upper()} are the same student, typed by two offices, and "
                "they stand in different folds."
            )
        students = [
            len({s.upper() for s, where in homes.items() if fold in where}) for fold in range(k)
        ]
        if max(students) - min(students) > 1:
            raise WrongAnswer(
                f"the folds must be as even as possible: eight students in {k} folds, and yours "
                f"hold {students} of them."
            )


EXERCISES = (
    Exercise(
        id="06.1",
        title="Scaling without a leak",
        prompt=(
            "Write `scale(train, new)`: min-max scaling of two tables (arrays with one row for "
            "each student). In the training table the smallest value of each column becomes 0, "
            "the largest 1; the new table is scaled *the same way*, so its values may lie below 0 "
            "or above 1. A column that never changes in training becomes 0 in both tables. Return "
            "both scaled tables."
        ),
        hints=(
            "Which numbers does the formula need, and from which table may they come?",
            "`train.min(axis=0)` holds one number for each column. NumPy subtracts it from every "
            "row of either table.",
            "`np.where(high > low, high - low, np.inf)` is never 0, and a number divided by "
            "infinity is 0.",
        ),
        check=_check_scale,
        reference=scale,
        explanation=(
            "Minimum and range were learned from the training rows alone, and a new student is "
            "measured with the same ruler. New values may lie below 0 or above 1."
        ),
        wrong=(
            (_with_own_range, "their own range"),
            (_with_joint_range, "a leak"),
            (_whole_table, "a range of its own"),
            (_divided_by_zero, "never changes has the range 0"),
            (_filled_with_huge, "also where a new value differs"),
            (_clipped, "cut off at 0 and 1"),
            (_standardised, "that is standardisation"),
        ),
    ),
    Exercise(
        id="06.2",
        title="Precision and recall",
        prompt=(
            "Write `precision_recall(y, answers)`: from the true labels `y` and the model's "
            "`answers`, arrays of 0 and 1, return the two numbers, precision first. If the model "
            "never answers 1, its precision shall be 0. (`y` always holds a 1.)"
        ),
        hints=(
            "Both have the same numerator: rows that are 1 and are called 1.",
            "Precision divides by the rows that are *called* 1, recall by the rows that *are* 1.",
        ),
        check=_check_precision_recall,
        reference=precision_recall,
        explanation=(
            "One numerator, two denominators. Call everyone placed, and recall is 1 while "
            "precision falls to the share of placed students; the two are traded by the threshold."
        ),
        wrong=(
            (_swapped, "the two are swapped"),
            (_accuracy_twice, "that is the accuracy"),
            (_of_all_rows, "you divide by all rows"),
            (_never_called, "never says 1"),
        ),
    ),
    Exercise(
        id="06.3",
        title="Folds for a table with copies",
        prompt=(
            "A table still holds copies, and you must cross-validate. Write `deal_folds(ids, k)`: "
            "for a list of student ids, return a list with the fold of each row, 0 to k − 1, so "
            'that all rows of one student share a fold ("s12" is "S12"), and the numbers of '
            "students in the folds differ by at most one."
        ),
        hints=(
            "Deal out students, not rows: number the students in the order in which they come.",
            "A dictionary from `student.upper()` to a running number; student n goes to fold "
            "n % k.",
        ),
        check=_check_folds,
        reference=deal_folds,
        explanation=(
            "No student is both learned from and judged, so no copy can leak. scikit-learn's "
            "GroupKFold does something like this, and evens out rows instead of students."
        ),
        wrong=(
            (_row_by_row, "stands in two folds"),
            (_case_matters, "the same student, typed by two offices"),
            (_one_fold, "as even as possible"),
            (_from_one, "the folds are numbered 0 to"),
            (_halves, "a fold is a whole number"),
        ),
    ),
)
