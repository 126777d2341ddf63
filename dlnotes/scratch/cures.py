"""Cures for memorising, each at several strengths, on many small networks trained side by side.

Letters: N rows, B rows in a batch, C strengths, S networks each, M = C·S networks in all, D inputs,
H hidden units, K classes, T moments at which the scores are taken.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.activations import softmax
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

# Each cure that acts within a training step, and the range of its strength.
CURES = {
    None: (0.0, 0.0),
    "L1": (0.0, np.inf),
    "L2": (0.0, np.inf),
    "dropout": (0.0, 0.99),
    "noise": (0.0, np.inf),
    "shifts": (0.0, 1.0),
    "smoothing": (0.0, 1.0),
    "width": (1.0, np.inf),
}


def check_cure(cure: Any, strength: Any) -> np.ndarray:
    """Return the strength as an array (M, 1, 1) or (1, 1, 1), or refuse an unfit pair."""
    low, high = CURES[check_choice("cure", cure, tuple(CURES))]
    strength = check_array("strength", strength, ndim=(0, 1, 3))
    if (strength < low).any() or (strength > high).any():
        raise ValueError(
            f"`strength` of {cure!r} must lie between {low:g} and {high:g}. "
            f"{received(strength=strength.ravel().tolist())}"
        )
    return strength.reshape(-1, 1, 1)


def check_step(weights: Any, images: Any, targets: Any, cure: Any, strength: Any) -> np.ndarray:
    """Return the strength as `check_cure` does, or refuse an argument of `cured_gradients`."""
    strength = check_cure(cure, strength)
    shapes = [np.shape(array) for array in weights]
    if [len(shape) for shape in shapes] != [3] * 4:
        raise ValueError(
            "`weights` must be four arrays (M, D, H), (M, 1, H), (M, H, K), (M, 1, K). "
            f"{received(shapes=shapes)}"
        )
    if np.ndim(images) not in (3, 4) or (cure == "shifts" and np.ndim(images) != 4):
        pictures = "(M, B, height, width)" + (" for 'shifts'" if cure == "shifts" else "")
        rows = "" if cure == "shifts" else "(M, B, D) or "
        raise ValueError(
            f"`images` must have the shape {rows}{pictures}. "
            f"Received: images.shape={np.shape(images)}"
        )
    (num_networks, _, _), (_, _, num_classes) = shapes[0], shapes[2]
    if np.shape(targets) != (num_networks, np.shape(images)[1], num_classes):
        raise ValueError(
            "`targets` must have the shape (M, B, K) = "
            f"{(num_networks, np.shape(images)[1], num_classes)}. "
            f"Received: targets.shape={np.shape(targets)}"
        )
    return strength


def shifted(images: Any, share: Any, rng: np.random.Generator) -> np.ndarray:
    """Return pictures of which a share is moved by up to one pixel, to a random side or corner.

    What leaves the frame is lost, and 0 comes in. Each of the nine places has the same chance, the
    old one included.

    Args:
        images: Pictures of shape (…, H, W).
        share: Chance that a picture takes part, in [0, 1]; an array must fit the axes before H.
        rng: Draws the places.

    Returns:
        An array of the images' shape.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are no pictures, or a share is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> shifted([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]], 1.0, rng)
        array([[[0., 1., 0.],
                [0., 0., 0.],
                [0., 0., 0.]]])
    """
    images, share = check_array("images", images), check_array("share", share)
    if images.ndim < 3:
        raise ValueError(
            f"`images` must be pictures of shape (…, H, W). Received: images.shape={images.shape}"
        )
    if (share < 0).any() or (share > 1).any():
        raise ValueError(f"`share` must lie between 0 and 1. {received(share=share.tolist())}")
    check_rng("rng", rng)
    *lead, height, width = images.shape
    flat = images.reshape(-1, height, width)
    framed = np.pad(flat, ((0, 0), (1, 1), (1, 1)))
    places = np.lib.stride_tricks.sliding_window_view(framed, (height, width), axis=(1, 2))
    down, right = rng.integers(0, 3, (2, len(flat)))  # 1 is the old place
    stays = (rng.random(lead) >= share).ravel()
    down[stays], right[stays] = 1, 1
    return places[np.arange(len(flat)), down, right].reshape(images.shape)


def masked_gradients(weights, x, targets, mask):
    """Return the gradients of the mean cross-entropy of M networks whose hidden units are masked.

    Args:
        weights: w₁ (M, D, H), b₁ (M, 1, H), w₂ (M, H, K), b₂ (M, 1, K).
        x: A batch for each network, (M, B, D).
        targets: Rows of probabilities, (M, B, K).
        mask: What each hidden unit is multiplied by; it must fit (M, B, H).

    Returns:
        Four gradients in the shapes of the weights.
    """
    w1, b1, w2, b2 = weights
    hidden = np.maximum(x @ w1 + b1, 0) * mask
    error = (softmax(hidden @ w2 + b2) - targets) / x.shape[1]
    back = error @ w2.mT * mask * (hidden > 0)
    gradients = (x.mT @ back, back.sum(axis=1, keepdims=True))
    return [*gradients, hidden.mT @ error, error.sum(axis=1, keepdims=True)]


def cured_gradients(weights, images, targets, rng, cure=None, strength=0.0):
    """Return the four gradients of one training step of M networks with one hidden layer of ReLUs.

    Args:
        weights: w₁ (M, D, H), b₁ (M, 1, H), w₂ (M, H, K), b₂ (M, 1, K).
        images: A batch for each network, (M, B, D) or pictures (M, B, height, width).
        targets: Rows of probabilities, (M, B, K).
        rng: Draws masks, noise and shifts.
        cure: One of `CURES`: "L1" and "L2" add the penalty of all w₁ and w₂, "dropout" switches off
            hidden units (inverted scaling), "noise" adds Gaussian noise to the images, "shifts"
            moves them by a pixel, "smoothing" mixes the targets with the uniform distribution,
            "width" switches off all hidden units but the first, always the same.
        strength: A number, or one a network (M,): the penalty's factor, the rate of dropout, the
            noise's standard deviation, the share of shifted pictures, the share mixed in, the
            number of hidden units that are left.

    Returns:
        The gradients of the mean cross-entropy plus penalty, in the shapes of the weights.

    Raises:
        ValueError: If the cure is unknown, its strength out of range, or a shape does not fit;
            "shifts" needs pictures.

    References:
        C. Szegedy et al., "Rethinking the inception architecture for computer vision" (2016),
        section 7 (label smoothing).

    Example:
        >>> weights = [np.zeros(shape) for shape in ((1, 2, 3), (1, 1, 3), (1, 3, 2), (1, 1, 2))]
        >>> rng = np.random.default_rng(0)
        >>> cured_gradients(weights, np.ones((1, 1, 2)), np.array([[[1.0, 0.0]]]), rng)[3]
        array([[[-0.5,  0.5]]])
    """
    strength, mask = check_step(weights, images, targets, cure, strength), 1.0
    if cure == "shifts":
        images = shifted(images, strength[..., 0], rng)
    x = images.reshape(*images.shape[:2], -1)  # (M, B, D)
    if cure == "noise":
        x = x + strength * rng.normal(size=x.shape)
    if cure == "smoothing":
        targets = (1 - strength) * targets + strength / targets.shape[-1]
    if cure == "dropout":
        mask = rng.random((*x.shape[:2], weights[0].shape[-1])) >= strength  # (M, B, H)
        mask = mask / (1 - strength)
    if cure == "width":
        mask = np.arange(weights[0].shape[-1]) < strength
    gradients = masked_gradients(weights, x, targets, mask)
    for index in (0, 2):  # the two matrices; biases are free
        if cure == "L1":
            gradients[index] += strength * np.sign(weights[index])
        if cure == "L2":
            gradients[index] += 2 * strength * weights[index]
    return gradients


class CuredRun(NamedTuple):
    """What `fit_cured` returns.

    Attributes:
        steps: The T numbers of steps after which scores were taken, 0 included.
        scores: For each watched set the accuracy, shape (C, S, T).
        weights: w₁ (C, S, D, H), b₁ (C, S, 1, H), w₂ (C, S, H, K), b₂ (C, S, 1, K) at the end.
    """

    steps: np.ndarray
    scores: dict[str, np.ndarray]
    weights: list[np.ndarray]

    def at_best(self, by: str) -> dict[str, np.ndarray]:
        """Return the scores with each network frozen at its best moment, as early stopping wants.

        The best of all T moments is known here at once; early stopping waits for it in vain a while
        (its patience) before it goes back.

        Args:
            by: The watched set whose accuracy says which moment that is; of equal ones the first.

        Raises:
            ValueError: If that set was not watched.
        """
        best = self.scores[check_choice("by", by, self.scores)].argmax(axis=-1)  # (C, S)
        moments = np.minimum(np.arange(len(self.steps)), best[..., None])
        return {
            name: np.take_along_axis(scores, moments, axis=-1)
            for name, scores in self.scores.items()
        }

    def hidden(self, images: Any) -> np.ndarray:
        """Return what the hidden units answer to N images at test time, shape (C, S, N, H)."""
        images = check_array("images", images)
        return np.maximum(images.reshape(len(images), -1) @ self.weights[0] + self.weights[1], 0)

    def scores_of(self, images: Any) -> np.ndarray:
        """Return the class scores (logits) of N images at test time, shape (C, S, N, K)."""
        return self.hidden(images) @ self.weights[2] + self.weights[3]


def fit_cured(
    images: Any,
    labels: Any,
    *,
    rng: np.random.Generator,
    cure: str | None = None,
    strengths: Sequence[float] = (0.0,),
    num_networks: int = 5,
    hidden_units: int = 96,
    num_classes: int = 10,
    num_steps: int = 1200,
    batch_size: int = 30,
    learning_rate: float = 0.003,
    watch: Mapping[str, tuple[Any, Any]] | None = None,
    every: int = 40,
) -> CuredRun:
    """Train S networks at each strength of a cure, with Adam on shuffled batches, all at once.

    Network s starts from the same weights and sees the same batches at every strength, and, given
    an equally seeded generator, with every cure: what differs is the cure.

    Args:
        images: N pictures (N, height, width), or rows (N, D).
        labels: Class numbers from 0 to K − 1, shape (N,).
        rng: A fresh generator: starts, batches and the cure's own chance each get a child of it.
        cure: One of `CURES`; None trains without, and its only strength is 0.
        strengths: C numbers, as `cured_gradients` takes them.
        num_networks: S >= 1.
        hidden_units: H >= 1.
        num_classes: K >= 2.
        num_steps: Updates in all, >= 1.
        batch_size: B, in [1, N]; the rows that are left over at an epoch's end are not used in it.
        learning_rate: Of Adam, > 0, with Keras' other settings.
        watch: Sets by name, each (images, labels), whose accuracy is taken without the cure.
        every: Steps between two scores, >= 1. The last step is scored, too.

    Returns:
        The scores over time and the weights at the end.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or shapes do not fit.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> x, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
        >>> options = {"num_classes": 2, "num_steps": 200, "batch_size": 2, "hidden_units": 8}
        >>> run = fit_cured(x, y, rng=np.random.default_rng(0), watch={"rows": (x, y)}, **options)
        >>> run.scores["rows"][:, :, -1]
        array([[1., 1., 1., 1., 1.]])
    """
    images = check_array("images", images)
    labels = _check_labels("labels", labels, images, check_int("num_classes", num_classes, low=2))
    sizes = check_array("strengths", strengths, ndim=1)
    check_cure(cure, sizes)
    if cure == "shifts" and images.ndim != 3:
        raise ValueError(
            f"`images` must be pictures (N, height, width) for 'shifts'. "
            f"Received: images.shape={images.shape}"
        )
    num_networks = check_int("num_networks", num_networks, low=1)
    hidden_units = check_int("hidden_units", hidden_units, low=1)
    num_steps, every = check_int("num_steps", num_steps, low=1), check_int("every", every, low=1)
    batch_size = check_int("batch_size", batch_size, low=1, high=len(images))
    learning_rate = check_float("learning_rate", learning_rate, low=0, open_low=True)
    watched = {
        name: (check_array(name, x), _check_labels(name, y, x, num_classes))
        for name, (x, y) in (watch or {}).items()
    }
    for_starts, for_batches, for_cure = check_rng("rng", rng).spawn(3)

    copies = len(sizes)
    num_inputs = images[0].size
    weights = [
        np.concatenate([array] * copies)
        for array in _starts(for_starts, num_networks, (num_inputs, hidden_units, num_classes))
    ]
    strength = np.repeat(sizes, num_networks)  # (M,)
    if cure == "width":  # as a network of that width starts: no weights lead on from units off
        left = np.arange(hidden_units)[:, None] < strength[:, None, None]
        weights[2] *= left * np.sqrt(hidden_units / strength[:, None, None])
    targets = np.eye(num_classes)[labels]
    batches = _batches(for_batches, num_networks, len(images), batch_size)
    means, squares = ([np.zeros_like(array) for array in weights] for _ in range(2))
    steps, scores = [], {name: [] for name in watched}
    for step in range(num_steps + 1):
        if step % every == 0 or step == num_steps:
            steps.append(step)
            for name, (x, y) in watched.items():
                scores[name].append(_accuracy(weights, x, y).reshape(copies, -1))
        if step == num_steps:
            break
        rows = np.concatenate([next(batches)] * copies)  # (M, B)
        gradients = cured_gradients(weights, images[rows], targets[rows], for_cure, cure, strength)
        _adam(weights, gradients, means, squares, step + 1, learning_rate)
    return CuredRun(
        np.array(steps),
        {name: np.stack(values, axis=-1) for name, values in scores.items()},
        [array.reshape(copies, num_networks, *array.shape[1:]) for array in weights],
    )


def _starts(rng, num_networks, sizes):
    """Return weights as He draws them, and biases of 0."""
    arrays = []
    for inputs, units in itertools.pairwise(sizes):
        spread = np.sqrt(2 / inputs)
        arrays.append(rng.normal(0, spread, (num_networks, inputs, units)))
        arrays.append(np.zeros((num_networks, 1, units)))
    return arrays


def _batches(rng, num_networks, num_rows, batch_size):
    """Yield row numbers (S, B): each network has its own order, drawn anew in every epoch."""
    while True:
        order = rng.permuted(np.tile(np.arange(num_rows), (num_networks, 1)), axis=1)
        for first in range(0, num_rows - batch_size + 1, batch_size):
            yield order[:, first : first + batch_size]


def _adam(weights, gradients, means, squares, step, learning_rate):
    """Make one step of Adam in place, with Keras' settings and its place of epsilon."""
    # The shares 0.1 and 0.001 of the new gradients are left out of the averages and put into rate
    # and epsilon: fewer walks through the arrays.
    rate = learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * 0.1 / np.sqrt(0.001)
    for array, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
        mean *= 0.9
        mean += gradient
        square *= 0.999
        np.square(gradient, out=gradient)  # the gradient's place is free now: no new arrays
        square += gradient
        np.sqrt(square, out=gradient)
        gradient += 1e-7 / np.sqrt(0.001)
        np.divide(mean, gradient, out=gradient)
        gradient *= rate
        array -= gradient


def _accuracy(weights, images, labels):
    w1, b1, w2, b2 = weights
    hidden = np.maximum(images.reshape(len(images), -1) @ w1 + b1, 0)
    return np.mean((hidden @ w2 + b2).argmax(axis=-1) == labels, axis=-1)


def _check_labels(name: str, labels: Any, images: Any, num_classes: int) -> np.ndarray:
    labels = check_class_numbers(name, labels, num_classes)
    check_same_length(images=images, labels=labels)
    return labels
