"""Who may import whom, what an import costs, and what must carry a docstring."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import dlnotes

PACKAGE = Path(dlnotes.__file__).resolve().parent
LEVEL_0 = {"validation", "reporting", "runtime", "processes"}
TO_LEVEL_4 = {
    "scratch",
    "datasets",
    "plotting",
    "layers",
    "models",
    "training",
    "explain",
    "tuning",
    "serving",
}
COMMAND = {"course", "cli"}
GUARDED = {"tensorflow", "keras", "keras_tuner", "matplotlib", "pandas", "sklearn", "IPython"}


@dataclass(frozen=True)
class Rule:
    """What one part of the package may import.

    `parts`: other parts of dlnotes. `libraries`: third-party packages anywhere in the file.
    `lazy`: third-party packages inside functions only. With `open` set, every library that is not
    in GUARDED is allowed too.
    """

    parts: frozenset[str]
    libraries: frozenset[str] = frozenset()
    lazy: frozenset[str] = frozenset()
    open: bool = False


def rule(parts, libraries="", lazy="", *, open_to_others=False):
    return Rule(
        frozenset(parts), frozenset(libraries.split()), frozenset(lazy.split()), open_to_others
    )


RULES = {
    "__init__": rule(()),
    "validation": rule(LEVEL_0, "numpy"),
    "reporting": rule(LEVEL_0, "numpy", "IPython"),
    "processes": rule(LEVEL_0),
    "runtime": rule(LEVEL_0, "numpy", "keras IPython"),
    "scratch": rule(LEVEL_0, "numpy"),
    "datasets": rule(LEVEL_0, "numpy pandas sklearn", open_to_others=True),
    "plotting": rule(LEVEL_0, "numpy matplotlib", "sklearn"),
    "layers": rule(LEVEL_0, "keras"),
    "models": rule(LEVEL_0 | {"layers"}, "keras"),
    "training": rule(LEVEL_0 | {"layers"}, "keras numpy", "IPython sklearn tensorflow"),
    "explain": rule(LEVEL_0 | {"layers"}, "keras numpy", "tensorflow"),
    "tuning": rule(
        LEVEL_0 | {"models", "training"},
        "keras keras_tuner numpy",
        "pandas sklearn",
        open_to_others=True,
    ),
    # datasets for its vocabulary: text becomes ids in one place, for training and for serving
    "serving": rule(
        LEVEL_0 | {"layers", "datasets"}, "numpy", "keras tensorflow", open_to_others=True
    ),
    "exercises": rule(LEVEL_0 | TO_LEVEL_4, "numpy", "keras pandas sklearn matplotlib IPython"),
    "course": rule(
        LEVEL_0 | TO_LEVEL_4 | COMMAND | {"exercises"},
        "numpy",
        "tensorflow keras IPython matplotlib pandas",
        open_to_others=True,
    ),
    "cli": rule(LEVEL_0 | TO_LEVEL_4 | COMMAND | {"exercises"}, open_to_others=True),
}
EXCEPTIONS = {
    ("datasets", "pipelines"): frozenset({"tensorflow"}),
    ("serving", "exporting"): frozenset({"keras"}),
}


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    lazy: bool


def imports_of(source: str, package: str) -> list[Import]:
    """All imports of a module in `package`: statements anywhere, and importlib with a text."""
    found = []

    def visit(node: ast.AST, lazy: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inner = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, child.lineno, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parents = package.split(".")
                    parents = parents[: len(parents) - child.level + 1]
                    base = ".".join([*parents, *([base] if base else [])])
                if base == "dlnotes" or not base:  # from dlnotes import course
                    modules = [f"{base}.{alias.name}" for alias in child.names]
                else:
                    modules = [base]
                found.extend(Import(module, child.lineno, lazy) for module in modules)
            elif isinstance(child, ast.Call):
                name = ast.unparse(child.func)
                by_name = name in {"__import__", "import_module", "importlib.import_module"}
                if by_name and child.args and isinstance(child.args[0], ast.Constant):
                    found.append(Import(str(child.args[0].value), child.lineno, lazy))
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue  # never run
            visit(child, inner)

    visit(ast.parse(source), False)
    return found


def violations(path: Path, root: Path) -> list[str]:
    """Breaches of RULES in one module, as "file:line: what"."""
    relative = path.relative_to(root)
    part = relative.parts[0].removesuffix(".py")
    if part not in RULES:
        return [f"{relative}: no rule for `{part}`"]
    allowed = RULES[part]
    exceptions = EXCEPTIONS.get((part, path.stem), frozenset())
    package = ".".join(["dlnotes", *relative.parts[:-1]])
    breaches = []
    for item in imports_of(path.read_text(encoding="utf-8"), package):
        top, _, rest = item.module.partition(".")
        where = f"{relative}:{item.line}"
        if top == "dlnotes":
            target = rest.partition(".")[0]
            if target and target in RULES and target not in allowed.parts | {part}:
                breaches.append(f"{where}: {part} must not import dlnotes.{target}")
        elif top not in sys.stdlib_module_names:
            libraries = allowed.libraries | exceptions
            if top in libraries or (top in allowed.lazy and item.lazy):
                continue
            if allowed.open and top not in GUARDED:
                continue
            when = "at its top" if top in allowed.lazy else "at all"
            breaches.append(f"{where}: {part} must not import {top} {when}")
    return breaches


def test_imports_keep_to_the_table():
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 20
    breaches = [breach for path in modules for breach in violations(path, PACKAGE)]
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("scratch/a.py", "import keras", "scratch must not import keras at all"),
        (
            "scratch/a.py",
            "def f():\n    import tensorflow as tf",
            "a.py:2: scratch must not import",
        ),
        ("scratch/a.py", "import scipy", "scratch must not import scipy"),
        ("scratch/a.py", "from dlnotes.plotting import line", "must not import dlnotes.plotting"),
        ("scratch/a.py", "from dlnotes import datasets", "must not import dlnotes.datasets"),
        ("scratch/a.py", "from ..datasets import fetch", "must not import dlnotes.datasets"),
        ("scratch/a.py", "from .. import datasets", "must not import dlnotes.datasets"),
        ("plotting/a.py", "import dlnotes.models.mlp", "must not import dlnotes.models"),
        ("plotting/a.py", "from keras import ops", "plotting must not import keras"),
        ("datasets/tabular.py", "import tensorflow", "datasets must not import tensorflow"),
        ("datasets/a.py", "def f():\n    from tensorflow import data", "must not import tensorfl"),
        ("layers/a.py", "import tensorflow", "layers must not import tensorflow"),
        ("models/a.py", "from dlnotes.training import track", "must not import dlnotes.training"),
        ("training/a.py", "from dlnotes.models import build_mlp", "must not import dlnotes.models"),
        ("training/a.py", "import IPython", "training must not import IPython at its top"),
        ("explain/a.py", "from dlnotes.models import build_mlp", "must not import dlnotes.models"),
        ("explain/a.py", "from dlnotes.training import track", "must not import dlnotes.training"),
        ("explain/a.py", "import tensorflow", "explain must not import tensorflow at its top"),
        ("serving/a.py", "from dlnotes.models import build_mlp", "must not import dlnotes.models"),
        ("serving/a.py", "import keras", "serving must not import keras at its top"),
        ("serving/a.py", "import tensorflow", "serving must not import tensorflow at its top"),
        ("runtime.py", "import keras", "runtime must not import keras at its top"),
        ("runtime.py", "if True:\n    import keras", "must not import keras at its top"),
        ("runtime.py", "class A:\n    import keras", "must not import keras at its top"),
        ("validation.py", "import pandas", "validation must not import pandas"),
        ("validation.py", "import importlib\nimportlib.import_module('keras')", "import keras at"),
        ("exercises/a.py", "from dlnotes.course import lint", "must not import dlnotes.course"),
        ("exercises/a.py", "import keras", "exercises must not import keras at its top"),
        ("course/a.py", "import tensorflow", "course must not import tensorflow at its top"),
        ("cli.py", "def f():\n    import tensorflow", "cli must not import tensorflow at all"),
        ("__init__.py", "import numpy", "__init__ must not import numpy"),
        ("__init__.py", "from dlnotes import runtime", "must not import dlnotes.runtime"),
        ("odd/a.py", "", "no rule for `odd`"),
    ],
)
def test_planted_violations_are_found(tmp_path, file, source, expected):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    assert any(expected in breach for breach in violations(path, tmp_path)), expected


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "scratch/a.py",
            "import math\nimport numpy as np\nfrom dlnotes.validation import check_int",
        ),
        ("scratch/a.py", "from dlnotes.scratch.losses import hinge_loss\nfrom . import losses"),
        ("datasets/pipelines.py", "import tensorflow as tf"),
        ("runtime.py", "def f():\n    import keras"),
        ("course/a.py", "def f():\n    import tensorflow"),
        ("course/a.py", "import nbformat, rich"),
        ("models/a.py", "import keras\nfrom dlnotes.layers import x"),
        ("plotting/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import keras"),
        ("__init__.py", "__version__ = '1'"),
    ],
)
def test_what_the_table_allows_is_not_reported(tmp_path, file, source):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    assert violations(path, tmp_path) == []


# === What an import loads and costs ===


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=PACKAGE.parent
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    return set(python(code).split())


HEAVY = {"tensorflow", "keras", "pandas", "sklearn", "scipy", "matplotlib", "IPython"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import dlnotes", HEAVY | {"numpy"}),
        ("import dlnotes.scratch", HEAVY),
        ("import dlnotes.runtime, dlnotes.reporting", HEAVY),
        ("import dlnotes.plotting", {"tensorflow", "keras", "pandas", "sklearn"}),
        ("from dlnotes.training import track", HEAVY),
        ("import dlnotes.explain", HEAVY | {"numpy"}),
        ("import dlnotes.serving", HEAVY | {"numpy", "fastapi"}),
        ("import dlnotes.serving.server", HEAVY | {"onnxruntime"}),
    ],
)
def test_light_imports_load_nothing_heavy(statement, unwanted):
    loaded = loaded_after(statement)
    assert "dlnotes" in loaded
    assert not loaded & unwanted


def test_the_list_of_loaded_modules_sees_what_is_there():
    assert "matplotlib" in loaded_after("import dlnotes.plotting")


def test_importing_the_package_takes_less_than_a_tenth_of_a_second():
    code = (
        "from time import perf_counter\nstart = perf_counter()\nimport dlnotes\n"
        "print(perf_counter() - start)"
    )
    assert min(float(python(code)) for _ in range(3)) < 0.1


# === Docstrings ===


def definitions(path: Path) -> dict[str, ast.AST]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name: node for node in body if isinstance(node, kinds)}


def exported(init: Path, root: Path) -> dict[str, ast.AST]:
    """The functions and classes that a package's `__init__` names in `__all__`."""
    tree = ast.parse(init.read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            names = set(ast.literal_eval(node.value))
    found = {name: node for name, node in definitions(init).items() if name in names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dlnotes."):
            source = root.parent.joinpath(*node.module.split(".")).with_suffix(".py")
            if source.is_file():
                defined = definitions(source)
                for alias in node.names:
                    public = alias.asname or alias.name
                    if public in names and alias.name in defined:
                        found[public] = defined[alias.name]
    return found


def silent(name: str, node: ast.AST) -> list[str]:
    """What lacks a docstring: the object itself, and its public methods."""
    missing = [] if ast.get_docstring(node) else [name]
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                missing += [] if ast.get_docstring(method) else [f"{name}.{method.name}"]
    return missing


def test_everything_exported_has_a_docstring():
    packages = sorted(PACKAGE.glob("*/__init__.py"))
    all_exported = {
        f"{init.parent.name}.{name}": node
        for init in packages
        for name, node in exported(init, PACKAGE).items()
    }
    assert {"plotting.line", "models.build_mlp", "training.LiveProgress"} <= set(all_exported)
    missing = [name for key, node in all_exported.items() for name in silent(key, node)]
    assert not missing


def test_a_missing_docstring_is_found(tmp_path):
    root = tmp_path / "dlnotes"
    (root / "part").mkdir(parents=True)
    init = root / "part" / "__init__.py"
    init.write_text("from dlnotes.part.a import A, f\n__all__ = ['A', 'f']\n")
    (root / "part" / "a.py").write_text(
        "def f(): ...\n"
        'class A:\n    """A class."""\n    def run(self): ...\n    def _own(self): ...\n'
    )
    found = exported(init, root)
    assert [name for key, node in sorted(found.items()) for name in silent(key, node)] == [
        "A.run",
        "f",
    ]
