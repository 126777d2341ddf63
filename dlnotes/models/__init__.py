"""Builders of Keras models: each returns an uncompiled ``keras.Model``."""

from dlnotes.models.mlp import build_mlp
from dlnotes.models.perceptron import build_perceptron

__all__ = ["build_mlp", "build_perceptron"]
