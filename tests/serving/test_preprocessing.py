"""Preprocessing and decoding, which are data."""

import json

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.datasets import Vocabulary
from dlnotes.serving import Bounds, GreedyDecoding, RequestError, TextCleaning, TextEncoding
from dlnotes.serving import Rescaling as Scale
from dlnotes.serving.decoding import decoding_from_config
from dlnotes.serving.preprocessing import Preprocessor, step_from_config
from dlnotes.serving.tensors import TensorSpec

X = TensorSpec("x", "float32", (None, 2))
IDS = TensorSpec("source", "int32", (None, None))
WORDS = Vocabulary.from_texts(["one two"], level="words", reserved=("<start>", "<end>"))
LETTERS = Vocabulary.from_texts(["abc"], reserved=("<", ">"))


def test_numbers_are_limited_then_scaled():
    prepare = Preprocessor([X], [Bounds("x", 0, 10), Scale("x", (0.1, 1.0), (0.0, -1.0))])
    array = prepare.arrays([[5, 10], [0, 1]])["x"]
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, [[0.5, 9], [0, 0]], rtol=1e-6)
    with pytest.raises(RequestError, match=r"`instances\[1\]` must hold numbers in \[0, 10\], and"):
        prepare.arrays([[5, 10], [-1, 1]])


def test_texts_are_cleaned_encoded_and_padded():
    steps = [
        TextCleaning("source", lowercase=True, replace=[("-", " "), ("three", "one two")]),
        TextEncoding("source", WORDS, max_length=5, start="<start>", end="<end>"),
    ]
    prepare = Preprocessor([IDS], steps)
    array = prepare.arrays(["ONE-two", "three one"])["source"]
    assert array.tolist() == [[2, 4, 5, 3, 0], [2, 4, 5, 4, 3]]
    assert steps[1].tokens(array[0]) == ["<start>", "one", "two", "<end>"]
    assert prepare.padded("source")
    fixed = TextEncoding("source", LETTERS, max_length=4, pad_to="max_length")
    prepare = Preprocessor([TensorSpec("source", "int64", (None, 4))], [fixed])
    array = prepare.arrays([{"source": "ab"}])["source"]
    assert (array.tolist(), array.dtype) == ([[4, 5, 0, 0]], np.int64)
    assert not prepare.padded("source")


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        ({}, "ab?", "holds '?' (character 3), which the model does not know"),
        ({}, "", "must hold at least one token"),
        ({}, "abcab", "must hold at most 4 characters, and holds more"),
        ({"start": "<"}, "abca", "must hold at most 3 characters, and holds more"),
        ({"start": "<", "end": ">"}, "a>", "holds '>' (character 2)"),
        ({}, "a\ud800", "half of one"),
        ({"vocabulary": WORDS}, "one three", "holds 'three' (word 2)"),
        ({"vocabulary": WORDS}, 999 * "x", f"holds '{30 * 'x'}' (word 1)"),
        ({"vocabulary": WORDS}, " \t", "at least one token"),
        ({"vocabulary": WORDS}, "one \udfff", "half of one"),
    ],
)
def test_texts_that_the_model_cannot_read_are_refused(options, text, message):
    step = TextEncoding(**{"input": "source", "vocabulary": LETTERS, "max_length": 4} | options)
    with pytest.raises(RequestError, match="must|holds") as caught:
        step.apply(text)
    assert message in str(caught.value)


def test_unknown_may_be_kept():
    step = TextEncoding("source", LETTERS, max_length=4, unknown="keep")
    assert step.apply("a?").tolist() == [4, 1]


@pytest.mark.parametrize(
    ("instances", "field", "message"),
    [
        (
            [{"x": [1, 2], "source": "a"}, [1, 2]],
            "instances[1]",
            "must be an object with `x`, `source`",
        ),
        ([{"x": [1, 2]}], "instances[0].source", "is missing"),
        ([{"x": [1, 2], "source": "a", "z": 1}], "instances[0]", "Received: name='z'"),
        ([{"x": [1, 2], "source": 3}], "instances[0].source", "must be a text"),
        ([{"x": [1, "b"], "source": "a"}], "instances[0].x", "holds a text"),
        (
            [{"x": [1, 2], "source": "a"}, {"x": [1, 2], "source": "z"}],
            "instances[1].source",
            "holds 'z'",
        ),
    ],
)
def test_a_request_is_refused_with_its_field(instances, field, message):
    prepare = Preprocessor([X, IDS], [TextEncoding("source", LETTERS, max_length=4)])
    good = prepare.arrays([{"x": [1, 2], "source": "ab"}])
    assert {name: array.tolist() for name, array in good.items()} == {
        "x": [[1, 2]],
        "source": [[4, 5]],
    }
    with pytest.raises(RequestError) as caught:
        prepare.arrays(instances)
    assert message in str(caught.value)
    assert caught.value.field == field


