"""Small pictures side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlnotes.plotting.boundaries import small_multiples
from dlnotes.plotting.style import check_texts, styled
from dlnotes.validation import check_array, check_float, received


@styled
def image_grid(
    images: Any,
    *,
    titles: Sequence[Any] | None = None,
    columns: int = 8,
    cmap: str = "gray_r",
    vmin: float | None = None,
    vmax: float | None = None,
    panel_size: tuple[float, float] = (1.1, 1.25),
    title: str | None = None,
) -> np.ndarray:
    """Draw pictures in rows, all on the same scale of brightness.

    Args:
        images: Pictures of shape (B, H, W), (B, H, W, 1), or (B, H, W, 3) with colours from 0 to 1
            (whole numbers: 0 to 255). B is at most 64.
        titles: One short text a picture, such as its class.
        columns: Pictures a row.
        cmap: Colour map of pictures without colours; "gray_r" shows 0 as white.
        vmin: Value at the colour map's lower end; None takes the smallest of all pictures.
        vmax: Value at its upper end; None takes the largest.
        panel_size: Width and height of one picture with its title, in inches.
        title: Title above all pictures.

    Returns:
        The axes of the pictures, a flat array of length B.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a range is wrong.
    """
    images = check_array("images", images, ndim=(3, 4), dtype=None)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 4:
        _check_colors(images)
    texts = check_texts("titles", titles, len(images))
    vmin = images.min() if vmin is None else check_float("vmin", vmin)
    vmax = images.max() if vmax is None else check_float("vmax", vmax)
    if vmin > vmax:
        raise ValueError(f"`vmin` must not exceed `vmax`. {received(vmin=vmin, vmax=vmax)}")
    _, axes = small_multiples(
        len(images),
        columns=columns,
        panel_size=panel_size,
        sharex=False,
        sharey=False,
        title=title,
    )
    for index, (ax, image) in enumerate(zip(axes, images, strict=True)):
        ax.imshow(image, cmap=cmap, vmin=vmin, vmax=vmax, interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(True)
        ax.spines[:].set_color("0.7")
        if texts is not None:
            ax.set_title(texts[index], fontsize=9, loc="center", pad=3)
    return axes


def _check_colors(images: np.ndarray) -> None:
    if images.shape[-1] != 3:
        raise ValueError(
            f"`images` must have 1 or 3 channels. Received: images.shape={images.shape}"
        )
    top = 1 if images.dtype.kind == "f" else 255
    if images.min() < 0 or images.max() > top:
        raise ValueError(
            f"`images` with colours must hold numbers from 0 to {top}. "
            f"{received(low=images.min(), high=images.max())}"
        )
