"""Custom Keras layers, one a file."""

from dlnotes.layers.padding import PaddingLast

__all__ = ["PaddingLast"]
