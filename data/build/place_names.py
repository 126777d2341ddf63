"""Write the names of places, languages and scripts in 20 languages, from Unicode CLDR.

CLDR comes with the package Babel (``pip install -e ".[data]"``). Taken are the names of
territories, languages and scripts, and of the cities after which time zones are called. A name
that two of the twenty languages share is left out, so that every name has one right answer. Run
from the repository's root, then copy the printed size and hash into dlnotes/datasets/registry.toml
and render data/README.md again:

    python data/build/place_names.py

Another release of CLDR changes some names: the committed file is from CLDR 47 (Babel 2.18).
"""

import argparse
import collections
import csv
import hashlib
import io
import unicodedata
from pathlib import Path

LANGUAGES = "cs de el en es et fi fr hu is it lt lv nl pl pt ru sv tr vi".split()


def collect(languages: list[str]) -> list[tuple[str, str]]:
    """Return sorted pairs of language code and name; each name in one of the languages only."""
    from babel import Locale

    owners = collections.defaultdict(set)
    for language in languages:
        locale = Locale(language)
        names = [*locale.territories.values(), *locale.languages.values()]
        names += locale.scripts.values()
        names += [zone["city"] for zone in locale.time_zones.values() if "city" in zone]
        for name in names:
            owners[unicodedata.normalize("NFC", name)].add(language)
    return sorted((*found, name) for name, found in owners.items() if len(found) == 1)


def main() -> None:
    """Write data/place_names.csv and print what the registry needs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("data"))
    path = parser.parse_args().directory / "place_names.csv"
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([("language", "name"), *collect(LANGUAGES)])
    content = stream.getvalue().encode()
    path.write_bytes(content)
    print(f"{path.name}: size = {len(content)}, sha256 = {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
