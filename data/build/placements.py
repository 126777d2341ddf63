"""Write the placements data: a dirty table, the truth behind it, and the list of its faults.

Run from the repository's root after changing something, then copy the printed sizes and hashes
into dlnotes/datasets/registry.toml and render data/README.md again:

    python data/build/placements.py

Only Python's standard library is used, and of its random numbers only ``random()``, whose sequence
for a seed is the same in every version: the files come out byte for byte the same everywhere.
"""

import argparse
import csv
import hashlib
import io
import random
from pathlib import Path

SEED = 7
NUM_STUDENTS = 400
COLUMNS = (
    "student_id",
    "branch",
    "age",
    "cgpa",
    "aptitude",
    "internships",
    "projects",
    "communication",
    "placed",
)
FAULT_COLUMNS = ("row", "student_id", "column", "kind", "dirty", "true", "copy_of")
BRANCHES = ("Computer Science", "Electronics", "Mechanical", "Civil")
SPELLINGS = {
    "Computer Science": ("CS", "cs ", "Comp. Sci.", "computer science"),
    "Electronics": ("ECE", "ELECTRONICS", "Electronics "),
    "Mechanical": ("Mech", "Mech.", "mechanical"),
    "Civil": ("CIVIL", "civil", " Civil"),
    "yes": ("Yes", "Y", "yes "),
    "no": ("No", "N", "no "),
}
MISSING = {  # column: how each missing cell is written
    "cgpa": ("",) * 5 + ("?",) * 2,
    "aptitude": ("",) * 6,
    "communication": ("",) * 5 + ("?",) * 3,
    "internships": ("",) * 5,
}
IMPOSSIBLE = {"cgpa": 6, "aptitude": 4, "age": 4, "communication": 3}
INCONSISTENT = {"branch": 30, "placed": 12}
NUM_EXACT_COPIES = 8
NUM_NEAR_COPIES = 7

Row = dict[str, str]


def make_students(rng: random.Random) -> list[Row]:
    """Return the true rows. Grades and aptitude decide most, chance the rest."""
    students = []
    for number in range(1, NUM_STUDENTS + 1):
        ability = normal(rng)
        cgpa = clip(7.0 + 0.35 * ability + 0.95 * normal(rng), 4.0, 9.9)
        aptitude = round(clip(100 + 5 * ability + 14 * normal(rng), 60, 145))
        internships = pick(rng, (0, 0, 0, 1, 1, 2, 3))
        projects = pick(rng, (0, 1, 1, 2, 2, 3, 4, 5))
        communication = clip(6.0 + 1.5 * normal(rng), 1.5, 9.9)
        score = (
            1.0 * (cgpa - 7.0)
            + 0.9 * (aptitude - 100) / 15
            + 0.22 * (internships - 1)
            + 0.08 * (communication - 6.0)
            + 0.28 * normal(rng)
        )
        students.append(
            {
                "student_id": f"S{number:03d}",
                "branch": pick(rng, BRANCHES),
                "age": str(pick(rng, (20, 21, 21, 22, 22, 22, 23, 24))),
                "cgpa": f"{cgpa:.2f}",
                "aptitude": str(aptitude),
                "internships": str(internships),
                "projects": str(projects),
                "communication": f"{communication:.1f}",
                "placed": "yes" if score > 0 else "no",
            }
        )
    return students


