"""Mirror cells: the code that a lesson shows is the code that the package runs.

A cell tagged ``{"dlnotes": {"mirrors": "dlnotes.scratch.perceptron:Perceptron"}}`` must define the
same class or function as the package, docstrings and annotations aside. Both are only parsed,
never imported.
"""

import ast
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlnotes.validation import received

_PACKAGE = Path(__file__).resolve().parent.parent
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def mirrors_in(notebook: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Return position, source and target of each mirror cell of a notebook, in order.

    Args:
        notebook: A notebook as nbformat reads it.

    Example:
        >>> cell = {"cell_type": "code", "source": "def f(): ...",
        ...         "metadata": {"dlnotes": {"mirrors": "dlnotes.runtime:full"}}}
        >>> mirrors_in({"cells": [cell]})
        [(0, 'def f(): ...', 'dlnotes.runtime:full')]
    """
    found = []
    for index, cell in enumerate(notebook["cells"]):
        target = cell.get("metadata", {}).get("dlnotes", {}).get("mirrors")
        if target is not None:
            found.append((index, cell["source"], target))
    return found


def check_mirror(cell_source: str, target: str) -> str | None:
    """Compare a cell's definition with the package's; return what differs, or None.

    Args:
        cell_source: The cell's code. It may hold other statements beside the definition.
        target: ``"dlnotes.module:Name"``, a class or function at that module's top level.

    Returns:
        None if both definitions are equal as syntax trees (decorators and defaults included;
        docstrings, annotations, comments and layout aside), otherwise a sentence for the author.

    Raises:
        TypeError: If `cell_source` is not a text.
        ValueError: If `target` is not of the form above.

    Example:
        >>> check_mirror("def full(): return True", "dlnotes.runtime:full").splitlines()[0]
        'the cell differs from dlnotes.runtime:full in its line 2:'
    """
    if not isinstance(cell_source, str):
        raise TypeError(f"`cell_source` must be a text. {received(cell_source=cell_source)}")
    module, name = _split(target)
    path = _PACKAGE.parent.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return f"the module {module} does not exist"
    theirs = _definitions(ast.parse(path.read_text(encoding="utf-8")), name)
    if not theirs:
        return f"{module} defines no class or function {name!r}"
    try:
        ours = _definitions(ast.parse(cell_source), name)
    except SyntaxError as error:
        return f"the cell is not valid Python: {error.msg} (line {error.lineno})"
    if len(ours) != 1:
        return f"the cell must define {name!r} once; it does so {len(ours)} times"
    return _difference(ours[0], theirs[-1], target)


def _split(target: Any) -> tuple[str, str]:
    module, _, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    parts = module.split(".")
    if parts[0] != "dlnotes" or not all(part.isidentifier() for part in (*parts, name)):
        raise ValueError(
            f'`target` must look like "dlnotes.module:Name". {received(target=target)}'
        )
    return module, name


def _definitions(tree: ast.Module, name: str) -> list[_Definition]:
    return [node for node in tree.body if isinstance(node, _Definition) and node.name == name]


def _difference(ours: _Definition, theirs: _Definition, target: str) -> str | None:
    pairs = itertools.zip_longest(_lines(ours), _lines(theirs))
    for number, (cell_line, package_line) in enumerate(pairs, start=1):
        if cell_line != package_line:
            return (
                f"the cell differs from {target} in its line {number}:\n"
                f"  cell:    {_shown(cell_line)}\n  package: {_shown(package_line)}"
            )
    return None


def _lines(definition: _Definition) -> list[str]:
    """Return the definition's code in one layout, without docstrings and annotations."""
    for node in ast.walk(definition):
        if isinstance(node, _Definition) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    return ast.unparse(definition).splitlines()


def _shown(line: str | None) -> str:
    return "(ends here)" if line is None else line.strip()
