"""Plot helpers: data first, ``ax=None``, the axes come back; nothing is shown, saved or closed."""

from dlnotes.plotting.boundaries import (
    Grid,
    decision_regions,
    grid,
    line,
    region_panels,
    scatter_classes,
    separating_lines,
    small_multiples,
)
from dlnotes.plotting.curves import function_curves, learning_curves, loss_curve, loss_surface
from dlnotes.plotting.graphs import network_graph
from dlnotes.plotting.images import image_grid
from dlnotes.plotting.matrices import heatmap
from dlnotes.plotting.style import COLORS, MARKERS, class_colors, class_markers, style

__all__ = [
    "COLORS",
    "MARKERS",
    "Grid",
    "class_colors",
    "class_markers",
    "decision_regions",
    "function_curves",
    "grid",
    "heatmap",
    "image_grid",
    "learning_curves",
    "line",
    "loss_curve",
    "loss_surface",
    "network_graph",
    "region_panels",
    "scatter_classes",
    "separating_lines",
    "small_multiples",
    "style",
]
