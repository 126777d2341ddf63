import csv
import importlib.util
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from dlnotes import datasets
from dlnotes.datasets import read_dataset_file
from dlnotes.runtime import repository_root

NAMES = ("placements.csv", "placements_clean.csv", "placements_faults.csv")
RANGES = {
    "age": (18, 30),
    "cgpa": (0, 10),
    "aptitude": (0, 200),
    "internships": (0, 10),
    "projects": (0, 10),
    "communication": (1, 10),
}
CATEGORIES = {
    "branch": {"Computer Science", "Electronics", "Mechanical", "Civil"},
    "placed": {"yes", "no"},
}


def rows(name):
    return list(csv.DictReader(io.StringIO(read_dataset_file("placements", name).decode())))


@pytest.mark.skipif(repository_root() is None, reason="the script is not part of the wheel")
def test_script_writes_the_committed_files(tmp_path):
    script = repository_root() / "data" / "build" / "placements.py"
    command = [sys.executable, str(script), "--directory", str(tmp_path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (repository_root() / "data" / name).read_bytes()
        assert datasets.dataset_info("placements").file(name).sha256 in output


@pytest.mark.skipif(repository_root() is None, reason="the script is not part of the wheel")
def test_another_seed_gives_other_files():
    script = repository_root() / "data" / "build" / "placements.py"
    spec = importlib.util.spec_from_file_location("placements_build", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.SEED += 1
    changed = module.build()
    assert all(changed[name] != read_dataset_file("placements", name) for name in NAMES)


def test_mending_every_fault_gives_the_truth_and_nothing_else_differs():
    dirty = rows("placements.csv")
    dropped = set()
    for fault in rows("placements_faults.csv"):
        index = int(fault["row"])
        if fault["column"]:
            assert dirty[index][fault["column"]] == fault["dirty"] != fault["true"]
            dirty[index][fault["column"]] = fault["true"]
        else:
            dropped.add(index)
    mended = [row for index, row in enumerate(dirty) if index not in dropped]
    assert mended == rows("placements_clean.csv")


def find_faults(dirty):
    """Find faults with rules that a reader of the table could think of."""
    found = {}
    first = {}
    for index, row in enumerate(dirty):
        student = row["student_id"].strip().upper()
        if student in first:
            exact = row == dirty[first[student]]
            found[index, ""] = "exact duplicate" if exact else "near duplicate"
            continue
        first[student] = index
        for column, (low, high) in RANGES.items():
            if row[column] in ("", "?"):
                found[index, column] = "missing value"
            elif not low <= float(row[column]) <= high:
                found[index, column] = "impossible value"
        for column, allowed in CATEGORIES.items():
            if row[column] not in allowed:
                found[index, column] = "inconsistent category"
    return found


def test_faults_are_exactly_those_found_by_looking():
    faults = rows("placements_faults.csv")
    listed = {(int(f["row"]), f["column"]): f["kind"] for f in faults}
    assert len(listed) == len(faults)
    assert find_faults(rows("placements.csv")) == listed
    assert find_faults(rows("placements_clean.csv")) == {}


def test_near_duplicates_are_the_same_student():
    dirty = rows("placements.csv")
    near = [f for f in rows("placements_faults.csv") if f["kind"] == "near duplicate"]
    assert len(near) == 7
    for fault in near:
        copy, original = dirty[int(fault["row"])], dirty[int(fault["copy_of"])]
        assert copy != original
        assert copy["student_id"].upper() == original["student_id"] == fault["student_id"]
        assert copy["placed"] == original["placed"]
        for column in RANGES:
            assert float(copy[column]) == float(original[column])


def test_every_kind_is_there_often_enough_to_teach():
    kinds = pd.Series([f["kind"] for f in rows("placements_faults.csv")]).value_counts()
    assert kinds.to_dict() == {
        "inconsistent category": 42,
        "missing value": 26,
        "impossible value": 17,
        "exact duplicate": 8,
        "near duplicate": 7,
    }


def test_a_line_does_well_but_not_perfectly():
    data = datasets.load_placements_xy()
    x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)
    assert 0.45 <= data.y.mean() <= 0.55
    assert 0.85 <= LogisticRegression().fit(x, data.y).score(x, data.y) <= 0.92
    for column in range(2):  # and it needs both columns
        alone = x[:, [column]]
        assert LogisticRegression().fit(alone, data.y).score(alone, data.y) < 0.8


def test_frames():
    data = datasets.load_placements()
    assert data.table.shape == (415, 9)
    assert not pd.api.types.is_numeric_dtype(data.table["cgpa"])  # "?" makes it text
    assert data.clean.isna().sum().sum() == 0
    assert pd.api.types.is_numeric_dtype(data.clean["cgpa"])
    assert set(data.units) == set(RANGES)
    fault = data.faults[data.faults["kind"] == "impossible value"].iloc[0]
    assert float(data.table.loc[fault["row"], fault["column"]]) == float(fault["dirty"])
    copies = data.faults.dropna(subset="copy_of")
    assert len(copies) == 15
    np.testing.assert_array_less(copies["copy_of"].astype(int), copies["row"])


def test_clean_table_and_spoiling_a_frame():
    data = datasets.load_placements(clean=True)
    pd.testing.assert_frame_equal(data.table, data.clean)
    data.table.loc[0, "cgpa"] = -1
    assert data.clean.loc[0, "cgpa"] != -1
    assert datasets.load_placements(clean=True).table.loc[0, "cgpa"] != -1
