"""Recurrent cells with gates: LSTM and GRU, forwards and backwards, equal to Keras' layers.

A *gate* is a row of numbers between 0 and 1, computed anew at each step, that multiplies another
row element by element: 1 lets it pass, 0 stops it. The cells are run by `RNN`, `BidirectionalRNN`
and `StackedRNN`. Shapes: B sequences of T steps with D features; U units.
"""

from typing import Any, Self

import numpy as np

from dlnotes.scratch.activations import sigmoid
from dlnotes.scratch.recurrent import RNN, Cell, States
from dlnotes.validation import check_float, received

# === Cells ===


class LSTMCell(Cell):
    """One step of a long short-term memory, with two states: the output h and the cell c.

    With σ the sigmoid, ⊙ the product element by element, and weights W, V, b of its own for each
    of the four rows::

        i, f, o = σ(x·W + h·V + b)      input, forget and output gate
        g = tanh(x·W + h·V + b)         candidate
        c ← f ⊙ c + i ⊙ g
        h ← o ⊙ tanh(c)

    The four matrices lie side by side in the order of Keras' LSTM: i, f, g, o.

    Args:
        kernel: The four W side by side, shape (D, 4·U).
        recurrent_kernel: The four V, shape (U, 4·U).
        bias: The four b, shape (4·U,); None takes zeros, `draw` takes 1 for the forget gate. A
            gate whose biases are 50 stays at 1, and its weights get no gradient.

    Attributes:
        weights: The list [kernel, recurrent_kernel, bias]; put new arrays in to train the cell.
        inside: Names of the rows that `step` remembers, for `gate_values`.

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If shapes do not fit together, or a number is NaN or infinite.

    References:
        S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997),
        section 4; the forget gate: F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget:
        continual prediction with LSTM", Neural Computation 12 (2000), section 3.

    Example:
        >>> cell = LSTMCell(np.zeros((1, 4)), np.zeros((1, 4)), [-50.0, 0.0, 0.0, 50.0])
        >>> (h, c), _ = cell.step(np.zeros((1, 1)), (np.zeros((1, 1)), np.ones((1, 1))))
        >>> c, (h == np.tanh(c)).item()  # half of the 1 is kept, nothing is added, all is shown
        (array([[0.5]]), True)
    """

    gates = 4
    num_states = 2
    inside = ("input", "forget", "candidate", "output", "cell")  # the memory's, from the fourth on

    @classmethod
    def draw(
        cls,
        num_inputs: int,
        units: int,
        rng: np.random.Generator,
        *,
        forget_bias: float = 1.0,
        **options: Any,
    ) -> Self:
        """Return a cell with weights drawn as Keras draws them.

        Args:
            num_inputs: D, >= 1.
            units: U, >= 1.
            rng: Draws the weights.
            forget_bias: Bias of the forget gate, which begins at about σ(forget_bias); Keras' 1 is
                0.73.
            options: What else the cell takes.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a number is below 1, or the bias is not finite.

        References:
            R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
            network architectures", ICML (2015), section 2.2.
        """
        cell = super().draw(num_inputs, units, rng, **options)
        cell.weights[2][units : 2 * units] = check_float("forget_bias", forget_bias)
        return cell

    def step(self, x: Any, states: Any) -> tuple[States, Any]:
        """Return the states after one step, and what `step_back` must remember.

        Args:
            x: The step's features, shape (B, D).
            states: The old h and the old c, shape (B, U) each.
        """
        h, c = states
        kernel, recurrent_kernel, bias = self.weights
        i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        return (o * np.tanh(new), new), (x, h, c, i, f, g, o, new)

    def step_back(self, gradients: Any, memory: Any) -> tuple[np.ndarray, States, list[np.ndarray]]:
        """Return the gradients of x, of the old states and of the weights.

        Args:
            gradients: ∂loss/∂(new h) and ∂loss/∂(new c), shape (B, U) each.
            memory: What `step` returned.
        """
        x, h, c, i, f, g, o, new = memory
        to_h, to_c = gradients
        kernel, recurrent_kernel, _ = self.weights
        to_c = to_c + to_h * o * (1 - np.tanh(new) ** 2)  # c is seen by h, and by the next step
        parts = [to_c * g * i * (1 - i), to_c * c * f * (1 - f)]
        parts += [to_c * i * (1 - g**2), to_h * np.tanh(new) * o * (1 - o)]
        z = np.concatenate(parts, axis=-1)  # ∂loss/∂(what the four functions were applied to)
        states = z @ recurrent_kernel.T, to_c * f
        return z @ kernel.T, states, [x.T @ z, h.T @ z, z.sum(axis=0)]


