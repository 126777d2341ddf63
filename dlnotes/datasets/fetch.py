"""Files of datasets: fetched once, checked on every use, never unpacked to disk.

Everything a lesson reads passes through here: the SHA-256 of the very bytes that are parsed must
be the one in the registry, archives are read member by member, and pickles are refused.
"""

import contextlib
import gzip
import hashlib
import http.client
import io
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dlnotes.datasets.registry import DatasetFile, DatasetInfo, dataset_info
from dlnotes.runtime import repository_root, resource
from dlnotes.validation import check_float, check_int, check_path, received

Progress = Callable[[str, int, int], None]

_ATTEMPTS = 3  # the first and two more
_PAUSE_S = 0.5  # before a further attempt; doubled each time
_CHUNK = 1 << 16
_PART_SUFFIX = ".part"
_STALE_S = 24 * 3600  # age of an abandoned temporary file where no lock can tell
_MAX_MEMBER = 512 * 2**20


class DatasetError(OSError):
    """Something is wrong with a dataset's files."""


class DatasetNotAvailable(DatasetError, FileNotFoundError):
    """A dataset has not been fetched yet; the message says how to fetch it."""


class DatasetDamaged(DatasetError):
    """A file does not have the content that the registry promises."""


class DownloadError(DatasetError):
    """A file could not be fetched."""


class ArchiveError(DatasetError):
    """An archive does not hold what was asked for, or holds it in a form that is refused."""


class _BrokenTransfer(Exception):
    """A failure that another attempt may mend."""


# === Where files lie ===


def cache_directory() -> Path:
    """Return the folder that fetched datasets are kept in; it need not exist.

    The environment variable DLNOTES_DATA decides if it is set; in a checkout it is data/cache,
    elsewhere the user's cache folder.
    """
    if chosen := os.environ.get("DLNOTES_DATA"):
        return Path(chosen).expanduser().absolute()
    if root := repository_root():
        return root / "data" / "cache"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dlnotes"


def dataset_state(
    name: str,
    *,
    directory: str | Path | None = None,
    registry: Mapping[str, DatasetInfo] | None = None,
) -> str:
    """Return "ready", "not downloaded" or "damaged" for a dataset, after hashing its files.

    Raises:
        ValueError: If there is no such dataset.

    Example:
        >>> dataset_state("iris")
        'ready'
    """
    info = dataset_info(name, registry)
    try:
        for file in info.files:
            _verify(info, file, _path(info, file, directory))
    except DatasetNotAvailable:
        return "not downloaded"
    except DatasetError:
        return "damaged"
    return "ready"


def read_dataset_file(
    name: str,
    file_name: str,
    *,
    directory: str | Path | None = None,
    registry: Mapping[str, DatasetInfo] | None = None,
) -> bytes:
    """Return the bytes of one of a dataset's files, after checking their SHA-256.

    Args:
        name: The dataset.
        file_name: One of its files in the registry.
        directory: Cache folder in place of `cache_directory()`.
        registry: Registry in place of the course's.

    Raises:
        ValueError: If there is no such dataset or file.
        DatasetNotAvailable: If the file is not there.
        DatasetDamaged: If its content is not the expected one.
    """
    info = dataset_info(name, registry)
    file = info.file(file_name)
    return _verify(info, file, _path(info, file, directory))


def _path(info: DatasetInfo, file: DatasetFile, directory: str | Path | None) -> Path:
    if info.kind == "extract":
        try:
            return resource(f"data/{file.name}")
        except FileNotFoundError as error:
            raise DatasetNotAvailable(
                f"dataset {info.name!r}: the file data/{file.name} is missing. It belongs to the "
                "project itself: restore the checkout or install the package again"
            ) from error
    return _folder(info, directory) / file.name


def _folder(info: DatasetInfo, directory: str | Path | None) -> Path:
    base = cache_directory() if directory is None else check_path("directory", directory)
    return base / info.name


