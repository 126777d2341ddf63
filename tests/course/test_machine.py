import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from dlnotes.course import machine

FINE = machine.Facts(
    python="3.12.1",
    executable=".venv/bin/python",
    checkout=True,
    system="Linux",
    packages={"tensorflow-cpu": "2.21.0", "keras": "3.15.1"},
    backend="tensorflow",
    driver=(),
    products=(machine.Product("cpu:0", 8.0, True),),
    failure="",
    memory_gb=8.0,
    disk_gb=50.0,
)
DRIVER = ("NVIDIA X, 580.1, 8192 MiB",)


def with_(**changes):
    return dataclasses.replace(FINE, **changes)


def test_fine_machine_has_no_problem():
    assert machine.problems(FINE) == []


@pytest.mark.parametrize(
    ("changes", "message", "command"),
    [
        ({"python": "3.14.0"}, "Python 3.14.0 is not supported", "make setup PYTHON=python3.12"),
        ({"python": "3.10.9"}, "Python 3.10.9 is not supported", "make clean"),
        (
            {"packages": {"keras": "3.15.1"}, "products": ()},
            "TensorFlow is not installed: it comes with the extra cpu or gpu",
            '.venv/bin/python -m pip install -e ".[cpu]"',
        ),
        (
            {"packages": {"keras": "3.15.1"}, "products": (), "driver": DRIVER},
            "TensorFlow is not installed",
            '-e ".[gpu]"',
        ),
        (
            {"packages": FINE.packages | {"tensorflow": "2.21.0"}},
            "tensorflow and tensorflow-cpu are both installed",
            "pip uninstall -y tensorflow tensorflow-cpu && .venv/bin/python -m pip install",
        ),
        (
            {"packages": FINE.packages | {"tensorflow-metal": "1.2"}},
            "tensorflow-metal is installed",
            "pip uninstall -y tensorflow-metal",
        ),
        (
            {"packages": {"tensorflow": "2.20.3", "keras": "3.15.1"}},
            r"TensorFlow 2.20.3 .* \(2.21 up to, not including, 2.22\)",
            "pip install",
        ),
        ({"packages": {"tensorflow": "2.22.0", "keras": "3.15.1"}}, "TensorFlow 2.22.0", "pip"),
        ({"failure": "ImportError: no AVX"}, "does not compute. ImportError: no AVX", "pip"),
        (
            {"products": (machine.Product("gpu:0", 1.0, False),)},
            "gpu:0 multiplies matrices wrongly",
            "pip",
        ),
        ({"packages": {"tensorflow": "2.21.0"}}, "Keras is not installed", '"keras>=3.15,<3.16"'),
        (
            {"packages": {"tensorflow": "2.21.0", "keras": "3.14.9"}},
            "Keras 3.14.9 can be made to run code hidden in a model file",
            '"keras>=3.15,<3.16"',
        ),
        ({"packages": {"tensorflow": "2.21.0", "keras": "3.16.0"}}, "Keras 3.16.0 is not", "pip"),
        ({"backend": "torch"}, "Keras uses the backend 'torch'", "export KERAS_BACKEND=tensorflow"),
    ],
)
def test_serious_problems_come_with_the_command_that_mends_them(changes, message, command):
    found = machine.problems(with_(**changes))
    assert len(found) == 1, found
    assert re.search(message, found[0].message)
    assert command in found[0].command
    assert found[0].serious


@pytest.mark.parametrize(
    ("changes", "message", "command"),
    [
        ({"driver": DRIVER}, "tensorflow-cpu is installed", "make setup DLNOTES_EXTRA=gpu"),
        (
            {"driver": DRIVER, "packages": {"tensorflow": "2.21.0", "keras": "3.15.1"}},
            "NVIDIA's libraries are not installed",
            '-e ".[gpu]"',
        ),
        (
            {
                "driver": DRIVER,
                "packages": {"tensorflow": "2.21.0", "keras": "3.15.1", "nvidia-cudnn-cu12": "9"},
            },
            "driver may be older",
            "nvidia-smi",
        ),
        ({"driver": DRIVER, "system": "Windows"}, "inside WSL 2 only", "wsl --install"),
        ({"memory_gb": 1.24}, "1.2 GB of memory is free", "ps aux --sort=-%mem"),
        ({"memory_gb": 1.24, "system": "Darwin"}, "1.2 GB of memory", "top -o mem"),
        ({"disk_gb": 0.5}, "0.5 GB is free on this disk", "pip cache purge"),
    ],
)
def test_hints_do_not_fail_the_check(changes, message, command):
    found = machine.problems(with_(**changes))
    assert len(found) == 1, found
    assert message in found[0].message
    assert command in found[0].command
    assert not found[0].serious