class GRUCell(Cell):
    """One step of a gated recurrent unit, with one state h.

    With σ the sigmoid, ⊙ the product element by element, and weights W, V, b of its own for each
    of the three rows::

        z, r = σ(x·W + h·V + b)           update and reset gate
        g = tanh(x·W + r ⊙ (h·V) + b)     candidate, ``reset_after=True``
        g = tanh(x·W + (r ⊙ h)·V + b)     candidate, ``reset_after=False``
        h ← z ⊙ h + (1 − z) ⊙ g

    The three matrices lie side by side in the order of Keras' GRU: z, r, g. With ``reset_after``
    there are two biases, one added to x·W and one to h·V, the latter inside the reset gate's reach.

    Args:
        kernel: The three W side by side, shape (D, 3·U).
        recurrent_kernel: The three V, shape (U, 3·U).
        bias: Shape (2, 3·U) with ``reset_after``, else (3·U,); None takes zeros.
        reset_after: Whether the reset gate acts after the multiplication with V, as in Keras'
            default and in cuDNN; before it in the paper.

    Attributes:
        weights: The list [kernel, recurrent_kernel, bias]; put new arrays in to train the cell.
        reset_after: As given.
        inside: Names of the rows that `step` remembers, for `gate_values`.

    Raises:
        TypeError: If an array does not hold numbers, or `reset_after` is no bool.
        ValueError: If shapes do not fit together, or a number is NaN or infinite.

    References:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP (2014), section 2.3, equations 5 to 8. There as here z keeps the
        old state; J. Chung et al., "Empirical evaluation of gated recurrent neural networks on
        sequence modeling" (2014), section 3.2, let it take the new one.

    Example:
        >>> cell = GRUCell(np.zeros((1, 3)), np.zeros((1, 3)))
        >>> (h,), _ = cell.step(np.zeros((1, 1)), (np.array([[0.8]]),))
        >>> h  # both gates are 1/2, the candidate is 0
        array([[0.4]])
    """

    gates = 3
    inside = ("update", "reset", "candidate")  # the memory's, from the fourth on

    def __init__(
        self, kernel: Any, recurrent_kernel: Any, bias: Any = None, *, reset_after: bool = True
    ) -> None:
        self.reset_after = check_switch("reset_after", reset_after)
        super().__init__(kernel, recurrent_kernel, bias)

    def bias_shape(self, units: int) -> tuple[int, ...]:
        """Return the shape of the bias."""
        return (2, 3 * units) if self.reset_after else (3 * units,)

    def step(self, x: Any, states: Any) -> tuple[States, Any]:
        """Return the state after one step, and what `step_back` must remember.

        Args:
            x: The step's features, shape (B, D).
            states: A tuple with the old state, shape (B, U).
        """
        (h,) = states
        kernel, recurrent_kernel, bias = self.weights
        bias, inner = bias if self.reset_after else (bias, 0.0)
        a, b = x @ kernel + bias, h @ recurrent_kernel + inner  # (B, 3·U) each
        u = 2 * self.units  # the last third makes the candidate
        z, r = np.split(sigmoid(a[:, :u] + b[:, :u]), 2, axis=-1)
        past = r * b[:, u:] if self.reset_after else (r * h) @ recurrent_kernel[:, u:]
        g = np.tanh(a[:, u:] + past)
        return (z * h + (1 - z) * g,), (x, h, b[:, u:], z, r, g)

    def step_back(self, gradients: Any, memory: Any) -> tuple[np.ndarray, States, list[np.ndarray]]:
        """Return the gradients of x, of the old state and of the weights.

        Args:
            gradients: A tuple with ∂loss/∂(new h), shape (B, U).
            memory: What `step` returned.
        """
        x, h, b, z, r, g = memory
        (to_h,) = gradients
        kernel, recurrent_kernel, _ = self.weights
        u = 2 * self.units
        to_g = to_h * (1 - z) * (1 - g**2)
        back = to_g @ recurrent_kernel[:, u:].T  # used with the reset before alone
        to_r = (to_g * b if self.reset_after else back * h) * r * (1 - r)
        first = np.concatenate([to_h * (h - g) * z * (1 - z), to_r], axis=-1)  # (B, 2·U)
        a = np.concatenate([first, to_g], axis=-1)  # ∂loss/∂(x·W + b)
        if self.reset_after:
            b = np.concatenate([first, to_g * r], axis=-1)  # ∂loss/∂(h·V + b)
            old = to_h * z + b @ recurrent_kernel.T
            weights = [x.T @ a, h.T @ b, np.stack([a.sum(axis=0), b.sum(axis=0)])]
        else:
            old = to_h * z + back * r + first @ recurrent_kernel[:, :u].T
            recurrent = np.concatenate([h.T @ first, (r * h).T @ to_g], axis=-1)
            weights = [x.T @ a, recurrent, a.sum(axis=0)]
        return a @ kernel.T, (old,), weights


# === What the gates did ===


def gate_values(layer: RNN) -> dict[str, np.ndarray]:
    """Return what the gates of a layer did in its last `forward`, NaN at padded steps.

    Args:
        layer: An `RNN` around an `LSTMCell` or a `GRUCell`, after `forward`; any cell will do that
            names in `inside` what its `step` remembers after x, and two more things.

    Returns:
        By name an array (B, T, U): "input", "forget", "candidate", "output" and the new "cell" of
        an LSTM; "update", "reset" and "candidate" of a GRU.

    Raises:
        TypeError: If `layer` is no `RNN` around such a cell.
        RuntimeError: If `forward` was not called before.

    Example:
        >>> layer = RNN(LSTMCell(np.zeros((1, 4)), np.zeros((1, 4)), [0.0, 50.0, 0.0, 0.0]))
        >>> _ = layer.forward(np.zeros((1, 2, 1)))
        >>> gate_values(layer)["forget"].ravel()
        array([1., 1.])
    """
    names = getattr(getattr(layer, "cell", None), "inside", None)
    if names is None or not isinstance(layer, RNN):
        raise TypeError(f"`layer` must be an RNN around a cell with gates. {received(layer=layer)}")
    if layer.final_states is None:
        raise RuntimeError("`forward` must be called before `gate_values`.")
    values = {}
    for place, name in enumerate(names, start=3):
        values[name] = np.full((*layer.mask.shape, layer.cell.units), np.nan)
        for t, real, memory in layer.steps:
            values[name][:, t] = np.where(real, memory[place], np.nan)
    return values


# === Checks ===


def check_switch(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False. {received(**{name: value})}")
    return bool(value)
