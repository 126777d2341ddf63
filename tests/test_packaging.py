import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = {
    re.sub(r"[-_.]+", "-", name).lower(): version
    for name, version in re.findall(
        r"^([\w.-]+)==([^\s;]+)(?:; .*)?$", (ROOT / "requirements.txt").read_text(), re.M
    )
}


def test_the_wheel_carries_every_data_file_and_both_stores():
    listed = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    wanted = {f"data/{path.name}" for path in (ROOT / "data").iterdir() if path.is_file()}
    wanted |= {"notebooks/lessons.toml", "notebooks/claims.toml"}
    assert set(listed) == wanted
    assert all(target == f"dlnotes/_resources/{source}" for source, target in listed.items())


def test_every_dependency_has_a_pin_that_satisfies_it():
    extras = PROJECT["project"]["optional-dependencies"]
    texts = [*PROJECT["project"]["dependencies"], *extras["gpu"]]
    texts += [text for extra in ("serve", "data", "dev") for text in extras[extra]]
    for requirement in map(Requirement, texts):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in PINS, f"requirements.txt does not pin {requirement.name}"
        assert Version(PINS[name]) in requirement.specifier, f"{name} {PINS[name]}"


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(sources):
    """The top-level names of all third-party modules that the sources import."""
    names = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"dlnotes"}


def undeclared(modules, requirements):
    """The modules that come from none of the required distributions."""
    declared = {canonical(Requirement(text).name) for text in requirements}
    sources = packages_distributions()
    return {
        module
        for module in modules
        if not declared & {canonical(name) for name in [*sources.get(module, ()), module]}
    }


@pytest.mark.parametrize(
    ("folder", "extras", "own"),
    [
        ("dlnotes", ("gpu", "serve"), set()),
        ("notebooks", ("gpu",), set()),
        ("tests", ("gpu", "serve", "dev"), {"benchmarks", "contracts"}),
    ],
)
def test_every_import_is_a_declared_dependency(folder, extras, own):
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")]
    for path in (ROOT / folder).glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    requirements = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        requirements += PROJECT["project"]["optional-dependencies"][extra]
    local = {path.stem for path in (ROOT / folder).rglob("*.py")} if folder == "tests" else set()
    planted = {"no_such_module"}  # a test imports it to see it fail
    assert imported(sources) > {"numpy", "keras"}
    assert not undeclared(imported(sources) - own - local - planted, requirements)


def test_an_undeclared_import_is_found():
    sources = ["import numpy.linalg\nimport sys", "def f():\n    from scipy.signal import lfilter"]
    assert imported(sources) == {"numpy", "scipy"}
    assert undeclared(imported(sources), ["numpy>=2"]) == {"scipy"}
    assert undeclared({"sklearn"}, ["scikit-learn>=1.6"]) == set()


def test_one_tensorflow_is_pinned_and_each_platform_gets_exactly_one():
    assert "tensorflow" in PINS
    assert "tensorflow-cpu" not in PINS
    choices = [Requirement(text) for text in PROJECT["project"]["optional-dependencies"]["cpu"]]
    platforms = (
        ("linux", "x86_64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
        ("win32", "AMD64", "tensorflow-cpu"),
    )
    for system, machine, wanted in platforms:
        environment = {"sys_platform": system, "platform_machine": machine}
        chosen = [r.name for r in choices if r.marker.evaluate(environment)]
        assert chosen == [wanted], (system, machine)
        pin = next(r for r in choices if r.name == wanted).specifier
        assert Version(PINS["tensorflow"]) in pin


def test_the_conda_file_installs_the_same_pins():
    text = (ROOT / "environment.yml").read_text()
    assert "requirements.txt" in text
    assert re.search(r"python=3\.1[123]\b", text)
