"""Judging a cleaning: which planted faults it found, and what it spoiled."""

import dataclasses
from typing import TYPE_CHECKING

from dlnotes.datasets.types import TableData
from dlnotes.validation import received

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[int, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleaningAudit:
    """What a cleaning did to a table whose faults are known.

    Rows are numbers of rows of the table as it arrived.

    Attributes:
        found: For each kind of fault, how many were found.
        planted: For each kind of fault, how many there are.
        missed: Cells (row, column) of faults that are still there; a copy that stayed has the
            column ``""``.
        spoiled: Cells (row, column) that were right before the cleaning and are not now.
        lost: Rows that are gone and were no copies.
    """

    found: dict[str, int]
    planted: dict[str, int]
    missed: tuple[Cell, ...]
    spoiled: tuple[Cell, ...]
    lost: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether every fault was found and nothing else was changed."""
        return not (self.missed or self.spoiled or self.lost)

    def __str__(self) -> str:
        """Return the audit as lines of text."""
        width = max(len(kind) for kind in self.planted)
        lines = [f"{k.ljust(width)}  {self.found[k]:2} of {n:2}" for k, n in self.planted.items()]
        lines.append(f"cells spoiled: {len(self.spoiled)}, rows lost: {len(self.lost)}")
        return "\n".join(lines)


def audit_cleaning(data: TableData, cleaned: "pd.DataFrame") -> CleaningAudit:
    """Compare a cleaned table with the truth, fault by fault and cell by cell.

    A copy counts as found if its row is gone, a missing value if its cell is marked as missing
    (nobody can know what stood there), every other fault if its cell holds the truth or is marked
    as missing. A cell without a fault must hold the truth.

    Args:
        data: The table as it arrived, with the truth and the list of its faults.
        cleaned: The table to judge: same columns; its index tells which row of `data.table` each
            row was, as pandas keeps it when rows are dropped.

    Returns:
        The audit; `CleaningAudit.passed` says whether the cleaning was perfect.

    Raises:
        TypeError: If `data` is not a `TableData` or `cleaned` is not a DataFrame.
        ValueError: If columns differ, or the index repeats or names rows that do not exist.

    Example:
        >>> from dlnotes.datasets import load_placements
        >>> data = load_placements()
        >>> audit = audit_cleaning(data, data.table.drop_duplicates())
        >>> audit.found["exact duplicate"], audit.found["near duplicate"], audit.passed
        (8, 0, False)
    """
    truth = _aligned_truth(data)
    _check_cleaned(data, cleaned)
    missing, right = _states(cleaned, truth)
    kept = set(cleaned.index)
    planted = {str(kind): int(n) for kind, n in data.faults["kind"].value_counts().items()}
    found = dict.fromkeys(planted, 0)
    missed, faulty = [], set()
    for row, column, kind in zip(
        data.faults["row"], data.faults["column"], data.faults["kind"], strict=True
    ):
        faulty.add((row, column))
        if column == "":
            solved = row not in kept
        elif row not in kept:
            continue  # a lost row, and counted as such
        elif kind == "missing value":
            solved = missing.at[row, column]
        else:
            solved = missing.at[row, column] or right.at[row, column]
        found[kind] += bool(solved)
        if not solved:
            missed.append((int(row), column))
    spoiled = [
        (int(row), column)
        for column in truth.columns
        for row in right.index[~right[column]]
        if (row, column) not in faulty
    ]
    return CleaningAudit(
        found=found,
        planted=planted,
        missed=tuple(missed),
        spoiled=tuple(sorted(spoiled)),
        lost=tuple(int(row) for row in truth.index if row not in kept),
    )


def _aligned_truth(data: TableData) -> "pd.DataFrame":
    """Return the true rows under the row numbers of the dirty table; copies have none."""
    if not isinstance(data, TableData):
        raise TypeError(f"`data` must be a TableData. {received(data=data)}")
    copies = data.faults.loc[data.faults["column"] == "", "row"]
    return data.clean.set_axis(data.table.index.difference(copies), axis=0)


def _check_cleaned(data: TableData, cleaned: "pd.DataFrame") -> None:
    import pandas as pd

    if not isinstance(cleaned, pd.DataFrame):
        raise TypeError(f"`cleaned` must be a DataFrame. {received(cleaned=cleaned)}")
    if set(cleaned.columns) != set(data.clean.columns):
        raise ValueError(
            f"`cleaned` must have the columns {list(data.clean.columns)}. "
            f"Received: cleaned.columns={list(cleaned.columns)}"
        )
    if not cleaned.index.is_unique or not cleaned.index.isin(data.table.index).all():
        raise ValueError(
            "`cleaned` must keep the table's own index, each row at most once. "
            f"Received: cleaned.index={list(cleaned.index[:5])}…"
        )


def _states(cleaned: "pd.DataFrame", truth: "pd.DataFrame"):
    """Return for each true row that was kept which cells are missing, and which are right."""
    import pandas as pd

    truth = truth.loc[truth.index.intersection(cleaned.index)]
    cells = cleaned.loc[truth.index, truth.columns]
    right = pd.DataFrame(index=truth.index, columns=truth.columns, dtype=bool)
    for column in truth.columns:
        values = cells[column]
        if pd.api.types.is_numeric_dtype(truth[column]):
            values = pd.to_numeric(values, errors="coerce")
            right[column] = (values - truth[column]).abs() < 1e-9
        else:
            right[column] = (values == truth[column]).fillna(False).astype(bool)
    return cells.isna(), right
