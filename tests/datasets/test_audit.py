import dataclasses

import numpy as np
import pandas as pd
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.datasets import CleaningAudit, audit_cleaning, load_placements


@pytest.fixture(scope="module")
def data():
    return load_placements()


@pytest.fixture
def perfect(data):
    """The dirty table with every fault mended by reading the answer, missing cells marked."""
    table = data.table.astype(object)
    for fault in data.faults.itertuples():
        if fault.column:
            value = np.nan if fault.kind == "missing value" else fault.true
            table.loc[fault.row, fault.column] = value
    return table.drop(index=data.faults.loc[data.faults["column"] == "", "row"])


def row_of(data, kind, column=None):
    faults = data.faults[data.faults["kind"] == kind]
    if column:
        faults = faults[faults["column"] == column]
    return int(faults["row"].iloc[0])


def test_docstrings():
    check_docstring(CleaningAudit)
    check_docstring(audit_cleaning)


def test_a_perfect_cleaning_passes(data, perfect):
    audit = audit_cleaning(data, perfect)
    assert audit.passed
    assert audit.found == audit.planted == data.faults["kind"].value_counts().to_dict()
    assert sum(audit.planted.values()) == 100
    assert "inconsistent category  42 of 42" in str(audit)
    assert str(audit).endswith("cells spoiled: 0, rows lost: 0")


def test_doing_nothing_finds_only_what_pandas_reads_as_missing(data):
    audit = audit_cleaning(data, data.table)
    empty = data.faults["kind"].eq("missing value") & data.faults["dirty"].eq("")
    assert audit.found == dict.fromkeys(audit.planted, 0) | {"missing value": empty.sum()}
    assert len(audit.missed) == 100 - empty.sum()
    assert not audit.spoiled
    assert not audit.lost
    assert not audit.passed


def test_each_kind_left_alone_is_missed(data, perfect):
    for kind in ("missing value", "impossible value", "inconsistent category"):
        row = row_of(data, kind)
        column = data.faults.loc[data.faults["row"] == row, "column"].item()
        spoilt = perfect.copy()
        # an unreadable "?" must not pass as marked
        spoilt.loc[row, column] = "?" if kind == "missing value" else data.table.loc[row, column]
        audit = audit_cleaning(data, spoilt)
        assert audit.missed == ((row, column),)
        assert audit.found[kind] == audit.planted[kind] - 1
        assert not audit.spoiled
        assert not audit.passed


def test_a_guess_in_place_of_a_missing_value_is_no_find(data, perfect):
    row = row_of(data, "missing value", "cgpa")
    perfect.loc[row, "cgpa"] = 6.9
    assert audit_cleaning(data, perfect).missed == ((row, "cgpa"),)


def test_an_impossible_value_may_be_marked_as_missing_but_not_mended_wrongly(data, perfect):
    row = row_of(data, "impossible value", "aptitude")
    perfect.loc[row, "aptitude"] = np.nan
    assert audit_cleaning(data, perfect).passed
    perfect.loc[row, "aptitude"] = 0
    assert audit_cleaning(data, perfect).missed == ((row, "aptitude"),)


def test_copies_that_stay_are_missed(data, perfect):
    for kind in ("exact duplicate", "near duplicate"):
        row = row_of(data, kind)
        audit = audit_cleaning(data, pd.concat([perfect, data.table.loc[[row]]]))
        assert audit.missed == ((row, ""),)
        assert audit.found[kind] == audit.planted[kind] - 1


def test_dropping_the_original_in_place_of_the_copy_loses_a_row(data, perfect):
    copies = data.faults[data.faults["kind"] == "exact duplicate"]
    row, original = int(copies["row"].iloc[0]), int(copies["copy_of"].iloc[0])
    audit = audit_cleaning(data, pd.concat([perfect.drop(index=original), data.table.loc[[row]]]))
    assert audit.lost == (original,)
    assert audit.missed == ((row, ""),)


@pytest.mark.parametrize(("column", "value"), [("cgpa", 6.37), ("cgpa", np.nan), ("branch", "CS")])
def test_a_changed_right_cell_is_spoiled(data, perfect, column, value):
    assert 0 not in set(data.faults["row"])
    perfect.loc[0, column] = value
    audit = audit_cleaning(data, perfect)
    assert audit.spoiled == ((0, column),)
    assert not audit.missed
    assert not audit.passed
    assert "cells spoiled: 1" in str(audit)


def test_a_lost_row_counts_once(data, perfect):
    row = row_of(data, "impossible value")
    audit = audit_cleaning(data, perfect.drop(index=[0, row]))
    assert audit.lost == (0, row)
    assert audit.found["impossible value"] == audit.planted["impossible value"] - 1
    assert not audit.missed
    assert not audit.spoiled
    assert not audit.passed


def test_order_of_rows_and_columns_is_free(data, perfect):
    assert audit_cleaning(data, perfect.iloc[::-1, ::-1]).passed


def test_the_tables_are_left_as_they_were(data, perfect):
    before = [frame.copy() for frame in (data.table, data.clean, perfect)]
    audit_cleaning(data, perfect)
    for frame, copy in zip((data.table, data.clean, perfect), before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


def test_refusals(data):
    table = data.table
    check_refusals(
        audit_cleaning,
        [
            Refusal((table, table), {}, TypeError, "`data` must be a TableData"),
            Refusal((data, table.to_numpy()), {}, TypeError, "`cleaned` must be a DataFrame"),
            Refusal((data, table[["cgpa"]]), {}, ValueError, "`cleaned` must have the columns"),
            Refusal((data, table.set_axis(table.index + 9)), {}, ValueError, "keep the table's"),
            Refusal((data, pd.concat([table, table])), {}, ValueError, "each row at most once"),
        ],
    )


def test_an_audit_cannot_be_changed(data):
    with pytest.raises(dataclasses.FrozenInstanceError):
        audit_cleaning(data, data.table).lost = ()
