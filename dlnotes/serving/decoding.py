"""From a model's arrays to answers: as they are, or written token by token by a decoder."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from dlnotes.datasets.pipelines import PADDING, UNKNOWN, Vocabulary
from dlnotes.serving.preprocessing import check_token, vocabulary_from_config
from dlnotes.validation import check_choice, check_int, received

Compute = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class GreedyDecoding:
    """Let a model write: its likeliest next token is appended to its input, until it says end.

    For a model with an input (B, T) of the tokens written so far and an output (B, T, V) of the
    probabilities of the token after each: an encoder and decoder (a translator), or a decoder
    alone. All other inputs come from the request. The whole model is computed for each token.

    Attributes:
        input: Name of the input that takes the tokens written so far.
        output: Name of the output with the probabilities of the next.
        vocabulary: The vocabulary of what is written.
        start: The token that stands before all others.
        end: The token that ends the text.
        max_length: The most tokens written.
        join: What stands between two tokens in the text; None for what the vocabulary's level
            asks for: a space between words, nothing between characters.
        attention: Name of an output (B, T, S) with the weights with which each step looks at the
            tokens of `source`, or None.
        source: Name of the text input that `attention` looks at, or None.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If a token is not in the vocabulary, or only one of `attention` and `source`
            is given.

    Example:
        >>> letters = Vocabulary.from_texts(["ab"], reserved=("<start>", "<end>"))
        >>> how = GreedyDecoding("target", "output", letters, "<start>", "<end>", max_length=5)
        >>> def next_token(inputs):  # after <start> comes a, then b, then <end>
        ...     follows = np.array([0, 0, 4, 0, 5, 3])[inputs["target"]]
        ...     return {"output": np.eye(6)[follows]}
        >>> how.write(next_token, {}, num_rows=1)[0]["text"]
        'ab'
    """

    kind: ClassVar[str] = "greedy"
    input: str
    output: str
    vocabulary: Vocabulary
    start: str
    end: str
    max_length: int
    join: str | None = None
    attention: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.vocabulary, Vocabulary):
            raise TypeError(
                f"`vocabulary` must be a Vocabulary. {received(vocabulary=self.vocabulary)}"
            )
        for name in ("start", "end"):
            check_token(name, getattr(self, name), self.vocabulary)
        check_int("max_length", self.max_length, low=1)
        for name in ("input", "output"):
            if not isinstance(getattr(self, name), str):
                wrong = received(**{name: getattr(self, name)})
                raise TypeError(f"`{name}` must be a name of the model's. {wrong}")
        for name in ("join", "attention", "source"):
            if not isinstance(getattr(self, name), str | None):
                wrong = received(**{name: getattr(self, name)})
                raise TypeError(f"`{name}` must be a text or None. {wrong}")
        if (self.attention is None) != (self.source is None):
            wrong = received(attention=self.attention, source=self.source)
            raise ValueError(f"`attention` and `source` must be given together. {wrong}")

    def write(
        self, compute: Compute, inputs: Mapping[str, np.ndarray], *, num_rows: int
    ) -> list[dict[str, Any]]:
        """Return what the model writes for each row.

        Args:
            compute: From all named inputs to the named outputs.
            inputs: The inputs that came with the request, each with `num_rows` rows.
            num_rows: How many texts to write.

        Returns:
            For each row an object with ``text``; ``tokens`` and their ``probabilities``, the end
            token included; ``finished``, whether it came; and with an `attention` its weights, a
            row for each token, a column for each token of the source.
        """
        start, end = (self.vocabulary.id_of(token) for token in (self.start, self.end))
        written = np.full((num_rows, 1), start, np.int32)
        chosen = np.empty((num_rows, 0))
        looks: list[np.ndarray] = []
        done = np.zeros(num_rows, bool)
        while not done.all() and written.shape[1] <= self.max_length:
            outputs = compute({**inputs, self.input: written})
            scores = outputs[self.output][:, -1].copy()
            scores[:, [PADDING, UNKNOWN, start]] = -np.inf  # these are never written
            best = np.where(done, PADDING, scores.argmax(axis=-1)).astype(np.int32)
            chosen = np.c_[chosen, scores.max(axis=-1)]
            if self.attention:
                looks.append(outputs[self.attention][:, -1])
            written = np.c_[written, best]
            done |= best == end
        rows = []
        for i, ids in enumerate(written[:, 1:]):
            length = int((ids != PADDING).sum())
            row = {
                "text": self._text(ids[ids != end]),
                "tokens": [self.vocabulary.decode([number]) for number in ids[:length]],
                "probabilities": chosen[i, :length].tolist(),
                "finished": bool(done[i]),
            }
            if self.attention:
                columns = int((inputs[self.source][i] != PADDING).sum())
                row["attention"] = [look[i, :columns].tolist() for look in looks[:length]]
            rows.append(row)
        return rows

    def _text(self, ids: np.ndarray) -> str:
        if self.join is None:
            return self.vocabulary.decode(ids)
        return self.join.join(self.vocabulary.decode([number]) for number in ids if number)

    def to_config(self) -> dict[str, Any]:
        """Return the decoding in JSON's types."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **config, "vocabulary": self.vocabulary.get_config()}


def decoding_from_config(config: Mapping[str, Any]) -> GreedyDecoding:
    """Return the decoding that its `to_config` described.

    Raises:
        TypeError: If an attribute is missing, unknown or of the wrong type.
        ValueError: If the kind is unknown, or an attribute out of range.
    """
    config = dict(config)
    check_choice("kind", config.pop("kind", None), (GreedyDecoding.kind,))
    if "vocabulary" in config:
        config["vocabulary"] = vocabulary_from_config(config["vocabulary"])
    return GreedyDecoding(**config)
