"""What a lesson asks of the machine: quiet start, seeds, devices, and the files that come along."""

import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dlnotes.validation import check_int

MISSING_TENSORFLOW = (
    "TensorFlow is not installed. Install it with: pip install 'dlnotes[cpu]' "
    "(with an NVIDIA GPU: pip install 'dlnotes[gpu]')"
)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Import Keras without TensorFlow's start-up log.

    TensorFlow writes dozens of lines to file descriptor 2 while it is imported, before any of its
    own settings is read. They are kept aside, and shown only when the import fails.

    Raises:
        ModuleNotFoundError: If TensorFlow is missing; the message names what to install.

    Example:
        >>> with quiet_start():
        ...     import math
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, as under pythonw
        yield
        return
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException as error:
            _restore(saved)
            if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
                raise ModuleNotFoundError(MISSING_TENSORFLOW, name="tensorflow") from None
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        else:
            _restore(saved)


def _restore(saved: int) -> None:
    sys.stderr.flush()
    os.dup2(saved, 2)
    os.close(saved)


def seed_offset() -> int:
    """Return DLNOTES_SEED_OFFSET, the number added to every training seed (0 if not set).

    Raises:
        ValueError: If the variable is not a whole number >= 0.
    """
    text = os.environ.get("DLNOTES_SEED_OFFSET", "0")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(
            "DLNOTES_SEED_OFFSET must be a whole number >= 0. "
            f"Received: DLNOTES_SEED_OFFSET={text!r}"
        )
    return int(text)


def seed(n: int) -> np.random.Generator:
    """Seed Python, NumPy and (if it is loaded) Keras, and return a NumPy generator.

    The seed used is ``n + seed_offset()``: lessons are tested with several offsets, so that no
    result rests on one lucky number. Data splits do not use this function and never move.

    Args:
        n: An integer in [0, 2**31).

    Raises:
        TypeError: If `n` is not an integer.
        ValueError: If it is out of range.

    Example:
        >>> rng = seed(1)
        >>> rng.integers(10, size=3).shape
        (3,)
    """
    value = check_int("n", n, low=0, high=2**31 - 1) + seed_offset()
    random.seed(value)
    np.random.seed(value % 2**32)
    if "keras" in sys.modules:  # the NumPy lessons never load it
        sys.modules["keras"].utils.set_random_seed(value)
    return np.random.default_rng(value)


def full() -> bool:
    """Return whether full mode is on (DLNOTES_FULL=1): real full data sets, sizes for a GPU."""
    return os.environ.get("DLNOTES_FULL", "") == "1"


def devices() -> tuple[str, ...]:
    """Return the devices that Keras' backend can use, for example ``("cpu:0", "gpu:0")``.

    Raises:
        ModuleNotFoundError: If the backend is missing; the message names what to install.
    """
    with quiet_start():
        import keras

        return tuple(keras.distribution.list_devices())


def repository_root() -> Path | None:
    """Return the checkout that this package is imported from, or None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "notebooks" / "lessons.toml").is_file() else None


def resource(relative: str) -> Path:
    """Return a file that comes with the project, such as ``"data/placements.csv"``.

    In a checkout it is the file below the repository's root, in an installed wheel its copy.

    Raises:
        FileNotFoundError: If the project has no such file.
    """
    root = repository_root() or Path(__file__).resolve().parent / "_resources"
    path = root / relative
    if not path.exists():
        raise FileNotFoundError(
            f"`relative` must name a file of the project. Received: relative={relative!r} "
            "(reinstall dlnotes if it should be there)"
        )
    return path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed.

    Text is written as UTF-8, its line ends as they are on every system.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide the file from other users
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
