"""What `dlnotes tune` searches: a hypermodel and data for each dataset of the course."""

from typing import Any

import numpy as np

from dlnotes import runtime
from dlnotes.course.classification import LOADERS, classification_data
from dlnotes.validation import check_choice, received

MODELS = ("mlp", "cnn")
METHODS = ("random", "grid", "bayesian", "hyperband")
SHOWN = 10  # trials
WORKERS = 2


def prepare(dataset: str, model: str) -> tuple[Any, tuple[np.ndarray, ...]]:
    """Return the hypermodel of a kind for a dataset, and its data: training and validation part.

    Pictures are scaled to [0, 1]; the columns of a table to mean 0 and standard deviation 1 in the
    training part. The test part stays untouched.

    Args:
        dataset: Name of a dataset with classes.
        model: "mlp", or "cnn" for pictures.

    Raises:
        ValueError: If one is unknown, or they do not go together.
        DatasetNotAvailable: If the dataset is still to be fetched.

    Example:
        >>> hypermodel, (x_train, *_) = prepare("digits", "mlp")
        >>> hypermodel.input_shape, x_train.shape
        ((64,), (1257, 64))
    """
    check_choice("dataset", dataset, LOADERS)
    check_choice("model", model, MODELS)
    with runtime.quiet_start():
        from dlnotes.tuning import HyperCNN, HyperMLP

    arrays, outputs = classification_data(dataset, pictures=model != "mlp")
    x_train = arrays[0]
    if model == "cnn" and x_train.ndim < 4:
        raise ValueError(
            f'`model` must be "mlp" for data that are no pictures. {received(model=model)} '
            f"(dataset={dataset!r})"
        )
    kind = HyperMLP if model == "mlp" else HyperCNN
    return kind(x_train.shape[1:], outputs), arrays


def tune(
    dataset: str,
    model: str,
    *,
    workers: int | None,
    role: str | None,
    address: str | None,
    worker_id: str | None,
    resume: bool,
    **options: Any,
) -> Any:
    """Search, as `dlnotes tune` says; return the result, or None for workers of another chief.

    Args:
        dataset: As in `prepare`.
        model: As in `prepare`.
        workers: Processes that train here; None takes 2, and 1 as a worker of another chief.
        role: None, "chief" or "worker".
        address: Where the chief listens, with a role.
        worker_id: Name as a worker.
        resume: Whether to go on with the directory's search.
        **options: For `dlnotes.tuning.search`.
    """
    hypermodel, data = prepare(dataset, model)
    from dlnotes.tuning import join_search, parallel_search, search

    if role == "worker":
        many = 1 if workers is None else workers
        join_search(hypermodel, data, address=address, workers=many, worker_id=worker_id, **options)
        return None
    many = WORKERS if workers is None else workers
    options["resume"] = resume
    if role == "chief":
        result = parallel_search(hypermodel, data, workers=many, address=address, **options)
    elif many > 1:
        result = parallel_search(hypermodel, data, workers=many, **options)
    else:
        result = search(hypermodel, data, **options)
    path = result.path.with_name("trials.csv")
    runtime.write_atomically(path, result.table.to_csv(index=False))
    return result


def best_trials(result: Any) -> tuple[list[str], list[list[str]], int]:
    """Return the best trials as columns and rows of text, and how many trials are left out.

    Hyperparameters that are the same in all trials are left out too.
    """
    table = result.table
    ordered = table.sort_values(
        ["score", "trial"], ascending=[result.direction == "min", True], na_position="last"
    )
    facts = ("trial", "score", "trained_epochs", "seconds", "status")
    aside = {*facts, "best_epoch", "given_epochs", "resumed_from", "reason"}
    tuned = [n for n in table.columns if n not in aside and table[n].nunique(dropna=False) > 1]
    columns = ["trial", "status", "score", *tuned, "trained_epochs", "seconds"]
    rows = [[_short(row[name]) for name in columns] for _, row in ordered.head(SHOWN).iterrows()]
    return [name.replace("_", " ") for name in columns], rows, max(0, len(table) - SHOWN)


def _short(value: Any) -> str:
    if value is None or value != value or str(value) == "<NA>":
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
