"""From texts and series to arrays and batches: vocabularies, padding, windows, ``tf.data``.

The only module of the datasets that needs TensorFlow, and only `text_dataset`, `bucketed` and
`pair_dataset` do.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlnotes.runtime import quiet_start
from dlnotes.validation import check_array, check_choice, check_int, check_same_length, received

if TYPE_CHECKING:
    import tensorflow as tf

LAST_ID = np.iinfo(np.int32).max
PADDING, UNKNOWN = 0, 1  # the ids that every vocabulary reserves, as Keras' TextVectorization does
UNKNOWN_SIGN = "\N{REPLACEMENT CHARACTER}"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Numbers for characters or words: 0 for padding, 1 for whatever is unknown, then the tokens.

    A character is one Unicode code point; a word is what stands between (ASCII) white space.
    Nothing is changed: upper and lower case are different tokens, and so is a letter followed by a
    combining accent from the letter with its accent in one code point.

    Attributes:
        tokens: The known tokens; ``tokens[i]`` has the id ``i + 2``.
        level: "characters" or "words".

    Raises:
        TypeError: If a token is not a text.
        ValueError: If there is no token, one is empty, occurs twice, is no Unicode or, as a word,
            holds white space, or the level is unknown.

    Example:
        >>> letters = Vocabulary.from_texts(["Roma", "Oslo"])
        >>> letters.tokens
        ('o', 'O', 'R', 'a', 'l', 'm', 's')
        >>> letters.encode("Rom?").tolist()
        [4, 2, 7, 1]
        >>> letters.decode([4, 2, 7, 1, 0, 0])
        'Rom�'
    """

    tokens: tuple[str, ...]
    level: str = "characters"
    _ids: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choice("level", self.level, ("characters", "words"))
        tokens = check_texts("tokens", self.tokens)
        if len(set(tokens)) != len(tokens):
            twice = [token for token, count in Counter(tokens).items() if count > 1]
            raise ValueError(f"`tokens` must all be different. {received(twice=twice)}")
        spaced = [token for token in tokens if split(token, "words") != [token]]
        if self.level == "words" and spaced:
            raise ValueError(f"`tokens` must be words. {received(spaced=spaced)}")
        object.__setattr__(self, "tokens", tuple(tokens))
        object.__setattr__(self, "_ids", {token: i + 2 for i, token in enumerate(tokens)})

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        *,
        level: str = "characters",
        max_size: int | None = None,
        min_count: int = 1,
        reserved: Sequence[str] = (),
    ) -> "Vocabulary":
        """Learn the tokens of texts, the most frequent first and equals in alphabetical order.

        Learn them from the training texts alone: what only the others hold is unknown.

        Args:
            texts: Texts, none of them empty.
            level: "characters" or "words".
            max_size: The largest number of ids, padding and unknown included, >= 3; None for all.
            min_count: How often a token must occur.
            reserved: Tokens that no text holds and that get the first ids, such as ``"<end>"``.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a text holds no token or a reserved one, or no token occurs often enough.
        """
        check_choice("level", level, ("characters", "words"))
        min_count = check_int("min_count", min_count, low=1)
        reserved = check_texts("reserved", reserved, may_be_none=True)
        counts = Counter(
            token for text in check_texts("texts", texts, level) for token in split(text, level)
        )
        known = sorted(
            (token for token, count in counts.items() if count >= min_count),
            key=lambda token: (-counts[token], token),
        )
        if not known:
            raise ValueError(
                "`texts` must hold a token that occurs `min_count` times. "
                f"{received(min_count=min_count, most=max(counts.values()))}"
            )
        if counts.keys() & set(reserved):
            both = sorted(counts.keys() & set(reserved))
            raise ValueError(f"`reserved` must not occur in the texts. {received(both=both)}")
        tokens = [*reserved, *known]
        if max_size is not None:
            low = 2 + max(1, len(reserved))
            tokens = tokens[: check_int("max_size", max_size, low=low) - 2]
        return cls(tuple(tokens), level)

    def __len__(self) -> int:
        """Return the number of ids: padding, unknown, and the tokens."""
        return len(self.tokens) + 2

    def encode(self, text: str) -> np.ndarray:
        """Return the ids of a text's tokens, int32, shape (T,); unknown tokens get 1.

        Raises:
            TypeError: If `text` is not a text.
            ValueError: If it holds no token.
        """
        if not isinstance(text, str):
            raise TypeError(f"`text` must be a text. {received(text=text)}")
        tokens = split(text, self.level)
        if not tokens:
            raise ValueError(f"`text` must hold at least one token. {received(text=text)}")
        return np.array([self._ids.get(token, UNKNOWN) for token in tokens], np.int32)

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each text, one array a text, all of their own length.

        Raises:
            TypeError: If one is not a text.
            ValueError: If one holds no token; the message names its place.
        """
        return [self.encode(text) for text in check_texts("texts", texts, self.level)]

    def id_of(self, token: str) -> int:
        """Return the id of a known token.

        Raises:
            ValueError: If it is unknown.
        """
        if token not in self._ids:
            raise ValueError(f"`token` must be in the vocabulary. {received(token=token)}")
        return self._ids[token]

    def check_ids(self, ids: Any) -> np.ndarray:
        """Return `ids` as int32, of any shape, if each is an id of this vocabulary.

        Raises:
            TypeError: If they are not whole numbers.
            ValueError: If one is negative, or ``len(self)`` or more.
        """
        array = np.asarray(ids)
        if array.dtype.kind not in "iu":
            if array.size:
                raise TypeError(f"`ids` must be whole numbers. {received(ids=ids)}")
            array = array.astype(np.int32)
        wrong = (array < 0) | (array >= len(self))
        if wrong.any():
            raise ValueError(
                f"`ids` must lie in [0, {len(self) - 1}]. {received(ids=np.unique(array[wrong]))}"
            )
        return array.astype(np.int32)

    def decode(self, ids: Any) -> str:
        """Return the text of ids (T,); padding is left out, unknown is written as U+FFFD.

        Raises:
            TypeError: If they are not whole numbers.
            ValueError: If they are not one row, or one is no id of this vocabulary.
        """
        array = self.check_ids(ids)
        if array.ndim != 1:
            raise ValueError(f"`ids` must be one row of ids. Received: ids.shape={array.shape}")
        signs = ("", UNKNOWN_SIGN, *self.tokens)
        between = " " if self.level == "words" else ""
        return between.join(signs[i] for i in array if i != PADDING)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs, in JSON's types."""
        return {"tokens": list(self.tokens), "level": self.level}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Vocabulary":
        """Return the vocabulary that `get_config` described."""
        return cls(tuple(config["tokens"]), config["level"])

    def __repr__(self) -> str:
        return f"Vocabulary(level={self.level!r}, size={len(self)})"


