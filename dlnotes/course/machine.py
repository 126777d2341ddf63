"""Looks at this machine: whether the course can run on it, and what mends what is wrong."""

import contextlib
import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from dlnotes import runtime

PYTHONS = ((3, 11), (3, 13))
TENSORFLOW = ((2, 21), (2, 22))  # from the first up to, not including, the second
KERAS = ((3, 15), (3, 16))
MEMORY_GB = 2.5  # a lesson may take 2 GB
DISK_GB = 2.0
_PRODUCT_SIZE = 1000


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong; `command` mends it. A `serious` one stops lessons or makes them wrong."""

    message: str
    command: str
    serious: bool = True


@dataclasses.dataclass(frozen=True)
class Product:
    """One product of two 1000 × 1000 matrices of small whole numbers, checked exactly."""

    device: str
    milliseconds: float
    right: bool


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was found, before it is judged.

    Attributes:
        python: Version of the running Python.
        executable: How to call it from the current folder.
        checkout: Whether dlnotes runs from a checkout.
        system: "Linux", "Darwin" or "Windows".
        packages: Installed distributions, lower-case name to version.
        backend: Keras' backend; "" if Keras is missing.
        driver: One line for each GPU that the NVIDIA driver reports.
        products: The matrix products, one for each device that TensorFlow uses.
        failure: Why no product could be computed; "" if it could.
        memory_gb: Free memory.
        disk_gb: Free space on the disk of the current folder.
    """

    python: str
    executable: str
    checkout: bool
    system: str
    packages: Mapping[str, str]
    backend: str
    driver: tuple[str, ...]
    products: tuple[Product, ...]
    failure: str
    memory_gb: float
    disk_gb: float

    @property
    def tensorflow(self) -> str | None:
        """TensorFlow's version, whichever package it comes from; None if it is missing."""
        return self.packages.get("tensorflow") or self.packages.get("tensorflow-cpu")

    @property
    def keras(self) -> str | None:
        """Keras' version; None if it is missing."""
        return self.packages.get("keras")

    @property
    def nvidia_wheels(self) -> int:
        """How many of NVIDIA's library packages are installed."""
        return sum(name.startswith("nvidia-") for name in self.packages)


def examine() -> Facts:
    """Look at this machine; loads TensorFlow if it is there, and computes on each device."""
    packages = _packages()
    backend, products, failure = "", (), ""
    if "keras" in packages:
        backend = _backend()
        if backend != "tensorflow" or {"tensorflow", "tensorflow-cpu"} & set(packages):
            try:
                products = _products()
            except Exception as error:  # whatever a broken installation raises is a finding
                lines = str(error).splitlines() or [""]
                failure = f"{type(error).__name__}: {lines[0]}"
    return Facts(
        python=platform.python_version(),
        executable=_executable(),
        checkout=runtime.repository_root() is not None,
        system=platform.system(),
        packages=packages,
        backend=backend,
        driver=nvidia_driver(),
        products=products,
        failure=failure,
        memory_gb=psutil.virtual_memory().available / 1e9,
        disk_gb=shutil.disk_usage(Path.cwd()).free / 1e9,
    )


def problems(facts: Facts) -> list[Problem]:
    """Return what is wrong, the most serious first."""
    found = [
        *_python_problems(facts),
        *_tensorflow_problems(facts),
        *_keras_problems(facts),
        *_gpu_problems(facts),
        *_space_problems(facts),
    ]
    return sorted(found, key=lambda problem: not problem.serious)


