import json
import subprocess
import sys

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import datasets
from dlnotes.datasets import (
    Vocabulary,
    bucketed,
    make_windows,
    pad,
    pair_dataset,
    pipelines,
    text_dataset,
)
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

NAMES = ["Roma", "Oslo", "Bo", "São Tomé", "Ζ", "Санкт-Петербург", "Y"]
LETTERS = Vocabulary.from_texts(NAMES)
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@pytest.mark.parametrize(
    "thing", [Vocabulary, pad, make_windows, text_dataset, bucketed, pipelines.check_texts]
)
def test_docstrings(thing):
    check_docstring(thing)


# === Vocabulary ===


def test_the_most_frequent_token_comes_first_and_equals_by_the_alphabet():
    letters = Vocabulary.from_texts(["bba", "cbd", "da"])
    assert letters.tokens == ("b", "a", "d", "c")
    assert [letters.id_of(token) for token in letters.tokens] == [2, 3, 4, 5]
    assert len(letters) == 6
    assert Vocabulary.from_texts(["bba", "cbd", "da"], min_count=2).tokens == ("b", "a", "d")
    assert Vocabulary.from_texts(["bba", "cbd"], max_size=4).tokens == ("b", "a")
    ends = Vocabulary.from_texts(["bba"], max_size=5, reserved=["<start>", "<end>"])
    assert ends.tokens == ("<start>", "<end>", "b")


def test_words_stand_between_white_space():
    words = Vocabulary.from_texts(["New York", "New\tHaven\n"], level="words")
    assert words.tokens == ("New", "Haven", "York")
    assert words.encode("  Haven of York ").tolist() == [3, 1, 4]
    assert words.decode([3, 1, 4, 0]) == "Haven � York"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(CHARACTERS, min_size=1), min_size=1, max_size=5))
def test_decoding_undoes_encoding(texts):
    letters = Vocabulary.from_texts(texts)
    for text in texts:
        assert letters.decode(letters.encode(text)) == text
        assert letters.encode(text).min() >= 2


def test_the_config_goes_through_json_and_back():
    words = Vocabulary.from_texts(["a b", "b"], level="words", reserved=["<end>"])
    again = Vocabulary.from_config(json.loads(json.dumps(words.get_config())))
    assert again == words
    assert hash(again) == hash(words)
    assert again != Vocabulary(words.tokens, "characters")
    with pytest.raises(AttributeError):
        words.level = "characters"


def test_ids_equal_those_of_keras():
    vectorize = keras.layers.TextVectorization(
        standardize=None, split="character", vocabulary=list(LETTERS.tokens)
    )
    texts = [*NAMES, "Rom!", "☃"]
    theirs = np.asarray(vectorize(tf.constant(texts)))
    np.testing.assert_array_equal(pad(LETTERS.encode_all(texts)), theirs)
    assert len(LETTERS) == vectorize.vocabulary_size()


def test_an_accent_may_be_a_token_of_its_own():
    assert len(LETTERS.encode("e\u0301")) == 2
    assert len(LETTERS.encode("\u00e9")) == 1


def test_the_vocabulary_refuses():
    check_refusals(
        Vocabulary,
        [
            Refusal((("a", "a"),), {}, ValueError, "`tokens` must all be different.*twice=.'a'"),
            Refusal((("a", ""),), {}, ValueError, r"`tokens` must hold no text without.*\[1\]=''"),
            Refusal((("a", 3),), {}, TypeError, r"`tokens` must be a sequence of texts.*\[1\]=3"),
            Refusal(("ab",), {}, TypeError, "`tokens` must be a sequence of texts"),
            Refusal((("a",),), {"level": "bytes"}, ValueError, "`level` must be one of"),
            Refusal(((),), {}, ValueError, "`tokens` must hold at least one text"),
            Refusal((("a", "b c"), "words"), {}, ValueError, "`tokens` must be words.*'b c'"),
            Refusal((("a\ud800",),), {}, ValueError, "`tokens` must hold whole characters"),
        ],
    )
    check_refusals(
        Vocabulary.from_texts,
        [
            Refusal(([],), {}, ValueError, "`texts` must hold at least one text"),
            Refusal((["a", ""],), {}, ValueError, r"`texts` must hold no text with.*texts\[1\]=''"),
            Refusal(("Roma",), {}, TypeError, "`texts` must be a sequence of texts"),
            Refusal((["a"],), {"min_count": 0}, ValueError, "`min_count` must be .* >= 1"),
            Refusal((["aab"],), {"min_count": 3}, ValueError, "occurs `min_count` times.*most=2"),
            Refusal((["ab"],), {"reserved": ["b"]}, ValueError, "`reserved` must not occur.*'b'"),
            Refusal((["a\ud800"],), {"level": "words"}, ValueError, "must hold whole characters"),
            Refusal((["a"],), {"max_size": 2}, ValueError, "`max_size` must be .* >= 3"),
            Refusal((["a", " "],), {"level": "words"}, ValueError, r"texts\[1\]=' '"),
        ],
    )
    check_refusals(
        LETTERS.encode,
        [
            Refusal(
                ("",), {}, ValueError, "`text` must hold at least one token. Received: text=''"
            ),
            Refusal((b"Roma",), {}, TypeError, "`text` must be a text"),
        ],
    )
    check_refusals(
        LETTERS.encode_all,
        [Refusal((["Bo", ""],), {}, ValueError, r"no text without a token.*texts\[1\]=''")],
    )
    check_refusals(LETTERS.id_of, [Refusal(("☃",), {}, ValueError, "`token` must be in the voc")])


