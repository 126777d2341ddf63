"""What a search for hyperparameters found: its way, its trials, and which of them mattered."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects, ticker
from matplotlib.axes import Axes

from dlnotes.plotting.style import (
    COLORS,
    LINE_STYLES,
    axes_or_new,
    check_texts,
    label_axes,
    set_title,
    styled,
)
from dlnotes.validation import check_array, check_choice, received

DIRECTIONS = ("max", "min")
BELOW = -0.12  # where a trial passes an axis on which it has no value
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


@styled
def search_history(
    runs: Mapping[str, Any],
    *,
    direction: str = "max",
    metric: str = "best validation score so far",
    percent: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the best score so far over the trained epochs, one line for each method of search.

    A line steps when a trial ends: its epochs are spent then and its score is known. Of several
    runs (seeds) of a method it shows the median, in a band from the worst to the best run, from
    where all of them have a score; a run that ends before others keeps its last.

    Args:
        runs: For each method, at most 10, a list of runs. A run is a pair (epochs, scores) with
            the epochs that each of its trials trained and the trial's score, in the order of the
            trials, both of shape (T,). A failed trial has the score NaN; its epochs are spent all
            the same.
        direction: "max" if a higher score is better, "min" if a lower one is.
        metric: Label of the vertical axis, with its unit.
        percent: Whether scores from 0 to 1 are written as percentages.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes; each method is named at the right end of its line.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ, epochs are negative or not finite, a run has no score, or
            there are no or too many methods.
    """
    direction = check_choice("direction", direction, DIRECTIONS)
    if not isinstance(runs, Mapping):
        raise TypeError(f"`runs` must map names to lists of runs. {received(runs=runs)}")
    if not 1 <= len(runs) <= len(COLORS):
        raise ValueError(
            f"`runs` must hold 1 to {len(COLORS)} methods. {received(runs=list(runs))}"
        )
    ways = {str(name): _check_runs(name, value, direction) for name, value in runs.items()}
    ax = axes_or_new(ax, (6.4, 3.8))
    ends = []
    for index, (name, steps) in enumerate(ways.items()):
        color = COLORS[index]
        xs = np.unique(np.concatenate([epochs for epochs, _ in steps]))
        xs = xs[xs >= max(epochs[0] for epochs, _ in steps)]
        best = np.array([  # (runs, moments)
            scores[np.searchsorted(epochs, xs, side="right") - 1] for epochs, scores in steps
        ])  # fmt: skip
        if len(steps) > 1:
            band = {"color": color, "alpha": 0.18, "linewidth": 0, "step": "post"}
            ax.fill_between(xs, best.min(axis=0), best.max(axis=0), **band)
        line = LINE_STYLES[index % len(LINE_STYLES)]
        middle = np.median(best, axis=0)
        marker = "o" if len(xs) == 1 else None
        ax.step(
            xs, middle, where="post", color=color, linestyle=line, marker=marker, label=f"_{name}"
        )
        runs_note = f" ({len(steps)} runs)" if len(steps) > 1 else ""
        ends.append((xs[-1], middle[-1], name + runs_note, color))
    ax.set_xlim(left=0)
    if percent:
        ax.yaxis.set_major_formatter(lambda score, _: f"{round(100 * score, 6):g}%")
    _label_ends(ax, ends)
    label_axes(ax, "trained epochs, all trials together", metric)
    set_title(ax, title)
    return ax