def as_json(facts: Facts) -> dict[str, Any]:
    """Return the facts under stable keys: python, tensorflow, keras, devices, warnings."""
    devices: list[dict[str, Any]] = [
        {
            "name": product.device,
            "kind": product.device.split(":")[0],
            "product_ms": round(product.milliseconds, 2),
            "product_right": product.right,
        }
        for product in facts.products
    ]
    devices += [{"name": text, "kind": "nvidia driver"} for text in facts.driver]
    devices += [
        {"name": "memory", "kind": "memory", "free_gb": round(facts.memory_gb, 1)},
        {"name": "disk", "kind": "disk", "free_gb": round(facts.disk_gb, 1)},
    ]
    return {
        "python": facts.python,
        "tensorflow": facts.tensorflow,
        "keras": facts.keras,
        "devices": devices,
        "warnings": [dataclasses.asdict(problem) for problem in problems(facts)],
    }


# === What is wrong ===


def _python_problems(facts: Facts) -> list[Problem]:
    low, high = PYTHONS
    if low <= _version(facts.python) <= high:
        return []
    message = f"Python {facts.python} is not supported: the course needs 3.11, 3.12 or 3.13"
    mend = "make clean && make setup PYTHON=python3.12"
    return [Problem(message, mend if facts.checkout else "python3.12 -m venv .venv")]


def _tensorflow_problems(facts: Facts) -> list[Problem]:
    reinstall = _install(facts, _extra(facts))
    if facts.tensorflow is None:
        message = "TensorFlow is not installed: it comes with the extra cpu or gpu"
        return [Problem(message, reinstall)]
    found = []
    if {"tensorflow", "tensorflow-cpu"} <= set(facts.packages):
        remove = f"{facts.executable} -m pip uninstall -y tensorflow tensorflow-cpu"
        message = (
            "tensorflow and tensorflow-cpu are both installed: they overwrite each other's files"
        )
        found.append(Problem(message, f"{remove} && {reinstall}"))
    if "tensorflow-metal" in facts.packages:
        message = "tensorflow-metal is installed: it breaks TensorFlow or gives wrong results"
        found.append(Problem(message, f"{facts.executable} -m pip uninstall -y tensorflow-metal"))
    if not TENSORFLOW[0] <= _version(facts.tensorflow) < TENSORFLOW[1]:
        message = f"TensorFlow {facts.tensorflow} is not the version that the lessons pass with"
        found.append(Problem(f"{message} ({_range(TENSORFLOW)})", reinstall))
    if facts.failure:
        found.append(Problem(f"TensorFlow does not compute. {facts.failure}", reinstall))
    found += [
        Problem(f"{product.device} multiplies matrices wrongly: do not trust it", reinstall)
        for product in facts.products
        if not product.right
    ]
    return found


def _keras_problems(facts: Facts) -> list[Problem]:
    wanted = f'{facts.executable} -m pip install "keras>=3.15,<3.16"'
    if facts.keras is None:
        return [Problem("Keras is not installed", wanted)]
    if _version(facts.keras) < KERAS[0]:
        message = f"Keras {facts.keras} can be made to run code hidden in a model file: use 3.15.0+"
        return [Problem(message, wanted)]
    if _version(facts.keras) >= KERAS[1]:
        message = f"Keras {facts.keras} is not the version that the lessons pass with"
        return [Problem(f"{message} ({_range(KERAS)})", wanted)]
    if facts.backend and facts.backend != "tensorflow":
        message = f"Keras uses the backend {facts.backend!r}; the lessons need tensorflow"
        command = "export KERAS_BACKEND=tensorflow"
        return [Problem(message, "set KERAS_BACKEND=tensorflow" if _windows(facts) else command)]
    return []


