import json

import pytest

from dlnotes.course import stored


def cell(*outputs, source="x", tags=(), kind="code"):
    return {
        "cell_type": kind,
        "source": source,
        "metadata": {"tags": list(tags)},
        "outputs": list(outputs),
    }


TEXT = {"output_type": "stream", "name": "stdout", "text": "hi"}
RESULT = {"output_type": "execute_result", "data": {"text/plain": ["1"]}, "metadata": {}}
ONLY_IMAGE = {"output_type": "display_data", "data": {"image/png": "…"}, "metadata": {}}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}


@pytest.mark.parametrize(
    ("cells", "strict", "with_output"),
    [
        ([], 0, 0),
        ([cell()], 0, 0),
        ([cell(TEXT), cell(RESULT), cell(ERROR)], 3, 3),
        ([cell(TEXT, RESULT)], 1, 1),
        ([cell(ONLY_IMAGE)], 0, 1),
        ([cell(ONLY_IMAGE, TEXT)], 1, 1),
        ([cell(TEXT, tags=["nbval-ignore-output"])], 0, 1),
        ([cell(TEXT, tags=["nbval-skip"])], 0, 1),
        ([cell(TEXT, tags=["raises-exception"])], 1, 1),
        ([cell(TEXT, source=["x\n", "  # NBVAL_IGNORE_OUTPUT\n"])], 0, 1),
        ([cell(TEXT, source="NBVAL_IGNORE_OUTPUT")], 1, 1),
        ([cell(TEXT, kind="markdown")], 0, 0),
    ],
)
def test_counts(cells, strict, with_output):
    notebook = {"cells": cells}
    assert stored.strict_cells(notebook) == strict
    assert stored.output_cells(notebook) == with_output


def test_decisions_come_from_the_outputs_metadata():
    records = [
        {"kind": "claim", "id": "C013", "verdict": "depends"},
        {"kind": "within", "name": "accuracy", "values": [1.0], "low": 0, "high": 1},
    ]
    output = RESULT | {"metadata": {"dlnotes": records}}
    assert stored.decisions({"cells": [cell(TEXT, output), cell(RESULT)]}) == {"C013": "depends"}


def test_read(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": []}), encoding="utf-8")
    assert stored.read(path) == stored.read(str(path)) == {"cells": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "a.ipynb is not a notebook: Expecting value"),
        (b"\xff\xfe", "a.ipynb is not a notebook: 'utf-8' codec"),
        (b"[]", "a.ipynb is not a notebook: it has no list of cells"),
        (b'{"cells": 3}', "a.ipynb is not a notebook: it has no list of cells"),
    ],
)
def test_read_refuses_other_files(tmp_path, content, message):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        stored.read(path)
