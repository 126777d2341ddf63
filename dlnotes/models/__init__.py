"""Builders of Keras models: each returns an uncompiled ``keras.Model``."""

from dlnotes.models.cnn import build_small_cnn
from dlnotes.models.dense_classifier import build_dense_classifier
from dlnotes.models.forecaster import build_forecaster, tcn_receptive_field
from dlnotes.models.graph import ModelGraph, model_graph
from dlnotes.models.language_model import build_language_model
from dlnotes.models.lenet import build_lenet5
from dlnotes.models.mlp import build_mlp
from dlnotes.models.perceptron import build_perceptron
from dlnotes.models.resnet import build_small_resnet
from dlnotes.models.rnn import build_rnn_classifier
from dlnotes.models.seq2seq import alignment_model, build_seq2seq
from dlnotes.models.text_cnn import build_text_cnn
from dlnotes.models.transformer import (
    build_causal_lm,
    build_transformer,
    build_transformer_classifier,
)
from dlnotes.models.wide_deep import build_wide_deep

__all__ = [
    "ModelGraph",
    "alignment_model",
    "build_causal_lm",
    "build_dense_classifier",
    "build_forecaster",
    "build_language_model",
    "build_lenet5",
    "build_mlp",
    "build_perceptron",
    "build_rnn_classifier",
    "build_seq2seq",
    "build_small_cnn",
    "build_small_resnet",
    "build_text_cnn",
    "build_transformer",
    "build_transformer_classifier",
    "build_wide_deep",
    "model_graph",
    "tcn_receptive_field",
]