def split(text: str, level: str) -> list[str]:
    """Return a text's characters or its words, which are what stands between white space.

    White space is ASCII's, as for TensorFlow: a no-break space is a part of its word.

    Example:
        >>> split("New York", "characters")[:4], split(" New  York ", "words")
        (['N', 'e', 'w', ' '], ['New', 'York'])
    """
    if level == "characters":
        return list(text)
    return [word.decode() for word in text.encode().split()]


def pad(
    sequences: Sequence[Any],
    length: int | None = None,
    *,
    padding: str = "post",
    truncating: str = "post",
) -> np.ndarray:
    """Return rows of ids of different length as one table, filled up with 0 (padding).

    Args:
        sequences: N rows of whole numbers >= 0, each of its own length; a row may be empty.
        length: Number of columns T; None takes the longest row's length. Longer rows are cut.
        padding: Where the 0s go: "post" after the row, "pre" before it.
        truncating: Which end of a long row is cut off: "post" the last ids, "pre" the first.

    Returns:
        Ids, int32, shape (N, T).

    Raises:
        TypeError: If a row does not hold whole numbers.
        ValueError: If there is no row, no column, an id is negative or beyond int32, or a choice is
            unknown. Whether an id is one of a vocabulary, its `check_ids` tells.

    Example:
        >>> pad([[5, 6], [7]]).tolist(), pad([[5, 6, 9], [7]], 2, padding="pre").tolist()
        ([[5, 6], [7, 0]], [[5, 6], [0, 7]])
    """
    rows = check_rows(sequences)
    check_choice("padding", padding, ("pre", "post"))
    check_choice("truncating", truncating, ("pre", "post"))
    longest = max(len(row) for row in rows)
    length = check_int("length", longest if length is None else length, low=1)
    table = np.full((len(rows), length), PADDING, np.int32)
    for filled, row in zip(table, rows, strict=True):
        row = row[:length] if truncating == "post" else row[-length:]
        start = 0 if padding == "post" else length - len(row)
        filled[start : start + len(row)] = row
    return table


