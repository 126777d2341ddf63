"""Write the names of numbers in English and German, from the package num2words.

Run from the repository's root after ``pip install -e ".[data]"``, then copy the printed size and
hash into dlnotes/datasets/registry.toml and render data/README.md again:

    python data/build/number_words.py

The file holds each number below 1,000, 12,000 of the numbers of four and five digits, and 2,000 of
six digits. These need no other words, and their names are longer than all the others in both
languages. Left out are 101,000 to 101,999, 201,000 and so on: there num2words 0.5.14 writes
"einhunderteinstausend" in place of "einhunderteintausend".
"""

import argparse
import csv
import gzip
import hashlib
import io
import random
from pathlib import Path


def choose(seed: int = 20) -> list[int]:
    """Return the sorted numbers, each once."""
    rng = random.Random(seed)
    short = [*range(1000), *rng.sample(range(1000, 100_000), 12_000)]
    longest = [max(map(len, names)) for names in zip(*map(spell_both, short), strict=True)]
    longer = []
    for number in rng.sample(range(100_000, 1_000_000), 10_000):
        names = spell_both(number)
        is_longer = all(len(name) > limit for name, limit in zip(names, longest, strict=True))
        if is_longer and number // 1000 % 100 != 1:
            longer.append(number)
    return sorted([*short, *longer[:2000]])


def spell_both(number: int) -> tuple[str, str]:
    """Return a number's English and its German name."""
    from num2words import num2words

    return num2words(number, lang="en"), num2words(number, lang="de")


def main() -> None:
    """Write data/number_words.csv.gz and print what the registry needs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("data"))
    path = parser.parse_args().directory / "number_words.csv.gz"
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([("number", "english", "german"), *((n, *spell_both(n)) for n in choose())])
    content = gzip.compress(stream.getvalue().encode(), mtime=0)  # no time: equal runs, equal bytes
    path.write_bytes(content)
    print(f"{path.name}: size = {len(content)}, sha256 = {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