def test_wrong_ids_are_refused():
    last = len(LETTERS) - 1
    assert LETTERS.check_ids([[0, last]]).dtype == np.int32
    assert LETTERS.decode([]) == ""
    check_refusals(
        LETTERS.decode,
        [
            Refusal(
                ([2, last + 1],), {}, ValueError, rf"`ids` must lie in \[0, {last}\].*{last + 1}"
            ),
            Refusal(([-1],), {}, ValueError, r"`ids` must lie in .*\[-1\]"),
            Refusal(([2.0],), {}, TypeError, "`ids` must be whole numbers"),
            Refusal(([[2]],), {}, ValueError, r"`ids` must be one row of ids.*\(1, 1\)"),
        ],
    )


# === pad ===


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=4).filter(any),
    st.one_of(st.none(), st.integers(1, 7)),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
)
def test_padding_equals_that_of_keras(rows, length, padding, truncating):
    ours = pad(rows, length, padding=padding, truncating=truncating)
    theirs = keras.utils.pad_sequences(rows, length, padding=padding, truncating=truncating)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.int32


def test_pad_refuses():
    rows = [[1, 2], [3]]
    check_refusals(
        pad,
        [
            Refusal(([],), {}, ValueError, "`sequences` must hold at least one row"),
            Refusal(("ab",), {}, TypeError, "`sequences` must be rows of ids"),
            Refusal(([[1], [0.5]],), {}, TypeError, r"rows of whole numbers.*sequences\[1\]"),
            Refusal(([[1], [-2]],), {}, ValueError, r"flat rows of ids >= 0.*sequences\[1\]"),
            Refusal(([1, 2],), {}, ValueError, r"flat rows of ids >= 0.*sequences\[0\]"),
            Refusal(([[1], [2**31]],), {}, ValueError, r"rows of ids <= 2147483647.*s\[1\]"),
            Refusal(([[2**32 + 5]],), {}, ValueError, r"rows of ids <= 2147483647"),
            Refusal((rows, 0), {}, ValueError, "`length` must be an integer >= 1"),
            Refusal(([[], []],), {}, ValueError, "`length` must be an integer >= 1"),
            Refusal((rows,), {"padding": "end"}, ValueError, "`padding` must be one of"),
            Refusal((rows,), {"truncating": "end"}, ValueError, "`truncating` must be one of"),
        ],
    )


# === make_windows ===


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.data())
def test_windows_and_targets_stand_where_they_should(window, horizon, stride, gap, data):
    extra = data.draw(st.integers(0, 9))
    series = np.arange(window + gap + horizon + extra) * 1.0
    x, y, at = make_windows(series, window, horizon, stride, gap=gap)
    assert len(x) == len(y) == len(at) == extra // stride + 1
    for row, (seen, wanted, first) in enumerate(zip(x, y, at, strict=True)):
        assert seen.tolist() == list(range(row * stride, row * stride + window))
        assert wanted.tolist() == list(range(first, first + horizon))
        assert wanted[0] - seen[-1] == gap + 1  # nothing of the future is seen
    pair = np.stack([series, -series], axis=1)
    for ours, alone in zip(
        make_windows(pair, window, horizon, stride, gap=gap)[:2], (x, y), strict=True
    ):
        np.testing.assert_array_equal(ours, np.stack([alone, -alone], axis=-1))