class Windows(NamedTuple):
    """What `make_windows` returns.

    Letters: N windows, W steps a window, H steps to foretell, D numbers a step.

    Attributes:
        x: The windows, (N, W) for one series, (N, W, D) for D series.
        y: What follows each, (N, H) or (N, H, D).
        at: Where in the series each window's first target stands, (N,), increasing.
    """

    x: np.ndarray
    y: np.ndarray
    at: np.ndarray


def make_windows(
    series: Any, window: int, horizon: int = 1, stride: int = 1, *, gap: int = 0
) -> Windows:
    """Cut a series into windows and what follows them, in the order of time.

    Args:
        series: Finite numbers, (T,), or (T, D) for D numbers a step.
        window: W, how many steps are looked at, >= 1.
        horizon: H, how many steps are to be foretold, >= 1.
        stride: Steps from one window's start to the next one's, >= 1.
        gap: Steps between a window and its first target, >= 0.

    Returns:
        Windows, targets and their places, as copies.

    Raises:
        TypeError: If the series does not hold numbers.
        ValueError: If it holds NaN, or is shorter than one window with its gap and targets.

    Example:
        >>> x, y, at = make_windows([10, 20, 30, 40, 50], window=3)
        >>> x.tolist(), y.tolist(), at.tolist()
        ([[10.0, 20.0, 30.0], [20.0, 30.0, 40.0]], [[40.0], [50.0]], [3, 4])
    """
    series, window, horizon, stride, gap = check_windows(series, window, horizon, stride, gap)
    first = np.arange(0, len(series) - (window + gap + horizon) + 1, stride)
    at = first + window + gap
    x = series[first[:, None] + np.arange(window)]
    y = series[at[:, None] + np.arange(horizon)]
    return Windows(x, y, at)


def text_dataset(
    texts: Sequence[str],
    labels: Any = None,
    *,
    vocabulary: Vocabulary,
    batch_size: int = 32,
    length: int | None = None,
    padding: str = "post",
    truncating: str = "post",
    seed: int | None = None,
) -> "tf.data.Dataset":
    """Return batches of padded ids, and of labels if there are any, as ``tf.data``.

    The pipeline splits and looks up the texts inside TensorFlow once, keeps the ids (cache),
    shuffles them anew in every epoch (in the same orders for the same seed), makes batches, pads
    each to its longest row, and prepares the next while the last is used (prefetch).

    Args:
        texts: N texts, none of them empty.
        labels: N labels or rows of labels; None for none.
        vocabulary: Which ids the texts get.
        batch_size: B, texts a batch; the last may have fewer.
        length: T of every batch, longer texts are cut; None pads each batch to its longest.
        padding: "post" or "pre", as in `pad`.
        truncating: "post" or "pre", as in `pad`.
        seed: Seed of the shuffling; None keeps the order.

    Returns:
        A dataset of ids (B, T), int32, or of pairs (ids, labels).

    Raises:
        TypeError: If a text is not a text.
        ValueError: If a text is empty, or numbers of texts and labels differ.

    Example:
        >>> letters = Vocabulary.from_texts(["Roma", "Oslo", "Bo"])
        >>> batches = text_dataset(["Roma", "Bo"], [1, 0], vocabulary=letters)
        >>> [(ids.numpy().tolist(), y.numpy().tolist()) for ids, y in batches]
        [([[5, 2, 8, 6], [3, 2, 0, 0]], [1, 0])]
    """
    batch_size = check_int("batch_size", batch_size, low=1)
    rows = _rows(texts, labels, vocabulary, seed)
    return _padded(rows.ragged_batch(batch_size), length, padding, truncating)


