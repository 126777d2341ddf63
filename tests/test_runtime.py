"""Quiet start, seeds, devices and files; Keras is never loaded, a stand-in takes its place."""

import random
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from dlnotes import runtime


def python(code):
    """Run code in a fresh Python; return its exit status, stdout and stderr."""
    run = subprocess.run(
        [sys.executable, "-c", f"import os, sys\nfrom dlnotes.runtime import quiet_start\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return run.returncode, run.stdout, run.stderr


# === quiet_start ===


def test_what_goes_to_descriptor_2_is_silenced_and_only_inside():
    status, out, err = python(
        "with quiet_start():\n"
        "    os.write(2, b'native noise')\n"
        "    print('python noise', file=sys.stderr)\n"
        "    print('kept')\n"
        "print('after', file=sys.stderr)\n"
        "os.write(2, b'native after')\n"
    )
    assert (status, out) == (0, "kept\n")
    assert err == "after\nnative after"


def test_what_was_silenced_is_shown_when_the_start_fails():
    status, _, err = python(
        "with quiet_start():\n    os.write(2, b'the reason\\n')\n    raise ImportError('no luck')\n"
    )
    assert status == 1
    assert err.startswith("the reason\n")
    assert err.rstrip().endswith("ImportError: no luck")


def test_a_missing_tensorflow_names_what_to_install():
    status, _, err = python(
        "with quiet_start():\n"
        "    os.write(2, b'noise')\n"
        "    raise ModuleNotFoundError('No module', name='tensorflow')\n"
    )
    assert status == 1
    assert err.rstrip().endswith("ModuleNotFoundError: " + runtime.MISSING_TENSORFLOW)
    assert "noise" not in err
    assert "pip install 'dlnotes[cpu]'" in runtime.MISSING_TENSORFLOW


def test_another_missing_module_keeps_its_own_message():
    message = "No module named 'no_such_module'"
    with pytest.raises(ModuleNotFoundError, match=message), runtime.quiet_start():
        import no_such_module  # noqa: F401


def test_quiet_start_leaves_no_descriptor_open():
    status, out, _ = python(
        "def count():\n"
        "    return sum(os.path.exists(f'/proc/self/fd/{n}') for n in range(100))\n"
        "before = count()\n"
        "for _ in range(3):\n"
        "    with quiet_start():\n        pass\n"
        "    try:\n"
        "        with quiet_start():\n            raise KeyError\n"
        "    except KeyError:\n        pass\n"
        "print(count() - before)\n"
    )
    assert (status, out) == (0, "0\n")


def test_quiet_start_works_without_a_stderr():
    status, out, _ = python("os.close(2)\nwith quiet_start():\n    print('ran')\n")
    assert (status, out) == (0, "ran\n")


# === seed ===


def draw(n):
    rng = runtime.seed(n)
    return rng.random(), random.random(), np.random.random()


def test_the_same_seed_gives_the_same_numbers_in_all_three_generators(monkeypatch):
    monkeypatch.delenv("DLNOTES_SEED_OFFSET", raising=False)
    first, again, other = draw(3), draw(3), draw(4)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_offset_is_added(monkeypatch):
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "2")
    assert runtime.seed_offset() == 2
    moved = draw(3)
    monkeypatch.delenv("DLNOTES_SEED_OFFSET")
    assert runtime.seed_offset() == 0
    assert moved == draw(5)


def test_keras_is_seeded_when_it_is_loaded_and_not_otherwise(monkeypatch):
    seeds = []
    keras = types.SimpleNamespace(utils=types.SimpleNamespace(set_random_seed=seeds.append))
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "1")
    runtime.seed(7)
    assert seeds == [8]
    monkeypatch.delitem(sys.modules, "keras")
    runtime.seed(7)
    assert "keras" not in sys.modules


@pytest.mark.parametrize("text", ["-1", "1.5", "", "one", "²"])
def test_a_wrong_offset_is_refused(monkeypatch, text):
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", text)
    message = (
        f"DLNOTES_SEED_OFFSET must be a whole number >= 0. Received: DLNOTES_SEED_OFFSET={text!r}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        runtime.seed(1)


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (-1, ValueError, "`n` must be an integer in [0, 2147483647]. Received: n=-1"),
        (2**31, ValueError, "`n` must be an integer in [0, 2147483647]. Received: n=2147483648"),
        (1.0, TypeError, "`n` must be an integer. Received: n=1.0"),
        (None, TypeError, "`n` must be an integer. Received: n=None"),
    ],
)
def test_a_wrong_seed_is_refused(n, error, message):
    with pytest.raises(error, match=re.escape(message)):
        runtime.seed(n)


# === the rest ===


@pytest.mark.parametrize(("text", "on"), [("1", True), ("0", False), ("", False), ("yes", False)])
def test_full_mode_needs_a_one(monkeypatch, text, on):
    monkeypatch.setenv("DLNOTES_FULL", text)
    assert runtime.full() is on


def test_devices_are_those_of_the_backend(monkeypatch):
    distribution = types.SimpleNamespace(list_devices=lambda: ["cpu:0", "gpu:0"])
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(distribution=distribution))
    assert runtime.devices() == ("cpu:0", "gpu:0")


def test_a_resource_is_found_in_the_checkout():
    path = runtime.resource("notebooks/lessons.toml")
    assert path == runtime.repository_root() / "notebooks" / "lessons.toml"
    assert path.is_file()


def test_an_installed_package_has_its_own_copy(monkeypatch, tmp_path):
    package = tmp_path / "dlnotes"
    (package / "_resources" / "data").mkdir(parents=True)
    (package / "_resources" / "data" / "a.csv").touch()
    monkeypatch.setattr(runtime, "__file__", str(package / "runtime.py"))
    assert runtime.repository_root() is None
    assert runtime.resource("data/a.csv") == package / "_resources" / "data" / "a.csv"


def test_an_unknown_resource_is_refused():
    with pytest.raises(FileNotFoundError, match=re.escape("Received: relative='data/none.csv'")):
        runtime.resource("data/none.csv")


@pytest.mark.parametrize("content", ["Größe\n", "Größe\n".encode()])
def test_a_file_is_written_whole(tmp_path, content):
    path = tmp_path / "new" / "a.txt"
    runtime.write_atomically(path, content)
    assert path.read_bytes() == "Größe\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def fail(source, target):
        assert Path(source).read_text(encoding="utf-8") == "new"
        raise OSError("disk gone")

    monkeypatch.setattr(runtime.os, "replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        runtime.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
