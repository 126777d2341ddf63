"""Translating with a trained model, and counting what is right to the last token."""

from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from dlnotes.training.beam_search import beam_search
from dlnotes.training.sampling import generate
from dlnotes.training.steps import seq2seq_step, transformer_step
from dlnotes.validation import check_array, check_int, received


def translate(
    model: keras.Model,
    source: Any,
    *,
    start: int,
    end: int,
    max_length: int,
    width: int = 1,
    length_penalty: float = 0.0,
    never: Collection[int] = (0, 1),
) -> np.ndarray:
    """Translate, each token the likeliest after those before, or by beam search.

    All N rows are translated at once, with the decoder's state (or cache) carried along.

    Args:
        model: A model of `build_seq2seq` or `build_transformer`.
        source: What is to be translated, whole numbers (N, S), padding 0.
        start: Token that the decoder reads first; it is never written.
        end: Token that ends a translation.
        max_length: Largest number of tokens to write, the end token included, >= 1.
        width: Number of beams, >= 1; 1 is greedy search.
        length_penalty: As in `beam_search`; with one beam it changes nothing.
        never: Tokens that are not to be written, by default padding and unknown.

    Returns:
        Tokens, int32, (N, max_length), without the start token; 0s follow the end token. What was
        not over after `max_length` tokens has no end token.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range, or the model is of another kind.

    Example:
        >>> from dlnotes.models import build_seq2seq
        >>> model = build_seq2seq(9, 7, units=4)
        >>> translate(model, [[3, 5, 0], [4, 0, 0]], start=2, end=3, max_length=5).shape
        (2, 5)
    """
    source = check_array("source", source, ndim=2, dtype=None)
    max_length, width = check_int("max_length", max_length, low=1), check_int("width", width, low=1)
    names = {layer.name for layer in getattr(model, "layers", [])}
    if {"source_embedding", "decoder"} <= names:
        step = seq2seq_step(model, source)
    elif {"source_embedding", "decoder_norm"} <= names:
        step = transformer_step(model, max_length, source)
    else:
        raise ValueError(
            "`model` must come from `build_seq2seq` or `build_transformer`. "
            + received(model=model)
        )
    high = model.output_shape[-1] - 1
    start, end = (
        check_int(name, token, low=1, high=high)
        for name, token in {"start": start, "end": end}.items()
    )
    if start == end:
        raise ValueError(f"`start` and `end` must differ. {received(start=start, end=end)}")
    prompt, how = np.full((len(source), 1), start), {"end": end, "never": {*never, start}}
    if width == 1:
        rng = np.random.default_rng(0)  # greedy: nothing depends on it
        return generate(step, prompt, max_length, rng=rng, temperature=0, **how)
    found = beam_search(step, prompt, max_length, width=width, length_penalty=length_penalty, **how)
    return found.tokens[:, 0]


def exact_match(predicted: Any, expected: Any) -> np.ndarray:
    """Return which rows are right to the last token, (N,).

    Rows are compared without the padding behind them. Expected rows should close with the end
    token: then a translation that does not end is wrong.

    Args:
        predicted: Tokens, whole numbers (N, T), padded behind with 0.
        expected: Tokens, whole numbers (N, U), padded behind with 0; T and U may differ.

    Raises:
        TypeError: If they are not whole numbers.
        ValueError: If they are not tables with the same number of rows.

    Example:
        >>> exact_match([[4, 5, 3, 0], [4, 3, 0, 0]], [[4, 5, 3], [4, 5, 3]]).tolist()
        [True, False]
    """
    tables = []
    for name, rows in {"predicted": predicted, "expected": expected}.items():
        table = check_array(name, rows, ndim=2, dtype=None)
        if table.dtype.kind not in "iu":
            raise TypeError(f"`{name}` must be whole numbers. {received(**{name: rows})}")
        tables.append(table)
    if len(tables[0]) != len(tables[1]):
        raise ValueError(
            "`predicted` and `expected` must have the same number of rows. "
            f"Received: {len(tables[0])} and {len(tables[1])}"
        )
    longest = max(table.shape[1] for table in tables)
    first, second = (np.pad(t, ((0, 0), (0, longest - t.shape[1]))) for t in tables)
    return (first == second).all(axis=1)
