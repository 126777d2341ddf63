"""The datasets as readers see them: one card each in data/README.md, one line each in a list."""

import collections
import csv
import io
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlnotes.datasets.fetch import dataset_state, format_size, read_dataset_file
from dlnotes.datasets.registry import DatasetInfo, load_registry

_KINDS = {
    "bundled": "inside scikit-learn",
    "extract": "committed in this folder",
    "generated": "drawn from a seed",
    "download": "fetched on request",
}
_FAULTS = {
    "missing value": "an empty cell, or `?`",
    "impossible value": "a grade above 10, a negative test result, an age above 100, …",
    "inconsistent category": "`CS`, `cs `, `Comp. Sci.` for Computer Science; `Y` for yes",
    "exact duplicate": "the same row once more",
    "near duplicate": "the same student typed by another office: small `s`, other branch name",
}


def overview(
    *,
    directory: str | Path | None = None,
    registry: Mapping[str, DatasetInfo] | None = None,
) -> list[dict[str, Any]]:
    """Return one dictionary for each dataset, in the registry's order.

    Files on this machine are hashed, so a damaged one is told apart from a ready one.

    Args:
        directory: Cache folder in place of `cache_directory()`.
        registry: Registry in place of the course's.

    Returns:
        Dictionaries with the keys name, title, kind, size (bytes of its files, 0 without files),
        licence, source and state: "ready", "not downloaded" or "damaged".

    Example:
        >>> overview()[0]["name"], overview()[0]["state"]
        ('iris', 'ready')
    """
    registry = load_registry() if registry is None else registry
    return [
        {
            "name": info.name,
            "title": info.title,
            "kind": info.kind,
            "size": info.size,
            "licence": info.license,
            "source": info.source,
            "state": dataset_state(info.name, directory=directory, registry=registry),
        }
        for info in registry.values()
    ]


def render_cards(registry: Mapping[str, DatasetInfo] | None = None) -> str:
    """Return the content of data/README.md: a table of all datasets and a card for each.

    Raises:
        DatasetError: If the list of planted faults cannot be read.
    """
    registry = load_registry() if registry is None else registry
    lines = [
        "<!-- Generated from dlnotes/datasets/registry.toml by dlnotes.datasets.render_cards(). "
        "Do not edit. -->",
        "",
        "# Datasets",
        "",
        "What the lessons compute with. Nothing is downloaded unless asked for with",
        "`dlnotes data fetch NAME`; every file is checked by its SHA-256 each time it is read.",
        "",
        "| name | what | where it lives | rows | inputs | size | licence |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    lines += [_table_line(info) for info in registry.values()]
    for info in registry.values():
        lines += ["", *_card(info)]
    return "\n".join(lines) + "\n"


def _table_line(info: DatasetInfo) -> str:
    cells = [
        f"[{info.name}](#{info.name})",
        info.title,
        _KINDS[info.kind],
        _count(info.samples),
        _count(info.features),
        format_size(info.size) if info.files else "–",
        info.license,
    ]
    return "| " + " | ".join(cells) + " |"


def _count(number: int) -> str:
    return f"{number:,}" if number else "as asked"


def _card(info: DatasetInfo) -> list[str]:
    lines = [
        f"## {info.name}",
        "",
        f"**{info.title}.**",
        *textwrap.wrap(info.notes, 110),
        "",
        f"- Task: {info.task}",
        f"- Function: `dlnotes.datasets.{info.loader}`",
        f"- Source: {info.source}",
        f"- Licence: {info.license}",
    ]
    for file in info.files:
        name = f"[{file.name}]({file.url})" if file.url else f"`{file.name}`"
        lines.append(f"- File: {name}, {file.size:,} bytes, SHA-256 `{file.sha256}`")
    if info.name == "placements":
        lines += ["", *_faults()]
    return lines


def _faults() -> list[str]:
    content = read_dataset_file("placements", "placements_faults.csv").decode()
    faults = list(csv.DictReader(io.StringIO(content)))
    counts = collections.Counter((fault["kind"], fault["column"]) for fault in faults)
    lines = [
        f"The table holds {len(faults)} planted faults, at most one in a row. Each is listed in",
        "`placements_faults.csv` with its row (counted from 0, without the header), the student,",
        "the column, the kind, the dirty and the true entry; for a duplicate, the row it copies.",
        "Mending every fault and dropping every duplicate gives `placements_clean.csv` exactly.",
        "",
        "| fault | looks like | column | cells or rows |",
        "|---|---|---|---:|",
    ]
    for kind, looks in _FAULTS.items():
        for (this, column), count in sorted(counts.items()):
            if this == kind:
                lines.append(f"| {kind} | {looks} | {column or 'whole row'} | {count} |")
    lines += [
        "",
        "All of them:",
        "",
        "| row | student | column | kind | dirty | true |",
        "|---:|---|---|---|---|---|",
    ]
    return lines + [_fault_line(fault) for fault in faults]


def _fault_line(fault: Mapping[str, str]) -> str:
    column, dirty, true = fault["column"], fault["dirty"], fault["true"]
    if fault["copy_of"]:
        column, dirty, true = "whole row", f"copy of row {fault['copy_of']}", "no such row"
    else:
        dirty, true = (f"`{entry}`" if entry else "empty" for entry in (dirty, true))
    cells = [fault["row"], fault["student_id"], column, fault["kind"], dirty, true]
    return "| " + " | ".join(cells) + " |"
