"""Which pixels an answer hangs on: saliency, integrated gradients, Grad-CAM."""

from typing import Any

import keras
import numpy as np

from dlnotes.explain.gradients import layer_gradient, score_gradient
from dlnotes.explain.scores import as_classifier, check_classes, check_pictures
from dlnotes.validation import check_array, check_flag, check_int, received


def saliency(model: Any, x: Any, classes: Any = None) -> np.ndarray:
    """Return how strongly each pixel could move the score of a class: max over C of |∂S_c/∂x|.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: B pictures of H × W pixels and C channels, (B, H, W, C).
        classes: The class of each picture, (B,), or one number for all; None takes the class that
            the model answers.

    Returns:
        The maps, (B, H, W), >= 0, in score for each unit of a pixel.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit or a class does not exist.

    References:
        Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks: visualising image
        classification models and saliency maps, ICLR workshop 2014, section 3.1.

    Example:
        >>> import keras
        >>> line = keras.layers.Dense(2, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(), line])
        >>> saliency(model, np.zeros((1, 1, 2, 1)), 0)
        array([[[1., 1.]]], dtype=float32)
    """
    return np.abs(score_gradient(model, x, classes)).max(axis=-1)


def integrated_gradients(
    model: Any, x: Any, classes: Any = None, *, baseline: Any = 0.0, num_steps: int = 32
) -> np.ndarray:
    """Return what each pixel contributed to the score of a class, on the way from a baseline.

    With the baseline b, the straight way b + α (x − b) for α from 0 to 1, and the score S,

        attribution = (x − b) · ∫₀¹ ∂S/∂x (b + α (x − b)) dα .

    The attributions of all pixels add up to S(x) − S(b): **completeness**. The integral is taken
    as a sum over the midpoints of `num_steps` equal parts; `completeness_gap` tells what that
    costs.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: B pictures of H × W pixels and C channels, (B, H, W, C).
        classes: The class of each picture, (B,), or one number for all; None takes the class that
            the model answers to x.
        baseline: The picture that says nothing: a number for all pixels, or an array that
            broadcasts to (B, H, W, C).
        num_steps: Parts of the way, >= 1.

    Returns:
        The attributions, (B, H, W, C), in score, of either sign.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, a class does not exist, or a number is out of range.

    References:
        Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, equations
        1 and 3 (there with right ends instead of midpoints).

    Example:
        >>> import keras
        >>> line = keras.layers.Dense(2, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(), line])
        >>> integrated_gradients(model, np.array([[[[3.0], [4.0]]]]), 0).ravel()
        array([3., 4.], dtype=float32)
    """
    x, classes, baseline = check_way(model, x, classes, baseline, num_steps)
    slopes = np.zeros_like(x)
    for share in (np.arange(num_steps) + 0.5) / num_steps:
        slopes += score_gradient(model, baseline + share * (x - baseline), classes) / num_steps
    return (x - baseline) * slopes


def completeness_gap(
    model: Any, x: Any, attributions: Any, classes: Any = None, *, baseline: Any = 0.0
) -> np.ndarray:
    """Return by how much attributions fail to add up to S(x) − S(baseline), for each picture.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: B pictures of H × W pixels and C channels, (B, H, W, C).
        attributions: What each pixel contributed, (B, H, W, C).
        classes: The class of each picture, as it was given to `integrated_gradients`.
        baseline: The baseline, as it was given to `integrated_gradients`.

    Returns:
        Sum of the attributions minus the change of the score, (B,), in score.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit or a class does not exist.

    References:
        Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017,
        proposition 1.
    """
    x, classes, baseline = check_way(model, x, classes, baseline, 1)
    attributions = check_array("attributions", attributions, shape=x.shape)
    rows, scores = np.arange(len(x)), as_classifier(model).scores
    change = np.asarray(scores(x))[rows, classes] - np.asarray(scores(baseline))[rows, classes]
    return attributions.sum(axis=(1, 2, 3)) - change


def grad_cam(
    model: Any, x: Any, layer: str, classes: Any = None, *, mean: bool = True
) -> np.ndarray:
    """Return where the feature maps of a layer speak for a class, enlarged to the picture.

    The weight of a feature map is the gradient of the score with respect to it, averaged over its
    places. The weighted sum of the maps is cut off at 0 and enlarged (bilinear). Without the
    average each place has its own weight: HiResCAM, here cut off as well.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: B pictures of H × W pixels and C channels, (B, H, W, C).
        layer: Name of a layer with outputs of shape (B, height, width, channels), usually the last
            convolution after its activation: where the activation is a layer of its own, that
            one. Inside a nested model "outer/inner".
        classes: The class of each picture, (B,), or one number for all; None takes the class that
            the model answers.
        mean: Whether the gradients are averaged over the places of a map.

    Returns:
        The maps, (B, H, W), >= 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, a class does not exist, or the layer is not there or has
            no feature maps.

    References:
        Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based
        localization, ICCV 2017, equations 1 and 2; without the mean Draelos and Carin, Use
        HiResCAM instead of Grad-CAM for faithful explanations, arXiv:2011.08891, 2020, section 3.

    Example:
        >>> import keras
        >>> keras.utils.set_random_seed(0)
        >>> conv = keras.layers.Conv2D(3, 2, name="conv")
        >>> stack = [keras.Input((5, 5, 1)), conv, keras.layers.Flatten(), keras.layers.Dense(2)]
        >>> grad_cam(keras.Sequential(stack), np.ones((4, 5, 5, 1)), "conv").shape
        (4, 5, 5)
    """
    maps, slopes = layer_gradient(model, x, layer, classes)  # (B, height, width, channels)
    check_maps(layer, maps, mean)
    weights = slopes.mean(axis=(1, 2), keepdims=True) if mean else slopes
    return enlarge(np.maximum((weights * maps).sum(axis=-1), 0), np.shape(x)[1:3])


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return maps (B, height, width) enlarged to (B, H, W), bilinear."""
    return np.asarray(keras.ops.image.resize(maps[..., None], size))[..., 0]


def check_maps(layer: str, maps: np.ndarray, mean: Any) -> None:
    """Require outputs of shape (B, height, width, channels), and a truth value for `mean`."""
    check_flag("mean", mean)
    if maps.ndim != 4:
        raise ValueError(
            "`layer` must have outputs of shape (B, height, width, channels). "
            f"{received(layer=layer, shape=maps.shape)}"
        )


def check_way(
    model: Any, x: Any, classes: Any, baseline: Any, num_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures, classes and a baseline of the pictures' shape and type."""
    check_int("num_steps", num_steps, low=1)
    x, classes = check_classes(model, x, classes)
    baseline = check_array("baseline", baseline)
    try:
        baseline = np.broadcast_to(baseline, x.shape)
    except ValueError:
        raise ValueError(
            f"`baseline` must be a number or broadcast to {x.shape}. "
            f"Received: baseline.shape={baseline.shape}"
        ) from None
    return x, classes, check_pictures(as_classifier(model).model, baseline, "baseline")