def _gpu_problems(facts: Facts) -> list[Problem]:
    used = any(product.device.startswith("gpu") for product in facts.products)
    if not facts.driver or used or facts.tensorflow is None:
        return []
    unused = "An NVIDIA GPU is there, but TensorFlow does not use it"
    if _windows(facts):
        message = f"{unused}: on Windows it can do so inside WSL 2 only"
        return [Problem(message, "wsl --install", serious=False)]
    if "tensorflow-cpu" in facts.packages:
        remove = f"{facts.executable} -m pip uninstall -y tensorflow-cpu"
        install = "make setup DLNOTES_EXTRA=gpu" if facts.checkout else _install(facts, "gpu")
        message = f"{unused}: tensorflow-cpu is installed"
        return [Problem(message, f"{remove} && {install}", serious=False)]
    if facts.nvidia_wheels == 0:
        message = f"{unused}: NVIDIA's libraries are not installed"
        return [Problem(message, _install(facts, "gpu"), serious=False)]
    message = f"{unused}: the driver may be older than TensorFlow needs"
    return [Problem(message, "nvidia-smi", serious=False)]


def _space_problems(facts: Facts) -> list[Problem]:
    found = []
    if facts.memory_gb < MEMORY_GB:
        message = f"{facts.memory_gb:.1f} GB of memory is free; a lesson may take 2 GB"
        commands = {"Darwin": "top -o mem", "Windows": "taskmgr"}
        command = commands.get(facts.system, "ps aux --sort=-%mem | head")
        found.append(Problem(f"{message}: close large programs, listed by", command, serious=False))
    if facts.disk_gb < DISK_GB:
        message = f"{facts.disk_gb:.1f} GB is free on this disk; the course needs about 2 GB"
        command = f"{facts.executable} -m pip cache purge"
        found.append(Problem(message, command, serious=False))
    return found


def _extra(facts: Facts) -> str:
    return "gpu" if facts.driver and not _windows(facts) else "cpu"


def _install(facts: Facts, extra: str) -> str:
    if facts.checkout:
        return f'{facts.executable} -m pip install -e ".[{extra}]"'
    packages = {"cpu": "tensorflow-cpu", "gpu": "tensorflow[and-cuda]"}
    wanted = packages[extra] if facts.system != "Darwin" else "tensorflow"
    return f'{facts.executable} -m pip install "{wanted}>=2.21,<2.22"'


def _windows(facts: Facts) -> bool:
    return facts.system == "Windows"


def _version(text: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", text)[:2]]
    return (*numbers, 0, 0)[:2]


def _range(versions: tuple[tuple[int, int], tuple[int, int]]) -> str:
    return "{}.{} up to, not including, {}.{}".format(*versions[0], *versions[1])


# === Looking ===


def _packages() -> dict[str, str]:
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # an uninstallation that was interrupted leaves nameless remains
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return found


def _executable() -> str:
    executable = Path(sys.executable)
    with contextlib.suppress(ValueError):
        return str(executable.relative_to(Path.cwd()))
    return str(executable)


def nvidia_driver() -> tuple[str, ...]:
    """Return one line for each GPU that the NVIDIA driver reports; () if no driver answers."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=15, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def _backend() -> str:
    """Return the backend that Keras would choose, without loading it."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    with contextlib.suppress(OSError):
        match = re.search(r'"backend"\s*:\s*"(\w+)"', (home / "keras.json").read_text())
        if match:
            return match.group(1)
    return "tensorflow"


def _products() -> tuple[Product, ...]:
    with runtime.quiet_start():
        import keras

        names = keras.distribution.list_devices()
        return tuple(_product(keras, name) for name in names)


def _product(keras: Any, device: str) -> Product:
    # whole numbers this small multiply without rounding, in TF32 too
    size = (2, _PRODUCT_SIZE, _PRODUCT_SIZE)
    numbers = np.random.default_rng(0).integers(-8, 9, size).astype("float64")
    expected = numbers[0] @ numbers[1]
    with keras.device(device):
        a, b = (keras.ops.convert_to_tensor(n.astype("float32")) for n in numbers)
        keras.ops.convert_to_numpy(keras.ops.matmul(a, b))  # the first one starts the device
        start = time.perf_counter()
        result = keras.ops.convert_to_numpy(keras.ops.matmul(a, b))
        seconds = time.perf_counter() - start
    return Product(device, 1000 * seconds, bool(np.array_equal(result, expected)))