@styled
def parallel_coordinates(
    table: Any,
    *,
    score: str,
    columns: Sequence[str] | None = None,
    log: Sequence[str] = (),
    direction: str = "max",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw each trial of a search as a line through its hyperparameters to its score.

    Each hyperparameter is an upright axis of its own: a scale for numbers, evenly spaced places
    for anything else (in the order of first appearance, and spread a little so that lines do not
    hide one another). The colour of a line is its score, better ones lie on top, and the best (the
    first of equals) is thick. A trial that has no value for a hyperparameter, such as the units of
    a layer it does not have, passes below that axis; a failed trial is grey and ends below the
    scores.

    Args:
        table: A pandas table, or a mapping from names to columns of equal length: one row a trial.
            None and NaN stand for no value.
        score: Name of the column of scores; NaN for a failed trial.
        columns: Names of the hyperparameters, from left to right; None takes all other columns.
        log: Names of those whose scale is logarithmic.
        direction: "max" if a higher score is better, "min" if a lower one is.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes; the line of row i is labelled ``_trial_i``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a column is missing or has no value at all, lengths differ, no trial has a
            score, or a logarithmic column holds a number that is not positive.
    """
    direction = check_choice("direction", direction, DIRECTIONS)
    table, log = _check_table(table, score, columns, log)
    axes = [_axis(name, values, name in log) for name, values in table.items()]
    scores = np.array([np.nan if _missing(value) else value for value in table[score]], dtype=float)
    worth = np.where(np.isnan(scores), -np.inf, scores if direction == "max" else -scores)
    order = np.argsort(worth, kind="stable")  # the failed, then the worst first
    best = int(np.argmax(worth))
    order = [*order[order != best], best]

    ax = axes_or_new(ax, (max(6.0, 1.35 * len(axes) + 1.2), 4.0))
    colors = mpl.colormaps["viridis" if direction == "min" else "viridis_r"]  # good is dark
    heights = np.column_stack([axis.heights for axis in axes])  # (trials, axes)
    for rank, row in enumerate(order):
        spread = 0.09 * (rank / max(1, len(order) - 1) - 0.5)
        ys = heights[row] + np.array([spread if axis.named else 0.0 for axis in axes])
        ys[np.isnan(heights[row])] = BELOW + spread / 2
        look = {"color": colors(axes[-1].heights[row]), "linewidth": 1.4, "alpha": 0.8}
        if np.isnan(scores[row]):
            look = {"color": "#A0A0A0", "linewidth": 1.0, "linestyle": "--"}
        elif row == best:
            outline = [patheffects.withStroke(linewidth=6, foreground="black")]
            look = {"color": look["color"], "linewidth": 3.5, "path_effects": outline}
        ax.plot(ys, label=f"_trial_{row}", zorder=2 + rank / len(order), **look)
    last = len(axes) - 1
    top = axes[-1].heights[best]
    ticks = [tick for tick in axes[-1].ticks if abs(tick[0] - top) > 0.08]
    ticks = sorted([*ticks, (top, f"best: {scores[best]:.4g}")])
    for place, axis in enumerate([*axes[:-1], axes[-1]._replace(ticks=ticks)]):
        _draw_axis(ax, place, axis, offset=0.1 if place == last else 0.05)
    gradient = np.linspace(0, 1, 101)
    ax.pcolormesh(
        [last, last + 0.06], gradient, gradient[:-1, None], cmap=colors, zorder=4, rasterized=True
    )
    failed = int(np.isnan(scores).sum())
    if failed:
        ax.text(last + 0.1, BELOW, f"{failed} failed", va="center", fontsize=9)
    if np.isnan(heights[:, :-1]).any():
        ax.text(-0.06, BELOW, "no value", ha="right", va="center", fontsize=9)
    long = max(len(axis.name) for axis in axes) > 12
    names = [textwrap.fill(axis.name.replace("_", "_ "), 24) for axis in axes]
    names = [name.replace("_ ", "_") for name in names]
    turned = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(range(len(axes)), names, **turned)
    ax.tick_params(length=0)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlim(-0.6, last + 0.8)
    ax.set_ylim(-0.2 if np.isnan(heights).any() else -0.06, 1.06)
    set_title(ax, title)
    return ax


@styled
def hyperparameter_importance(
    names: Sequence[str],
    values: Any,
    *,
    xlabel: str = "importance",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how much each hyperparameter mattered, the most important on top.

    Args:
        names: The N hyperparameters.
        values: Their importances, shape (N,), or of R repeats, shape (R, N): then the bar is the
            median and a thin line reaches from the lowest to the highest. Values below 0 are
            possible (a shuffled column that predicts better by chance) and mean the same as 0.
        xlabel: What is measured, with its unit.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes; the bars are in ``ax.patches`` from the top down.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ or a value is not finite.
    """
    names = check_texts("names", names)
    if not names:
        raise ValueError(f"`names` must hold at least one name. {received(names=names)}")
    values = np.atleast_2d(check_array("values", values, ndim=(1, 2)))
    if values.shape[1] != len(names):
        raise ValueError(
            f"`values` must have one value for each of the {len(names)} names. "
            f"Received: values.shape={values.shape}"
        )
    middle = np.median(values, axis=0)
    order = np.argsort(-middle, kind="stable")
    places = np.arange(len(names))
    ax = axes_or_new(ax, (5.6, 1.2 + 0.34 * len(names)))
    ax.barh(places, middle[order], color=COLORS[0], height=0.65)
    low, high = values.min(axis=0)[order], values.max(axis=0)[order]
    if len(values) > 1:
        ax.hlines(places, low, high, color="black", linewidth=1.4)
    for place, index in enumerate(order):
        right = max(high[place], 0)
        ax.annotate(
            f"{middle[index]:.2g}", (right, place), (4, 0), textcoords="offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    ax.axvline(0, color="black", linewidth=1)
    labels = ["\n".join(textwrap.wrap(names[index], 32)) for index in order]
    ax.set_yticks(places, labels)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    label_axes(ax, xlabel, "hyperparameter")
    set_title(ax, title)
    return ax


# === search_history ===


def _check_runs(name: Any, value: Any, direction: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each run the epochs at which the best score is known, and that score."""
    where = f"runs[{name!r}]"
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise TypeError(
            f"`{where}` must be a list of runs, each a pair (epochs, scores). "
            f"{received(**{where: value})}"
        )
    steps = []
    for index, run in enumerate(value):
        place = f"{where}[{index}]"
        if isinstance(run, str) or not isinstance(run, Sequence) or len(run) != 2:
            raise TypeError(
                f"`{place}` must be a pair (epochs, scores). {received(**{place: run})}"
            )
        epochs = check_array(f"{place} epochs", run[0], ndim=1)
        scores = np.asarray(run[1], dtype=float)
        if scores.shape != epochs.shape:
            raise ValueError(
                f"`{place}` must have a score for each trial. "
                f"Received: {len(epochs)} epochs, scores.shape={scores.shape}"
            )
        if (epochs < 0).any():
            raise ValueError(f"`{place} epochs` must not be negative. {received(epochs=run[0])}")
        known = ~np.isnan(scores)
        if not known.any():
            raise ValueError(
                f"`{place}` must have a score that is not NaN. {received(scores=run[1])}"
            )
        best = np.fmax.accumulate if direction == "max" else np.fmin.accumulate
        first = int(np.argmax(known))
        steps.append((np.cumsum(epochs)[first:], best(scores)[first:]))
    return steps


def _label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each line's name beside its end, moved apart where ends lie close together."""
    height = ax.get_position().height * ax.figure.get_size_inches()[1] * 72  # points
    gap = min(13 / height, 1 / max(1, len(ends) - 1))  # of the axes' height
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = np.array([to_axes.transform((x, y))[1] for x, y, _, _ in ends])
    order = np.argsort(wanted, kind="stable")
    placed = wanted[order]
    for _ in range(200):  # push neighbours apart until each has its gap
        for i in range(1, len(placed)):
            missing = gap - (placed[i] - placed[i - 1])
            if missing > 1e-6:
                placed[i - 1] -= missing / 2
                placed[i] += missing / 2
        placed += max(0, -placed[0]) - max(0, placed[-1] - 1)
    for index, y_text in zip(order, placed, strict=True):
        x, y, text, color = ends[index]
        ax.annotate(
            text,
            (x, y),
            (1.03, y_text),
            textcoords="axes fraction",
            color="#6B6B6B" if color == COLORS[7] else color,  # yellow cannot be read
            va="center",
            fontsize=9.5,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.8, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


# === parallel_coordinates ===


class _Axis(NamedTuple):
    name: str
    heights: np.ndarray  # of each trial, 0 to 1; NaN without a value
    ticks: list[tuple[float, str]]
    named: bool  # places for names, not a scale of numbers


def _check_table(
    table: Any, score: str, columns: Any, log: Any
) -> tuple[dict[str, list], tuple[str, ...]]:
    if not (hasattr(table, "keys") and hasattr(table, "__getitem__")):
        raise TypeError(f"`table` must be a table or map names to columns. {received(table=table)}")
    there = list(table.keys())
    log = check_texts("log", log) or ()
    if columns is None:
        columns = [name for name in there if name != score]
    columns = check_texts("columns", columns)
    for argument, names in {"score": (score,), "columns": columns, "log": log}.items():
        for name in names:
            if name not in there:
                raise ValueError(
                    f"`{argument}` must name columns of the table, which has "
                    f"{', '.join(map(repr, there))}. {received(**{argument: name})}"
                )
    if not columns or score in columns:
        raise ValueError(
            "`columns` must name at least one hyperparameter, and not the score. "
            f"{received(columns=columns, score=score)}"
        )
    chosen = {name: list(table[name]) for name in (*columns, score)}
    if len({len(values) for values in chosen.values()}) != 1:
        lengths = {name: len(values) for name, values in chosen.items()}
        raise ValueError(f"`table` must have columns of equal length. {received(lengths=lengths)}")
    for name, values in chosen.items():
        if all(_missing(value) for value in values):
            raise ValueError(
                f"`table` must hold a value in each column. Received: none in {name!r}"
            )
    if not all(_missing(value) or _is_number(value) for value in chosen[score]):
        raise TypeError(f"`score` must name a column of numbers. {received(score=score)}")
    return chosen, log


def _missing(value: Any) -> bool:
    return value is None or (_is_number(value) and np.isnan(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _axis(name: str, values: list, log: bool) -> _Axis:
    """Return the places of a column's values between 0 (bottom) and 1 (top), and its ticks."""
    known = [value for value in values if not _missing(value)]
    if not all(_is_number(value) for value in known):
        if log:
            raise ValueError(f"`log` must name columns of numbers. {received(log=name)}")
        places = {str(value): None for value in known}  # in the order of first appearance
        at = (np.arange(len(places)) + 0.5) / len(places)
        places = dict(zip(places, at, strict=True))
        heights = [np.nan if _missing(value) else places[str(value)] for value in values]
        ticks = [(height, text) for text, height in places.items()]
        return _Axis(name, np.array(heights), ticks, named=True)
    numbers = np.array([np.nan if _missing(value) else value for value in values], dtype=float)
    if not np.isfinite(known).all() or (log and min(known) <= 0):
        kind = "positive" if log else "finite"
        raise ValueError(f"`table` must hold {kind} numbers in {name!r}. {received(values=known)}")
    low, high = min(known), max(known)
    scale = np.log10 if log else np.asarray

    def height(number: Any) -> Any:
        if low == high:
            return np.where(np.isnan(number), np.nan, 0.5)
        return (scale(number) - scale(low)) / (scale(high) - scale(low))

    ticks = sorted({float(number) for number in known})
    if len(ticks) > 5:
        locator = ticker.LogLocator(numticks=5) if log else ticker.MaxNLocator(5)
        ticks = [tick for tick in locator.tick_values(low, high) if low <= tick <= high]
    if len(ticks) < 2 or (log and np.ptp(height(np.array(ticks))) < 0.5):
        ticks = sorted({low, high, *ticks})
    return _Axis(
        name, height(numbers), [(float(height(t)), f"{t:.4g}") for t in ticks], named=False
    )


def _draw_axis(ax: Axes, place: int, axis: _Axis, *, offset: float) -> None:
    ax.plot([place, place], [0, 1], color="#404040", linewidth=1.0, zorder=1.5)
    last_at = -1.0
    for height, text in axis.ticks:
        if not axis.named and height - last_at < 0.06:
            continue  # two numbers in one place
        last_at = height
        ax.plot([place - 0.02, place + 0.02], [height, height], color="#404040", linewidth=1.0)
        ax.text(
            place + offset, height, textwrap.shorten(text, 18, placeholder="…"), va="center",
            fontsize=9, zorder=6, path_effects=HALO,
        )  # fmt: skip
