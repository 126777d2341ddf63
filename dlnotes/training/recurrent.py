"""Recurrent networks trained many at once: first weights and learning rates side by side."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.training.stacked import BETA_1, BETA_2, adam_step, check_rates
from dlnotes.validation import (
    check_array,
    check_choice,
    check_float,
    check_int,
    check_rng,
    check_same_length,
    received,
)

TOGETHER = 50  # updates in one call of the compiled function
CELLS = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}  # matrices side by side in a kernel


class RecurrentRuns(NamedTuple):
    """What `fit_recurrent` returns.

    Letters: R rates, C copies, N sequences, K answers a sequence, O scores an answer.

    Attributes:
        cell: The kind of cell.
        rates: The learning rates, shape (R,).
        weights: One array a weight, shape (R, C, *shape of the weight).
        losses: The training loss of each update, shape (R, C, updates).
    """

    cell: str
    rates: np.ndarray
    weights: list[np.ndarray]
    losses: np.ndarray

    def load(self, rate: int, copy: int) -> list[np.ndarray]:
        """Return the weights of one copy, in the order of the first weights."""
        return [array[rate, copy] for array in self.weights]

    def predict(self, x: Any, *, answers: int = 1) -> np.ndarray:
        """Return the outputs of all copies at the last K steps, shape (R, C, N, K, O).

        Args:
            x: Sequences of shape (N, T, D).
            answers: K, from 1 to T.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a shape differs, or the number is out of range.
        """
        import tensorflow as tf

        x = check_array("x", x, shape=(None, None, self.weights[0].shape[-2]))
        answers = check_int("answers", answers, low=1, high=x.shape[1])
        flat = [w.reshape(-1, *w.shape[2:]) for w in self.weights]
        flat = [tf.constant(w[:, None] if w.ndim == 2 else w) for w in flat]
        found = _outputs(self.cell, flat, tf.constant(x, tf.float32), x.shape[1], answers)
        return np.moveaxis(found.numpy(), 0, 2).reshape(*self.losses.shape[:2], len(x), answers, -1)


def fit_recurrent(
    cell: str,
    starts: Sequence[Sequence[Any]],
    x: Any,
    y: Any,
    *,
    rates: Sequence[float],
    steps: int = 500,
    batch_size: int = 20,
    max_norm: float | None = 1.0,
    room: int | None = None,
    rng: np.random.Generator,
) -> RecurrentRuns:
    """Train recurrent networks from several first weights, at several rates, all at once.

    A fair comparison needs each kind of cell at its own best rate and from several seeds. Here all
    weights are stacked, and one compiled step of Adam moves every copy; no copy sees another. Copy
    c starts from the same weights and sees the same batches at every rate. Runs on the TensorFlow
    backend, with XLA.

    Letters: N sequences of T steps with D features; U units; K answers a sequence.

    Args:
        cell: "tanh" or "relu", as Keras' SimpleRNN; "lstm" or "gru", as Keras' with its defaults.
        starts: First weights, a list for each copy, as Keras orders them: kernel, recurrent kernel
            and bias of each layer, then kernel (U, O) and bias (O,) of the output.
        x: Sequences of shape (N, T, D).
        y: Fractions (N,), for the mean squared error of the output after the last step, O = 1; or
            classes (N, K), integers from 0 to O − 1, for the cross-entropy of the outputs at the
            last K steps. One class a sequence has the shape (N, 1).
        rates: Learning rates, each > 0.
        steps: Updates, >= 1.
        batch_size: Sequences an update, drawn at random, >= 1.
        max_norm: Clips the whole gradient of each copy to this length, > 0; None clips nothing.
        room: Compiles the step for sequences of up to this many steps, >= T, so that calls for
            other lengths need not compile again; None takes T.
        rng: Draws the batches.

    Returns:
        Weights and losses of all copies.

    Raises:
        TypeError: If an argument has the wrong type, or `y` holds integers in one dimension.
        ValueError: If a number or a class is out of range, or shapes do not fit together.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> shapes = (1, 8), (8, 8), (8,), (8, 1), (1,)
        >>> starts = [[0.3 * rng.normal(size=shape) for shape in shapes] for copy in range(3)]
        >>> x = rng.random((200, 2, 1))
        >>> options = {"rates": (0.01, 0.03), "steps": 200, "rng": rng}
        >>> runs = fit_recurrent("tanh", starts, x, x[:, 0, 0], **options)
        >>> errors = np.mean((runs.predict(x)[..., 0, 0] - x[:, 0, 0]) ** 2, axis=-1)
        >>> errors.shape, bool((errors < 0.02).all())
        ((2, 3), True)
    """
    import tensorflow as tf

    check_choice("cell", cell, CELLS)
    x, y, answers = _check_data(x, y)
    room = x.shape[1] if room is None else check_int("room", room, low=x.shape[1])
    rates = check_rates(rates)
    copies = _check_starts(cell, starts, x.shape[2], answers is None)
    if answers is not None:
        _check_classes(y, copies[-1].shape[-1])
    steps, batch_size = check_int("steps", steps, low=1), check_int("batch_size", batch_size, low=1)
    if max_norm is not None:
        max_norm = check_float("max_norm", max_norm, low=0, open_low=True)
    check_rng("rng", rng)

    update, length = _updates(cell, answers), tf.constant(x.shape[1])
    longest = tf.constant(np.inf if max_norm is None else max_norm, tf.float32)
    x = np.pad(x, ((0, 0), (0, room - x.shape[1]), (0, 0)))
    weights = [tf.constant(np.tile(w, (len(rates), 1, 1)), tf.float32) for w in copies]
    means, squares = ([tf.zeros_like(w) for w in weights] for _ in range(2))
    rate = tf.constant(np.repeat(rates, len(starts))[:, None, None], tf.float32)
    losses = []
    for first in range(0, steps, TOGETHER):
        count = min(TOGETHER, steps - first)
        rows = np.zeros((TOGETHER, batch_size), int)
        rows[:count] = [rng.integers(0, len(x), batch_size) for _ in range(count)]
        numbers = np.arange(first + 1, first + TOGETHER + 1)
        factors = np.sqrt(1 - BETA_2**numbers) / (1 - BETA_1**numbers)
        given = rate, tf.constant(factors, tf.float32), longest, tf.constant(x[rows])
        given += tf.constant(y[rows]), tf.constant(count), length
        weights, means, squares, loss = update(weights, means, squares, *given)
        losses.append(loss[:count])
    axes = len(rates), len(starts)
    shapes = [np.shape(array) for array in starts[0]]
    ends = [w.numpy().reshape(*axes, *s) for w, s in zip(weights, shapes, strict=True)]
    return RecurrentRuns(cell, rates, ends, np.concatenate(losses).T.reshape(*axes, steps))


# === The graph: S = R·C networks, B sequences a batch ===


@functools.cache
def _updates(cell: str, answers: int | None) -> Callable[..., Any]:
    """Return some compiled updates of Adam; they are compiled anew for each new set of shapes."""
    import tensorflow as tf

    def one(weights, means, squares, lengths, longest, x, y, length):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs = _outputs(cell, weights, x, length, answers or 1)  # (K, S, B, O)
            losses = _losses(outputs, y, answers)  # (S,)
        gradients = tape.gradient(losses, weights)
        whole = tf.sqrt(tf.add_n([tf.reduce_sum(g * g, axis=(1, 2)) for g in gradients]))
        shorter = tf.minimum(longest / tf.maximum(whole, 1e-20), 1)
        gradients = [g * shorter[:, None, None] for g in gradients]
        return *adam_step(weights, means, squares, gradients, lengths), losses

    @tf.function(jit_compile=True, autograph=False)
    def update(weights, means, squares, rate, factors, longest, x, y, count, length):
        def body(k, weights, means, squares, kept):
            given = rate * factors[k], longest, x[k], y[k], length
            weights, means, squares, losses = one(weights, means, squares, *given)
            return k + 1, weights, means, squares, kept.write(k, losses)

        kept = tf.TensorArray(tf.float32, TOGETHER, element_shape=rate.shape[:1])
        first = 0, weights, means, squares, kept
        _, weights, means, squares, kept = tf.while_loop(lambda k, *_: k < count, body, first)
        return weights, means, squares, kept.stack()  # losses (updates, S)

    return update


def _losses(outputs: Any, y: Any, answers: int | None) -> Any:
    import tensorflow as tf

    if answers is None:
        return tf.reduce_mean((outputs[0, ..., 0] - y) ** 2, axis=-1)
    labels = tf.broadcast_to(tf.transpose(y)[:, None], tf.shape(outputs)[:3])
    entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
    return tf.reduce_mean(entropies, axis=(0, 2))


def _outputs(cell: str, weights: Sequence[Any], x: Any, length: Any, answers: int) -> Any:
    """Return the outputs (K, S, B, O) at the last K of `length` steps."""
    import tensorflow as tf

    *layers, head, bias = weights
    count = len(layers) // 3
    for i in range(count):
        kernel, loop, inner = layers[3 * i : 3 * i + 3]
        equation = "sbtd,sdu->tsbu" if i else "btd,sdu->tsbu"
        outer = inner[:, :1] if cell == "gru" else inner
        read = tf.einsum(equation, x, kernel) + outer  # (T, S, B, gates·U)
        h, sequence = _run(cell, read, loop, inner, length, i < count - 1 or answers > 1)
        x = tf.transpose(sequence, (1, 2, 0, 3)) if sequence is not None else None
    if x is None:
        last = h[None]
    else:
        sizes = [answers, *sequence.shape[1:]]
        last = tf.slice(sequence, [length - answers, 0, 0, 0], sizes)
    # einsum, for TensorFlow 2.21's matmul spoils a broadcast batch of one outside of XLA
    return tf.einsum("ksbu,suo->ksbo", last, head) + bias


def _run(cell: str, read: Any, loop: Any, inner: Any, length: Any, keep: bool) -> tuple[Any, Any]:
    """Return the output after `length` steps, (S, B, U), and if wanted those of all steps."""
    import tensorflow as tf

    room, (count, units), rows = read.shape[0], loop.shape[:2], read.shape[2]
    zeros = tf.zeros((count, rows, units))

    def body(t, h, c, kept):
        h, c = _cell(cell, read[t], tf.matmul(h, loop), inner, h, c)
        return t + 1, h, c, kept.write(t, h) if keep else kept

    first = 0, zeros, zeros, tf.TensorArray(tf.float32, room, element_shape=zeros.shape)
    _, h, _, kept = tf.while_loop(lambda t, *_: t < length, body, first, maximum_iterations=room)
    return h, kept.stack() if keep else None


def _cell(cell: str, a: Any, b: Any, inner: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """Return the new h and c of a step; a and b come from the input and from the old h."""
    import tensorflow as tf

    if cell == "lstm":
        i, f, g, o = tf.split(a + b, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c
    if cell == "gru":
        a, b = tf.split(a, 3, axis=-1), tf.split(b + inner[:, 1:], 3, axis=-1)
        z, r = tf.sigmoid(a[0] + b[0]), tf.sigmoid(a[1] + b[1])
        return z * h + (1 - z) * tf.tanh(a[2] + r * b[2]), c
    return (tf.tanh(a + b) if cell == "tanh" else tf.nn.relu(a + b)), c


# === Checks ===


def _check_data(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Return sequences, targets, and the number of answers; None for one number a sequence."""
    x, y = check_array("x", x, ndim=3), np.asarray(y)
    if y.ndim == 2 and np.issubdtype(y.dtype, np.integer):
        if not 1 <= y.shape[1] <= x.shape[1]:
            raise ValueError(
                f"`y` must have from 1 to {x.shape[1]} columns. {received(shape=y.shape)}"
            )
        check_same_length(x=x, y=y)
        return x.astype(np.float32), y.astype(np.int64), y.shape[1]
    if np.issubdtype(y.dtype, np.integer) or y.dtype == bool:
        raise TypeError(
            "`y` must be fractions of shape (N,), or integers of shape (N, K) for classes. "
            f"{received(dtype=y.dtype, shape=y.shape)}"
        )
    y = check_array("y", y, ndim=1)
    check_same_length(x=x, y=y)
    return x.astype(np.float32), y.astype(np.float32), None


