import ast
from pathlib import Path

import pytest

from dlnotes import training
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras  # noqa: F401


def test_every_public_name_is_there_and_comes_from_the_module_that_the_table_names():
    for module, names in training.WITH_KERAS.items():
        for name in names:
            assert getattr(training, name).__module__ == f"dlnotes.training.{module}"
    for name in training.__all__:
        assert getattr(training, name).__name__ == name


def test_the_table_and_the_imports_for_type_checkers_name_the_same():
    tree = ast.parse(Path(training.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = {
        node.module.removeprefix("dlnotes.training."): tuple(alias.name for alias in node.names)
        for node in block.body
    }
    assert imports == training.WITH_KERAS


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'dlnotes.training' has no attribute 'cosine_decay'"):
        _ = training.cosine_decay
