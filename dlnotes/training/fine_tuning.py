"""Teaching a trained network another task: freezing, phases, adaptation without labels."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from dlnotes.training.evaluation import TASKS
from dlnotes.training.presets import compile_for
from dlnotes.validation import check_array, check_choice, check_float, check_int, received

MODES = ("inference", "train")


class Phase(NamedTuple):
    """One phase of `fine_tune`.

    Attributes:
        frozen_to: The last frozen layer; None lets all layers learn.
        epochs: Passes over the rows, >= 1.
        learning_rate: Learning rate, > 0.
    """

    frozen_to: str | None
    epochs: int
    learning_rate: float


def freeze_to(
    model: keras.Model, layer_name: str | None, *, normalization: str = "inference"
) -> list[str]:
    """Freeze all layers up to a named one, and let those after it learn.

    The order is that of ``model.layers``; the layers of a model inside the model stand in its
    place, so the name may be that of one of them. What was frozen before learns again if it comes
    after the named layer. As always in Keras, ``fit`` obeys at the next ``compile``; batch
    normalization does at once if the model is called with ``training=True``.

    Batch normalization that learns runs in training with the mean and the spread of the batch, and
    moves its averages towards them. With few rows both are noisy, and the layers after it expect
    others. Frozen, it runs in training as it does when it predicts, with the averages of the first
    training ("inference mode").

    Args:
        model: A built model, with other models inside or not.
        layer_name: The last frozen layer; None freezes none.
        normalization: "inference" freezes every batch normalization, wherever it is; "train"
            treats it as any other layer.

    Returns:
        The layers with weights that can learn now; those of a model inside as "inner/layer".

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model is not built, it has no layer or several of this name, or
            `normalization` is unknown.

    References:
        Yosinski, Clune, Bengio and Lipson, How transferable are features in deep neural networks?,
        NeurIPS 2014, section 2, on freezing up to layer n.

    Example:
        >>> import keras
        >>> layers = [keras.layers.Dense(2, name=name) for name in ("low", "middle", "head")]
        >>> model = keras.Sequential([keras.Input((3,)), *layers])
        >>> freeze_to(model, "middle")
        ['head']
        >>> freeze_to(model, None)
        ['low', 'middle', 'head']
    """
    leaves = list(_leaves(_check_model(model)))
    last = _place(layer_name, [path for path, _ in leaves])
    normalization = check_choice("normalization", normalization, MODES)
    model.trainable = True  # and all inside: a frozen model would hide layers that learn
    for place, (_, layer) in enumerate(leaves):
        layer.trainable = place > last
        if normalization == "inference":
            for norm in _normalizations(layer):
                norm.trainable = False
    return [path for path, layer in leaves if layer.trainable_variables]


def two_phases(
    base_end: str,
    *,
    head_epochs: int,
    epochs: int,
    head_rate: float = 1e-3,
    rate: float = 1e-4,
    frozen_to: str | None = None,
) -> tuple[Phase, Phase]:
    """Return the usual schedule: first the new head alone, then more of the network, more slowly.

    The new head starts with random weights, and its first gradients would pull the trained layers
    below it about. So these wait until it has learned.

    Args:
        base_end: The last layer of the trained base, frozen in the first phase.
        head_epochs: Epochs of the first phase, >= 1.
        epochs: Epochs of the second phase, >= 1.
        head_rate: Learning rate of the first phase, > 0.
        rate: Learning rate of the second phase, in (0, head_rate].
        frozen_to: The last layer that stays frozen in the second phase; None lets all learn.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    Example:
        >>> two_phases("pool_2", head_epochs=5, epochs=3)[1]
        Phase(frozen_to=None, epochs=3, learning_rate=0.0001)
    """
    head_rate = check_float("head_rate", head_rate, low=0, open_low=True)
    return (
        Phase(
            _check_name("base_end", base_end),
            check_int("head_epochs", head_epochs, low=1),
            head_rate,
        ),
        Phase(
            None if frozen_to is None else _check_name("frozen_to", frozen_to),
            check_int("epochs", epochs, low=1),
            check_float("rate", rate, low=0, high=head_rate, open_low=True),
        ),
    )


def fine_tune(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    phases: Sequence[Phase],
    task: str = "multiclass",
    optimizer: str = "adam",
    normalization: str = "inference",
    **fit_options: Any,
) -> dict[str, list[float]]:
    """Train a model in phases: in each, freeze up to a layer, compile anew, and fit.

    Each phase has a new optimizer, since another set of weights learns, and keeps the weights that
    the phase before it left. `freeze_to` says what frozen layers and batch normalization do.

    Args:
        model: A built model with one output; see `compile_for`.
        x: Inputs as `fit` takes them: an array, or batches.
        y: Targets; None with batches.
        phases: One `Phase` or more, such as `two_phases` returns.
        task: "regression", "binary" or "multiclass", which sets loss and metrics.
        optimizer: Name of a Keras optimizer.
        normalization: What batch normalization does in all phases; see `freeze_to`.
        **fit_options: Further arguments of ``model.fit``, such as `batch_size`, `validation_data`,
            `callbacks` or `verbose`; the epochs stand in the phases.

    Returns:
        What `fit` reports, loss and metrics by name: one number an epoch, all phases in a row.
        "phase" has the number of each epoch's phase, from 0; "learning" how many numbers (weights
        and biases) could change.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no phase, one of them is out of range or names an unknown layer, or
            model and task do not fit. All is checked before the first step.

    References:
        Howard and Ruder, Universal language model fine-tuning for text classification, ACL 2018,
        section 3.3, for unfreezing from the top in phases.

    Example:
        >>> import keras
        >>> layers = [keras.layers.Dense(2, name="base"), keras.layers.Dense(1, name="head")]
        >>> model = keras.Sequential([keras.Input((3,)), *layers])
        >>> x, phases = np.ones((4, 3)), two_phases("base", head_epochs=2, epochs=1)
        >>> fine_tune(model, x, x[:, :1], phases=phases, task="regression", verbose=0)["learning"]
        [3, 3, 11]
    """
    paths = [path for path, _ in _leaves(_check_model(model))]
    phases = _check_phases(phases)
    for phase in phases:
        _place(phase.frozen_to, paths)
    check_choice("normalization", normalization, MODES)
    check_choice("task", task, TASKS)
    taken = {"epochs", "initial_epoch"} & set(fit_options)
    if taken:
        raise TypeError(
            f"`fit_options` must leave the epochs to the phases. {received(given=sorted(taken))}"
        )
    history: dict[str, list[float]] = {"phase": [], "learning": []}
    for number, phase in enumerate(phases):
        freeze_to(model, phase.frozen_to, normalization=normalization)
        compile_for(model, task, optimizer=optimizer, learning_rate=phase.learning_rate)
        done = len(history["phase"])
        reports = model.fit(
            x, y, initial_epoch=done, epochs=done + phase.epochs, **fit_options
        ).history
        lasted = len(reports["loss"])  # a callback may have stopped it
        count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
        for name, values in reports.items():
            history.setdefault(name, []).extend(float(value) for value in values)
        history["phase"] += [number] * lasted
        history["learning"] += [count] * lasted
    return history


def adapt_normalization(model: keras.Model, x: Any, *, batch_size: int = 256) -> None:
    """Give each batch normalization the mean and the variance that it meets on new inputs.

    No labels are needed and no weight is trained: the moving averages, which in training follow the
    batches of the old data, are replaced by the mean and the variance of the layer's inputs over
    all rows, whatever their order and the size of the last batch. The inputs of a batch
    normalization above another were normalized batch by batch: there both are exact only with one
    batch, and rows sorted by class should be shuffled. Dropout and random augmentation act as in
    training.

    Args:
        model: A built model with batch normalization.
        x: Inputs, an array of B rows, as the model takes them.
        batch_size: Rows a batch, >= 2. Of a last batch of one row nothing is learned.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model is not built or has no batch normalization, `x` has fewer than two
            rows, or `batch_size` is out of range.

    References:
        Li, Wang, Shi, Hou and Liu, Adaptive batch normalization for practical domain adaptation,
        Pattern Recognition 80 (2018), algorithm 1 ("AdaBN"; first as arXiv 1603.04779).

    Example:
        >>> import keras
        >>> norm = keras.layers.BatchNormalization(name="norm")
        >>> model = keras.Sequential([keras.Input((1,)), norm])
        >>> adapt_normalization(model, np.array([[3.0], [5.0]]))
        >>> float(norm.moving_mean[0]), float(norm.moving_variance[0])
        (4.0, 1.0)
    """
    layers = [norm for _, layer in _leaves(_check_model(model)) for norm in _normalizations(layer)]
    if not layers:
        raise ValueError(f"`model` must have batch normalization. {received(model=model.name)}")
    x = check_array("x", x, ndim=(2, 3, 4, 5), dtype=None)
    if len(x) < 2:
        raise ValueError(f"`x` must have at least two rows. Received: x.shape={x.shape}")
    size = check_int("batch_size", batch_size, low=2)
    parts = [x[start : start + size] for start in range(0, len(x) - 1, size)]
    before = [(layer, layer.trainable, layer.momentum) for layer in layers]
    means: list[list[Any]] = [[] for _ in layers]  # of each layer, batch by batch
    variances: list[list[Any]] = [[] for _ in layers]
    try:
        for layer in layers:
            layer.trainable = True  # frozen, it would not look at the batch
            layer.momentum = 0.0  # the averages become those of the batch
        for part in parts:
            model(part, training=True)
            for i, layer in enumerate(layers):
                means[i].append(keras.ops.convert_to_numpy(layer.moving_mean).astype(float))
                variances[i].append(keras.ops.convert_to_numpy(layer.moving_variance).astype(float))
    finally:
        for layer, trainable, momentum in before:
            layer.trainable, layer.momentum = trainable, momentum
    share = np.array([len(part) for part in parts], dtype=float)
    share /= share.sum()
    for layer, m, v in zip(layers, means, variances, strict=True):
        mean = share @ m
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(share @ v + share @ (m - mean) ** 2)  # within and between


def _leaves(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield prefix + layer.name, layer


def _normalizations(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the batch normalizations in a layer: itself, or those that a layer of layers holds."""
    parts = layer._flatten_layers()  # the layer and all in it; Keras has no public way
    return [part for part in parts if isinstance(part, keras.layers.BatchNormalization)]