def test_numbers_may_come_as_bytes():
    prepare = Preprocessor([X], [Bounds("x", 0, 250), Scale("x", 0.5)])
    lists, packed = [[2, 4], [0, 250]], [{"b64": "AgQ="}, {"b64": "APo="}]
    for rows in (packed, [lists[0], packed[1]], [{"x": row} for row in packed]):
        np.testing.assert_array_equal(prepare.arrays(rows)["x"], prepare.arrays(lists)["x"])
    schemas = prepare.json_schema()["anyOf"]
    assert [schema["type"] for schema in schemas] == ["array", "object", "object"]
    assert schemas[2]["properties"]["x"]["anyOf"] == schemas[:2]


@pytest.mark.parametrize(
    ("instances", "field", "message"),
    [
        ([{"b64": "AgQ="}, {"b64": "AgQ"}], "instances[1]", "must be base64"),
        ([[2, 4], {"b64": "Ag=="}], "instances[1]", "has 1 bytes"),
        ([{"b64": "AgQ="}, {"b64": "Av8="}], "instances[1]", "in [0, 250], and holds 255"),
        ([{"x": {"b64": "Ag=="}}], "instances[0].x", "has 1 bytes"),
        ([{"b64": "AgQ=", "more": 1}], "instances[0]", "no other inputs than `x`"),
        ([{"b64": 7}], "instances[0]", "no other inputs than `x`"),
    ],
)
def test_bytes_are_refused_with_their_field(instances, field, message):
    prepare = Preprocessor([X], [Bounds("x", 0, 250)])
    with pytest.raises(RequestError) as caught:
        prepare.arrays(instances)
    assert message in str(caught.value)
    assert caught.value.field == field


def test_texts_do_not_come_as_bytes():
    prepare = Preprocessor([IDS], [TextEncoding("source", LETTERS, max_length=4)])
    with pytest.raises(RequestError, match="must be a text"):
        prepare.arrays([{"b64": "AgQ="}])
    assert "b64" not in json.dumps(prepare.json_schema())


def test_requests_are_merged_and_padded_only_where_it_is_allowed():
    prepare = Preprocessor([IDS], [TextEncoding("source", LETTERS, max_length=4)])
    parts = [prepare.arrays(["ab"]), prepare.arrays(["c", "abca"])]
    assert prepare.group(parts[0]) == prepare.group(parts[1])
    merged = prepare.merge(parts)["source"]
    assert merged.tolist() == [[4, 5, 0, 0], [6, 0, 0, 0], [4, 5, 6, 4]]
    free = Preprocessor([TensorSpec("x", "float32", (None, None, 1))])
    short, long = free.arrays([[[1]]]), free.arrays([[[1], [2]]])
    assert free.group(short) != free.group(long)
    assert free.merge([short, short])["x"].shape == (2, 1, 1)


STEPS = [
    Bounds("x", 0, 255),
    Scale("x", (0.5, 2.0), 1.0),
    TextCleaning("source", lowercase=True, replace=[("-", " ")]),
    TextEncoding("source", WORDS, max_length=5, start="<start>", unknown="keep"),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.kind)
def test_steps_survive_json(step):
    config = json.loads(json.dumps(step.to_config()))
    assert step_from_config(config) == step
    check_docstring(type(step))
    with pytest.raises(TypeError):
        step_from_config({**config, "more": 1})


def test_decodings_survive_json():
    how = GreedyDecoding("target", "output", WORDS, "<start>", "<end>", max_length=5, join="")
    assert decoding_from_config(json.loads(json.dumps(how.to_config()))) == how
    check_docstring(GreedyDecoding)
    with pytest.raises(ValueError, match="`kind` must be one of 'greedy'"):
        decoding_from_config({**how.to_config(), "kind": "beam"})


