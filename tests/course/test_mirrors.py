"""Mirror cells against package code; the code compared with is validation.py's own."""

import ast
import inspect
import re

import pytest

from dlnotes import validation
from dlnotes.course import mirrors

TARGET = "dlnotes.validation:check_same_length"
SOURCE = inspect.getsource(validation.check_same_length)


def code_cell(source, **notes):
    return {"cell_type": "code", "source": source, "metadata": {"dlnotes": notes}}


def test_mirrors_are_found_in_order():
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": "text", "metadata": {}},
            code_cell("a", mirrors="dlnotes.a:A"),
            code_cell("b", role="setup"),
            code_cell("c", mirrors="dlnotes.c:C"),
        ]
    }
    assert mirrors.mirrors_in(notebook) == [(1, "a", "dlnotes.a:A"), (3, "c", "dlnotes.c:C")]


def test_the_same_code_is_a_mirror():
    assert mirrors.check_mirror(SOURCE, TARGET) is None


def test_docstring_comments_layout_and_other_statements_do_not_count():
    (function,) = ast.parse(SOURCE).body
    without_docstring = "\n".join(
        line
        for number, line in enumerate(SOURCE.splitlines(), start=1)
        if not function.body[0].lineno <= number <= function.body[0].end_lineno
    )
    source = f"x = 1\n\n\n{without_docstring}\n\n# and now\ncheck_same_length(a=[1])"
    assert '"""' not in source
    assert mirrors.check_mirror(source, TARGET) is None


def test_a_class_is_compared_with_its_decorators_and_methods():
    from dlnotes.course import lessons

    target, source = "dlnotes.course.lessons:Part", inspect.getsource(lessons.Part)
    assert mirrors.check_mirror(source, target) is None
    bare = source.replace("@dataclasses.dataclass(frozen=True)\n", "")
    assert bare != source
    assert mirrors.check_mirror(bare, target) == (
        f"the cell differs from {target} in its line 1:\n"
        "  cell:    class Part:\n"
        "  package: @dataclasses.dataclass(frozen=True)"
    )


@pytest.mark.parametrize(
    ("old", "new", "cell_line", "package_line"),
    [
        (
            "> 1:",
            "> 2:",
            "if len(set(lengths.values())) > 2:",
            "if len(set(lengths.values())) > 1:",
        ),
        ("raise ValueError", "raise TypeError", "raise TypeError", "raise ValueError"),
        (SOURCE[SOURCE.index("        names =") :], "        pass\n", "pass", "names = "),
    ],
)
def test_the_first_differing_line_is_shown_from_both_sides(old, new, cell_line, package_line):
    assert old in SOURCE
    _, cell, package = mirrors.check_mirror(SOURCE.replace(old, new), TARGET).splitlines()
    assert cell_line in cell
    assert package_line in package


def test_annotations_are_left_to_the_package():
    assert ": Any) -> None:" in SOURCE
    assert mirrors.check_mirror(SOURCE.replace(": Any) -> None:", "):"), TARGET) is None


def test_a_longer_cell_is_seen():
    message = mirrors.check_mirror(SOURCE + "    return None\n", TARGET)
    assert message.endswith("cell:    return None\n  package: (ends here)")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (SOURCE, "dlnotes.no_such:f", "the module dlnotes.no_such does not exist"),
        (SOURCE, "dlnotes.validation:nothing", "defines no class or function 'nothing'"),
        ("def f(:", TARGET, "the cell is not valid Python: invalid syntax"),
        ("x = 1", TARGET, "must define 'check_same_length' once; it does so 0 times"),
        (SOURCE * 2, TARGET, "it does so 2 times"),
    ],
)
def test_what_makes_no_mirror_is_said(source, target, message):
    assert message in mirrors.check_mirror(source, target)


@pytest.mark.parametrize(
    "target", ["", "dlnotes.validation", "numpy:dot", "dlnotes.a:b.c", 3, None]
)
def test_a_malformed_target_is_refused(target):
    message = f'`target` must look like "dlnotes.module:Name". Received: target={target!r}'
    with pytest.raises(ValueError, match=re.escape(message)):
        mirrors.check_mirror(SOURCE, target)


def test_a_source_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match=r"`cell_source` must be a text\. Received: cell_source=3"):
        mirrors.check_mirror(3, TARGET)
