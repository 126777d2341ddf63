import dataclasses
import math
import re
from collections import Counter

import numpy as np
import pytest
from contracts import Refusal, check_loader_contract, check_refusals

from dlnotes import datasets
from dlnotes.datasets import make_reviews
from dlnotes.datasets.reviews import BLAME, OPENINGS, PATTERNS, PRAISE, THINGS

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def data():
    return make_reviews(4000)


def part(data, name):
    fields = (f"{field}_{name}" for field in ("x", "y", "by_order", "log_p"))
    return [getattr(data, field) for field in fields]


def test_it_keeps_the_loader_contract():
    data = check_loader_contract(make_reviews, 80, seed=3)
    info = datasets.dataset_info("reviews")
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert repr(data) == "ReviewData('reviews', train=56, val=12, test=12, classes=2)"
    assert data.seed == 3
    assert data.x.dtype.kind == "U"
    assert data.by_order_train.dtype == bool
    assert not data.by_order_val.flags.writeable
    assert not data.log_p_test.flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.log_p_test = None
    with pytest.raises(ValueError, match="must have the same number of rows"):
        dataclasses.replace(data, log_p_val=data.log_p_val[:-1])


def test_half_depend_on_order_half_are_praise_and_no_text_comes_twice(data):
    assert len(set(data.x.tolist())) == len(data.x) == 4000
    for name in PARTS:
        x, y, by_order, log_p = part(data, name)
        assert by_order.mean() == y.mean() == y[by_order].mean() == 0.5
        assert all(text == " ".join(text.split()) for text in x.tolist())
        assert log_p.max() < 0
    assert (make_reviews(80, seed=1).x != make_reviews(80, seed=2).x).any()


def test_where_order_decides_each_bag_of_words_holds_both_classes_in_its_part(data):
    for name in PARTS:
        x, y, by_order, _ = part(data, name)
        bags = {}
        for text, label in zip(x[by_order].tolist(), y[by_order].tolist(), strict=True):
            bags.setdefault(tuple(sorted(text.split())), []).append(label)
        # so any function of the counts alone is right on exactly half
        assert all(sum(labels) * 2 == len(labels) for labels in bags.values())


def test_no_simple_rule_of_place_decides_the_order_half(data):
    x, y, by_order, _ = part(data, "train")
    texts, y = x[by_order].tolist(), y[by_order]
    adjectives = [[w for w in text.split() if w in (*PRAISE, *BLAME)] for text in texts]
    assert {len(words) for words in adjectives} == {2}
    for place in (0, -1):
        rule = np.array([words[place] in PRAISE for words in adjectives])
        assert 0.45 < (rule == y).mean() < 0.55
    negated = np.array(["not" in text.split() for text in texts])
    assert 0.2 < negated.mean() < 0.3


def test_the_class_is_what_the_words_say(data):
    """Judge by rules of one's own: the adjective that is denied or conceded does not count."""
    x, y, by_order, _ = part(data, "test")
    denied = (
        r"(?:not|nobody called (?:the \w+|it)|i expected|where i expected|although the \w+ was)"
    )
    for text, label in zip(x[by_order].tolist(), y[by_order].tolist(), strict=True):
        rest = re.sub(rf"{denied} (\w+)", "", text)
        (counts,) = [w for w in rest.split() if w in (*PRAISE, *BLAME)]
        assert (counts in PRAISE) == label, text
    for text, label in zip(x[~by_order].tolist(), y[~by_order].tolist(), strict=True):
        words = text.split()
        lead = sum(w in PRAISE for w in words) - sum(w in BLAME for w in words)
        assert lead != 0
        assert (lead > 0) == label, text


def test_log_p_is_the_logarithm_of_the_shares_of_many_drawings():
    """Sum the probabilities by kinds of text, and compare with how often the kinds come."""
    data = make_reviews(12_000, seed=5)
    p = {"order": 0.0, "although": 0.0}
    for pattern in PATTERNS:
        ways = len(THINGS) * (len(THINGS) - 1 if "{u}" in pattern else 1)
        ways *= 2 * len(OPENINGS) * len(PRAISE) * len(BLAME)
        (row,) = np.flatnonzero(
            [
                text.startswith(pattern.split("{")[0]) and _pattern_of(text) == pattern
                for text in data.x_train[data.by_order_train][:400].tolist()
            ]
        )[:1]
        log_p = data.log_p_train[data.by_order_train][row]
        share = ways * math.exp(log_p)
        p["order"] += share
        p["although"] += share * ("although" in pattern)
    assert p["order"] == pytest.approx(0.5)
    seen = np.mean(["although" in text for text in data.x.tolist()])
    assert p["although"] == pytest.approx(seen, abs=0.015)
    # lists: all texts with the same number of remarks and of the rarer kind have the same log_p
    x, _, by_order, log_p = part(data, "train")
    kinds = Counter()
    values = {}
    for text, value in zip(x[~by_order].tolist(), log_p[~by_order].tolist(), strict=True):
        praise = sum(w in PRAISE for w in text.split())
        count = text.count(",") + 1
        kinds[count, praise] += 1
        values.setdefault((count, praise), set()).add(value)
    total = 0.0
    for (count, praise), found in values.items():
        (value,) = found
        texts = math.comb(count, praise) * (len(PRAISE) * len(THINGS)) ** count
        total += texts * math.exp(value)
        share = kinds[count, praise] / len(x)
        assert texts * math.exp(value) == pytest.approx(share, abs=0.015)
    assert total == pytest.approx(0.5)


def _pattern_of(text):
    words = {"x": r"\w+", "y": r"\w+", "t": r"\w+", "u": r"\w+"}
    return next((p for p in PATTERNS if re.fullmatch(p.format(**words), text)), None)


def test_wrong_arguments_are_refused():
    check_refusals(
        make_reviews,
        [
            Refusal((42,), {}, ValueError, "`num_samples` must be a multiple of 4"),
            Refusal((36,), {}, ValueError, "`num_samples` must be an integer >= 40"),
            Refusal((80.0,), {}, TypeError, "`num_samples` must be an integer"),
            Refusal((80,), {"seed": -1}, ValueError, "`seed` must be an integer >= 0"),
            Refusal((80,), {"test_size": 1.5}, ValueError, "`test_size` must be a finite number"),
        ],
    )
