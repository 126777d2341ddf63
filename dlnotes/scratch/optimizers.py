"""Optimizers: what a step remembers of the gradients before it.

An optimizer is an object with a method ``step(weights, gradient)`` that returns the new weights
and counts its calls in ``iterations``. Arguments, defaults and formulas are Keras'; where Keras and
the paper differ, the docstring says so.

Every weight is treated on its own, so an array may hold the weights of many networks: with
weights of shape (S, P) and learning rates of shape (S, 1), each of S networks has a rate of its
own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_float, received

Rate = float | np.ndarray | Callable[[int], Any]


def check_rate(learning_rate: Any) -> Rate:
    """Return learning rates > 0, or a function that gives them; refuse everything else."""
    if callable(learning_rate):
        return learning_rate
    if isinstance(learning_rate, np.ndarray):
        return _check_rates("learning_rate", learning_rate, "> 0")
    return check_float("learning_rate", learning_rate, low=0, open_low=True)


def rate_at(learning_rate: Rate, iterations: int) -> float | np.ndarray:
    """Return the rate for the step after `iterations` steps: a finite number >= 0, or several."""
    if callable(learning_rate):
        rate = learning_rate(iterations)
        if isinstance(rate, np.ndarray):
            return _check_rates("learning_rate(iterations)", rate, ">= 0")
        return check_float("learning_rate(iterations)", rate, low=0)
    return learning_rate


def _check_rates(name: str, rates: np.ndarray, limit: str) -> np.ndarray:
    rates = check_array(name, rates)
    if not (rates > 0 if limit == "> 0" else rates >= 0).all():
        raise ValueError(f"`{name}` must hold numbers {limit}. {received(lowest=rates.min())}")
    return rates


def check_share(name: str, value: Any) -> float:
    """Return `value` if it is a number in [0, 1), as a share of the past that is kept must be."""
    return check_float(name, value, low=0, high=1, open_high=True)


def check_size(name: str, value: Any) -> float:
    """Return `value` if it is a finite number >= 0."""
    return check_float(name, value, low=0)


def check_ewma(values: Any, beta: Any, bias_correction: Any) -> tuple[np.ndarray, float]:
    """Return the values as an array and beta as a number, or refuse what `ewma` cannot average."""
    values = check_array("values", values)
    if values.ndim == 0:
        raise ValueError(f"`values` must be a sequence. {received(values=values)}")
    if not isinstance(bias_correction, bool | np.bool_):
        raise TypeError(
            f"`bias_correction` must be True or False. {received(bias_correction=bias_correction)}"
        )
    return values, check_share("beta", beta)


def ewma(values: Any, beta: float, bias_correction: bool = False) -> np.ndarray:
    """Return the exponentially weighted moving average of a sequence, after each of its values.

    The average starts at 0, and each value changes it: average ← β·average + (1 − β)·value. The
    value k steps back then counts with the weight (1 − β)·βᵏ, and after t values all weights sum to
    1 − βᵗ. Dividing by that sum, the bias correction, makes them sum to 1.

    Args:
        values: T values of any shape, (T, …), T >= 1, the oldest first.
        beta: β, the share of the old average that is kept, in [0, 1). About 1/(1 − β) values count.
        bias_correction: Whether to divide by 1 − βᵗ.

    Returns:
        The T averages, in the shape of `values`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or there is no value.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), section 3.

    Example:
        >>> ewma([8.0, 8.0, 8.0], 0.5), ewma([8.0, 8.0, 8.0], 0.5, bias_correction=True)
        (array([4., 6., 7.]), array([8., 8., 8.]))
    """
    values, beta = check_ewma(values, beta, bias_correction)
    averages, average = [], 0.0
    for t, value in enumerate(values, start=1):
        average = beta * average + (1 - beta) * value
        averages.append(average / (1 - beta**t) if bias_correction else average)
    return np.array(averages)


class SGD:
    """The plain step downhill, which remembers nothing: weights − η·gradient.

    An optimizer is for one walk: `iterations`, and what its subclasses remember, go on counting in
    a second one.

    Args:
        learning_rate: η > 0; or an array of rates that fits the weights' shape; or a function from
            the number of updates made so far (0, 1, 2, …) to η >= 0.

    Attributes:
        learning_rate: As given.
        iterations: How many steps were made.

    Raises:
        TypeError: If the learning rate is neither a number nor a function.
        ValueError: If it is not positive and finite.

    References:
        H. Robbins and S. Monro, "A stochastic approximation method", Annals of Mathematical
        Statistics 22 (1951).

    Example:
        >>> optimizer = SGD(0.5)
        >>> optimizer.step(np.array([1.0, 2.0]), np.array([2.0, 0.0]))
        array([0., 2.])
        >>> optimizer.iterations
        1
    """

    def __init__(self, learning_rate):
        self.learning_rate = check_rate(learning_rate)
        self.iterations = 0

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        rate = rate_at(self.learning_rate, self.iterations)
        self.iterations += 1
        return weights - rate * gradient


class Momentum(SGD):
    """SGD that remembers its last move and repeats a share μ of it: a ball that rolls.

    velocity ← μ·velocity − η·gradient; weights ← weights + velocity. It is Keras'
    ``SGD(learning_rate, momentum)``. Under a constant gradient the velocity grows to
    −η·gradient / (1 − μ), ten times the plain step for μ = 0.9.

    Where others differ: PyTorch keeps m ← μ·m + gradient and moves by −η·m. With a constant rate
    that is the same walk; when the rate changes, Keras' velocity still holds steps of the old rate.

    Args:
        learning_rate: η, as for `SGD`.
        momentum: μ, the share that is kept, in [0, 1); 0 gives `SGD`.

    Attributes:
        velocity: The last move, an array of the weights' shape; 0.0 before the first step.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
        Computational Mathematics and Mathematical Physics 4 (1964).

    Example:
        >>> optimizer = Momentum(0.5, momentum=0.5)
        >>> [optimizer.step(0.0, 1.0) for _ in range(3)]
        [-0.5, -0.75, -0.875]
    """

    def __init__(self, learning_rate, momentum=0.9):
        super().__init__(learning_rate)
        self.momentum = check_share("momentum", momentum)
        self.velocity = 0.0

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        push = super().step(0.0, gradient)
        self.velocity = self.momentum * self.velocity + push
        return weights + self.velocity


class Nesterov(Momentum):
    """Momentum that measures the slope where the ball is about to be, not where it is.

    velocity ← μ·velocity − η·gradient; weights ← weights + μ·velocity − η·gradient. It is Keras'
    ``SGD(learning_rate, momentum, nesterov=True)``.

    Where the papers differ: they keep a point θ and take the gradient at θ + μ·velocity, ahead of
    it. Keras keeps the point ahead: its weights are that θ + μ·velocity at every step, so the
    gradient at the weights is the right one. Only the last point is another: ahead, instead of θ.

    Args:
        learning_rate: η, as for `SGD`.
        momentum: μ, in [0, 1); 0 gives `SGD`.

    Attributes:
        velocity: The last move of θ, an array of the weights' shape; 0.0 before the first step.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        Y. Nesterov, "A method of solving a convex programming problem with convergence rate
        O(1/k²)", Soviet Mathematics Doklady 27 (1983). I. Sutskever, J. Martens, G. Dahl and G.
        Hinton, "On the importance of initialization and momentum in deep learning" (2013),
        equations 3 and 4.

    Example:
        >>> optimizer = Nesterov(0.5, momentum=0.5)
        >>> [optimizer.step(0.0, 1.0) for _ in range(3)]
        [-0.75, -0.875, -0.9375]
    """

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        push = SGD.step(self, 0.0, gradient)
        self.velocity = self.momentum * self.velocity + push
        return weights + self.momentum * self.velocity + push


class AdaGrad(SGD):
    """SGD that divides each weight's gradient by the root of all its squared gradients so far.

    accumulator ← accumulator + gradient²; weights ← weights − η·gradient / √(accumulator + ε). A
    weight with large or frequent gradients gets small steps, a rare one keeps large ones. The sum
    only grows, so the steps only shrink: under gradients of constant size like 1/√t.

    Where the paper differs: it starts the sum at 0, and adds the small number outside the root, to
    its diagonal. Keras starts at 0.1, which damps the first steps, and adds ε inside.

    Args:
        learning_rate: η, as for `SGD`.
        initial_accumulator_value: Where the sum starts, >= 0.
        epsilon: ε >= 0, inside the root; 0 makes a weight without gradient NaN.

    Attributes:
        accumulator: The sum for each weight.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
        stochastic optimization", JMLR 12 (2011), figure 1, with diagonal matrices.

    Example:
        >>> optimizer = AdaGrad(1.0, initial_accumulator_value=0.0)
        >>> [round(float(optimizer.step(0.0, 5.0)), 4) for _ in range(4)]
        [-1.0, -0.7071, -0.5774, -0.5]
    """

    def __init__(self, learning_rate, initial_accumulator_value=0.1, epsilon=1e-7):
        super().__init__(learning_rate)
        self.accumulator = check_size("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = check_size("epsilon", epsilon)

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        self.accumulator = self.accumulator + gradient**2
        return super().step(weights, gradient / np.sqrt(self.accumulator + self.epsilon))


class RMSProp(SGD):
    """AdaGrad that forgets: instead of the sum of squared gradients, their moving average.

    mean_square ← ρ·mean_square + (1 − ρ)·gradient²; weights ← weights − η·gradient /
    √(mean_square + ε). It divides by the recent size of the gradient, so a step is about η long
    whatever the gradient's size, and goes on being so.

    The average starts at 0 and its bias is not corrected, so the first step is
    1/√(1 − ρ) times as long, 3.2 for ρ = 0.9. Where others differ: Hinton's slide names no ε,
    PyTorch adds it outside the root and takes ρ = 0.99.

    Args:
        learning_rate: η, as for `SGD`.
        rho: ρ, the share of the average that is kept, in [0, 1).
        epsilon: ε >= 0, inside the root; 0 makes a weight without gradient NaN.

    Attributes:
        mean_square: The average for each weight; 0.0 before the first step.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        T. Tieleman and G. Hinton, "Lecture 6.5, rmsprop", Neural Networks for Machine Learning
        (2012).

    Example:
        >>> optimizer = RMSProp(1.0, rho=0.5)
        >>> [round(float(optimizer.step(0.0, 5.0)), 4) for _ in range(4)]
        [-1.4142, -1.1547, -1.069, -1.0328]
    """

    def __init__(self, learning_rate, rho=0.9, epsilon=1e-7):
        super().__init__(learning_rate)
        self.rho = check_share("rho", rho)
        self.epsilon = check_size("epsilon", epsilon)
        self.mean_square = 0.0

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        self.mean_square = self.rho * self.mean_square + (1 - self.rho) * gradient**2
        return super().step(weights, gradient / np.sqrt(self.mean_square + self.epsilon))


class Adam(SGD):
    """The moving average of the gradient, divided by the root of that of its square.

    mean ← mean + (1 − β₁)·(gradient − mean); mean_square likewise with gradient² and β₂. After t
    steps both are divided by 1 − βᵗ, the bias correction of `ewma`, and weights ← weights −
    η·mean / (√mean_square + ε).

    Where the paper differs: algorithm 1 adds ε to the corrected root. Keras follows the quicker
    form at the end of the paper's section 2, η·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·mean / (√mean_square + ε) with
    the uncorrected means, so its ε weighs more in the first steps: as ε/√(1 − β₂ᵗ). It takes
    ε = 1e-7, the paper 1e-8.

    Args:
        learning_rate: η, as for `SGD`; no step of a steady weight is much longer.
        beta_1: β₁, share of the mean that is kept, in [0, 1).
        beta_2: β₂, share of the mean square that is kept, in [0, 1).
        epsilon: ε >= 0, outside the root; 0 makes a weight without gradient NaN.

    Attributes:
        mean: Moving average of the gradients, not corrected; 0.0 before the first step.
        mean_square: That of their squares.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1
        and section 2.

    Example:
        >>> optimizer = Adam(0.5)
        >>> [round(float(optimizer.step(0.0, 5.0)), 4) for _ in range(3)]
        [-0.5, -0.5, -0.5]
    """

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        super().__init__(learning_rate)
        self.beta_1, self.beta_2 = check_share("beta_1", beta_1), check_share("beta_2", beta_2)
        self.epsilon = check_size("epsilon", epsilon)
        self.mean = self.mean_square = 0.0

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        self.mean = self.mean + (1 - self.beta_1) * (gradient - self.mean)
        self.mean_square = self.mean_square + (1 - self.beta_2) * (gradient**2 - self.mean_square)
        t = self.iterations + 1
        correction = np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        direction = correction * self.mean / (np.sqrt(self.mean_square) + self.epsilon)
        return super().step(weights, direction)


class AdamW(Adam):
    """Adam that first shrinks every weight by the same share η·λ: decoupled weight decay.

    An L2 penalty inside the loss would pass through Adam's division, and weights with large
    gradients would hardly shrink. Here the decay stays outside.

    Keras shrinks the weights first and then makes Adam's step, with the gradient of the weights
    before; algorithm 2 of the paper subtracts both at once, which is the same sum. The paper's λ is
    multiplied by the schedule alone; Keras (and PyTorch) multiply it by the learning rate, so
    halving the rate halves the decay.

    Args:
        learning_rate: η, as for `SGD`.
        weight_decay: λ >= 0; a weight without gradient shrinks by 1 − η·λ a step.
        beta_1: As for `Adam`.
        beta_2: As for `Adam`.
        epsilon: As for `Adam`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.

    Example:
        >>> AdamW(0.5, weight_decay=0.1).step(np.array([8.0, 8.0]), np.array([0.0, 0.0]))
        array([7.6, 7.6])
    """

    def __init__(self, learning_rate, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        super().__init__(learning_rate, beta_1, beta_2, epsilon)
        self.weight_decay = check_size("weight_decay", weight_decay)

    def step(self, weights, gradient):
        """Return the weights after one step, an array of their shape."""
        rate = rate_at(self.learning_rate, self.iterations)
        return super().step(weights - rate * self.weight_decay * weights, gradient)