def test_a_gpu_in_use_is_no_problem():
    products = (*FINE.products, machine.Product("gpu:0", 0.1, True))
    packages = {"tensorflow": "2.21.0", "keras": "3.15.1", "nvidia-cudnn-cu12": "9"}
    assert machine.problems(with_(driver=DRIVER, products=products, packages=packages)) == []


def test_serious_problems_come_first():
    found = machine.problems(with_(disk_gb=0.1, python="3.9.1"))
    assert [problem.serious for problem in found] == [True, False]


def test_commands_outside_a_checkout_do_not_speak_of_it():
    facts = with_(checkout=False, packages={"keras": "3.15.1"}, products=())
    command = machine.problems(facts)[0].command
    assert command == '.venv/bin/python -m pip install "tensorflow-cpu>=2.21,<2.22"'


def test_json_has_the_stable_keys():
    facts = with_(driver=DRIVER, packages={"keras": "3.15.1"}, products=FINE.products)
    report = machine.as_json(facts)
    assert list(report) == ["python", "tensorflow", "keras", "devices", "warnings"]
    assert (report["python"], report["tensorflow"], report["keras"]) == ("3.12.1", None, "3.15.1")
    assert [device["kind"] for device in report["devices"]] == [
        "cpu",
        "nvidia driver",
        "memory",
        "disk",
    ]
    assert report["devices"][0] == {
        "name": "cpu:0",
        "kind": "cpu",
        "product_ms": 8.0,
        "product_right": True,
    }
    assert set(report["warnings"][0]) == {"message", "command", "serious"}


def test_driver_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.nvidia_driver() == ()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA X, 580.1, 8192 MiB'\n")
    program.chmod(0o755)
    assert machine.nvidia_driver() == DRIVER
    program.write_text("#!/bin/sh\necho 'no devices were found'\nexit 9\n")
    assert machine.nvidia_driver() == ()


def test_backend_is_that_of_the_environment_then_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert machine._backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"floatx": "float32", "backend": "jax"}')
    assert machine._backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert machine._backend() == "torch"


class FakeKeras:
    """Multiplies with NumPy; `error` is added to every product."""

    class ops:
        error = 0.0

        @staticmethod
        def convert_to_tensor(x):
            return x

        @staticmethod
        def convert_to_numpy(x):
            return x

        @classmethod
        def matmul(cls, a, b):
            return a @ b + cls.error

    @staticmethod
    def device(name):
        import contextlib

        return contextlib.nullcontext()


@pytest.mark.parametrize(("error", "right"), [(0.0, True), (1.0, False)])
def test_product_is_checked_against_exact_numbers(monkeypatch, error, right):
    monkeypatch.setattr(FakeKeras.ops, "error", error)
    product = machine._product(FakeKeras, "cpu:0")
    assert product.right is right
    assert product.device == "cpu:0"
    assert product.milliseconds > 0


def test_failing_product_is_a_finding(monkeypatch):
    def fail():
        raise ImportError("libcuda is too old\nmore")

    monkeypatch.setattr(machine, "_products", fail)
    monkeypatch.setattr(machine, "_packages", lambda: dict(FINE.packages))
    facts = machine.examine()
    assert facts.failure == "ImportError: libcuda is too old"
    assert facts.products == ()


def test_nothing_is_computed_without_tensorflow(monkeypatch):
    monkeypatch.setattr(machine, "_products", lambda: pytest.fail("called"))
    monkeypatch.setattr(machine, "_packages", lambda: {"keras": "3.15.1"})
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert machine.examine().tensorflow is None


def test_versions_agree_with_the_project_file():
    path = Path(machine.__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">={}.{},<{}.{}".format(
        *machine.PYTHONS[0], machine.PYTHONS[1][0], machine.PYTHONS[1][1] + 1
    )
    for versions, wanted in (
        (machine.KERAS, project["dependencies"]),
        (machine.TENSORFLOW, project["optional-dependencies"]["gpu"]),
    ):
        bounds = ">={}.{},<{}.{}".format(*versions[0], *versions[1])
        assert any(entry.endswith(bounds) for entry in wanted), bounds
