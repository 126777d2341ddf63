"""What the stored lesson notebooks say, read with the standard library alone."""

import json
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]

_IGNORE_MARKS = {"nbval-ignore-output", "pytest-validate-ignore-output", "nbval-skip"}


def read(path: str | Path) -> Notebook:
    """Read a notebook file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a notebook; the message names the file.
    """
    path = Path(path)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path.name} is not a notebook: {error}") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError(f"{path.name} is not a notebook: it has no list of cells")
    return notebook


def output_cells(notebook: Notebook) -> int:
    """Return the number of code cells that have an output."""
    return sum(bool(cell.get("outputs")) for cell in _code_cells(notebook))


def strict_cells(notebook: Notebook) -> int:
    """Return the number of code cells whose output the notebook test compares as text."""
    return sum(
        not _is_ignored(cell) and any(map(_is_text, cell.get("outputs", [])))
        for cell in _code_cells(notebook)
    )


def decisions(notebook: Notebook) -> dict[str, str]:
    """Return the claims that the notebook's outputs decide, id to verdict."""
    return {
        record["id"]: record["verdict"]
        for cell in _code_cells(notebook)
        for output in cell.get("outputs", [])
        for record in output.get("metadata", {}).get("dlnotes", [])
        if record.get("kind") == "claim"
    }


def _code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]


def _is_text(output: dict[str, Any]) -> bool:
    return output.get("output_type") in ("stream", "error") or "text/plain" in output.get(
        "data", {}
    )


def _is_ignored(cell: dict[str, Any]) -> bool:
    tags = set(cell.get("metadata", {}).get("tags", []))
    source = "".join(cell.get("source", ""))
    comments = {
        line.strip().lstrip("#").strip().lower().replace("_", "-")
        for line in source.splitlines()
        if line.strip().startswith("#")
    }
    return bool(_IGNORE_MARKS & (tags | comments))