def _place(name: str | None, paths: Sequence[str]) -> int:
    """Return the place of a layer among `paths`, −1 for None."""
    if name is None:
        return -1
    _check_name("layer_name", name)
    places = [i for i, path in enumerate(paths) if name in (path, path.rpartition("/")[2])]
    if len(places) != 1:
        listed = ", ".join(paths if len(paths) <= 12 else [*paths[:6], "…", *paths[-5:]])
        raise ValueError(
            f"`layer_name` must be the name of one layer among {listed}. "
            f"{received(layer_name=name, layers_of_this_name=len(places))}"
        )
    return places[0]


def _check_name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be the name of a layer. {received(**{name: value})}")
    return value


def _check_model(model: Any) -> keras.Model:
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
    if not model.built:
        raise ValueError(f"`model` must be built. {received(model=model.name)}")
    return model


def _check_phases(phases: Any) -> list[Phase]:
    if isinstance(phases, Phase) or not isinstance(phases, Sequence):
        raise TypeError(f"`phases` must be a list of Phase. {received(phases=phases)}")
    if not phases:
        raise ValueError(f"`phases` must hold at least one Phase. {received(phases=phases)}")
    checked = []
    for phase in phases:
        if not isinstance(phase, Phase):
            raise TypeError(f"`phases` must be a list of Phase. {received(phases=phases)}")
        epochs = check_int("epochs", phase.epochs, low=1)
        rate = check_float("learning_rate", phase.learning_rate, low=0, open_low=True)
        checked.append(Phase(phase.frozen_to, epochs, rate))
    return checked
