"""Learning curves in many small panels: the same scores while one thing changes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dlnotes.plotting.boundaries import small_multiples
from dlnotes.plotting.curves import learning_curves
from dlnotes.plotting.style import styled
from dlnotes.validation import check_array, check_float, received


@styled
def curve_panels(
    panels: Mapping[str, Mapping[str, Any]],
    *,
    xs: Any,
    reference: Mapping[str, Any] | None = None,
    levels: Mapping[str, float] | None = None,
    columns: int = 3,
    panel_size: tuple[float, float] = (3.2, 2.4),
    metric: str = "loss",
    xlabel: str = "step",
    log_x: bool = False,
    percent: bool = False,
    repeats: str = "seeds",
    title: str | None = None,
) -> np.ndarray:
    """Draw learning curves in one panel each, with the same axes and one legend for all.

    Args:
        panels: For each panel's title its curves, as `learning_curves` takes them: by name the
            scores of shape (E,), or (S, E) for S seeds. All panels have the same names.
        xs: What the E scores were measured at, increasing, shape (E,).
        reference: Curves by name that every panel repeats for comparison, in grey and dashed, of
            shape (E,) or (S, E); of several seeds the median is drawn.
        levels: Heights by name at which every panel has a dotted line.
        columns: Panels a row.
        panel_size: Width and height of one panel in inches.
        metric: Label of the vertical axis, with its unit.
        xlabel: Label of the horizontal axis, with its unit.
        log_x: Whether equal steps to the right are equal factors; needs positive `xs`.
        percent: Whether scores from 0 to 1 are written as percentages.
        repeats: What the S rows are, such as "networks".
        title: Title above all panels.

    Returns:
        The axes of the panels, a flat array.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, or two panels have different names.
    """
    if not isinstance(panels, Mapping) or not all(isinstance(p, Mapping) for p in panels.values()):
        raise TypeError(f"`panels` must map titles to mappings. {received(panels=panels)}")
    if len({tuple(curves) for curves in panels.values()}) != 1:
        raise ValueError(
            "`panels` must all hold curves of the same names. "
            f"{received(panels={name: list(curves) for name, curves in panels.items()})}"
        )
    references = {
        name: np.median(np.atleast_2d(check_array(name, values, ndim=(1, 2))), axis=0)
        for name, values in (reference or {}).items()
    }
    heights = {name: check_float(name, height) for name, height in (levels or {}).items()}
    figure, axes = small_multiples(len(panels), columns=columns, panel_size=panel_size, title=title)
    look = {"metric": metric, "xlabel": xlabel, "percent": percent, "repeats": repeats}
    look["log_x"] = log_x
    for ax, (name, curves) in zip(axes, panels.items(), strict=True):
        learning_curves(curves, xs=xs, ax=ax, title=name, **look)
        for line in ax.lines:
            line.set_marker("")  # there are too many moments to mark each
        _add_references(ax, xs, references, heights)
        ax.get_legend().remove()
    handles, texts = axes[0].get_legend_handles_labels()
    note = {"title": "median; band: lowest to highest"} if "(" in texts[0] else {}
    figure.legend(handles, texts, loc="outside lower center", ncols=min(4, len(texts)), **note)
    return axes


def _add_references(ax: Axes, xs: Any, references: Mapping, heights: Mapping) -> None:
    for name, values in references.items():
        ax.plot(xs, values, color="black", alpha=0.7, linestyle="--", linewidth=1.2, label=name)
    for name, height in heights.items():
        ax.axhline(height, color="black", linestyle=":", linewidth=1, label=name)
