"""Cutting rows into a training, a validation and a test part, always at the same places."""

import numpy as np

from dlnotes.validation import check_array, check_float, received

SPLIT_SEED = 20
"""Seed of every split. Training seeds may be moved from outside; the data never move."""


def split_indices(
    y: np.ndarray, *, test_size: float = 0.15, val_size: float = 0.15, stratify: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row numbers of the training, validation and test part, each in mixed order.

    Args:
        y: Targets ``(N,)``; class numbers if `stratify`.
        test_size: Fraction of the rows for the test part, in ``[0, 1)``.
        val_size: Fraction of the rows for the validation part, in ``[0, 1)``.
        stratify: Whether each part holds the classes in the proportions of the whole.

    Raises:
        ValueError: If a fraction lies outside its range, both together leave nothing to train
            on, or a class would be missing from the training part.

    Example:
        >>> train, val, test = split_indices(np.repeat([0, 1], 50))
        >>> len(train), len(val), len(test)
        (70, 15, 15)
    """
    y = check_array("y", y, ndim=1, dtype=None)
    test_size = check_float("test_size", test_size, low=0, high=1, open_high=True)
    val_size = check_float("val_size", val_size, low=0, high=1, open_high=True)
    if test_size + val_size >= 1:
        raise ValueError(
            "`test_size` and `val_size` must leave rows to train on, so their sum must be < 1. "
            + received(test_size=test_size, val_size=val_size)
        )
    rng = np.random.default_rng(SPLIT_SEED)
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if stratify else [np.arange(len(y))]
    groups = [rng.permutation(rows) for rows in groups]
    counts = np.array([len(rows) for rows in groups])
    num_test = _apportion(counts, round(test_size * len(y)))
    num_val = _apportion(counts - num_test, round(val_size * len(y)))
    if np.any(counts - num_test - num_val < 1):
        raise ValueError(
            "`test_size` and `val_size` must leave at least one row of each class to train on. "
            + received(test_size=test_size, val_size=val_size, class_sizes=counts.tolist())
        )
    test = np.concatenate([g[:t] for g, t in zip(groups, num_test, strict=True)])
    cuts = list(zip(groups, num_test, num_test + num_val, strict=True))
    val = np.concatenate([g[t:v] for g, t, v in cuts])
    train = np.concatenate([g[v:] for g, _, v in cuts])
    return rng.permutation(train), rng.permutation(val), rng.permutation(test)


def cut_rows(
    cut: tuple[np.ndarray, np.ndarray, np.ndarray], **columns: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each column's training, validation and test rows, as a dataset names them.

    Args:
        cut: The row numbers of the three parts, as `split_indices` returns them.
        **columns: Arrays with a row for each sample, such as ``x`` and ``y``.

    Example:
        >>> parts = cut_rows(([0, 2], [1], [3]), x=np.array([5, 6, 7, 8]))
        >>> parts["x_train"].tolist(), parts["x_val"].tolist(), parts["x_test"].tolist()
        ([5, 7], [6], [8])
    """
    parts = list(zip(("train", "val", "test"), cut, strict=True))
    return {f"{name}_{part}": c[rows] for name, c in columns.items() for part, rows in parts}


def _apportion(counts: np.ndarray, total: int) -> np.ndarray:
    """Share `total` among groups in proportion to `counts`, by largest remainder."""
    exact = counts * (total / max(counts.sum(), 1))
    shares = np.floor(exact).astype(int)
    order = np.argsort(shares - exact, kind="stable")  # largest remainder first
    shares[order[: total - shares.sum()]] += 1
    return shares
