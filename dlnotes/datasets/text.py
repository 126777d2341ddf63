"""Texts that come along, texts from the running Python, and reviews fetched on request."""

import ast
import csv
import sysconfig
from pathlib import Path

import numpy as np

from dlnotes.datasets.fetch import (
    ArchiveError,
    DatasetNotAvailable,
    read_dataset_file,
    read_matching,
)
from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.splits import cut_rows, split_indices
from dlnotes.datasets.types import CorpusData, TextData
from dlnotes.validation import check_choice

_LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fi": "Finnish",
    "fr": "French",
    "hu": "Hungarian",
    "is": "Icelandic",
    "it": "Italian",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "vi": "Vietnamese",
}

# Modules of every Python from 3.11 to 3.13, as files below the standard library's folder.
_MODULES = {
    "train": (
        "argparse.py",
        "calendar.py",
        "collections/__init__.py",
        "configparser.py",
        "contextlib.py",
        "copy.py",
        "csv.py",
        "dataclasses.py",
        "difflib.py",
        "enum.py",
        "fractions.py",
        "ftplib.py",
        "functools.py",
        "heapq.py",
        "http/client.py",
        "inspect.py",
        "json/encoder.py",
        "logging/__init__.py",
        "mailbox.py",
        "optparse.py",
        "pprint.py",
        "random.py",
        "selectors.py",
        "shutil.py",
        "smtplib.py",
        "socket.py",
        "statistics.py",
        "string.py",
        "subprocess.py",
        "tarfile.py",
        "textwrap.py",
        "threading.py",
        "timeit.py",
        "typing.py",
        "unittest/case.py",
        "unittest/mock.py",
        "urllib/request.py",
        "uuid.py",
        "weakref.py",
    ),
    "val": ("bdb.py", "gettext.py", "json/decoder.py", "sched.py", "urllib/parse.py"),
    "test": ("cmd.py", "getopt.py", "http/server.py", "imaplib.py", "queue.py", "tempfile.py"),
}
_IMDB_FILE = "aclImdb_v1.tar.gz"
_IMDB_MEMBER = r"aclImdb/(train|test)/(neg|pos)/[0-9]+_[0-9]+\.txt"


def load_python_text(what: str = "source", *, directory: str | Path | None = None) -> CorpusData:
    """Return the source or the docstrings of fifty modules of the Python that runs this.

    Whole modules make up each part: none is cut between two. Another release of Python has a
    slightly different text; the modules are the same in all that the course supports.

    Args:
        what: "source" for all lines, "docstrings" for the docstrings alone, each without its
            indentation and with an empty line after it.
        directory: Folder of a standard library in place of the running Python's.

    Raises:
        ValueError: If `what` is unknown.
        DatasetNotAvailable: If a module's source is not there, as in a stripped-down Python.

    Example:
        >>> text = load_python_text()
        >>> len(text.train) > 10 * len(text.test) > 100_000
        True
    """
    check_choice("what", what, ("source", "docstrings"))
    folder = Path(sysconfig.get_path("stdlib") if directory is None else directory)
    parts = {}
    for part, names in _MODULES.items():
        sources = [_module_source(folder / name) for name in names]
        if what == "docstrings":
            sources = [_docstrings(source) for source in sources]
        parts[part] = "\n".join(sources)
    return CorpusData(
        **facts_of("python_text"),
        **parts,
        files=tuple(name for names in _MODULES.values() for name in names),
    )


def load_imdb(*, val_size: float = 0.1, directory: str | Path | None = None) -> TextData:
    """Return 50,000 film reviews, half of them praise; they must have been fetched before.

    The official halves: 25,000 to learn from, 25,000 to test. Line breaks are written as
    ``<br />`` in them. Class 0 is negative, class 1 positive. The texts are arrays of NumPy's
    `StringDType`, each as long as it is: as strings of one width they would take 4 GB.

    Args:
        val_size: Fraction of the training reviews for the validation part.
        directory: Cache folder in place of `cache_directory()`.

    Raises:
        ValueError: If the fraction is out of range.
        DatasetNotAvailable: If it is not on this machine; the message says how to fetch it.
        DatasetDamaged: If its file has changed.
        ArchiveError: If a review is not UTF-8.

    References:
        A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng and C. Potts, Learning word vectors
        for sentiment analysis, ACL (2011), section 4.2.
    """
    content = read_dataset_file("imdb", _IMDB_FILE, directory=directory)
    texts: dict[str, list[str]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for member, data in sorted(read_matching(content, _IMDB_MEMBER).items()):
        _, part, verdict, _ = member.split("/")
        try:
            texts[part].append(data.decode())
        except UnicodeDecodeError as error:
            raise ArchiveError(f"{_IMDB_FILE}: {member!r} is not UTF-8: {error}") from error
        labels[part].append(int(verdict == "pos"))
    if not texts["train"] or not texts["test"]:
        raise ArchiveError(f"{_IMDB_FILE} holds no reviews to learn from, or none to test")
    kind = np.dtypes.StringDType()
    x, y = np.array(texts["train"], kind), np.array(labels["train"], np.int64)
    cut = split_indices(y, test_size=0.0, val_size=val_size)
    parts = cut_rows(cut, x=x, y=y)
    parts |= {"x_test": np.array(texts["test"], kind), "y_test": np.array(labels["test"], np.int64)}
    return TextData(
        **facts_of("imdb"),
        **parts,
        target_names=("negative", "positive"),
    )


def load_place_names(*, test_size: float = 0.15, val_size: float = 0.15) -> TextData:
    """Return 15,560 names of places, languages and scripts; the class is the language they are in.

    No name belongs to two of the twenty languages.

    Args:
        test_size: Fraction of the names for the test part.
        val_size: Fraction of the names for the validation part.

    Raises:
        ValueError: If a fraction is out of range.
        DatasetDamaged: If its file has changed.

    Example:
        >>> data = load_place_names()
        >>> data, data.max_length
        (TextData('place_names', train=10892, val=2334, test=2334, classes=20), 60)
    """
    content = read_dataset_file("place_names", "place_names.csv").decode()
    rows = list(csv.reader(content.splitlines()))[1:]
    codes = list(_LANGUAGES)
    y = np.array([codes.index(code) for code, _ in rows], np.int64)
    return _text_data(
        "place_names",
        [name for _, name in rows],
        y,
        tuple(_LANGUAGES.values()),
        test_size,
        val_size,
    )


def _module_source(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetNotAvailable(
            f"dataset 'python_text': the source of the standard library is not at {path}. Install "
            "a Python that comes with its sources"
        ) from error
    return text.replace("\t", "    ").replace("\f", "")


def _docstrings(source: str) -> str:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    found = [ast.get_docstring(node) for node in nodes]
    return "".join(f"{text}\n\n" for text in found if text)


def _text_data(
    name: str,
    texts: list[str],
    y: np.ndarray,
    target_names: tuple[str, ...],
    test_size: float,
    val_size: float,
) -> TextData:
    cut = split_indices(y, test_size=test_size, val_size=val_size)
    return TextData(
        **facts_of(name),
        **cut_rows(cut, x=np.array(texts), y=y),
        target_names=target_names,
    )
