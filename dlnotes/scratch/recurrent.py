"""Recurrent layers: a cell reads one step, a layer runs it over sequences, forwards and backwards.

Shapes: B sequences of T steps with D features, (B, T, D); states of U units, (B, U); a mask (B, T),
True where a step is real and False where it is padding. Everything equals Keras' layers, whose
weights can be taken over: ``SimpleRNNCell(*layer.get_weights())``.

A new kind of cell needs `step` and `step_back` alone; `RNN`, `BidirectionalRNN` and `StackedRNN`
do the rest.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from dlnotes.scratch.activations import Activation, get_activation
from dlnotes.scratch.initializers import glorot_uniform, orthogonal
from dlnotes.validation import check_array, check_int, received

States = tuple[np.ndarray, ...]


def spectral_radius(matrix: Any) -> float:
    """Return the largest absolute value of a square matrix's eigenvalues, complex ones included.

    Multiplied k times, the matrix makes most vectors longer by about this number to the power k,
    for large k.

    Raises:
        TypeError: If `matrix` does not hold numbers.
        ValueError: If it is not square, or a number is NaN or infinite.

    Example:
        >>> round(spectral_radius([[0.0, -2.0], [2.0, 0.0]]), 6)
        2.0
    """
    matrix = check_array("matrix", matrix, ndim=2)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"`matrix` must be square. Received: matrix.shape={matrix.shape}")
    return float(np.abs(np.linalg.eigvals(matrix)).max())


# === Cells ===


class Cell:
    """What all recurrent cells share: three arrays of weights, as Keras' layers order them.

    A subclass says how many matrices lie side by side in a kernel (`gates`) and how many states it
    carries (`num_states`, the first of which is its output), and defines

    - ``step(x, states)``, which returns the new states and what `step_back` must remember;
    - ``step_back(gradients, memory)``, from the gradients of the new states: the gradients of x,
      of the old states (a tuple) and of the weights (a list).

    Both take arrays and check nothing: `RNN` checks once for all steps.

    Args:
        kernel: From the inputs, shape (D, gates·U).
        recurrent_kernel: From the old state, shape (U, gates·U).
        bias: Shape `bias_shape(U)`; None takes zeros.

    Attributes:
        weights: The list [kernel, recurrent_kernel, bias]; put new arrays in to train the cell.

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If shapes do not fit together, or a number is NaN or infinite.
    """

    gates = 1
    num_states = 1

    def __init__(self, kernel: Any, recurrent_kernel: Any, bias: Any = None) -> None:
        recurrent_kernel = check_array("recurrent_kernel", recurrent_kernel, ndim=2)
        units = len(recurrent_kernel)
        check_array("recurrent_kernel", recurrent_kernel, shape=(units, self.gates * units))
        kernel = check_array("kernel", kernel, shape=(None, self.gates * units))
        bias = np.zeros(self.bias_shape(units)) if bias is None else bias
        bias = check_array("bias", bias, shape=self.bias_shape(units))
        self.weights = [kernel, recurrent_kernel, bias]

    @classmethod
    def draw(cls, num_inputs: int, units: int, rng: np.random.Generator, **options: Any) -> Self:
        """Return a cell with weights drawn as Keras draws them.

        The kernel is Glorot uniform, the recurrent kernel orthogonal, the bias 0.

        Args:
            num_inputs: D, >= 1.
            units: U, >= 1.
            rng: Draws the weights.
            options: What else the cell takes, such as ``activation="linear"``.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a number is below 1.
        """
        num_inputs = check_int("num_inputs", num_inputs, low=1)
        columns = cls.gates * check_int("units", units, low=1)
        kernel = glorot_uniform((num_inputs, columns), rng)
        return cls(kernel, orthogonal((units, columns), rng), **options)

    def bias_shape(self, units: int) -> tuple[int, ...]:
        """Return the shape of the bias."""
        return (self.gates * units,)

    @property
    def num_inputs(self) -> int:
        """D, the number of features of one step."""
        return len(self.weights[0])

    @property
    def units(self) -> int:
        """U, the number of units of a state."""
        return len(self.weights[1])

    def step(self, x: Any, states: Any) -> tuple[States, Any]:
        """Return the states after one step, and what `step_back` must remember."""
        raise NotImplementedError

    def step_back(self, gradients: Any, memory: Any) -> tuple[np.ndarray, States, list[np.ndarray]]:
        """Return the gradients of x, of the old states and of the weights."""
        raise NotImplementedError


class SimpleRNNCell(Cell):
    """One step of a simple recurrent network: h ← φ(x·W + h·V + b), with a state h.

    φ is the activation, W the kernel, V the recurrent kernel, b the bias. The new state is the
    output, too. As in Keras' SimpleRNN.

    Args:
        kernel: W of shape (D, U).
        recurrent_kernel: V of shape (U, U).
        bias: b of shape (U,); None takes zeros.
        activation: Name of φ in `ACTIVATIONS`, one that works element by element.

    Attributes:
        weights: The list [W, V, b]; put new arrays in to train the cell.

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If shapes do not fit together, a number is NaN or infinite, or the activation
            is unknown or has no derivative.

    References:
        J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990), figure 2.

    Example:
        >>> cell = SimpleRNNCell([[1.0]], [[0.5]], activation="linear")
        >>> (state,), _ = cell.step(np.array([[3.0]]), (np.array([[8.0]]),))
        >>> state
        array([[7.]])
    """

    def __init__(
        self,
        kernel: Any,
        recurrent_kernel: Any,
        bias: Any = None,
        *,
        activation: str = "tanh",
    ) -> None:
        super().__init__(kernel, recurrent_kernel, bias)
        self.function, self.derivative = check_elementwise(activation)

    def step(self, x: Any, states: Any) -> tuple[States, Any]:
        """Return the state after one step, and what `step_back` must remember.

        Args:
            x: The step's features, shape (B, D).
            states: A tuple with the old state, shape (B, U).
        """
        (h,) = states
        kernel, recurrent_kernel, bias = self.weights
        z = x @ kernel + h @ recurrent_kernel + bias
        return (self.function(z),), (x, h, z)

    def step_back(self, gradients: Any, memory: Any) -> tuple[np.ndarray, States, list[np.ndarray]]:
        """Return the gradients of x, of the old state and of the weights.

        Args:
            gradients: A tuple with ∂loss/∂(new state), shape (B, U).
            memory: What `step` returned.
        """
        x, h, z = memory
        kernel, recurrent_kernel, _ = self.weights
        g = gradients[0] * self.derivative(z)  # ∂loss/∂z
        return g @ kernel.T, (g @ recurrent_kernel.T,), [x.T @ g, h.T @ g, g.sum(axis=0)]


# === Layers ===


def choose(real: np.ndarray, new: States, old: States) -> States:
    """Return the new states where a step is real, shape (B, 1), and the old ones elsewhere.

    Example:
        >>> real = np.array([[True], [False]])
        >>> choose(real, (np.ones((2, 1)),), (np.zeros((2, 1)),))[0].ravel()
        array([1., 0.])
    """
    return tuple(np.where(real, n, o) for n, o in zip(new, old, strict=True))


class RNN:
    """Run a cell over sequences, and the gradients back through time.

    At a padded step the states stay as they are, and the output repeats the last one; before the
    first real step it is 0. As in Keras' layers with ``return_sequences=True``.

    Args:
        cell: A `Cell`.
        backwards: Whether to read from the last step to the first. Outputs stay at the step they
            belong to; Keras' ``go_backwards`` returns them in the order of reading.

    Attributes:
        cell: As given.
        backwards: As given.
        last_output: The output after the last step read, shape (B, U), after `forward`: what
            Keras returns with ``return_sequences=False``.
        final_states: The states after the last step read, a tuple of (B, U), after `forward`.
        gradients: ∂loss/∂weights, a list in the order of ``cell.weights``, after `backward`.
        initial_gradients: ∂loss/∂(initial states), a tuple of (B, U), after `backward`.
        state_gradients: ∂loss/∂(each state after k steps read), a tuple of (B, T + 1, U), the
            initial state at k = 0, after `backward`: how the gradient fares on its way through
            time.

    Raises:
        TypeError: If `cell` is no cell, or `backwards` no bool.

    References:
        P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of
        the IEEE 78 (1990).

    Example:
        >>> layer = RNN(SimpleRNNCell([[1.0]], [[0.5]], activation="linear"))
        >>> layer.forward([[[8.0], [0.0], [0.0]]])[0, :, 0]
        array([8., 4., 2.])
        >>> layer.backward([[1.0]])[0, :, 0]
        array([0.25, 0.5 , 1.  ])
    """

    def __init__(self, cell: Cell, *, backwards: bool = False) -> None:
        self.cell, self.backwards = check_layer(cell, backwards)
        self.final_states = None

    def forward(self, x: Any, mask: Any = None, initial_states: Any = None) -> np.ndarray:
        """Return the outputs of all steps, shape (B, T, U), and remember them for `backward`.

        Args:
            x: Sequences of shape (B, T, D).
            mask: Where steps are real, shape (B, T), True or 1; None takes all for real.
            initial_states: A tuple of the cell's states, (B, U) each; None takes zeros.

        Raises:
            TypeError: If an array has the wrong type.
            ValueError: If a shape differs, a number is NaN or infinite, or the mask holds
                something else than True and False.
        """
        x, mask, states = check_sequences(self.cell, x, mask, initial_states)
        output, outputs = np.zeros_like(states[0]), np.zeros((*mask.shape, self.cell.units))
        self.mask, self.steps = mask, []
        times = range(x.shape[1])
        for t in reversed(times) if self.backwards else times:
            real = mask[:, t, None]  # (B, 1)
            new, memory = self.cell.step(x[:, t], states)
            states = choose(real, new, states)
            outputs[:, t] = output = np.where(real, new[0], output)  # padding repeats the last
            self.steps.append((t, real, memory))
        self.last_output, self.final_states = output, states
        return outputs

    def backward(self, gradient: Any, final_gradients: Any = None) -> np.ndarray:
        """Store the gradients of weights and states, and return ∂loss/∂x, shape (B, T, D).

        Args:
            gradient: ∂loss/∂outputs of shape (B, T, U); or (B, U), where the loss hangs on the
                last output alone.
            final_gradients: ∂loss/∂(final states), a tuple of (B, U), for a loss that hangs on
                them, too; None takes zeros.

        Raises:
            RuntimeError: If `forward` was not called before.
            TypeError: If an array does not hold numbers.
            ValueError: If a shape differs, or a number is NaN or infinite.
        """
        gradient, states = check_gradients(self, gradient, final_gradients)
        x_gradient = np.zeros((*gradient.shape[:2], self.cell.num_inputs))
        self.gradients = [np.zeros_like(array) for array in self.cell.weights]
        last, route = 0.0, []
        for t, real, memory in reversed(self.steps):
            last = last + gradient[:, t]  # ∂loss/∂(output of step t), which padding may repeat
            states = (states[0] + np.where(real, last, 0), *states[1:])
            route.insert(0, states)
            new = tuple(np.where(real, g, 0) for g in states)
            x_gradient[:, t], old, parts = self.cell.step_back(new, memory)
            states, last = choose(real, old, states), np.where(real, 0, last)
            self.gradients = [g + part for g, part in zip(self.gradients, parts, strict=True)]
        self.initial_gradients = states
        self.state_gradients = tuple(np.stack(g, axis=1) for g in zip(states, *route, strict=True))
        return x_gradient


class BidirectionalRNN:
    """Two layers, one from the first step on and one from the last, their outputs side by side.

    As Keras' ``Bidirectional`` with its default ``merge_mode="concat"``, and unlike `RNN`, it puts
    out 0 at padded steps.

    Args:
        forward_cell: The `Cell` that reads from the first step to the last, with U units.
        backward_cell: The `Cell` that reads from the last step to the first, with U' units.

    Attributes:
        layers: The two `RNN`, which hold the gradients.
        last_output: The two last outputs read, shape (B, U + U'), after `forward`. The second
            belongs to step 0.
        final_states: The states of the forward layer, then those of the other, after `forward`.
        gradients: ∂loss/∂weights, the forward cell's first, after `backward`.
        initial_gradients: ∂loss/∂(initial states), the forward layer's first, after `backward`.

    Raises:
        TypeError: If one of the two is no cell.

    References:
        M. Schuster and K. K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions
        on Signal Processing 45 (1997), section II.

    Example:
        >>> cells = [SimpleRNNCell([[1.0]], [[0.5]], activation="linear") for _ in range(2)]
        >>> BidirectionalRNN(*cells).forward([[[8.0], [0.0], [4.0]]])[0].T
        array([[8., 4., 6.],
               [9., 2., 4.]])
    """

    def __init__(self, forward_cell: Cell, backward_cell: Cell) -> None:
        self.layers = [RNN(forward_cell), RNN(backward_cell, backwards=True)]
        self.real: np.ndarray | None = None

    @property
    def units(self) -> int:
        """U + U', the number of units of an output."""
        return sum(layer.cell.units for layer in self.layers)

    def forward(self, x: Any, mask: Any = None, initial_states: Any = None) -> np.ndarray:
        """Return the outputs of all steps, shape (B, T, U + U').

        Args:
            x: Sequences of shape (B, T, D).
            mask: Where steps are real, shape (B, T); None takes all for real.
            initial_states: The forward cell's states, then the other's, (B, U) or (B, U') each;
                None takes zeros.

        Raises:
            TypeError: If an array has the wrong type.
            ValueError: If a shape differs, a number is NaN or infinite, or the mask holds
                something else than True and False.
        """
        halves = halve(self.layers, "initial_states", initial_states)
        outputs = [
            layer.forward(x, mask, half) for layer, half in zip(self.layers, halves, strict=True)
        ]
        self.last_output = np.concatenate([layer.last_output for layer in self.layers], axis=-1)
        self.final_states = tuple(s for layer in self.layers for s in layer.final_states)
        self.real = self.layers[0].mask[..., None]
        return np.concatenate(outputs, axis=-1) * self.real

    def backward(self, gradient: Any, final_gradients: Any = None) -> np.ndarray:
        """Store the gradients of weights and states, and return ∂loss/∂x, shape (B, T, D).

        Args:
            gradient: ∂loss/∂outputs of shape (B, T, U + U'); or (B, U + U'), where the loss hangs
                on the last outputs alone.
            final_gradients: ∂loss/∂(final states), in the order of `final_states`; None takes
                zeros.

        Raises:
            RuntimeError: If `forward` was not called before.
            TypeError: If an array does not hold numbers.
            ValueError: If a shape differs, or a number is NaN or infinite.
        """
        gradient = check_array("gradient", gradient, ndim=(2, 3), columns=self.units)
        if gradient.ndim == 3 and self.real is not None:
            gradient = gradient * self.real
        parts = np.split(gradient, [self.layers[0].cell.units], axis=-1)
        halves = halve(self.layers, "final_gradients", final_gradients)
        x_gradients = [
            layer.backward(part, half)
            for layer, part, half in zip(self.layers, parts, halves, strict=True)
        ]
        self.gradients = [array for layer in self.layers for array in layer.gradients]
        self.initial_gradients = tuple(s for layer in self.layers for s in layer.initial_gradients)
        return sum(x_gradients)


class StackedRNN:
    """Layers that each read the outputs of the one before, all with the same mask.

    As Keras' layers one after the other, all but perhaps the last with ``return_sequences=True``.

    Args:
        layers: Objects of `RNN` and `BidirectionalRNN`, at least one.

    Attributes:
        layers: As given, a list; they hold states and gradients.
        last_output: The last layer's, after `forward`.

    Raises:
        TypeError: If `layers` is not a sequence of such layers.
        ValueError: If it is empty.

    Example:
        >>> cells = [SimpleRNNCell([[1.0]], [[0.5]], activation="linear") for _ in range(2)]
        >>> StackedRNN([RNN(cell) for cell in cells]).forward([[[8.0], [0.0], [0.0]]])[0, :, 0]
        array([8., 8., 6.])
    """

    def __init__(self, layers: Sequence[RNN | BidirectionalRNN]) -> None:
        self.layers = check_layers(layers)

    def forward(self, x: Any, mask: Any = None) -> np.ndarray:
        """Return the last layer's outputs of all steps, shape (B, T, U).

        Args:
            x: Sequences of shape (B, T, D).
            mask: Where steps are real, shape (B, T); None takes all for real.

        Raises:
            TypeError: If an array has the wrong type.
            ValueError: If a shape differs, a number is NaN or infinite, or the mask holds
                something else than True and False.
        """
        for layer in self.layers:
            x = layer.forward(x, mask)
        self.last_output = self.layers[-1].last_output
        return x

    def backward(self, gradient: Any) -> np.ndarray:
        """Store the gradients in the layers, and return ∂loss/∂x, shape (B, T, D).

        Args:
            gradient: ∂loss/∂outputs of shape (B, T, U); or (B, U), where the loss hangs on the
                last output alone.

        Raises:
            RuntimeError: If `forward` was not called before.
            TypeError: If an array does not hold numbers.
            ValueError: If a shape differs, or a number is NaN or infinite.
        """
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient


# === Checks ===


def check_elementwise(activation: Any) -> Activation:
    """Return a function that works element by element, and its derivative."""
    found = get_activation(activation)
    if found.derivative is None or activation == "softmax":
        raise ValueError(
            "`activation` must work element by element and have a derivative. "
            f"{received(activation=activation)}"
        )
    return found


def check_cell(name: str, cell: Any) -> Cell:
    """Return a cell."""
    if not isinstance(cell, Cell):
        raise TypeError(f"`{name}` must be a recurrent cell. {received(**{name: cell})}")
    return cell


def check_layer(cell: Any, backwards: Any) -> tuple[Cell, bool]:
    """Return the settings of an `RNN`."""
    if not isinstance(backwards, bool | np.bool_):
        raise TypeError(f"`backwards` must be True or False. {received(backwards=backwards)}")
    return check_cell("cell", cell), bool(backwards)


def check_layers(layers: Any) -> list[RNN | BidirectionalRNN]:
    """Return recurrent layers as a list."""
    known = RNN | BidirectionalRNN
    if not isinstance(layers, Sequence) or not all(isinstance(one, known) for one in layers):
        raise TypeError(
            f"`layers` must be a sequence of recurrent layers. {received(layers=layers)}"
        )
    if not layers:
        raise ValueError(f"`layers` must not be empty. {received(layers=layers)}")
    return list(layers)


def check_states(name: str, states: Any, cell: Cell, num_sequences: int) -> States:
    """Return a cell's states, or their gradients, as a tuple of arrays (B, U); None gives zeros."""
    shape = (num_sequences, cell.units)
    if states is None:
        return tuple(np.zeros(shape) for _ in range(cell.num_states))
    if not isinstance(states, tuple | list):
        raise TypeError(
            f"`{name}` must be a tuple of arrays, one for each state of the cell. "
            f"Received: {name} is a {type(states).__name__}"
        )
    if len(states) != cell.num_states:
        raise ValueError(
            f"`{name}` must hold {cell.num_states} arrays, one for each state of the cell. "
            f"Received: len({name})={len(states)}"
        )
    return tuple(check_array(f"{name}[{i}]", s, shape=shape) for i, s in enumerate(states))


def check_sequences(
    cell: Cell, x: Any, mask: Any, initial_states: Any
) -> tuple[np.ndarray, np.ndarray, States]:
    """Return sequences (B, T, D), their mask (B, T) and the states to begin with."""
    x = check_array("x", x, shape=(None, None, cell.num_inputs))
    mask = check_array("mask", np.ones(x.shape[:2]) if mask is None else mask, shape=x.shape[:2])
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"`mask` must hold True and False. {received(mask=np.unique(mask))}")
    return x, mask.astype(bool), check_states("initial_states", initial_states, cell, len(x))