def _check_classes(y: np.ndarray, outputs: int) -> None:
    if y.size and not 0 <= y.min() <= y.max() < outputs:
        raise ValueError(
            f"`y` must hold classes from 0 to {outputs - 1}, as there are {outputs} outputs. "
            f"{received(lowest=y.min(), highest=y.max())}"
        )


def _check_starts(cell: str, starts: Any, features: int, one: bool) -> list[np.ndarray]:
    """Return the first weights stacked, each with three axes."""
    if not isinstance(starts, Sequence) or len(starts) == 0 or isinstance(starts, str):
        raise ValueError(
            f"`starts` must hold the weights of one copy or more. {received(starts=starts)}"
        )
    lists = [[check_array("starts", array) for array in copy] for copy in starts]
    shapes = [[array.shape for array in copy] for copy in lists]
    wanted, layers = [], (len(lists[0]) - 2) // 3
    for i in range(layers):
        units = lists[0][3 * i + 1].shape[0] if lists[0][3 * i + 1].ndim else 0
        columns = CELLS[cell] * units
        bias = (2, columns) if cell == "gru" else (columns,)
        wanted += [(features, columns), (units, columns), bias]
        features = units
    outputs = 1 if one else (shapes[0][-1] or (0,))[0]
    wanted += [(features, outputs), (outputs,)]
    if layers < 1 or any(found != wanted for found in shapes):
        raise ValueError(
            f"`starts` must hold arrays of the shapes {wanted} for each copy. "
            f"Received: shapes={shapes[0]}"
        )
    stacked = [np.stack(arrays).astype(np.float32) for arrays in zip(*lists, strict=True)]
    return [a[:, None] if a.ndim == 2 else a for a in stacked]
