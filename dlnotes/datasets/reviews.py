"""Reviews from a small grammar in which word order and negation decide."""

import math

import numpy as np

from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.splits import split_indices
from dlnotes.datasets.types import ReviewData
from dlnotes.validation import check_int, received

PRAISE = (
    "good",
    "great",
    "superb",
    "wonderful",
    "brilliant",
    "charming",
    "clever",
    "funny",
    "gripping",
    "moving",
    "fresh",
    "warm",
    "bold",
    "elegant",
    "lively",
    "honest",
    "tender",
    "sharp",
    "vivid",
    "witty",
    "rich",
    "thrilling",
    "smart",
    "touching",
)
BLAME = (
    "bad",
    "awful",
    "dull",
    "boring",
    "clumsy",
    "weak",
    "slow",
    "silly",
    "flat",
    "tired",
    "cold",
    "noisy",
    "empty",
    "stale",
    "lazy",
    "messy",
    "bland",
    "shallow",
    "hollow",
    "cheap",
    "dreary",
    "lifeless",
    "pointless",
    "ugly",
)
THINGS = (
    "story",
    "plot",
    "cast",
    "music",
    "script",
    "ending",
    "dialogue",
    "acting",
    "photography",
    "humour",
    "pace",
    "soundtrack",
)
OPENINGS = (
    "",
    "i think",
    "to tell the truth ,",
    "last night i saw it .",
    "as a friend of mine said ,",
)
# {y} is what counts, {x} what does not, {t} a thing, {u} another. Patterns come in pairs whose
# clauses are swapped, so neither the first nor the last of the two adjectives always counts.
PATTERNS = (
    "the {t} was not {x} but {y}",
    "the {t} was {y} and not {x}",
    "although the {t} was {x} , the {u} was {y}",
    "the {u} was {y} , although the {t} was {x}",
    "i expected {x} {t} and got {y} {t}",
    "i got {y} {t} where i expected {x} {t}",
    "nobody called the {t} {x} , everybody called it {y}",
    "everybody called the {t} {y} , nobody called it {x}",
)
REMARKS = (3, 5)  # remarks of a review that has an odd number of them


def make_reviews(
    num_samples: int = 4000, *, seed: int = 0, test_size: float = 0.15, val_size: float = 0.15
) -> ReviewData:
    """Draw short reviews of films; in half of them only the order of the words tells the class.

    Where order does not matter, a review is a list of 3 or 5 remarks, such as ``dull plot``, and
    is praise if more of its adjectives praise than blame. Where it does, there is one adjective of
    each kind, ``the plot was not dull but witty``, and each review has a twin in the same part
    with the same words and the other class, ``the plot was not witty but dull``. So whoever
    counts words and forgets their order is right on exactly half of these.

    Args:
        num_samples: Number of reviews N, a multiple of 4, at least 40: half of them depend on
            order, and half of each kind are praise.
        seed: Seed of the drawing.
        test_size: Fraction of the reviews for the test part.
        val_size: Fraction of the reviews for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    Example:
        >>> data = make_reviews(400, seed=1)
        >>> data
        ReviewData('reviews', train=280, val=60, test=60, classes=2)
        >>> print(data.x_train[data.by_order_train][0])
        last night i saw it . the soundtrack was slow and not smart
    """
    num_samples = check_int("num_samples", num_samples, low=40)
    if num_samples % 4:
        raise ValueError(
            f"`num_samples` must be a multiple of 4. {received(num_samples=num_samples)}"
        )
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    pairs, seen = [], set()
    while len(pairs) < num_samples // 2:
        pair = (_twins if len(pairs) % 2 else _lists)(rng)
        if not seen.intersection(text for text, _ in pair):
            seen.update(text for text, _ in pair)
            pairs.append(pair)
    by_order = np.arange(len(pairs)) % 2 == 1
    split = split_indices(by_order.astype(np.int64), test_size=test_size, val_size=val_size)
    parts = {}
    for part, units in zip(("train", "val", "test"), split, strict=True):
        rows = [(*pairs[u][label], label, by_order[u]) for u in units for label in (0, 1)]
        rows = [rows[i] for i in rng.permutation(len(rows))]
        texts, log_p, y, order = zip(*rows, strict=True) if rows else ((),) * 4
        parts |= {f"x_{part}": np.array(texts, str), f"y_{part}": np.array(y, np.int64)}
        parts |= {f"by_order_{part}": np.array(order, bool)}
        parts |= {f"log_p_{part}": np.array(log_p, np.float64)}
    return ReviewData(
        **facts_of("reviews"),
        **parts,
        target_names=("blame", "praise"),
        seed=seed,
    )


def _lists(rng: np.random.Generator) -> tuple[tuple[str, float], tuple[str, float]]:
    """Return a list of remarks that blames and one that praises, each with its log probability."""
    return _remarks(rng, BLAME, PRAISE), _remarks(rng, PRAISE, BLAME)


def _remarks(
    rng: np.random.Generator, more: tuple[str, ...], fewer: tuple[str, ...]
) -> tuple[str, float]:
    count = int(rng.choice(REMARKS))
    few = int(rng.integers(0, (count + 1) // 2))  # of the rarer kind, less than half
    places = rng.permutation(count)
    kinds = [fewer if place < few else more for place in places]
    text = " , ".join(f"{rng.choice(kind)} {rng.choice(THINGS)}" for kind in kinds)
    ways = 4 * len(REMARKS) * ((count + 1) // 2) * math.comb(count, few)  # 4: kind and class
    return text, -math.log(ways) - count * math.log(len(PRAISE) * len(THINGS))


def _twins(rng: np.random.Generator) -> tuple[tuple[str, float], tuple[str, float]]:
    """Return a review that blames and its twin that praises, each with its log probability."""
    words = {"praise": str(rng.choice(PRAISE)), "blame": str(rng.choice(BLAME))}
    start, pattern = str(rng.choice(OPENINGS)), str(rng.choice(PATTERNS))
    thing, other = (str(word) for word in rng.choice(THINGS, 2, replace=False))
    ways = 4 * len(OPENINGS) * len(PATTERNS) * len(PRAISE) * len(BLAME) * len(THINGS)
    ways *= len(THINGS) - 1 if "{u}" in pattern else 1
    texts = [
        f"{start} {pattern.format(x=words[x], y=words[y], t=thing, u=other)}".strip()
        for x, y in (("praise", "blame"), ("blame", "praise"))
    ]
    return (texts[0], -math.log(ways)), (texts[1], -math.log(ways))