def check_gradients(layer: RNN, gradient: Any, final_gradients: Any) -> tuple[np.ndarray, States]:
    """Return the gradients of all outputs (B, T, U) and of the final states."""
    if layer.final_states is None:
        raise RuntimeError("`forward` must be called before `backward`.")
    shape = (len(layer.last_output), len(layer.steps), layer.cell.units)
    if np.ndim(gradient) == 2:
        last = check_array("gradient", gradient, shape=(shape[0], shape[2]))
        gradient = np.zeros(shape)
        gradient[:, layer.steps[-1][0]] = last
    gradient = check_array("gradient", gradient, shape=shape)
    return gradient, check_states("final_gradients", final_gradients, layer.cell, shape[0])


def halve(layers: Sequence[RNN], name: str, states: Any) -> list[States | None]:
    """Return the states of two layers that came as one tuple; None for each where None came."""
    if states is None:
        return [None, None]
    first = layers[0].cell.num_states
    wanted = first + layers[1].cell.num_states
    if not isinstance(states, tuple | list) or len(states) != wanted:
        raise ValueError(
            f"`{name}` must be a tuple of {wanted} arrays, the forward cell's first. "
            f"Received: {name} is a {type(states).__name__}"
        )
    return [tuple(states[:first]), tuple(states[first:])]
