"""Custom Keras layers, one a file."""

from dlnotes.layers.locally_connected import LocallyConnected2D
from dlnotes.layers.padding import PaddingLast
from dlnotes.layers.salt_and_pepper import RandomSaltAndPepper
from dlnotes.layers.shifted_conv import ShiftedConv1D
from dlnotes.layers.tokens import BackInPlace, KeepTokens

__all__ = [
    "BackInPlace",
    "KeepTokens",
    "LocallyConnected2D",
    "PaddingLast",
    "RandomSaltAndPepper",
    "ShiftedConv1D",
]
