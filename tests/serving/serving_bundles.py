"""Two small models for bundles: a classifier of two numbers, and one that writes."""

import numpy as np

from dlnotes.datasets import Vocabulary
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes import serving
    from dlnotes.models import build_seq2seq

SOURCES = Vocabulary.from_texts(["one two three four five"], level="words")
TARGETS = Vocabulary.from_texts(["ein zwei drei und"], level="words", reserved=("<start>", "<end>"))


def make_classifier():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((2,), name="x")
    hidden = keras.layers.Dense(4, activation="tanh", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="y")(hidden))


CLASSIFIER = {
    "name": "points",
    "version": "2",
    "example": [[0, 255], [51, 102]],
    "preprocessing": [serving.Bounds("x", 0, 255), serving.Rescaling("x", 1 / 255, -0.5)],
    "labels": ["red", "green", "blue"],
}


def make_writer():
    keras.utils.set_random_seed(6)
    sizes = {"units": 8, "embedding_size": 4, "attention": "luong_dot"}
    model = build_seq2seq(len(SOURCES), len(TARGETS), **sizes)
    for weight in model.trainable_variables:  # so that answers differ by more than rounding
        weight.assign(3 * weight)
    return keras.Model(model.inputs, [model.output, model.get_layer("attention").output[1]])


WRITER = {
    "name": "words",
    "version": "1.0",
    "example": ["one-two", "three"],
    "preprocessing": [
        serving.TextCleaning("source", lowercase=True, replace=[("-", " ")]),
        serving.TextEncoding("source", SOURCES, max_length=6),
    ],
    "decoding": serving.GreedyDecoding(
        "target",
        "output",
        TARGETS,
        "<start>",
        "<end>",
        max_length=5,
        join="",
        attention="attention",
        source="source",
    ),
}


def answers_of(model, rows):
    """What the classifier says of rows of a request, without any of the code under test."""
    return np.asarray(model(np.asarray(rows, "float32") / 255 - 0.5))