def test_windows_equal_those_of_keras():
    series = datasets.load_sunspots().values
    x, y, _ = make_windows(series, 11, stride=3)
    theirs = keras.utils.timeseries_dataset_from_array(
        series[:-1], series[11:], 11, sequence_stride=3, batch_size=1000
    )
    (their_x, their_y), *more = list(theirs)
    assert not more
    np.testing.assert_array_equal(x, their_x)
    np.testing.assert_array_equal(y[:, 0], their_y)


def test_windows_are_copies():
    series = np.arange(6.0)
    x, _, _ = make_windows(series, 3)
    x[:] = 0
    assert series.tolist() == [0, 1, 2, 3, 4, 5]


def test_windows_refuse():
    series = np.arange(5.0)
    gaps = datasets.load_co2().values
    check_refusals(
        make_windows,
        [
            Refusal((series, 5), {}, ValueError, r"`series` must be at least as long.*len.*=5"),
            Refusal((series, 3, 2), {"gap": 1}, ValueError, "window=3, gap=1, horizon=2"),
            Refusal((gaps, 3), {}, ValueError, "`series` must hold finite numbers.*59 of 2284"),
            Refusal((["a"] * 9, 3), {}, TypeError, "`series` must be an array of numbers"),
            Refusal((np.ones((9, 1, 1)), 3), {}, ValueError, "`series` must be 1-dimensional or"),
            Refusal((series, 0), {}, ValueError, "`window` must be an integer >= 1"),
            Refusal((series, 2, 0), {}, ValueError, "`horizon` must be an integer >= 1"),
            Refusal((series, 2, 1, 0), {}, ValueError, "`stride` must be an integer >= 1"),
            Refusal((series, 2), {"gap": -1}, ValueError, "`gap` must be an integer >= 0"),
            Refusal((series, 2.0), {}, TypeError, "`window` must be an integer"),
        ],
    )


# === tf.data ===


def arrays(batches):
    return [tuple(np.asarray(part) for part in batch) for batch in batches]


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("length", [None, 3, 20])
def test_batches_hold_what_pad_makes(length, padding, truncating):
    how = {"padding": padding, "truncating": truncating, "length": length}
    found = arrays(text_dataset(NAMES, range(7), vocabulary=LETTERS, batch_size=4, **how))
    assert [len(ids) for ids, _ in found] == [4, 3]
    for (ids, labels), rows in zip(found, (slice(4), slice(4, 7)), strict=True):
        np.testing.assert_array_equal(ids, pad(LETTERS.encode_all(NAMES[rows]), **how))
        assert ids.dtype == np.int32
        assert labels.tolist() == list(range(7))[rows]