def test_wrong_steps_are_refused():
    check_refusals(Bounds, [Refusal(("x", 2, 1), {}, ValueError, "`low` must be <= `high`")])
    check_refusals(Scale, [Refusal(("x", "2"), {}, TypeError, "`scale` must be a number")])
    check_refusals(
        TextCleaning,
        [
            Refusal(("x",), {"lowercase": 1}, TypeError, "`lowercase` must be True or False"),
            Refusal(("x",), {"replace": "ab"}, TypeError, "`replace` must be pairs of texts"),
            Refusal(("x",), {"replace": ["ab"]}, TypeError, "`replace` must be pairs of texts"),
            Refusal(("x",), {"replace": [("", "b")]}, ValueError, "`replace` must replace no em"),
        ],
    )
    check_refusals(
        TextEncoding,
        [
            Refusal(("", LETTERS, 3), {}, TypeError, "`input` must be the name of an input"),
            Refusal(("x", "ab", 3), {}, TypeError, "`vocabulary` must be a Vocabulary"),
            Refusal(("x", LETTERS, 0), {}, ValueError, "`max_length` must be an integer >= 1"),
            Refusal(("x", LETTERS, 3), {"pad_to": 1}, ValueError, "`pad_to` must be one of"),
            Refusal(("x", LETTERS, 3), {"unknown": "?"}, ValueError, "`unknown` must be one of"),
            Refusal(("x", LETTERS, 3), {"end": "?"}, ValueError, "`end` must be in the vocabulary"),
        ],
    )
    check_refusals(
        step_from_config,
        [
            Refusal(({"step": "pickle"},), {}, ValueError, "`step` must be one of bounds"),
            Refusal(
                ({"step": "text_encoding", "vocabulary": ["a"]},),
                {},
                TypeError,
                "`vocabulary` must have tokens and level",
            ),
        ],
    )
    fixed = TensorSpec("source", "int32", (None, 4))
    check_refusals(
        Preprocessor,
        [
            Refusal(([X], [3]), {}, TypeError, "`steps` must be steps"),
            Refusal(([TensorSpec("b64", "int8", (None,))],), {}, ValueError, "names than b64"),
            Refusal(([X], [Bounds("y", 0, 1)]), {}, ValueError, "`input` must be one of x"),
            Refusal(([X], [Scale("x", 1), Bounds("x", 0, 1)]), {}, ValueError, "`bounds` must be"),
            Refusal(([X], [Scale("x", (1, 2, 3))]), {}, ValueError, "`scale` and `offset` must be"),
            Refusal(([IDS], [Scale("source", 1)]), {}, ValueError, "`rescaling` must be for"),
            Refusal(([IDS], [TextCleaning("source")]), {}, ValueError, "`steps` for a text must"),
            Refusal(
                ([X], [TextEncoding("x", LETTERS, 3)]), {}, ValueError, "`text_encoding` must be"
            ),
            Refusal(
                ([fixed], [TextEncoding("source", LETTERS, 4)]), {}, ValueError, "must pad to max"
            ),
        ],
    )
    good = ("target", "output", WORDS, "<start>", "<end>", 5)
    check_refusals(
        GreedyDecoding,
        [
            Refusal((*good[:2], "ab", *good[3:]), {}, TypeError, "`vocabulary` must be a Vocab"),
            Refusal((*good[:3], "?", *good[4:]), {}, ValueError, "`start` must be in the vocab"),
            Refusal((*good[:5], 0), {}, ValueError, "`max_length` must be an integer >= 1"),
            Refusal((*good[:1], 3, *good[2:]), {}, TypeError, "`output` must be a name"),
            Refusal(good, {"join": 1}, TypeError, "`join` must be a text or None"),
            Refusal(good, {"attention": "a"}, ValueError, "`attention` and `source` must be given"),
        ],
    )


# === Writing ===


def scripted(script, attention=None):
    """A model that writes a script of ids for each row, whatever it reads."""

    def compute(inputs):
        written = inputs["target"]
        scores = np.full((len(written), written.shape[1], len(WORDS)), 0.1)
        scores[..., 0] = 0.9  # padding is the likeliest of all, and must not be written
        for row, ids in enumerate(script):
            for t in range(written.shape[1]):
                scores[row, t, ids[t] if t < len(ids) else 4] = 0.5
        shape = (len(written), written.shape[1], inputs["source"].shape[1])
        return {"output": scores, "attention": np.broadcast_to(np.arange(shape[2]), shape)}

    return compute


def test_each_row_is_written_until_its_own_end():
    how = GreedyDecoding("target", "output", WORDS, "<start>", "<end>", max_length=3)
    source = {"source": np.array([[4, 5], [4, 0], [5, 5]], np.int32)}
    script = [[4, 3], [3], [5, 4, 5]]
    first, second, third = how.write(scripted(script), source, num_rows=3)
    assert first == {
        "text": "one",
        "tokens": ["one", "<end>"],
        "probabilities": [0.5, 0.5],
        "finished": True,
    }
    assert (second["text"], second["tokens"]) == ("", ["<end>"])
    assert (third["text"], third["finished"]) == ("two one two", False)


def test_attention_is_cut_to_the_tokens_of_source_and_text():
    how = GreedyDecoding(
        "target", "output", WORDS, "<start>", "<end>", 9, "-", "attention", "source"
    )
    source = {"source": np.array([[4, 5], [4, 0]], np.int32)}
    compute, lengths = scripted([[4, 5, 3], [3]]), []

    def counted(inputs):
        lengths.append(inputs["target"].shape[1])
        return compute(inputs)

    first, second = how.write(counted, source, num_rows=2)
    assert lengths == [1, 2, 3], "nothing is computed behind the last end"
    assert first["text"] == "one-two"
    assert first["attention"] == [[0, 1]] * 3
    assert second["attention"] == [[0]]
