import csv
import gzip
import itertools

import numpy as np
import pytest
from contracts import Refusal, check_loader_contract, check_refusals

from dlnotes import datasets
from dlnotes.datasets import load_number_words
from dlnotes.runtime import repository_root

PARTS = ("train", "val", "test", "longer")


def test_it_keeps_the_loader_contract():
    data = check_loader_contract(load_number_words)
    info = datasets.dataset_info("number_words")
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert repr(data) == "PairData('number_words', train=10000, val=1000, test=2000, longer=2000)"
    assert len(data.x) == info.samples
    assert data.x.dtype.kind == data.y.dtype.kind == "U"
    assert not data.numbers_longer.flags.writeable
    assert data.num_classes == 0


def test_no_number_is_in_two_parts_and_the_longer_ones_are_longer():
    data = load_number_words()
    numbers = {part: getattr(data, f"numbers_{part}") for part in PARTS}
    together = np.concatenate(list(numbers.values()))
    assert len(set(together.tolist())) == len(together)
    for one, other in itertools.combinations(PARTS, 2):
        assert not set(getattr(data, f"x_{one}")) & set(getattr(data, f"x_{other}"))
        assert not set(getattr(data, f"y_{one}")) & set(getattr(data, f"y_{other}"))
    assert max(numbers[part].max() for part in PARTS[:3]) < 100_000 <= numbers["longer"].min()
    for side in "xy":
        lengths = {part: np.char.str_len(getattr(data, f"{side}_{part}")) for part in PARTS}
        assert lengths["longer"].min() > lengths["train"].max()


def test_the_longer_part_needs_no_character_or_word_that_is_new():
    data = load_number_words()
    for side in "xy":
        train, longer = (set("".join(getattr(data, f"{side}_{p}"))) for p in ("train", "longer"))
        assert longer <= train
    words = [
        set(" ".join(texts).replace(",", "").split()) for texts in (data.x_train, data.x_longer)
    ]
    assert words[1] <= words[0]


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (0, "zero", "null"),
        (21, "twenty-one", "einundzwanzig"),
        (842, "eight hundred and forty-two", "achthundertzweiundvierzig"),
    ],
)
def test_known_numbers_and_every_direction(number, english, german):
    words = {"number": str(number), "english": english, "german": german}
    for source, target in itertools.permutations(words, 2):
        data = load_number_words(source, target)
        numbers = np.concatenate([data.numbers_train, data.numbers_val, data.numbers_test])
        (where,) = np.flatnonzero(numbers == number)
        assert (data.x[where], data.y[where]) == (words[source], words[target])
        assert data.target_names == (target,)


def test_sizes_can_be_chosen():
    data = load_number_words(num_val=0, num_test=12_999)
    assert (len(data.x_train), len(data.x_val), len(data.x_test)) == (1, 0, 12_999)
    refusals = [
        Refusal((), {"num_val": 1000, "num_test": 12_000}, ValueError, "leave rows of 13000"),
        Refusal((), {"num_val": -1}, ValueError, "`num_val` must be an integer >= 0"),
        Refusal((), {"num_test": 0.1}, TypeError, "`num_test` must be an integer"),
        Refusal(("french",), {}, ValueError, "`source` must be one of"),
        Refusal(("german",), {}, ValueError, "`source` and `target` must be two languages"),
    ]
    check_refusals(load_number_words, refusals)


def test_the_script_rebuilds_the_file(build_script):
    pytest.importorskip("num2words", reason="the names' source: pip install -e .[data]")
    build = build_script("number_words")
    content = gzip.decompress((repository_root() / "data" / "number_words.csv.gz").read_bytes())
    rows = [(int(n), *names) for n, *names in list(csv.reader(content.decode().splitlines()))[1:]]
    assert rows == [(number, *build.spell_both(number)) for number in build.choose()]
    assert not [n for n, *_ in rows if n >= 100_000 and n // 1000 % 100 == 1]