@settings(max_examples=5, deadline=None)
@given(
    st.lists(st.text(CHARACTERS, min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from(["characters", "words"]),
)
def test_texts_are_split_in_tensorflow_as_in_python(texts, level):
    texts = [text for text in texts if pipelines.split(text, level)] or ["a"]
    vocabulary = Vocabulary.from_texts(texts, level=level)
    (ids,) = list(text_dataset([*texts, "?☃ ☃"], vocabulary=vocabulary))
    np.testing.assert_array_equal(ids, pad(vocabulary.encode_all([*texts, "?☃ ☃"])))


@pytest.mark.parametrize("make", [text_dataset, bucketed])
def test_each_epoch_has_its_own_order_and_every_text_once(make):
    texts = [chr(97 + i) * (1 + i % 3) for i in range(20)]
    letters = Vocabulary.from_texts(texts)
    how = {"boundaries": [1, 2]} if make is bucketed else {}

    def epochs(seed, elsewhere):
        tf.random.set_seed(elsewhere)  # must not matter
        rows = make(texts, range(20), vocabulary=letters, batch_size=4, seed=seed, **how)
        return [np.concatenate([y for _, y in arrays(rows)]).tolist() for _ in range(2)]

    first, second = epochs(3, 1)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert epochs(3, 2) == [first, second]
    assert epochs(4, 1) != [first, second]


def test_without_a_seed_the_order_stays():
    batches = text_dataset(NAMES, range(7), vocabulary=LETTERS)
    assert [y.tolist() for _, y in arrays(batches)] == [list(range(7))]
    assert [y.tolist() for _, y in arrays(batches)] == [list(range(7))]


def test_rows_of_labels_stay_with_their_texts():
    rows = np.stack([np.arange(7), np.arange(7) + 10], axis=1)
    for ids, labels in arrays(text_dataset(NAMES, rows, vocabulary=LETTERS, seed=0, batch_size=4)):
        wanted = pad(LETTERS.encode_all([NAMES[k] for k in labels[:, 0]]))
        np.testing.assert_array_equal(ids, wanted)
        np.testing.assert_array_equal(labels[:, 1], labels[:, 0] + 10)


def test_buckets_hold_texts_of_similar_length():
    names = datasets.load_place_names()
    texts, labels = names.x_val, names.y_val
    letters = Vocabulary.from_texts(texts)
    how = {"vocabulary": letters, "batch_size": 32, "seed": 1}
    batches = arrays(bucketed(texts, labels, boundaries=[6, 9, 12, 16, 24], **how))
    ends = np.array([1, 7, 10, 13, 17, 25, 61])
    for ids, y in batches:
        lengths = (ids != 0).sum(axis=1)
        assert len(set(np.searchsorted(ends, lengths, side="right"))) == 1
        assert ids.shape == (len(y), lengths.max())
        assert len(y) <= 32
    assert len(bucketed(texts, boundaries=[6, 9, 12, 16, 24], **how)) == len(batches)
    waste = np.mean(np.concatenate([(ids == 0).ravel() for ids, _ in batches]))
    mixed = arrays(text_dataset(texts, labels, **how))
    assert waste < 0.2
    assert np.mean(np.concatenate([(ids == 0).ravel() for ids, _ in mixed])) > 0.5
    assert sorted(np.concatenate([y for _, y in batches])) == sorted(labels)


def test_a_pipeline_can_train_a_model():
    model = keras.Sequential(
        [
            keras.layers.Embedding(len(LETTERS), 2),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    batches = text_dataset(NAMES, np.arange(7.0), vocabulary=LETTERS, batch_size=3, seed=0)
    history = model.fit(batches, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]


def test_the_pipelines_refuse():
    texts = ["a", "b"]
    given = {"vocabulary": Vocabulary.from_texts(texts)}
    shared = [
        Refusal((["a", ""],), given, ValueError, r"`texts` must hold no text without.*\[1\]=''"),
        Refusal(([],), given, ValueError, "`texts` must hold at least one text"),
        Refusal((texts, [1]), given, ValueError, r"len\(texts\)=2, len\(labels\)=1"),
        Refusal((texts,), {"vocabulary": "ab"}, TypeError, "`vocabulary` must be a Vocabulary"),
        Refusal((texts,), given | {"batch_size": 0}, ValueError, "`batch_size` must be an int"),
        Refusal((texts,), given | {"length": 0}, ValueError, "`length` must be an integer >= 1"),
        Refusal((texts,), given | {"padding": 0}, ValueError, "`padding` must be one of"),
        Refusal((texts,), given | {"truncating": 0}, ValueError, "`truncating` must be one of"),
        Refusal((texts,), given | {"seed": -1}, ValueError, "`seed` must be an integer >= 0"),
    ]
    check_refusals(text_dataset, shared)
    edges = {"boundaries": [3]}
    check_refusals(bucketed, [r._replace(kwargs=r.kwargs | edges) for r in shared])
    check_refusals(
        bucketed,
        [
            Refusal((texts,), given | {"boundaries": ends}, kind, "`boundaries` must")
            for ends, kind in [(e, ValueError) for e in ([], [3, 3], [0, 2])] + [([2.5], TypeError)]
        ],
    )


def test_arrays_need_no_tensorflow():
    code = (
        "import sys; from dlnotes.datasets import Vocabulary, make_windows, pad;"
        "pad(Vocabulary.from_texts(['ab']).encode_all(['b'])); make_windows([1, 2, 3], 2);"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# === Pairs ===

PAIRS = [("two", "zwei"), ("twenty one", "einundzwanzig"), ("six", "sechs"), ("ten two", "x")] * 6
SOURCES, TARGETS = ([pair[i] for pair in PAIRS] for i in (0, 1))
HOW = {
    "source_vocabulary": Vocabulary.from_texts(SOURCES, level="words"),
    "target_vocabulary": Vocabulary.from_texts(TARGETS, reserved=("<start>", "<end>")),
}


def pairs(**how):
    """Return the rows of one epoch as (source, target_in, target_out) without padding."""
    rows = []
    for (source, read), wanted in pair_dataset(SOURCES, TARGETS, **HOW, **how):
        assert read.shape == wanted.shape
        tables = [np.asarray(table) for table in (source, read, wanted)]
        lengths = [(table > 0).sum(axis=1) for table in tables]
        for table, length in zip(tables, lengths, strict=True):
            assert table.dtype == np.int32
            assert length.max() == table.shape[1]  # cut at the batch's longest
            assert all(row[:n].all() for row, n in zip(table, length, strict=True))
        rows += [
            tuple(tuple(row[row > 0].tolist()) for row in three)
            for three in zip(*tables, strict=True)
        ]
    return rows


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
def test_targets_are_read_behind_the_start_and_wanted_before_the_end(by_length, seed):
    letters = HOW["target_vocabulary"]
    start, end = letters.id_of("<start>"), letters.id_of("<end>")
    expected = [
        (tuple(x), (start, *y), (*y, end))
        for x, y in zip(
            HOW["source_vocabulary"].encode_all(SOURCES), letters.encode_all(TARGETS), strict=True
        )
    ]
    found = pairs(batch_size=5, by_length=by_length, seed=seed)
    assert sorted(found) == sorted(expected)
    if seed is None and not by_length:
        assert found == expected


def test_rows_of_similar_length_come_together():
    found = pairs(batch_size=4, by_length=True)
    lengths = [(len(target), len(source)) for source, target, _ in found]
    assert lengths == sorted(lengths)
    data = datasets.load_number_words()
    letters = Vocabulary.from_texts(data.y_val, reserved=("<start>", "<end>"))
    how = {"source_vocabulary": letters, "target_vocabulary": letters, "seed": 2}

    def waste(by_length):
        batches = pair_dataset(data.y_val, data.y_val, by_length=by_length, **how)
        assert len(batches) == 16
        return np.mean(np.concatenate([np.ravel(wanted == 0) for _, wanted in batches]))

    assert waste(True) < 0.05 < 0.15 < waste(False)


@pytest.mark.parametrize("by_length", [False, True])
def test_each_epoch_of_pairs_has_its_own_order(by_length):
    texts = [chr(97 + i) * (1 + i % 3) for i in range(20)]
    letters = Vocabulary.from_texts(texts, reserved=("<start>", "<end>"))
    how = {"source_vocabulary": letters, "target_vocabulary": letters, "by_length": by_length}

    def epochs(seed, elsewhere):
        tf.random.set_seed(elsewhere)  # must not matter
        batches = pair_dataset(texts, texts, batch_size=3, seed=seed, **how)
        return [[y[:, 0].numpy().tolist() for _, y in batches] for _ in range(2)]

    first, second = epochs(3, 1)
    assert first != second
    assert epochs(3, 2) == [first, second]
    assert epochs(4, 1) != [first, second]


def test_pairs_refuse():
    check_docstring(pair_dataset)
    given = (["a"], ["b"])
    letters = Vocabulary.from_texts(["ab"], reserved=("<start>", "<end>"))
    how = {"source_vocabulary": letters, "target_vocabulary": letters}
    check_refusals(
        pair_dataset,
        [
            Refusal((["a"], ["a", "b"]), how, ValueError, r"len\(sources\)=1, len\(targets\)=2"),
            Refusal(([""], ["a"]), how, ValueError, "`sources` must hold no text without a token"),
            Refusal((["a"], "a"), how, TypeError, "`targets` must be a sequence of texts"),
            Refusal(given, how | {"start": "^"}, ValueError, "`start` must be a token of the targ"),
            Refusal(given, how | {"end": "$"}, ValueError, r"`end` must be a token.*end='\$'"),
            Refusal(
                given, how | {"target_vocabulary": 9}, TypeError, "`target_vocabulary` must be a V"
            ),
            Refusal(given, how | {"batch_size": 0}, ValueError, "`batch_size` must be an integer"),
            Refusal(given, how | {"seed": 1.5}, TypeError, "`seed` must be an integer"),
        ],
    )