def bucketed(
    texts: Sequence[str],
    labels: Any = None,
    *,
    vocabulary: Vocabulary,
    boundaries: Sequence[int],
    batch_size: int = 32,
    length: int | None = None,
    padding: str = "post",
    truncating: str = "post",
    seed: int | None = None,
) -> "tf.data.Dataset":
    """Return batches of texts of similar length, so that little padding is needed.

    As `text_dataset`, but each batch comes from one bucket. A bucket's last batch of an epoch may
    be smaller.

    Args:
        texts: N texts, none of them empty.
        labels: N labels or rows of labels; None for none.
        vocabulary: Which ids the texts get.
        boundaries: Where a bucket ends and the next begins, increasing: with (5, 10) there is one
            for up to 5 tokens, one for 6 to 10, one for longer texts.
        batch_size: B, texts a batch.
        length: T of every batch, longer texts are cut; None pads each batch to its longest.
        padding: "post" or "pre", as in `pad`.
        truncating: "post" or "pre", as in `pad`.
        seed: Seed of the shuffling; None keeps the order.

    Returns:
        A dataset of ids (B, T), int32, or of pairs (ids, labels).

    Raises:
        TypeError: If a text is not a text.
        ValueError: If a text is empty, numbers of texts and labels differ, or the boundaries do
            not increase.

    Example:
        >>> letters = Vocabulary.from_texts(["Roma", "Oslo", "Bo"])
        >>> batches = bucketed(["Roma", "Bo", "Oslo"], vocabulary=letters, boundaries=[2])
        >>> [ids.shape.as_list() for ids in batches]
        [[1, 2], [2, 4]]
    """
    batch_size = check_int("batch_size", batch_size, low=1)
    ends = check_array("boundaries", boundaries, ndim=1, dtype=None)
    if ends.dtype.kind not in "iu":
        raise TypeError(f"`boundaries` must be whole numbers. {received(boundaries=boundaries)}")
    if ends[0] < 1 or (np.diff(ends) <= 0).any():
        raise ValueError(
            f"`boundaries` must be increasing whole numbers >= 1. {received(boundaries=boundaries)}"
        )
    with quiet_start():
        import tensorflow as tf

    limits = tf.constant(ends, tf.int64)

    def bucket(ids: Any, *_: Any) -> Any:
        return tf.reduce_sum(tf.cast(tf.size(ids, tf.int64) > limits, tf.int64))

    rows = _rows(texts, labels, vocabulary, seed)
    batches = rows.group_by_window(
        bucket, lambda _, window: window.ragged_batch(batch_size), window_size=batch_size
    )
    lengths = [len(split(text, vocabulary.level)) for text in texts]
    counts = np.bincount(np.searchsorted(ends, lengths))
    batches = batches.apply(tf.data.experimental.assert_cardinality(sum(-(-counts // batch_size))))
    return _padded(batches, length, padding, truncating)


def pair_dataset(
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    batch_size: int = 64,
    start: str = "<start>",
    end: str = "<end>",
    by_length: bool = False,
    seed: int | None = None,
) -> "tf.data.Dataset":
    """Return batches for a model that translates, as ``tf.data``.

    Letters: N pairs, B rows a batch, S and T tokens of its longest source and target. The decoder
    reads the target behind a start token and is to foretell it before an end token: the same
    tokens, moved by one place. All is padded behind. The texts become ids once. Every epoch has
    another order (the same orders for the same seed).

    Args:
        sources: N texts to translate, none of them empty.
        targets: Their N translations, none of them empty.
        source_vocabulary: Which ids the sources get.
        target_vocabulary: Which ids the targets get; it knows `start` and `end`.
        batch_size: B; the last batch may have fewer rows.
        start: Token before each target.
        end: Token behind each target.
        by_length: Whether rows whose targets, then sources, are of similar length come together,
            so that little padding is needed. With a seed they are sorted among the rows of 20
            batches, and the batches are shuffled; without one, among all rows.
        seed: Seed of the shuffling; None keeps the order.

    Returns:
        A dataset of ``((source, target_in), target_out)``, int32, (B, S), (B, T) and (B, T).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a text is empty, the numbers of texts differ, or `start` or `end` is unknown.

    Example:
        >>> words = Vocabulary.from_texts(["two", "one two"], level="words")
        >>> letters = Vocabulary.from_texts(["ab", "c"], reserved=("<start>", "<end>"))
        >>> how = {"source_vocabulary": words, "target_vocabulary": letters}
        >>> (inputs, out), = pair_dataset(["two", "one two"], ["c", "ab"], **how)
        >>> [part.numpy().tolist() for part in (*inputs, out)]
        [[[2, 0], [3, 2]], [[2, 6, 0], [2, 4, 5]], [[6, 3, 0], [4, 5, 3]]]
    """
    batch_size = check_int("batch_size", batch_size, low=1)
    seed = None if seed is None else check_int("seed", seed, low=0)
    rows = {}
    for name, texts, vocabulary in (
        ("source", sources, source_vocabulary),
        ("target", targets, target_vocabulary),
    ):
        if not isinstance(vocabulary, Vocabulary):
            wrong = received(**{f"{name}_vocabulary": vocabulary})
            raise TypeError(f"`{name}_vocabulary` must be a Vocabulary. {wrong}")
        texts = check_texts(f"{name}s", texts, vocabulary.level)
        rows[name] = vocabulary.encode_all(texts)
    check_same_length(sources=rows["source"], targets=rows["target"])
    marks = {}
    for name, token in {"start": start, "end": end}.items():
        if token not in target_vocabulary.tokens:
            wrong = received(**{name: token})
            raise ValueError(f"`{name}` must be a token of the target vocabulary. {wrong}")
        marks[name] = [target_vocabulary.id_of(token)]
    tables = (
        pad(rows["source"]),
        pad([np.r_[marks["start"], row] for row in rows["target"]]),
        pad([np.r_[row, marks["end"]] for row in rows["target"]]),
    )
    with quiet_start():
        import tensorflow as tf

    source, target_in, target_out = (tf.constant(table) for table in tables)
    source_lengths, target_lengths = (
        tf.constant([len(row) for row in rows[name]], tf.int64) for name in ("source", "target")
    )
    by = target_lengths * tf.reduce_max(source_lengths + 1) + source_lengths
    generator = tf.random.Generator.from_seed(seed or 0)
    num_rows, num_batches = len(tables[0]), -(-len(tables[0]) // batch_size)

    def shuffled(count: int) -> Any:
        if seed is None:
            return tf.range(count)
        return tf.argsort(generator.uniform_full_int((count,), tf.int64))

    def epoch(_: Any) -> Any:
        order = shuffled(num_rows)
        if by_length:
            together = num_rows if seed is None else 20 * batch_size
            window = tf.range(num_rows, dtype=tf.int64) // together
            place = window * (tf.reduce_max(by) + 1) + tf.gather(by, order)
            order = tf.gather(order, tf.argsort(place, stable=True))
        batches = tf.data.Dataset.from_tensor_slices(shuffled(num_batches))
        return batches.map(lambda i: order[i * batch_size : (i + 1) * batch_size])

    def batch(rows: Any) -> Any:
        longest = [tf.reduce_max(tf.gather(n, rows)) for n in (source_lengths, target_lengths)]
        tokens = tf.gather(source, rows)[:, : longest[0]]
        read, wanted = (tf.gather(table, rows) for table in (target_in, target_out))
        return (tokens, read[:, : longest[1] + 1]), wanted[:, : longest[1] + 1]

    batches = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches))
    return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def check_texts(
    name: str, texts: Any, level: str = "characters", *, may_be_none: bool = False
) -> list[str]:
    """Return texts as a list if each holds a token.

    Raises:
        TypeError: If they are one text, no sequence, or one is not a text.
        ValueError: If there are none, or one holds no token or half a character (a lone surrogate);
            the message names its place.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"`{name}` must be a sequence of texts. {received(**{name: texts})}")
    found = list(texts)
    if not found and not may_be_none:
        raise ValueError(f"`{name}` must hold at least one text. {received(**{name: texts})}")
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(
                f"`{name}` must be a sequence of texts. {received(**{f'{name}[{i}]': text})}"
            )
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise ValueError(
                f"`{name}` must hold whole characters. {received(**{f'{name}[{i}]': text})}"
            )
        if not split(text, level):
            raise ValueError(
                f"`{name}` must hold no text without a token. {received(**{f'{name}[{i}]': text})}"
            )
    return [str(text) for text in found]


def check_rows(sequences: Any) -> list[np.ndarray]:
    """Return rows of ids as int32 arrays.

    Raises:
        TypeError: If a row does not hold whole numbers.
        ValueError: If there is no row, one is not a flat row, or an id is negative or too large.
    """
    if isinstance(sequences, str) or not isinstance(sequences, Iterable):
        raise TypeError(f"`sequences` must be rows of ids. {received(sequences=sequences)}")
    rows = [np.asarray(row) for row in sequences]
    if not rows:
        raise ValueError(f"`sequences` must hold at least one row. {received(sequences=sequences)}")
    for i, row in enumerate(rows):
        where = received(**{f"sequences[{i}]": row})
        if row.size and row.dtype.kind not in "iu":
            raise TypeError(f"`sequences` must be rows of whole numbers. {where}")
        if row.ndim != 1 or (row.size and row.min() < 0):
            raise ValueError(f"`sequences` must be flat rows of ids >= 0. {where}")
        if row.size and row.max() > LAST_ID:
            raise ValueError(f"`sequences` must be rows of ids <= {LAST_ID}. {where}")
    return [row.astype(np.int32) for row in rows]


def check_windows(
    series: Any, window: int, horizon: int, stride: int, gap: int
) -> tuple[np.ndarray, int, int, int, int]:
    """Return the arguments of `make_windows`, checked.

    Raises:
        TypeError: If the series does not hold numbers, or another is no integer.
        ValueError: If the series holds NaN, or is too short.
    """
    series = check_array("series", series, ndim=(1, 2))
    window, horizon = check_int("window", window, low=1), check_int("horizon", horizon, low=1)
    stride, gap = check_int("stride", stride, low=1), check_int("gap", gap, low=0)
    if window + gap + horizon > len(series):
        raise ValueError(
            "`series` must be at least as long as window, gap and horizon together. "
            f"{received(window=window, gap=gap, horizon=horizon)}, len(series)={len(series)}"
        )
    return series, window, horizon, stride, gap


def _rows(texts: Any, labels: Any, vocabulary: Any, seed: int | None) -> "tf.data.Dataset":
    """Return ids, one text each, with its label; cached, and shuffled if there is a seed.

    The orders come from a generator of the pipeline's own, as those of ``Dataset.shuffle`` also
    depend on TensorFlow's global seed.
    """
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(f"`vocabulary` must be a Vocabulary. {received(vocabulary=vocabulary)}")
    texts = check_texts("texts", texts, vocabulary.level)
    if seed is not None:
        seed = check_int("seed", seed, low=0)
    if labels is not None:
        labels = check_array("labels", labels, dtype=None)
        check_same_length(texts=texts, labels=labels)
    with quiet_start():
        import tensorflow as tf

    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(vocabulary.tokens, tf.string),
            tf.range(2, len(vocabulary), dtype=tf.int32),
        ),
        default_value=UNKNOWN,
    )

    def ids(texts: Any, *labels: Any) -> Any:
        if vocabulary.level == "words":
            tokens = tf.strings.split(texts)
        else:
            tokens = tf.strings.unicode_split(texts, "UTF-8")
        return (table.lookup(tokens), *labels)

    def in_order(*parts: Any) -> Any:
        if seed is not None:
            numbers = generator.uniform_full_int((len(texts),), tf.int64)
            parts = tuple(tf.gather(part, tf.argsort(numbers)) for part in parts)
        return tf.data.Dataset.from_tensor_slices(parts)

    parts = (tf.constant(texts),) if labels is None else (tf.constant(texts), tf.constant(labels))
    generator = tf.random.Generator.from_seed(seed or 0)
    rows = tf.data.Dataset.from_tensors(parts).map(ids).cache().flat_map(in_order)
    return rows.apply(tf.data.experimental.assert_cardinality(len(texts)))


def _padded(batches: Any, length: int | None, padding: str, truncating: str) -> "tf.data.Dataset":
    check_choice("padding", padding, ("pre", "post"))
    check_choice("truncating", truncating, ("pre", "post"))
    if length is not None:
        length = check_int("length", length, low=1)
    with quiet_start():
        import tensorflow as tf

    def dense(ids: Any, *labels: Any) -> Any:
        if length is not None:
            ids = ids[:, :length] if truncating == "post" else ids[:, -length:]
        ids = ids if padding == "post" else ids[:, ::-1]  # read backwards, the 0s come last
        ids = ids.to_tensor(PADDING, shape=(None, length))
        ids = ids if padding == "post" else ids[:, ::-1]
        return (ids, *labels) if labels else ids

    return batches.map(dense, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
