"""Names of numbers in two languages: translation with exact answers."""

import csv
import gzip

import numpy as np

from dlnotes.datasets.fetch import read_dataset_file
from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.splits import SPLIT_SEED, cut_rows
from dlnotes.datasets.types import PairData
from dlnotes.validation import check_choice, check_int, received

_LANGUAGES = ("number", "english", "german")


def load_number_words(
    source: str = "english",
    target: str = "german",
    *,
    num_val: int = 1000,
    num_test: int = 2000,
) -> PairData:
    """Return the names of 13,000 numbers below 100,000, and of 2,000 longer ones, in two languages.

    The parts share no number. The ``longer`` part spells numbers of six digits, whose names are
    longer and need no word that the others do not have.

    Args:
        source: Language of the inputs: "english", "german", or "number" for the digits.
        target: Language of the targets, another one.
        num_val: How many of the 13,000 are for the validation part.
        num_test: How many are for the test part.

    Raises:
        TypeError: If a size is not a whole number.
        ValueError: If a language is unknown, both are the same, or no rows are left to train on.
        DatasetDamaged: If its file has changed.

    Example:
        >>> data = load_number_words()
        >>> data
        PairData('number_words', train=10000, val=1000, test=2000, longer=2000)
        >>> print(data.x_train[1], "=", data.y_train[1])
        three hundred and thirteen = dreihundertdreizehn
    """
    for name, language in {"source": source, "target": target}.items():
        check_choice(name, language, _LANGUAGES)
    if source == target:
        raise ValueError(
            "`source` and `target` must be two languages. " + received(source=source, target=target)
        )
    content = gzip.decompress(read_dataset_file("number_words", "number_words.csv.gz"))
    rows = np.array(list(csv.reader(content.decode().splitlines()))[1:])
    numbers = rows[:, 0].astype(np.int64)
    short = np.flatnonzero(numbers < 100_000)
    num_val, num_test = check_int("num_val", num_val, low=0), check_int("num_test", num_test, low=0)
    if num_val + num_test >= len(short):
        raise ValueError(
            f"`num_val` and `num_test` must leave rows of {len(short)} to train on. "
            + received(num_val=num_val, num_test=num_test)
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(short)
    cuts = np.cumsum([len(short) - num_val - num_test, num_val])
    cut = np.split(order, cuts)
    x, y = (rows[:, _LANGUAGES.index(language)] for language in (source, target))
    longer = numbers >= 100_000
    return PairData(
        **facts_of("number_words"),
        **cut_rows(cut, x=x, y=y, numbers=numbers),
        x_longer=x[longer],
        y_longer=y[longer],
        numbers_longer=numbers[longer],
        target_names=(target,),
    )
