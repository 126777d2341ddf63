"""Classifiers side by side: many seeds, at many learning rates, for about the price of one.

Letters: C the axes of the copies, (S,) for S networks or (R, S) for S networks at R learning rates;
B rows, D inputs and U units of a layer, K classes, L layers.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.activations import Activation, get_activation, softmax
from dlnotes.scratch.dense import LayerOutput
from dlnotes.scratch.descent import batches
from dlnotes.scratch.initializers import Initializer, glorot_uniform
from dlnotes.scratch.normalization import through_statistics
from dlnotes.validation import (
    check_array,
    check_choice,
    check_class_numbers,
    check_float,
    check_int,
    check_rng,
    check_same_length,
    received,
)

LARGEST = 1e6  # a weight beyond it has left for infinity
EPSILON = 1e-3  # of the normalization, as Keras'
NORMALIZATIONS = (None, "batch", "layer")
STATE = ("weights", "biases", "scales", "gate_weights", "gate_biases", "moving_means")
STATE += ("moving_variances",)


class Gradients(NamedTuple):
    """What one look at some rows tells of the networks.

    `losses` is the mean cross-entropy, C. `weights` and `biases` hold its gradients layer by layer,
    (…C, D, U) and (…C, 1, U), `others` those of scales and gates, in the order of
    `Networks.parameters`; `z` those of the numbers before each bend, (…C, B, U).
    """

    losses: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    others: list[np.ndarray]
    z: list[np.ndarray]

    @property
    def slopes(self) -> list[np.ndarray]:
        """The gradients of all parameters, in the order of `Networks.parameters`."""
        return [*self.weights, *self.biases, *self.others]


class Steps(NamedTuple):
    """What `Networks.try_steps` found for steps −η·g along the gradient g.

    `shares` tells how much of the promised fall η·‖g‖² of the loss comes true, (E, …C): 1 is all
    of it, below 0 the loss grows. `changes` is the change of the gradient, ‖g′ − g‖/‖g‖, (E, …C),
    and `lengths` is ‖g‖, C; so a step is η·‖g‖ long.
    """

    shares: np.ndarray
    changes: np.ndarray
    lengths: np.ndarray


class Networks:
    """S classifiers of one shape, each with weights of its own, computed all at once.

    A hidden layer bends, a = φ(z) with z = x·W + b; the output layer gives scores, one a class, and
    the loss is the cross-entropy of their softmax. Three things can be added to the hidden layers:

    - `skip`: each but the first adds its input, a = x + φ(z).
    - `gate`: each but the first mixes new and old, a = g·φ(z) + (1 − g)·x with g = γ(x·G + c).
    - `normalization`: z = scale·(x·W − μ)/√(σ² + ε) + b, with μ and σ² over the batch or over the
      layer's units. Batch normalization keeps moving averages for the time after training.

    No network sees another: each ends where it would end alone. One whose weights pass a million
    has diverged: all its parameters become zeros and stay there, so that it cannot disturb the
    others.

    Args:
        sizes: Inputs, then the units of each layer: (64, 32, 32, 10) has two hidden layers.
        activation: φ, a name in `ACTIVATIONS` or an `Activation` of your own.
        initializer: Draws the weights of each layer, such as `he_normal`; biases start at 0.
        skip: Whether hidden layers have a skip connection; they must then be of one size.
        gate: γ, like `activation`, or None; hidden layers must then be of one size. The gates'
            biases start at −1.
        normalization: "batch", "layer" or None.
        momentum: Share of the old moving average that stays at each step of training, in [0, 1].
        noise: How much each unit is disturbed before φ in training: z becomes s·z + t, with t
            uniform in ±noise and s in [1/(1 + noise), 1 + noise]. All rows of a batch share s and
            t; each unit and each step draws its own. 0 disturbs nothing.
        copies: S, >= 1.
        rng: Given to the initializer; a child of it draws the noise.

    Attributes:
        weights: For each layer an array (…C, D, U).
        biases: For each layer an array (…C, 1, U).
        scales: For each normalized layer an array (…C, 1, U), 1 at the start.
        gate_weights: For each gated layer G, an array (…C, U, U).
        gate_biases: For each gated layer c, an array (…C, 1, U).
        moving_means: For each normalized layer an array (…C, 1, U), 0 at the start.
        moving_variances: For each normalized layer an array (…C, 1, U), 1 at the start.
        diverged: Which networks have diverged, C.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are fewer than two sizes, a number is out of range, an activation is
            unknown or has no derivative for each unit, both `skip` and `gate` are given, or one
            meets hidden layers of different sizes.

    References:
        K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition" (2016),
        equation 1, for `skip`. R. K. Srivastava, K. Greff and J. Schmidhuber, "Training very deep
        networks" (2015), equation 3, for `gate`. S. Ioffe and C. Szegedy, "Batch normalization"
        (2015), section 3.2, for its place before φ. S. Santurkar et al., "How does batch
        normalization help optimization?" (2018), section 2.1, for `noise`; theirs also differs a
        little from row to row.

    Example:
        >>> networks = Networks((8, 16, 3), "relu", copies=5, rng=np.random.default_rng(0))
        >>> [output.a.shape for output in networks.forward(np.zeros((4, 8)))]
        [(5, 4, 16), (5, 4, 3)]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Activation,
        initializer: Initializer = glorot_uniform,
        *,
        skip: bool = False,
        gate: str | Activation | None = None,
        normalization: str | None = None,
        momentum: float = 0.99,
        noise: float = 0.0,
        copies: int = 5,
        rng: np.random.Generator,
    ) -> None:
        sizes = _check_sizes(sizes)
        self.bend = _check_bend("activation", activation)
        self.gate = None if gate is None else _check_bend("gate", gate)
        self.skip = _check_bool("skip", skip)
        self.normalization = check_choice("normalization", normalization, NORMALIZATIONS)
        self.momentum = check_float("momentum", momentum, low=0, high=1)
        self.noise = check_float("noise", noise, low=0)
        if skip and gate is not None:
            raise ValueError(f"`gate` must be None with `skip`. {received(skip=skip, gate=gate)}")
        if (skip or gate is not None) and len(set(sizes[1:-1])) > 1:
            raise ValueError(
                "`sizes` must be the same for all hidden layers with `skip` or `gate`. "
                f"{received(sizes=sizes)}"
            )
        if not callable(initializer):
            raise TypeError(
                "`initializer` must be a function of shape and generator, such as he_normal. "
                f"{received(initializer=initializer)}"
            )
        copies = check_int("copies", copies, low=1)
        check_rng("rng", rng)
        self.weights, self.biases, self.gate_weights, self.gate_biases = [], [], [], []
        last = len(sizes) - 2
        for k, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            shape = (inputs, units)
            self.weights.append(np.stack([initializer(shape, rng) for _ in range(copies)]))
            self.biases.append(np.zeros((copies, 1, units)))
            if gate is not None and 0 < k < last:
                self.gate_weights.append(np.stack([initializer(shape, rng) for _ in range(copies)]))
                self.gate_biases.append(np.full((copies, 1, units), -1.0))
        normalized = self.biases[:-1] if normalization else []
        self.scales = [np.ones_like(b) for b in normalized]
        self.moving_means = [np.zeros_like(b) for b in normalized]
        self.moving_variances = [np.ones_like(b) for b in normalized]
        self.diverged = np.zeros(copies, dtype=bool)
        self.noise_rng = rng.spawn(1)[0]

    @property
    def parameters(self) -> list[np.ndarray]:
        """All arrays that training changes: weights, biases, scales, then those of the gates."""
        others = [*self.scales, *self.gate_weights, *self.gate_biases]
        return [*self.weights, *self.biases, *others]

    def repeat(self, times: int) -> "Networks":
        """Return new networks, `times` copies of each, along a new first axis.

        Raises:
            TypeError: If `times` is not an integer.
            ValueError: If it is below 1.
        """
        times = check_int("times", times, low=1)
        return self._with(lambda array: np.stack([array] * times))

    def take(self, which: Any) -> "Networks":
        """Return new networks: along the first axis those with the numbers, or slice, `which`.

        One number takes the first axis away, if another is left.
        """
        if isinstance(which, int | np.integer) and self.diverged.ndim == 1:
            which = [which]
        return self._with(lambda array: array[which].copy())

    def forward(self, x: Any, *, training: bool = False) -> list[LayerOutput]:
        """Return z and a of each layer, each (…C, B, U), and change nothing but the noise.

        The last layer's `a` is its `z`, the scores.

        Args:
            x: Rows of shape (B, D).
            training: Whether layers work as in training: on the batch's statistics, with noise.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If `x` has another shape.
        """
        training = _check_bool("training", training)
        noise = self.draw_noise() if training else None
        return [LayerOutput(part["z"], part["a"]) for part in self._forward(x, training, noise)]

    def preactivations(self, x: Any, *, training: bool = True) -> list[np.ndarray]:
        """Return for each hidden layer what φ receives, (…C, B, U), as `forward` does."""
        return [output.z for output in self.forward(x, training=training)[:-1]]

    def accuracy(self, x: Any, y: Any, *, training: bool = False) -> np.ndarray:
        """Return the share of rows that each network gets right, C; a diverged one gets 0.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If shapes do not fit, or a class number is out of range.
        """
        scores = self.forward(x, training=training)[-1].a
        check_same_length(x=x, y=y)
        right = scores.argmax(axis=-1) == check_class_numbers("y", y, scores.shape[-1])
        return np.mean(right, axis=-1) * ~self.diverged

    def draw_noise(self) -> list[tuple[Any, Any]]:
        """Return s and t for each hidden layer, as the argument `noise` says."""
        top, shapes = 1 + self.noise, [bias.shape for bias in self.biases[:-1]]
        if top == 1:
            return [(1.0, 0.0)] * len(shapes)
        draw = self.noise_rng.uniform
        return [(draw(1 / top, top, shape), draw(1 - top, top - 1, shape)) for shape in shapes]

    def gradients(self, x: Any, y: Any, *, noise: Any = None, update: bool = False) -> Gradients:
        """Return each network's mean cross-entropy in training, and its gradients.

        Args:
            x: Rows of shape (B, D).
            y: Class numbers of shape (B,), 0 to K − 1.
            noise: What `draw_noise` returned; None draws anew.
            update: Whether the moving averages take these rows in.

        Raises:
            TypeError: If an array does not hold numbers.
            ValueError: If shapes do not fit, or a class number is out of range.
        """
        noise = self.draw_noise() if noise is None else noise
        parts, last = self._forward(x, True, noise, update), len(self.weights) - 1
        check_same_length(x=x, y=y)
        y = check_class_numbers("y", y, self.weights[-1].shape[-1])
        losses, gradient = _cross_entropy(parts[-1]["z"], y)
        found = {name: [] for name in ("weights", "biases", "scales", "gate_w", "gate_b", "z")}
        for k in reversed(range(last + 1)):
            part, past = parts[k], None  # past: what goes around the bend
            turned = np.swapaxes(part["x"], -1, -2)
            if k < last:
                if self.skip and k > 0:
                    past = gradient
                elif self.gate is not None and k > 0:
                    through = gradient * (part["bent"] - part["x"])
                    through = through * self.gate.derivative(part["gate_z"])
                    found["gate_w"].insert(0, turned @ through)
                    found["gate_b"].insert(0, through.sum(axis=-2, keepdims=True))
                    past = through @ np.swapaxes(self.gate_weights[k - 1], -1, -2)
                    past = past + gradient * (1 - part["opened"])
                    gradient = gradient * part["opened"]
                gradient = gradient * self.bend.derivative(part["z"])
            found["z"].insert(0, gradient)
            if k < last and self.noise:
                gradient = gradient * noise[k][0]
            found["biases"].insert(0, gradient.sum(axis=-2, keepdims=True))
            if k < last and self.normalization:
                x_hat = part["x_hat"]
                found["scales"].insert(0, (gradient * x_hat).sum(axis=-2, keepdims=True))
                gradient = through_statistics(gradient * self.scales[k], x_hat, self._axis)
                gradient = gradient / part["deviation"]
            found["weights"].insert(0, turned @ gradient)
            if k:
                gradient = gradient @ np.swapaxes(self.weights[k], -1, -2)
                if past is not None:
                    gradient += past
        others = found["scales"] + found["gate_w"] + found["gate_b"]
        return Gradients(losses, found["weights"], found["biases"], others, found["z"])

    @np.errstate(over="ignore", invalid="ignore")
    def step(self, x: Any, y: Any, rate: Any, *, max_norm: float | None = None) -> np.ndarray:
        """Take one step of gradient descent, and return the losses before it, C; NaN if diverged.

        Args:
            x: Rows of shape (B, D).
            y: Class numbers of shape (B,).
            rate: The learning rate, > 0, or rates that fit the shape C, such as (S,) or (R, 1).
            max_norm: Clips each network's gradient by its global norm; None does not clip.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If shapes do not fit, or a number is out of range.
        """
        factor = self._rates(rate)
        found = self.gradients(x, y, update=True)
        slopes = found.slopes
        if max_norm is not None:
            max_norm = check_float("max_norm", max_norm, low=0, open_low=True)
            norms = np.sqrt(sum((slope**2).sum(axis=(-2, -1)) for slope in slopes))
            factor = factor * (max_norm / np.maximum(norms, max_norm))[..., None, None]
        for array, slope in zip(self.parameters, slopes, strict=True):
            array -= factor * slope
            self.diverged |= ~(np.abs(array).max(axis=(-2, -1)) <= LARGEST)  # NaN too
        if self.diverged.any():
            for array in self.parameters:
                array[self.diverged] = 0.0
        return np.where(self.diverged, np.nan, found.losses)

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        rate: Any,
        epochs: int,
        batch_size: int = 64,
        max_norm: float | None = None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Train all networks with plain gradient descent in mini-batches, in place.

        All see the same batches.

        Args:
            x: Rows of shape (B, D).
            y: Class numbers of shape (B,).
            rate: The learning rate, as for `step`.
            epochs: How often each row is used, >= 0.
            batch_size: Rows an update looks at, >= 1.
            max_norm: Clips each network's gradient by its global norm; None does not clip.
            rng: Shuffles the rows anew in every epoch.

        Returns:
            The mean loss of each epoch, measured during it, (epochs, …C); NaN for the diverged.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If shapes do not fit, or a number is out of range.
        """
        epochs = check_int("epochs", epochs, low=0)
        check_same_length(x=x, y=y)
        x, y, history = np.asarray(x), np.asarray(y), []
        for _ in range(epochs):
            cut = batches(len(x), batch_size, check_rng("rng", rng))
            losses = [self.step(x[rows], y[rows], rate, max_norm=max_norm) for rows in cut]
            history.append(np.mean(losses, axis=0))
        return np.array(history).reshape(epochs, *self.diverged.shape)

    def try_steps(self, x: Any, y: Any, rates: Sequence[float]) -> Steps:
        """Try steps of several lengths along the gradient from here, and come back each time.

        On a straight slope with the gradient g, a step −η·g lowers the loss by η·‖g‖². The noise,
        if there is any, is the same before and after a step.

        Args:
            x: Rows of shape (B, D).
            y: Class numbers of shape (B,).
            rates: The E learning rates η to try, > 0.

        Returns:
            The share of that fall which comes true, the change of the gradient, and ‖g‖.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If shapes do not fit, or a rate is not > 0.
        """
        rates = check_array("rates", rates, ndim=1)
        if (rates <= 0).any():
            raise ValueError(f"`rates` must be > 0. {received(rates=rates)}")
        noise, kept = self.draw_noise(), [array.copy() for array in self.parameters]
        found = self.gradients(x, y, noise=noise)
        slopes, shares, changes = found.slopes, [], []
        squares = sum((slope**2).sum(axis=(-2, -1)) for slope in slopes)
        for rate in rates:
            for array, old, slope in zip(self.parameters, kept, slopes, strict=True):
                array[:] = old - rate * slope
            after = self.gradients(x, y, noise=noise)
            turns = [new - old for new, old in zip(after.slopes, slopes, strict=True)]
            moved = sum((turn**2).sum(axis=(-2, -1)) for turn in turns)
            shares.append((found.losses - after.losses) / (rate * squares))
            changes.append(np.sqrt(moved / squares))
        for array, old in zip(self.parameters, kept, strict=True):
            array[:] = old
        return Steps(np.array(shares), np.array(changes), np.sqrt(squares))

    @property
    def _axis(self) -> int:
        """The axis of the statistics: the rows, or the units of a layer."""
        return -1 if self.normalization == "layer" else -2

    def _forward(
        self, x: Any, training: bool, noise: Any, update: bool = False
    ) -> list[dict[str, Any]]:
        """Return for each layer what the way back needs."""
        x = check_array("x", x, shape=(None, self.weights[0].shape[-2]))
        parts, last = [], len(self.weights) - 1
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            part = {"x": x}
            if k < last and self.normalization:
                part |= self._normalized(k, x @ w, training, update)
                z = self.scales[k] * part["x_hat"] + b
            else:
                z = x @ w + b
            if k < last and training and self.noise:
                z = noise[k][0] * z + noise[k][1]
            a = bent = z if k == last else self.bend.function(z)
            if self.skip and 0 < k < last:
                a = x + bent
            elif self.gate is not None and 0 < k < last:
                part["gate_z"] = x @ self.gate_weights[k - 1] + self.gate_biases[k - 1]
                part["opened"] = self.gate.function(part["gate_z"])
                a = part["opened"] * bent + (1 - part["opened"]) * x
            parts.append(part | {"z": z, "bent": bent, "a": a})
            x = a
        return parts

    def _normalized(self, k: int, sums: np.ndarray, training: bool, update: bool) -> dict[str, Any]:
        mean, variance = self.moving_means[k], self.moving_variances[k]
        own = training or self.normalization == "layer"
        if own:
            mean = sums.mean(axis=self._axis, keepdims=True)
            variance = sums.var(axis=self._axis, keepdims=True)
        if update and self.normalization == "batch":
            new = 1 - self.momentum
            self.moving_means[k] += new * (mean - self.moving_means[k])
            self.moving_variances[k] += new * (variance - self.moving_variances[k])
        deviation = np.sqrt(variance + EPSILON)
        return {"x_hat": (sums - mean) / deviation, "deviation": deviation}

    def _rates(self, rate: Any) -> np.ndarray:
        rates, shape = check_array("rate", rate, ndim=(0, 1, 2)), self.diverged.shape
        if (rates <= 0).any():
            raise ValueError(f"`rate` must be > 0. {received(rate=rate)}")
        try:
            return np.broadcast_to(rates, shape)[..., None, None]
        except ValueError:
            raise ValueError(
                f"`rate` must be one number, or fit the shape {shape} of the networks. "
                f"Received: rate.shape={rates.shape}"
            ) from None

    def _with(self, change: Callable[[np.ndarray], np.ndarray]) -> "Networks":
        other = copy.copy(self)
        other.noise_rng = copy.deepcopy(self.noise_rng)  # else both would draw from one
        for name in STATE:
            setattr(other, name, [change(array) for array in getattr(self, name)])
        other.diverged = change(self.diverged)
        return other


class Trained(NamedTuple):
    """S networks after training at R rates each.

    `networks` has the axes (R, S); `losses` is the mean cross-entropy of each epoch, measured
    during it, (epochs, R, S), NaN where a network diverged.
    """

    networks: Networks
    losses: np.ndarray

    def epochs_to(self, target: float) -> np.ndarray:
        """Return the first epoch, from 1, with a loss below `target`, (R, S); if none, E + 1."""
        target = check_float("target", target)
        below = np.concatenate([self.losses < target, np.ones((1, *self.losses.shape[1:]), bool)])
        return 1 + below.argmax(axis=0)


class Tuned(NamedTuple):
    """Networks trained at the rate with the highest median validation accuracy.

    `accuracies` has the validation accuracy of each network at each rate tried, (R, S).
    """

    rate: float
    networks: Networks
    accuracies: np.ndarray

    @property
    def medians(self) -> np.ndarray:
        """The median validation accuracy at each rate, (R,)."""
        return np.median(self.accuracies, axis=1)


def train_at_rates(
    networks: Networks, x: Any, y: Any, *, rates: Sequence[float], **options: Any
) -> Trained:
    """Train a copy of every network at every rate.

    Args:
        networks: Where all start, S of them; they are not changed.
        x: Rows of shape (B, D).
        y: Class numbers of shape (B,).
        rates: The R learning rates, > 0.
        options: epochs, batch_size, max_norm and rng, as for `Networks.fit`.

    Returns:
        The networks (R, S) and their losses.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, or a number is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> networks, x, y = Networks((1, 4, 2), "tanh", rng=rng), [[-1.0], [1.0]] * 8, [0, 1] * 8
        >>> train_at_rates(networks, x, y, rates=(0.1, 1.0), epochs=3, rng=rng).losses.shape
        (3, 2, 5)
    """
    rates = check_array("rates", rates, ndim=1)
    trained = networks.repeat(len(rates))
    losses = trained.fit(x, y, rate=rates[:, None], **options)
    return Trained(trained, losses)


def tune_rate(networks: Networks, data: Any, *, rates: Sequence[float], **options: Any) -> Tuned:
    """Train copies of the networks at every rate, and keep the rate that is best on validation.

    Args:
        networks: Where all start, S of them; they are not changed.
        data: The sets (x_train, y_train, x_val, y_val), rows of shape (B, D).
        rates: The R learning rates to try, > 0.
        options: epochs, batch_size, max_norm and rng, as for `Networks.fit`.

    Returns:
        The best rate (of equals the first), the S networks trained at it, and the validation
        accuracies of all.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `data` or `rates` do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = np.array([[-1.0], [1.0]] * 8), np.array([0, 1] * 8)
        >>> networks = Networks((1, 4, 2), "tanh", copies=5, rng=rng)
        >>> tuned = tune_rate(networks, (x, y, x, y), rates=(1e-6, 1.0), epochs=20, rng=rng)
        >>> tuned.rate, tuned.networks.accuracy(x, y)
        (1.0, array([1., 1., 1., 1., 1.]))
    """
    if not isinstance(data, Sequence) or len(data) != 4:
        raise ValueError(
            "`data` must be the four arrays (x_train, y_train, x_val, y_val). "
            f"Received: data is a {type(data).__name__}"
        )
    x, y, x_val, y_val = data
    trained = train_at_rates(networks, x, y, rates=rates, **options).networks
    accuracies = trained.accuracy(x_val, y_val)
    best = int(np.argmax(np.median(accuracies, axis=1)))
    return Tuned(float(rates[best]), trained.take(best), accuracies)


def _check_sizes(sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, str) or not isinstance(sizes, Sequence):
        raise TypeError(f"`sizes` must be a sequence of integers. {received(sizes=sizes)}")
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must hold at least inputs and classes. {received(sizes=sizes)}")
    return tuple(check_int("sizes", size, low=1) for size in sizes)


def _check_bend(name: str, value: Any) -> Activation:
    pair = get_activation(value) if isinstance(value, str) else value
    if not isinstance(pair, Activation):
        raise TypeError(
            f"`{name}` must be the name of an activation, or an Activation. "
            f"{received(**{name: value})}"
        )
    if pair.derivative is None or pair.function is softmax:
        raise ValueError(
            f"`{name}` must have a derivative for each unit. {received(**{name: value})}"
        )
    return pair


def _check_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. {received(**{name: value})}")
    return value


def _cross_entropy(scores: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean loss, C, and its gradient, (…C, B, K), for scores of that shape."""
    scores = scores - scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores)
    sums, rows = powers.sum(axis=-1, keepdims=True), np.arange(len(y))
    losses = np.mean(np.log(sums[..., 0]) - scores[..., rows, y], axis=-1)
    gradient = powers / sums
    gradient[..., rows, y] -= 1
    return losses, gradient / len(y)
