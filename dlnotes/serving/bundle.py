"""A bundle: a model in several forms, with all that a service must know, in a folder or a zip.

Nothing of a bundle is opened before names, sizes and hashes of all its files were found to be those
of its bundle.json. That file itself has no signature: a bundle is as trustworthy as the place it
comes from, and `Bundle.digest` is what to compare with that place.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dlnotes.serving.decoding import GreedyDecoding
from dlnotes.serving.errors import BundleDamaged, BundleFormatError, UnsafeBundle
from dlnotes.serving.manifest import MANIFEST_NAME, Manifest, Signature, read_manifest
from dlnotes.serving.preprocessing import Preprocessor
from dlnotes.serving.safety import (
    FORM_PATHS,
    ZIP_ERRORS,
    check_keras_file,
    check_kind_of_file,
    check_member_name,
    check_member_size,
)
from dlnotes.validation import check_choice, check_int, check_path, received

if TYPE_CHECKING:
    from dlnotes.serving.engines import Engine

MAX_BYTES = 4 * 2**30
MAX_MANIFEST = 64 * 2**20
_CHUNK = 2**20


class Bundle:
    """A bundle whose files were checked; `load_bundle` makes it.

    A context manager: what was unpacked from a zip is removed at the end of the block, or when the
    bundle is forgotten.

    Attributes:
        manifest: What bundle.json says.
        signature: The model's inputs and outputs, with preprocessing and decoding.
        folder: Where the files lie.
        digest: SHA-256 of bundle.json, and so of all files.
    """

    def __init__(
        self,
        manifest: Manifest,
        signature: Signature,
        folder: Path,
        digest: str,
        unpacked: Path | None = None,
    ) -> None:
        self.manifest, self.signature = manifest, signature
        self.folder, self.digest = folder, digest
        self._remove = unpacked and weakref.finalize(self, shutil.rmtree, unpacked, True)

    @property
    def name(self) -> str:
        """The model's name in addresses."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The model's version."""
        return self.manifest.version

    @property
    def preprocessor(self) -> Preprocessor:
        """From the instances of a request to arrays."""
        return self.signature.preprocessor

    @property
    def decoding(self) -> GreedyDecoding | None:
        """How the model writes, or None."""
        return self.signature.decoding

    def path_of(self, form: str) -> Path:
        """Return where a form of the model lies.

        Raises:
            ValueError: If the bundle lacks it.
        """
        check_choice("form", form, self.manifest.forms)
        return self.folder / FORM_PATHS[form]

    def check(self, engine: "Engine") -> None:
        """Replay the golden request on an engine.

        Raises:
            BundleDamaged: If the answer is another one, with the largest difference.
        """
        from dlnotes.serving.predictor import Predictor

        golden = self.manifest.golden
        predictor = Predictor(self.signature, engine)
        answer = predictor.predict(golden.request["instances"])
        difference = distance(answer, golden.response["predictions"])
        if not difference <= golden.tolerance:
            raise BundleDamaged(
                f"{self.name}: the engine {engine.name} does not give the golden answer: it "
                f"differs by {difference:.3g}, and may by {golden.tolerance:g}"
            )

    def close(self) -> None:
        """Remove what was unpacked, if anything was."""
        if self._remove:
            self._remove()

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Bundle({self.name!r}, version={self.version!r}, forms={self.manifest.forms})"


def load_bundle(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Bundle:
    """Check a bundle, a folder or a zip, and return it.

    A zip is unpacked to a temporary folder, which the bundle removes when it is closed.

    Args:
        path: What `export` wrote.
        max_bytes: The most bytes that its files may have together.

    Raises:
        TypeError: If an argument has the wrong type.
        FileNotFoundError: If there is nothing at `path`.
        BundleFormatError: If it is no bundle, or not as the format says.
        BundleDamaged: If a file is missing, there is one too many, or one was changed.
        UnsafeBundle: If it holds pickles, HDF5 files, Lambda layers, links, or names that leave
            the folder.

    References:
        Keras' guide "Whole model saving & loading", on safe mode.
    """
    path, max_bytes = check_path("path", path), check_int("max_bytes", max_bytes, low=1)
    if not path.exists():
        raise FileNotFoundError(f"`path` must be a bundle. {received(path=str(path))}")
    if path.is_dir():
        return _load_folder(path, max_bytes)
    if path.is_file() and zipfile.is_zipfile(path) and path.suffix != ".keras":
        return _load_zip(path, max_bytes)
    with path.open("rb") as file:
        head = file.read(16)
    try:
        check_kind_of_file(path.name, head)
    except UnsafeBundle as error:
        if "belongs to no form" not in str(error):
            raise
    raise BundleFormatError(
        f"{path.name} is no bundle, which is a folder or a zip with a {MANIFEST_NAME}. Make one of "
        "a model with dlnotes.serving.export"
    )


def _load_folder(path: Path, max_bytes: int) -> Bundle:
    found = dict(_walk(path))
    if MANIFEST_NAME not in found:
        raise BundleFormatError(f"{path.name} is no bundle: it has no {MANIFEST_NAME}")
    with found.pop(MANIFEST_NAME).open("rb") as file:
        content = _read_manifest_bytes(file)
    manifest, signature = read_manifest(content)
    _check_sizes(manifest, {name: file.stat().st_size for name, file in found.items()}, max_bytes)
    for name, entry in manifest.files.items():
        with found[name].open("rb") as file:
            _copy(name, file, entry, None)
    return _opened(manifest, signature, path, content)


def _load_zip(path: Path, max_bytes: int) -> Bundle:
    with _readable_zip(path) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            name = check_member_name(member.filename.removesuffix("/"))
            kind = stat.S_IFMT(member.external_attr >> 16)
            check_member_size(path.name, member)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnsafeBundle(
                    f"{path.name}: {name} must be a plain file, and is a link or such"
                )
            if name in members:
                raise BundleDamaged(f"{path.name}: {name} occurs twice")
            if not member.is_dir():
                members[name] = member
        if MANIFEST_NAME not in members:
            raise BundleFormatError(f"{path.name} is no bundle: it has no {MANIFEST_NAME}")
        with archive.open(members.pop(MANIFEST_NAME)) as file:
            content = _read_manifest_bytes(file)
        manifest, signature = read_manifest(content)
        sizes = {name: member.file_size for name, member in members.items()}
        _check_sizes(manifest, sizes, max_bytes)
        folder = Path(tempfile.mkdtemp(prefix="dlnotes-bundle-"))
        try:
            for name, entry in manifest.files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(members[name]) as file, target.open("xb") as copy:
                    _copy(name, file, entry, copy)
            return _opened(manifest, signature, folder, content, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _opened(
    manifest: Manifest,
    signature: Signature,
    folder: Path,
    content: bytes,
    unpacked: Path | None = None,
) -> Bundle:
    if "keras" in manifest.forms:
        check_keras_file(folder / FORM_PATHS["keras"])
    digest = hashlib.sha256(content).hexdigest()
    return Bundle(manifest, signature, folder, digest, unpacked)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all files below a folder, by their names in the bundle; a link is refused."""
    for root, directories, names in os.walk(folder):
        for name in (*directories, *names):
            path = Path(root, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(folder).as_posix()
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UnsafeBundle(f"{relative} must be a plain file, and is a link or such")
            if stat.S_ISREG(mode):
                yield check_member_name(relative), path


def _read_manifest_bytes(file: IO[bytes]) -> bytes:
    content = file.read(MAX_MANIFEST + 1)
    if len(content) > MAX_MANIFEST:
        raise UnsafeBundle(f"{MANIFEST_NAME} must have at most {MAX_MANIFEST} bytes, and has more")
    return content


def _check_sizes(manifest: Manifest, sizes: dict[str, int], max_bytes: int) -> None:
    """Require the files of the manifest, no others, each of its size."""
    for name in sorted(sizes.keys() - manifest.files.keys()):
        check_kind_of_file(name)
        raise BundleDamaged(f"{name} must not be there: {MANIFEST_NAME} does not know it")
    for name, entry in manifest.files.items():
        if name not in sizes:
            raise BundleDamaged(f"{name} is missing: {MANIFEST_NAME} names it")
        if sizes[name] != entry.size:
            raise BundleDamaged(
                f"{name} must have {entry.size} bytes, as {MANIFEST_NAME} says, and has "
                f"{sizes[name]}"
            )
    total = sum(entry.size for entry in manifest.files.values())
    if total > max_bytes:
        raise UnsafeBundle(
            f"the files must have at most {max_bytes} bytes together, and have {total}"
        )


def _copy(name: str, source: IO[bytes], entry: Any, target: IO[bytes] | None) -> None:
    """Read a file to its end, at most as long as it may be, and compare its hash."""
    digest, left, first = hashlib.sha256(), entry.size, True
    while chunk := source.read(min(_CHUNK, left + 1)):
        left -= len(chunk)
        if first:
            check_kind_of_file(name, chunk[:16])
            first = False
        digest.update(chunk)
        if target:
            target.write(chunk)
    if left or digest.hexdigest() != entry.sha256:
        raise BundleDamaged(f"{name} was changed: its SHA-256 is not the one of {MANIFEST_NAME}")


@contextmanager
def _readable_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ZIP_ERRORS as error:
        raise BundleDamaged(f"{path.name} is no readable zip: {error}") from error


def distance(answer: Any, wanted: Any) -> float:
    """Return how far an answer is from another: the largest difference of two numbers in it.

    A number is compared by its difference, divided by the wanted one's size if that is above 1.
    Other values must be equal: where they are not, or lists have other lengths, it is infinite.

    Example:
        >>> distance({"text": "a", "p": [0.5, 0.25]}, {"text": "a", "p": [0.5, 0.5]})
        0.25
        >>> distance([1.0], [1.0, 2.0])
        inf
    """
    if isinstance(wanted, dict) and isinstance(answer, dict):
        if answer.keys() != wanted.keys():
            return np.inf
        return max((distance(answer[key], wanted[key]) for key in wanted), default=0.0)
    if isinstance(wanted, list) and isinstance(answer, list):
        if len(answer) != len(wanted):
            return np.inf
        return max((distance(a, w) for a, w in zip(answer, wanted, strict=True)), default=0.0)
    numbers = all(type(value) in (int, float) for value in (answer, wanted))
    if numbers and np.isfinite((answer, wanted)).all():
        return abs(answer - wanted) / max(1.0, abs(wanted))
    return 0.0 if answer == wanted and type(answer) is type(wanted) else np.inf
