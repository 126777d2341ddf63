"""The package behind the course: builders, layers, NumPy twins, data, plots and checks.

Importing it costs almost nothing and loads no TensorFlow; each part is imported on its own, for
example ``from dlnotes import datasets`` or ``from dlnotes.models import build_mlp``.
"""

__version__ = "0.1.0"