def _verify(info: DatasetInfo, file: DatasetFile, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DatasetNotAvailable(
            f"dataset {info.name!r} ({format_size(info.size)}) is not on this machine: its file "
            f"{file.name} belongs at {path}. Fetch it with: dlnotes data fetch {info.name}"
        ) from None
    except OSError as error:
        raise DatasetDamaged(f"dataset {info.name!r}: {path} cannot be read: {error}") from error
    if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
        mend = (
            "Restore it from the project (git checkout -- data, or install the package again)"
            if info.kind == "extract"
            else f"Fetch it again with: dlnotes data fetch {info.name}"
        )
        raise DatasetDamaged(
            f"dataset {info.name!r}: {path} is damaged: {len(data)} bytes with SHA-256 "
            f"{hashlib.sha256(data).hexdigest()[:12]}…, expected {file.size} bytes with "
            f"{file.sha256[:12]}…. {mend}"
        )
    return data


def format_size(num_bytes: int) -> str:
    """Return a file size for readers, in units of 1000.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is negative.

    Example:
        >>> format_size(11490434), format_size(5148), format_size(12)
        ('11.5 MB', '5.1 kB', '12 bytes')
    """
    num_bytes = check_int("num_bytes", num_bytes, low=0)
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if num_bytes >= limit:
            return f"{num_bytes / limit:.1f} {unit}"
    return f"{num_bytes} bytes"


# === Fetching ===


def fetch(
    name: str,
    *,
    directory: str | Path | None = None,
    timeout: float = 30.0,
    total_timeout: float = 3600.0,
    registry: Mapping[str, DatasetInfo] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download a dataset's files unless they are there, and return the folder that holds them.

    A file appears under its final name only when it is complete and its SHA-256 is right. A
    transfer that breaks is tried again, at most twice. Several processes may fetch the same
    dataset at once.

    Args:
        name: A dataset of kind "download".
        directory: Cache folder in place of `cache_directory()`.
        timeout: Seconds to wait for the server at each step.
        total_timeout: Seconds that one file may take in all.
        registry: Registry in place of the course's.
        progress: Called as ``progress(file_name, received_bytes, total_bytes)``.

    Raises:
        ValueError: If there is no such dataset, or it is not one that is downloaded.
        DownloadError: If a file could not be fetched; nothing is left behind.
        DatasetError: If it could not be stored.
    """
    info = dataset_info(name, registry)
    timeout = check_float("timeout", timeout, low=0, open_low=True)
    total_timeout = check_float("total_timeout", total_timeout, low=0, open_low=True)
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable or None. {received(progress=progress)}")
    if info.kind != "download":
        raise ValueError(
            f"`name` must be a dataset that is downloaded; {name!r} is {info.kind} and needs no "
            f"fetching. {received(name=name)}"
        )
    folder = _folder(info, directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"dataset {name!r}: cannot create {folder}: {error}") from error
    with _lock(folder, total_timeout) as exclusive:
        _remove_abandoned(folder, exclusive)
        for file in info.files:
            _fetch_file(info, file, folder, timeout, total_timeout, progress)
    return folder


def _fetch_file(
    info: DatasetInfo,
    file: DatasetFile,
    folder: Path,
    timeout: float,
    total_timeout: float,
    progress: Progress | None,
) -> None:
    target = folder / file.name
    with contextlib.suppress(DatasetError):
        _verify(info, file, target)
        return
    deadline = time.monotonic() + total_timeout
    where = f"dataset {info.name!r}: {file.name} could not be fetched from {file.url}"
    if urllib.parse.urlsplit(file.url).scheme not in ("http", "https"):
        raise DownloadError(f"{where}: only http and https addresses are fetched")
    free = shutil.disk_usage(folder).free
    if free < file.size:
        raise DatasetError(
            f"dataset {info.name!r}: {file.name} needs {format_size(file.size)}, but {folder} "
            f"has only {format_size(free)} free"
        )
    for attempt in range(1, _ATTEMPTS + 1):
        part = ""
        try:
            # In the same folder, so that the rename below is atomic.
            handle, part = tempfile.mkstemp(
                dir=folder, prefix=f".{file.name}.", suffix=_PART_SUFFIX
            )
            with os.fdopen(handle, "wb") as stream:
                _transfer(file, stream, where, timeout, deadline, progress)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(part, 0o644)
            os.replace(part, target)
            return
        except _BrokenTransfer as error:
            if attempt == _ATTEMPTS or time.monotonic() >= deadline:
                raise DownloadError(f"{where}: {error} (attempt {attempt})") from error
        except DatasetError:
            raise
        except OSError as error:
            with contextlib.suppress(DatasetError):
                _verify(info, file, target)
                return  # another process was faster, and Windows does not replace an open file
            raise DatasetError(
                f"dataset {info.name!r}: {target} could not be written: {error}"
            ) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)  # gone already if all went well
        time.sleep(_PAUSE_S * 2 ** (attempt - 1))


def _transfer(
    file: DatasetFile,
    stream: io.BufferedWriter,
    where: str,
    timeout: float,
    deadline: float,
    progress: Progress | None,
) -> None:
    digest = hashlib.sha256()
    count = 0
    for chunk in _chunks(file, where, timeout, deadline):
        count += len(chunk)
        if count > file.size:
            raise DownloadError(f"{where}: the server sends more than {file.size} bytes")
        digest.update(chunk)
        stream.write(chunk)
        if progress is not None:
            progress(file.name, count, file.size)
    if count < file.size:
        raise _BrokenTransfer(f"the transfer ended after {count} of {file.size} bytes")
    if digest.hexdigest() != file.sha256:
        raise DownloadError(
            f"{where}: the content has SHA-256 {digest.hexdigest()}, expected {file.sha256}. "
            "Nothing was kept"
        )


def _chunks(file: DatasetFile, where: str, timeout: float, deadline: float) -> Iterator[bytes]:
    """Yield the response's bytes, with every network failure turned into one of two errors."""
    request = urllib.request.Request(
        file.url, headers={"User-Agent": "dlnotes", "Accept-Encoding": "identity"}
    )
    try:
        with _opener(where).open(request, timeout=timeout) as response:
            length = response.headers.get("Content-Length")
            if length is not None and length.isdigit() and int(length) != file.size:
                raise DownloadError(
                    f"{where}: the server offers {length} bytes, expected {file.size}"
                )
            # read1 returns after one receive: a server that drips cannot outlast `deadline`.
            while chunk := response.read1(_CHUNK):
                yield chunk
                if time.monotonic() >= deadline:
                    raise _BrokenTransfer("the time allowed for the whole file is over")
    except DatasetError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        message = f"the server answers {error.code} {error.reason}"
        if error.code >= 500 or error.code in (408, 429):
            raise _BrokenTransfer(message) from error
        raise DownloadError(f"{where}: {message}") from error
    except TimeoutError as error:
        raise _BrokenTransfer(f"no answer within {timeout:g} s") from error
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        message = f"no answer within {timeout:g} s" if late else f"no connection ({error.reason})"
        raise _BrokenTransfer(message) from error
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenTransfer(f"the connection broke ({error!r})") from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https only, and from https never to http."""

    def __init__(self, where: str) -> None:
        self.where = where

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        target = headers.get("location") or headers.get("uri") or ""
        new = urllib.parse.urlsplit(urllib.parse.urljoin(req.full_url, target)).scheme
        old = urllib.parse.urlsplit(req.full_url).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            fp.close()
            raise DownloadError(f"{self.where}: redirect from {old} to {target!r} refused")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener(where: str) -> urllib.request.OpenerDirector:
    # Put together by hand: the standard opener would also open file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _SafeRedirects(where),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def _lock(folder: Path, timeout: float) -> Iterator[bool]:
    """Hold the folder's lock, so that of several processes one downloads; yield whether it is held.

    The lock only saves work: without it (Windows, some network folders) unique temporary names and
    the atomic rename keep every outcome right. The system frees it when its process dies.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    with open(folder / ".lock", "ab") as stream:
        deadline = time.monotonic() + timeout
        held = False
        while not held:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise DownloadError(
                        f"another process has been fetching into {folder} for {timeout:g} s"
                    ) from None
                time.sleep(0.05)
            except OSError:
                break
        yield held


def _remove_abandoned(folder: Path, exclusive: bool) -> None:
    """Remove temporary files whose process died: all if we hold the lock, else only old ones."""
    for part in folder.glob(f".*{_PART_SUFFIX}"):
        with contextlib.suppress(OSError):
            if exclusive or time.time() - part.stat().st_mtime > _STALE_S:
                part.unlink()


# === Archives ===


def read_member(archive: str | Path | bytes, member: str, *, max_size: int = _MAX_MEMBER) -> bytes:
    """Return one member of an archive, read in memory; nothing is unpacked to disk.

    Args:
        archive: A tar (plain, gz, bz2, xz), zip or single-file gz archive: its path or its bytes.
        member: The member's exact name. Of a single-file gz given by path, the path's name
            without ``.gz``; given as bytes, any plain name.
        max_size: Largest number of bytes to accept.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the name is absolute or leads out of the archive.
        ArchiveError: If there is no such member, or it is no regular file or too large, or the
            archive is damaged.
    """
    return read_members(archive, [member], max_size=max_size)[member]


def read_members(
    archive: str | Path | bytes, members: Iterable[str], *, max_size: int = _MAX_MEMBER
) -> dict[str, bytes]:
    """Return several members of an archive by name, in one pass; see `read_member`."""
    if isinstance(members, str):
        raise TypeError(f"`members` must be a list of names. {received(members=members)}")
    names = [_check_member_name(name) for name in members]
    max_size = check_int("max_size", max_size, low=1)
    if isinstance(archive, bytes):
        label, data = "archive", archive
    else:
        path = check_path("archive", archive)
        label, data = path.name, path.read_bytes()
    try:
        if data.startswith(b"PK\x03\x04"):
            return _from_zip(label, data, names, max_size)
        if data.startswith(b"\x1f\x8b") and not _is_tar(_gunzip(data, 512)):
            return {name: _from_gz(label, data, name, max_size) for name in names}
        return _from_tar(label, data, names, max_size)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{label} is not a readable archive: {error}") from error


def read_matching(
    archive: str | Path | bytes, pattern: str, *, max_size: int = _MAX_MEMBER
) -> dict[str, bytes]:
    """Return all members of a tar archive whose names match a pattern, read in memory.

    For archives of so many files that the registry cannot name them.

    Args:
        archive: A tar archive (plain, gz, bz2, xz): its path or its bytes.
        pattern: Regular expression that a member's whole name must match.
        max_size: Largest number of bytes to accept, of all these members together.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the pattern is no regular expression.
        ArchiveError: If a member that matches is no regular file or occurs twice, they are too
            large together, or the archive is damaged.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"`pattern` must be a text. {received(pattern=pattern)}")
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"`pattern` must be a regular expression. {received(pattern=pattern)}"
        ) from error
    max_size = check_int("max_size", max_size, low=1)
    if isinstance(archive, bytes):
        label, data = "archive", archive
    else:
        path = check_path("archive", archive)
        label, data = path.name, path.read_bytes()
    found: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
            for entry in tar:
                if wanted.fullmatch(entry.name):
                    total += entry.size
                    _check_size(label, entry.name, total, max_size)
                    found[entry.name] = _tar_content(label, tar, entry, found)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{label} is not a readable archive: {error}") from error
    return found


def _check_member_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"`member` must be a name. {received(member=name)}")
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if not name or unsafe or re.match(r"[A-Za-z]:", name):
        raise ValueError(
            f"`member` must be a relative name inside the archive. {received(member=name)}"
        )
    return name


def _from_tar(label: str, data: bytes, names: list[str], max_size: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
        for entry in tar:
            if entry.name not in names:
                continue
            if entry.isreg():
                _check_size(label, entry.name, entry.size, max_size)
            found[entry.name] = _tar_content(label, tar, entry, found)
    _check_found(label, names, found)
    return found


def _tar_content(
    label: str, tar: tarfile.TarFile, entry: tarfile.TarInfo, found: Mapping[str, bytes]
) -> bytes:
    if not entry.isreg():
        raise ArchiveError(f"{label}: member {entry.name!r} is not a regular file")
    if entry.name in found:
        raise ArchiveError(f"{label}: member {entry.name!r} occurs twice")
    content = tar.extractfile(entry).read()
    if len(content) != entry.size:
        raise ArchiveError(f"{label}: member {entry.name!r} is cut short")
    return content


def _from_zip(label: str, data: bytes, names: list[str], max_size: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            if entry.filename not in names:
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir() or kind not in (0, stat.S_IFREG):
                raise ArchiveError(f"{label}: member {entry.filename!r} is not a regular file")
            if entry.flag_bits & 1:
                raise ArchiveError(f"{label}: member {entry.filename!r} is encrypted")
            if entry.filename in found:
                raise ArchiveError(f"{label}: member {entry.filename!r} occurs twice")
            _check_size(label, entry.filename, entry.file_size, max_size)
            with archive.open(entry) as stream:
                found[entry.filename] = stream.read()
    _check_found(label, names, found)
    return found


def _from_gz(label: str, data: bytes, name: str, max_size: int) -> bytes:
    if label != "archive" and name != label.removesuffix(".gz"):
        raise ArchiveError(
            f"{label} has no member {name!r}; it holds {label.removesuffix('.gz')!r}"
        )
    content = _gunzip(data, max_size + 1)
    _check_size(label, name, len(content), max_size)
    return content


def _gunzip(data: bytes, limit: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        return stream.read(limit)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _check_size(label: str, name: str, size: int, max_size: int) -> None:
    if size > max_size:
        raise ArchiveError(f"{label}: member {name!r} is larger than max_size={max_size} bytes")


def _check_found(label: str, names: list[str], found: dict[str, bytes]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise ArchiveError(f"{label} has no member {', '.join(map(repr, missing))}")


def load_npz(source: str | Path | bytes, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the named arrays of a NumPy archive; pickled content is refused.

    Args:
        source: The archive's path or its bytes.
        names: The arrays to read.

    Raises:
        TypeError: If an argument has the wrong type.
        ArchiveError: If it is no NumPy archive, an array is missing or needs pickle.
    """
    if isinstance(names, str):
        raise TypeError(f"`names` must be a list of names. {received(names=names)}")
    names = list(names)
    if isinstance(source, bytes):
        label, data = "archive", source
    else:
        path = check_path("source", source)
        label, data = path.name, path.read_bytes()
    if not data.startswith(b"PK"):
        raise ArchiveError(f"{label} is not a NumPy archive")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            missing = [name for name in names if name not in arrays.files]
            if missing:
                raise ArchiveError(
                    f"{label} has no array {', '.join(map(repr, missing))}; it holds "
                    + ", ".join(map(repr, arrays.files))
                )
            return {name: arrays[name] for name in names}
    except (ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise ArchiveError(f"{label} could not be read without pickle: {error}") from error
