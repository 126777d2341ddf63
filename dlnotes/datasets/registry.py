"""The list of datasets, read from registry.toml and checked before anybody relies on it."""

import dataclasses
import functools
import re
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlnotes.validation import check_choice, check_path, received

KINDS = ("bundled", "extract", "generated", "download")
_REGISTRY_PATH = Path(__file__).with_name("registry.toml")
_TEXTS = ("title", "kind", "task", "license", "source", "notes", "loader")
_COUNTS = ("samples", "features")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RegistryError(ValueError):
    """An entry of the registry is not usable; the message names the dataset."""


@dataclasses.dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset.

    Attributes:
        name: Plain file name, without folder.
        size: Length in bytes.
        sha256: The content's SHA-256 in lower-case hexadecimal.
        url: Where it is fetched from; empty for a file that the project carries.
        members: The members of an archive that a loader reads; nothing else of it is touched.
    """

    name: str
    size: int
    sha256: str
    url: str = ""
    members: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What the registry says about one dataset.

    Attributes:
        name: Its name in commands and in lessons.toml.
        title: Its name for readers.
        kind: One of ``"bundled"``, ``"extract"``, ``"generated"``, ``"download"``.
        task: What it is used for.
        samples: Number of rows; 0 where the caller chooses.
        features: Number of inputs a row; 0 where the caller chooses.
        license: Under which terms it may be used.
        source: Where it comes from.
        notes: What to know about it, units included.
        loader: Name of the function in `dlnotes.datasets` that returns it.
        files: Its files; none for the kinds bundled and generated.
    """

    name: str
    title: str
    kind: str
    task: str
    samples: int
    features: int
    license: str
    source: str
    notes: str
    loader: str
    files: tuple[DatasetFile, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    def file(self, name: str) -> DatasetFile:
        """Return the file called `name`.

        Raises:
            ValueError: If the dataset has no such file; the message lists those it has.
        """
        check_choice("name", name, [file.name for file in self.files])
        return next(file for file in self.files if file.name == name)


def load_registry(path: str | Path | None = None) -> Mapping[str, DatasetInfo]:
    """Read and check a registry, by default the one of the course.

    Args:
        path: A TOML file with one table for each dataset.

    Returns:
        The datasets by name, in the file's order; the mapping cannot be changed.

    Raises:
        RegistryError: If the file is not TOML or an entry is not usable.

    Example:
        >>> load_registry()["mnist"].files[0].name
        'mnist.npz'
    """
    if path is None:
        return _course_registry()
    path = check_path("path", path)
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path.name} is not valid TOML: {error}") from error
    return types.MappingProxyType({name: _dataset(name, entry) for name, entry in entries.items()})


def dataset_info(name: str, registry: Mapping[str, DatasetInfo] | None = None) -> DatasetInfo:
    """Return what the registry says about the dataset `name`.

    Raises:
        ValueError: If there is no such dataset; the message lists all names.

    Example:
        >>> dataset_info("iris").samples
        150
    """
    registry = load_registry() if registry is None else registry
    check_choice("name", name, registry)
    return registry[name]


def facts_of(name: str) -> dict[str, str]:
    """Return what every loaded dataset carries: its name, description, licence and source.

    Example:
        >>> list(facts_of("iris"))
        ['name', 'description', 'license', 'source']
    """
    info = dataset_info(name)
    return {"name": name, "description": info.notes, "license": info.license, "source": info.source}


@functools.cache
def _course_registry() -> Mapping[str, DatasetInfo]:
    return load_registry(_REGISTRY_PATH)


def _dataset(name: str, entry: Any) -> DatasetInfo:
    where = f"dataset {name!r}"
    if not isinstance(entry, dict):
        raise RegistryError(f"{where} must be a table. {received(entry=entry)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise RegistryError(f"{where}: the name must be lower-case letters, digits and _")
    _check_keys(where, entry, required=(*_TEXTS, *_COUNTS), optional=("files",))
    for key in _TEXTS:
        _check_text(where, key, entry[key])
    for key in _COUNTS:
        if type(entry[key]) is not int or entry[key] < 0:
            raise RegistryError(
                f"{where}: `{key}` must be an integer >= 0. {received(**{key: entry[key]})}"
            )
    if entry["kind"] not in KINDS:
        raise RegistryError(
            f"{where}: `kind` must be one of {', '.join(KINDS)}. {received(kind=entry['kind'])}"
        )
    with_files = entry["kind"] in ("extract", "download")
    files = entry.get("files", [])
    if not isinstance(files, list) or bool(files) != with_files:
        wanted = "at least one file" if with_files else "no files"
        raise RegistryError(f"{where}: kind {entry['kind']!r} must have {wanted}")
    files = tuple(_file(where, file, needs_url=entry["kind"] == "download") for file in files)
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise RegistryError(f"{where}: two files have the same name. {received(names=names)}")
    return DatasetInfo(name=name, files=files, **{key: entry[key] for key in (*_TEXTS, *_COUNTS)})


def _file(where: str, entry: Any, *, needs_url: bool) -> DatasetFile:
    if not isinstance(entry, dict):
        raise RegistryError(f"{where}: a file must be a table. {received(file=entry)}")
    url_key = ("url",) if needs_url else ()
    required = ("name", "size", "sha256", *url_key)
    _check_keys(f"{where}, a file", entry, required=required, optional=("members",))
    _check_text(where, "name", entry["name"])
    where = f"{where}, file {entry['name']!r}"
    if not _FILE_NAME.fullmatch(entry["name"]):
        raise RegistryError(f"{where}: `name` must be a plain file name")
    if type(entry["size"]) is not int or entry["size"] < 1:
        raise RegistryError(
            f"{where}: `size` must be an integer >= 1. {received(size=entry['size'])}"
        )
    if not isinstance(entry["sha256"], str) or not _SHA256.fullmatch(entry["sha256"]):
        raise RegistryError(
            f"{where}: `sha256` must be 64 lower-case hexadecimal digits. "
            + received(sha256=entry["sha256"])
        )
    if needs_url:
        _check_text(where, "url", entry["url"])
        if not entry["url"].startswith(("https://", "http://")):
            raise RegistryError(
                f"{where}: `url` must start with https:// or http://. {received(url=entry['url'])}"
            )
    members = entry.get("members", [])
    if not isinstance(members, list) or not all(isinstance(m, str) and m for m in members):
        raise RegistryError(f"{where}: `members` must be a list of names")
    fields = {key: entry[key] for key in required}
    return DatasetFile(members=tuple(members), **fields)


def _check_keys(
    where: str, entry: dict[str, Any], *, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    missing = [key for key in required if key not in entry]
    unknown = [key for key in entry if key not in (*required, *optional)]
    if missing:
        raise RegistryError(f"{where}: missing key {', '.join(missing)}")
    if unknown:
        raise RegistryError(f"{where}: unknown key {', '.join(unknown)}")


def _check_text(where: str, key: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise RegistryError(
            f"{where}: `{key}` must be a non-empty text. {received(**{key: value})}"
        )
