"""Custom Keras layers, one subject a file."""

from dlnotes.layers.attention import (
    BahdanauAttention,
    CachedMultiHeadAttention,
    KeysAndValues,
    LuongAttention,
)
from dlnotes.layers.locally_connected import LocallyConnected2D
from dlnotes.layers.padding import PaddingLast
from dlnotes.layers.positions import LearnedPositionEmbedding, SinusoidalPositionEncoding
from dlnotes.layers.salt_and_pepper import RandomSaltAndPepper
from dlnotes.layers.shifted_conv import ShiftedConv1D
from dlnotes.layers.tokens import BackInPlace, KeepTokens
from dlnotes.layers.transformer import (
    DecoderCache,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)

__all__ = [
    "BackInPlace",
    "BahdanauAttention",
    "CachedMultiHeadAttention",
    "DecoderCache",
    "KeepTokens",
    "KeysAndValues",
    "LearnedPositionEmbedding",
    "LocallyConnected2D",
    "LuongAttention",
    "PaddingLast",
    "RandomSaltAndPepper",
    "ShiftedConv1D",
    "SinusoidalPositionEncoding",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
]
