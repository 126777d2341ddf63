import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = {
    re.sub(r"[-_.]+", "-", name).lower(): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M
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
