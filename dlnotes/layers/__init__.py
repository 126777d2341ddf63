"""Custom Keras layers, one a file."""

from dlnotes.layers.locally_connected import LocallyConnected2D
from dlnotes.layers.padding import PaddingLast
from dlnotes.layers.salt_and_pepper import RandomSaltAndPepper

__all__ = ["LocallyConnected2D", "PaddingLast", "RandomSaltAndPepper"]