def plant_faults(students: list[Row], rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Return the dirty rows and the list of faults; no row carries two faults."""
    dirty = [dict(row) for row in students]
    untouched = list(range(len(students)))
    faults = []

    def take() -> int:
        return untouched.pop(int(rng.random() * len(untouched)))

    def spoil(index: int, column: str, kind: str, value: str) -> None:
        true = dirty[index][column]
        dirty[index][column] = value
        faults.append((dirty[index], column, kind, value, true, None))

    for column, tokens in MISSING.items():
        for token in tokens:
            spoil(take(), column, "missing value", token)
    for column, count in IMPOSSIBLE.items():
        for _ in range(count):
            index = take()
            spoil(index, column, "impossible value", impossible(column, dirty[index][column]))
    for column, count in INCONSISTENT.items():
        for _ in range(count):
            index = take()
            spelling = pick(rng, SPELLINGS[dirty[index][column]])
            spoil(index, column, "inconsistent category", spelling)
    copies = []
    for number in range(NUM_EXACT_COPIES + NUM_NEAR_COPIES):
        original = dirty[take()]
        if number < NUM_EXACT_COPIES:
            copy, kind = dict(original), "exact duplicate"
        else:
            copy, kind = rewritten(original, rng), "near duplicate"
        copies.append((original, copy))
        faults.append((copy, "", kind, "", "", original))
    for original, copy in copies:
        first = position(dirty, original) + 1
        dirty.insert(first + int(rng.random() * (len(dirty) - first + 1)), copy)
    return dirty, sorted(
        (fault_row(dirty, *fault) for fault in faults), key=lambda f: int(f["row"])
    )


def impossible(column: str, true: str) -> str:
    """Return a value outside the column's range that betrays how it came about."""
    if column == "aptitude":
        return f"-{true}"
    value = float(true) * 10  # a lost decimal point, or a digit typed twice
    return f"{value:.1f}" if column == "cgpa" else f"{value:.0f}"


def rewritten(row: Row, rng: random.Random) -> Row:
    """Return the same student as another office would have typed it."""
    return row | {
        "student_id": row["student_id"].lower(),
        "branch": pick(rng, SPELLINGS[row["branch"]]),
        "cgpa": row["cgpa"] + "0",
    }


def fault_row(
    dirty: list[Row],
    row: Row,
    column: str,
    kind: str,
    value: str,
    true: str,
    original: Row | None,
) -> Row:
    """Return a line of the list of faults."""
    return {
        "row": str(position(dirty, row)),
        "student_id": row["student_id"].upper(),
        "column": column,
        "kind": kind,
        "dirty": value,
        "true": true,
        "copy_of": "" if original is None else str(position(dirty, original)),
    }


def position(rows: list[Row], row: Row) -> int:
    """Return where this very row stands; an exact copy elsewhere does not count."""
    return next(index for index, other in enumerate(rows) if other is row)


def normal(rng: random.Random) -> float:
    """Return a number with mean 0 and variance 1, nearly normal: twelve uniform ones, less six."""
    total = 0.0
    for _ in range(12):  # not sum(): its rounding differs between versions of Python
        total += rng.random()
    return total - 6.0


def pick(rng: random.Random, choices: tuple) -> object:
    """Return one of `choices`."""
    return choices[int(rng.random() * len(choices))]


def clip(value: float, low: float, high: float) -> float:
    """Return `value` moved into the range."""
    return min(max(value, low), high)


def to_csv(rows: list[Row], columns: tuple[str, ...]) -> bytes:
    """Return the rows as CSV with Unix line ends."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def build() -> dict[str, bytes]:
    """Return the three files' contents by name."""
    rng = random.Random(SEED)
    students = make_students(rng)
    dirty, faults = plant_faults(students, rng)
    return {
        "placements.csv": to_csv(dirty, COLUMNS),
        "placements_clean.csv": to_csv(students, COLUMNS),
        "placements_faults.csv": to_csv(faults, FAULT_COLUMNS),
    }


def main() -> None:
    """Write the files and print what the registry must say about them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(__file__).resolve().parents[1],
        help="folder to write to; by default the project's data folder",
    )
    directory = parser.parse_args().directory
    for name, content in build().items():
        (directory / name).write_bytes(content)
        print(f'name = "{name}"')
        print(f"size = {len(content)}")
        print(f'sha256 = "{hashlib.sha256(content).hexdigest()}"')


if __name__ == "__main__":
    main()
