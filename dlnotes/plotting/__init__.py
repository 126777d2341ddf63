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
from dlnotes.plotting.computation import computation_graph
from dlnotes.plotting.curves import function_curves, learning_curves, loss_curve, loss_surface
from dlnotes.plotting.depth import layer_distributions, layer_heatmap
from dlnotes.plotting.evaluation import (
    confusion_matrix,
    predicted_against_true,
    residuals,
    roc_curve,
)
from dlnotes.plotting.graphs import network_graph
from dlnotes.plotting.histograms import histograms
from dlnotes.plotting.images import image_grid
from dlnotes.plotting.layers import layer_graph
from dlnotes.plotting.matrices import heatmap
from dlnotes.plotting.panels import curve_panels
from dlnotes.plotting.style import COLORS, MARKERS, class_colors, class_markers, style
from dlnotes.plotting.tuning import (
    hyperparameter_importance,
    parallel_coordinates,
    search_history,
)
from dlnotes.plotting.vectors import arrows, linear_map

__all__ = [
    "COLORS",
    "MARKERS",
    "Grid",
    "arrows",
    "class_colors",
    "class_markers",
    "computation_graph",
    "confusion_matrix",
    "curve_panels",
    "decision_regions",
    "function_curves",
    "grid",
    "heatmap",
    "histograms",
    "hyperparameter_importance",
    "image_grid",
    "layer_distributions",
    "layer_graph",
    "layer_heatmap",
    "learning_curves",
    "line",
    "linear_map",
    "loss_curve",
    "loss_surface",
    "network_graph",
    "parallel_coordinates",
    "predicted_against_true",
    "region_panels",
    "residuals",
    "roc_curve",
    "scatter_classes",
    "search_history",
    "separating_lines",
    "small_multiples",
    "style",
]
