"""Search spaces on the package's builders: what is fixed, what is tuned, and how it is trained.

The facts of a task stand in ``__init__``, the hyperparameters in `build_model`, `compile_model` and
`fit`. With the default of every hyperparameter the model is exactly the builder's own, compiled
with Adam at Keras' rate, as long as the given choices hold those values; otherwise the first choice
is the default.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from dlnotes import runtime
from dlnotes.models import build_mlp, build_rnn_classifier, build_small_cnn
from dlnotes.models.arguments import check_activation, check_input_shape
from dlnotes.training import compile_for
from dlnotes.validation import check_choice, check_flag, check_float, check_int, received

OPTIMIZERS = ("adam", "sgd", "rmsprop", "adamw")
DEFAULT_RATE = 1e-3
VALIDATION_BATCH = 256


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of the rows in an order that is new in each epoch and follows from seed and epoch.

    Keras' own shuffling of arrays repeats one order in every epoch after ``set_random_seed``, and
    begins again with it when training goes on later. Here epoch e has the same order in both cases,
    if `fit` is told ``shuffle=False`` and has the callback.

    Args:
        x: Inputs, one row an example.
        y: Targets, one row an example.
        batch_size: Rows in a batch; the last one may be smaller.
        seed: An integer >= 0.

    Example:
        >>> batches = ShuffledBatches(np.arange(5), np.arange(5), batch_size=2, seed=1)
        >>> len(batches), sorted(int(v) for i in range(3) for v in batches[i][0])
        (3, [0, 1, 2, 3, 4])
    """

    def __init__(self, x: Any, y: Any, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.x, self.y = np.asarray(x), np.asarray(y)
        self.batch_size, self.seed = batch_size, seed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0."""
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.x))

    def callback(self) -> keras.callbacks.Callback:
        """Return what tells the epochs; `on_epoch_end` is also called before the first of them."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: self.begin(epoch))

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.x[rows], self.y[rows]


class HyperClassifier(keras_tuner.HyperModel):
    """What the three search spaces share: compiling, batch size, epochs, seed and dtype policy.

    Keras Tuner clears Keras' session before each trial, which resets its random numbers and its
    dtype policy, so `build` sets both. Every trial begins with the same seed on purpose: equal
    hyperparameters give equal scores, whichever worker runs them and when, and scores differ only
    through the hyperparameters. How much they depend on the seed is seen by searching with others.

    Hyperparameters: ``optimizer``; ``learning_rate``; ``momentum`` with the optimizer "sgd";
    ``batch_size``; and ``epochs`` where they are given.

    Args:
        num_classes: 1 for a yes-or-no answer, or K >= 2 classes.
        seed: Seed of weights and batches, the same in every trial; None takes that of the search.
        optimizers: Names to choose from: "adam", "sgd", "rmsprop", "adamw".
        learning_rate: Lowest and highest rate, searched on a logarithmic scale.
        momentum: Lowest and highest momentum of "sgd", in [0, 1).
        batch_sizes: Batch sizes to choose from.
        epochs: Epochs to choose from; None trains each trial for the epochs that the search says.
        name: Name of the hypermodel.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a range is empty or a value is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        seed: int | None = None,
        optimizers: Sequence[str] = ("adam", "sgd"),
        learning_rate: tuple[float, float] = (1e-4, 1e-1),
        momentum: tuple[float, float] = (0.0, 0.95),
        batch_sizes: Sequence[int] = (16, 32, 64, 128),
        epochs: Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.num_classes = check_int("num_classes", num_classes, low=1)
        self.seed = None if seed is None else check_int("seed", seed, low=0, high=2**31 - 1)
        self.optimizers = check_choices(
            "optimizers", optimizers, lambda name, value: check_choice(name, value, OPTIMIZERS)
        )
        self.learning_rate = check_range("learning_rate", learning_rate, open_low=True)
        self.momentum = check_range("momentum", momentum, high=1, open_high=True)
        self.batch_sizes = check_choices("batch_sizes", batch_sizes, positive)
        self.epochs = None if epochs is None else check_choices("epochs", epochs, positive)
        self.dtype_policy = keras.config.dtype_policy().name

    def get_config(self) -> dict[str, Any]:
        """Return the facts: whatever makes another search space, for `search` to compare."""
        names = ("_build", "build", "name", "tunable")
        return {name: value for name, value in vars(self).items() if name not in names}

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Name what only `fit` reads: Keras Tuner would not tune it before the second trial."""
        choose(hp, "batch_size", self.batch_sizes, 32)
        if self.epochs is not None:
            choose(hp, "epochs", self.epochs, self.epochs[0])

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model of these hyperparameters."""
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed + runtime.seed_offset())
        keras.config.set_dtype_policy(self.dtype_policy)
        return self.compile_model(hp, self.build_model(hp))

    def build_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the uncompiled model of these hyperparameters."""
        raise NotImplementedError

    def compile_model(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> keras.Model:
        """Compile the model for its classes: the loss and metrics of `compile_for`."""
        low, high = self.learning_rate
        name = choose(hp, "optimizer", self.optimizers, "adam")
        inside = low <= DEFAULT_RATE <= high
        rate = choose_between(
            hp, "learning_rate", low, high, DEFAULT_RATE if inside else low, "log"
        )
        config = {"learning_rate": rate}
        if "sgd" in self.optimizers:
            with hp.conditional_scope("optimizer", ["sgd"]):
                momentum = choose_between(hp, "momentum", *self.momentum, self.momentum[0])
            if name == "sgd":
                config["momentum"] = momentum
        optimizer = keras.optimizers.get({"class_name": name, "config": config})
        task = "binary" if self.num_classes == 1 else "multiclass"
        return compile_for(model, task, optimizer=optimizer)

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x: Any,
        y: Any,
        *,
        epochs: int | None = None,
        initial_epoch: int = 0,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train the model: with the tuned batch size, and the epochs given or else those tuned."""
        batch_size = choose(hp, "batch_size", self.batch_sizes, 32)
        if epochs is None:
            epochs = choose(hp, "epochs", self.epochs, self.epochs[0]) if self.epochs else 1
        seed = np.random.randint(2**31) if self.seed is None else self.seed + runtime.seed_offset()
        batches = ShuffledBatches(x, y, batch_size=batch_size, seed=seed)
        kwargs["callbacks"] = [batches.callback(), *kwargs.get("callbacks", ())]
        kwargs.setdefault("validation_batch_size", VALIDATION_BATCH)
        kwargs.setdefault("verbose", 0)
        return model.fit(
            batches, epochs=epochs, initial_epoch=initial_epoch, shuffle=False, **kwargs
        )


class HyperMLP(HyperClassifier):
    """Multilayer perceptrons: depth, units of each layer, activation, optimizer, batch size.

    Hyperparameters: ``num_layers``; ``units_1`` … up to the number of layers; ``activation``;
    and those of `HyperClassifier`.

    Args:
        input_shape: Shape of one example, as `build_mlp` takes it.
        num_classes: 1 for a yes-or-no answer, or K >= 2 classes.
        num_layers: Numbers of hidden layers to choose from, each >= 0.
        units: Units of a hidden layer to choose from.
        activations: Names of activations to choose from.
        **training: Arguments of `HyperClassifier`: `seed`, `optimizers`, `learning_rate`,
            `momentum`, `batch_sizes`, `epochs`, `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a range is empty or a value is out of range.

    Example:
        >>> hypermodel = HyperMLP((64,), 10, seed=1)
        >>> [layer.units for layer in hypermodel.build(keras_tuner.HyperParameters()).layers[1:]]
        [64, 64, 10]
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        num_layers: Sequence[int] = (1, 2, 3),
        units: Sequence[int] = (16, 32, 64, 128),
        activations: Sequence[str] = ("relu", "tanh"),
        **training: Any,
    ) -> None:
        super().__init__(num_classes, **training)
        self.input_shape = check_input_shape(input_shape)
        self.num_layers = check_choices("num_layers", num_layers, not_negative)
        self.units = check_choices("units", units, positive)
        self.activations = check_choices("activations", activations, check_activation)

    def build_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the uncompiled model of these hyperparameters."""
        return build_mlp(
            self.input_shape,
            self.num_classes,
            hidden_units=choose_each(
                hp, "num_layers", self.num_layers, 2, "units", self.units, (64, 64)
            ),
            activation=choose(hp, "activation", self.activations, "relu"),
        )


class HyperCNN(HyperClassifier):
    """Small convolutional networks: blocks, filters of each, kernel, dense layer, dropout.

    Hyperparameters: ``num_blocks``; ``filters_1`` … up to the number of blocks; ``kernel_size``;
    ``dense_units``; ``dropout``; ``batch_normalization``; and those of `HyperClassifier`.

    Args:
        input_shape: Shape of one picture, ``(height, width, channels)``.
        num_classes: 1 for a yes-or-no answer, or K >= 2 classes.
        num_blocks: Numbers of blocks to choose from; each halves height and width.
        filters: Filters of a block to choose from.
        kernel_sizes: Heights and widths of the filters to choose from.
        dense_units: Units of the dense layer to choose from; 0 leaves it out.
        dropout: Shares of dropout to choose from, in [0, 1).
        batch_normalization: Whether to normalize: the values to choose from.
        **training: Arguments of `HyperClassifier`: `seed`, `optimizers`, `learning_rate`,
            `momentum`, `batch_sizes`, `epochs`, `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a range is empty, a value is out of range, or the picture is too small.

    Example:
        >>> hypermodel = HyperCNN((8, 8, 1), 10, seed=1)
        >>> hypermodel.build(keras_tuner.HyperParameters()).count_params()
        13706
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        num_blocks: Sequence[int] = (1, 2, 3),
        filters: Sequence[int] = (8, 16, 32, 64),
        kernel_sizes: Sequence[int] = (3, 5),
        dense_units: Sequence[int] = (0, 64, 128),
        dropout: Sequence[float] = (0.0, 0.25, 0.5),
        batch_normalization: Sequence[bool] = (False, True),
        **training: Any,
    ) -> None:
        super().__init__(num_classes, **training)
        self.input_shape = tuple(input_shape)
        self.num_blocks = check_choices("num_blocks", num_blocks, positive)
        self.filters = check_choices("filters", filters, positive)
        self.kernel_sizes = check_choices("kernel_sizes", kernel_sizes, positive)
        self.dense_units = check_choices("dense_units", dense_units, not_negative)
        self.dropout = check_choices("dropout", dropout, share)
        self.batch_normalization = check_choices(
            "batch_normalization", batch_normalization, check_flag
        )
        # the builder refuses what is wrong, now: a picture that is too small for the most blocks
        build_small_cnn(self.input_shape, self.num_classes, filters=(1,) * max(self.num_blocks))

    def build_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the uncompiled model of these hyperparameters."""
        return build_small_cnn(
            self.input_shape,
            self.num_classes,
            filters=choose_each(
                hp, "num_blocks", self.num_blocks, 2, "filters", self.filters, (16, 32)
            ),
            kernel_size=choose(hp, "kernel_size", self.kernel_sizes, 3),
            dense_units=choose(hp, "dense_units", self.dense_units, 64),
            dropout=choose(hp, "dropout", self.dropout, 0.0),
            batch_normalization=choose(hp, "batch_normalization", self.batch_normalization, False),
        )


class HyperRNN(HyperClassifier):
    """Recurrent networks for tokens: cell, units, layers, directions, embedding, dropout.

    Hyperparameters: ``cell``; ``units``; ``num_layers``; ``bidirectional``; ``embedding_size``;
    ``dropout``; and those of `HyperClassifier`.

    Args:
        vocab_size: Number of different tokens, as `build_rnn_classifier` takes it.
        num_classes: 1 for a yes-or-no answer, or K >= 2 classes.
        cells: Cells to choose from: "lstm", "gru", "simple".
        units: Lengths of the state to choose from.
        num_layers: Numbers of recurrent layers to choose from.
        bidirectional: Whether to read in both directions: the values to choose from.
        embedding_sizes: Lengths of the embedding to choose from.
        dropout: Shares of dropout to choose from, in [0, 1).
        optimizers: Names to choose from: "adam", "sgd", "rmsprop", "adamw".
        learning_rate: Lowest and highest rate, searched on a logarithmic scale.
        **training: Other arguments of `HyperClassifier`: `seed`, `momentum`, `batch_sizes`,
            `epochs`, `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a range is empty or a value is out of range.

    Example:
        >>> hypermodel = HyperRNN(30, 4, cells=("gru",), seed=1)
        >>> hypermodel.build(keras_tuner.HyperParameters()).count_params()
        20036
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        *,
        cells: Sequence[str] = ("lstm", "gru"),
        units: Sequence[int] = (32, 64, 128),
        num_layers: Sequence[int] = (1, 2),
        bidirectional: Sequence[bool] = (False, True),
        embedding_sizes: Sequence[int] = (16, 32, 64),
        dropout: Sequence[float] = (0.0, 0.2, 0.4),
        optimizers: Sequence[str] = ("adam",),
        learning_rate: tuple[float, float] = (1e-4, 1e-2),
        **training: Any,
    ) -> None:
        super().__init__(
            num_classes, optimizers=optimizers, learning_rate=learning_rate, **training
        )
        self.vocab_size = check_int("vocab_size", vocab_size, low=2)
        self.cells = check_choices(
            "cells", cells, lambda name, value: check_choice(name, value, ("lstm", "gru", "simple"))
        )
        self.units = check_choices("units", units, positive)
        self.num_layers = check_choices("num_layers", num_layers, positive)
        self.bidirectional = check_choices("bidirectional", bidirectional, check_flag)
        self.embedding_sizes = check_choices("embedding_sizes", embedding_sizes, positive)
        self.dropout = check_choices("dropout", dropout, share)

    def build_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the uncompiled model of these hyperparameters."""
        return build_rnn_classifier(
            self.vocab_size,
            self.num_classes,
            cell=choose(hp, "cell", self.cells, "lstm"),
            units=choose(hp, "units", self.units, 64),
            num_layers=choose(hp, "num_layers", self.num_layers, 1),
            bidirectional=choose(hp, "bidirectional", self.bidirectional, False),
            embedding_size=choose(hp, "embedding_size", self.embedding_sizes, 32),
            dropout=choose(hp, "dropout", self.dropout, 0.0),
        )


def choose(hp: keras_tuner.HyperParameters, name: str, choices: Sequence[Any], default: Any) -> Any:
    """Return the hyperparameter's value; `default`, or the first choice where it is not offered."""
    if len(choices) == 1:
        return hp.Fixed(name, choices[0])
    default = default if default in choices else choices[0]
    if isinstance(default, bool):  # both of them: Choice would return 0 and 1
        return hp.Boolean(name, default=default)
    return hp.Choice(name, list(choices), default=default)


def choose_between(
    hp: keras_tuner.HyperParameters,
    name: str,
    low: float,
    high: float,
    default: float,
    sampling: str = "linear",
) -> float:
    """Return a number between two limits, which may be equal."""
    if low == high:
        return hp.Fixed(name, low)
    return hp.Float(name, low, high, sampling=sampling, default=default)


def choose_each(
    hp: keras_tuner.HyperParameters,
    count_name: str,
    counts: Sequence[int],
    default_count: int,
    name: str,
    choices: Sequence[int],
    defaults: Sequence[int],
) -> tuple[int, ...]:
    """Return a number of things and then one value for each: ``name_1`` … exist only if needed."""
    count = choose(hp, count_name, counts, default_count)
    chosen = []
    for i in range(1, max(counts) + 1):
        with hp.conditional_scope(count_name, [n for n in counts if n >= i]):
            value = choose(hp, f"{name}_{i}", choices, defaults[min(i, len(defaults)) - 1])
        if i <= count:
            chosen.append(value)
    return tuple(chosen)


def check_choices(
    name: str, values: Any, check: Callable[[str, Any], Any] = lambda name, value: value
) -> tuple[Any, ...]:
    """Return choices as a tuple, each checked; refuse none at all and any that comes twice."""
    if not isinstance(values, tuple | list):
        raise TypeError(f"`{name}` must be a tuple of values to choose from. {_got(name, values)}")
    checked = tuple(check(name, value) for value in values)
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(
            f"`{name}` must hold at least one value to choose from, and none twice. "
            f"{_got(name, values)}"
        )
    return checked


def check_range(name: str, values: Any, **limits: Any) -> tuple[float, float]:
    """Return the lowest and the highest value, checked."""
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise TypeError(f"`{name}` must be (lowest, highest). {_got(name, values)}")
    low, high = (check_float(name, value, low=0, **limits) for value in values)
    if low > high:
        raise ValueError(f"`{name}` must be (lowest, highest). {_got(name, values)}")
    return low, high


def positive(name: str, value: Any) -> int:
    """Check one choice: an integer >= 1."""
    return check_int(name, value, low=1)


def not_negative(name: str, value: Any) -> int:
    """Check one choice: an integer >= 0."""
    return check_int(name, value, low=0)


def share(name: str, value: Any) -> float:
    """Check one choice: a number in [0, 1)."""
    return check_float(name, value, low=0, high=1, open_high=True)


def _got(name: str, value: Any) -> str:
    return received(**{name: value})
