import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest

from dlnotes.datasets import ArchiveError, load_npz, read_member, read_members

GOOD = b"the content"


def tar_bytes(*entries, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = "/etc/passwd"
            tar.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return stream.getvalue()


def zip_bytes(*entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return stream.getvalue()


REG = tarfile.REGTYPE


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_one_member_of_a_tar(tmp_path, mode):
    # The archive also holds what must never be touched.
    path = tmp_path / "a.tar"
    path.write_bytes(
        tar_bytes(("../x", REG, b"bad"), ("d/good", REG, GOOD), ("z", REG, b""), mode=mode)
    )
    assert read_member(path, "d/good") == GOOD
    assert read_member(str(path), "z") == b""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar"]


def test_one_member_of_zip_and_gz(tmp_path):
    assert read_member(zip_bytes(("a", 0o100644, b"x"), ("good", 0, GOOD)), "good") == GOOD
    path = tmp_path / "good.bin.gz"
    path.write_bytes(gzip.compress(GOOD))
    assert read_member(path, "good.bin") == GOOD
    with pytest.raises(ArchiveError, match=r"good.bin.gz has no member 'x'; it holds 'good.bin'"):
        read_member(path, "x")


def test_several_members_in_one_pass():
    data = tar_bytes(("a", REG, b"1"), ("b", REG, b"2"), ("c", REG, b"3"))
    assert read_members(data, ["c", "a"]) == {"c": b"3", "a": b"1"}
    with pytest.raises(ArchiveError, match=r"archive has no member 'x', 'y'"):
        read_members(data, ["a", "x", "y"])


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:x", "a\\x", ""])
def test_names_that_lead_outside_are_refused(name):
    for data in (tar_bytes((name or "x", REG, b"bad")), zip_bytes((name or "x", 0, b"bad"))):
        with pytest.raises(ValueError, match=r"`member` must be a relative name"):
            read_member(data, name)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE],
)
def test_tar_members_that_are_no_files_are_refused(kind):
    with pytest.raises(ArchiveError, match=r"member 'x' is not a regular file"):
        read_member(tar_bytes(("x", kind, b"")), "x")


def test_zip_members_that_are_no_files_are_refused():
    with pytest.raises(ArchiveError, match=r"member 'x' is not a regular file"):
        read_member(zip_bytes(("x", 0o120777, b"/etc/passwd")), "x")
    with pytest.raises(ArchiveError, match=r"member 'd/' is not a regular file"):
        read_member(zip_bytes(("d/", 0o040755, b"")), "d/")


def test_large_members_are_refused():
    big = bytes(5000)  # compresses to almost nothing
    for data in (tar_bytes(("x", REG, big)), zip_bytes(("x", 0, big)), gzip.compress(big)):
        assert read_member(data, "x", max_size=5000) == big
        with pytest.raises(ArchiveError, match=r"member 'x' is larger than max_size=4999 bytes"):
            read_member(data, "x", max_size=4999)


def test_member_that_occurs_twice_is_refused():
    with pytest.raises(ArchiveError, match=r"member 'x' occurs twice"):
        read_member(tar_bytes(("x", REG, b"1"), ("x", REG, b"2")), "x")
    with pytest.warns(UserWarning, match=r"Duplicate name"):
        data = zip_bytes(("x", 0, b"1"), ("x", 0, b"2"))
    with pytest.raises(ArchiveError, match=r"member 'x' occurs twice"):
        read_member(data, "x")


def test_damaged_archives_are_named(tmp_path):
    noise = np.random.default_rng(0).bytes(3000)  # does not compress, so the cut is in the middle
    whole = tar_bytes(("x", REG, noise))
    for data in (b"plain text", b"", whole[: len(whole) // 2], gzip.compress(noise)[:-9]):
        path = tmp_path / "bad.tar.gz"
        path.write_bytes(data)
        with pytest.raises(ArchiveError, match=r"bad.tar.gz"):
            read_member(path, "bad.tar")
    broken = bytearray(zip_bytes(("x", 0, noise)))
    broken[200] ^= 255
    with pytest.raises(ArchiveError, match=r"not a readable archive"):
        read_member(bytes(broken), "x")


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match=r"`archive` must be a path"):
        read_member(3, "x")
    with pytest.raises(TypeError, match=r"`member` must be a name. Received: member=3"):
        read_member(b"", 3)
    with pytest.raises(TypeError, match=r"`members` must be a list of names"):
        read_members(b"", "x")
    with pytest.raises(ValueError, match=r"`max_size` must be an integer >= 1"):
        read_member(b"", "x", max_size=0)


def npz_bytes(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_numpy_archive(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(npz_bytes(a=np.arange(3), b=np.eye(2)))
    arrays = load_npz(path, ["a"])
    assert list(arrays) == ["a"]
    np.testing.assert_array_equal(arrays["a"], [0, 1, 2])
    with pytest.raises(ArchiveError, match=r"a.npz has no array 'c'; it holds 'a', 'b'"):
        load_npz(path, ["a", "c"])


class Mine:
    """An object whose unpickling would leave a trace."""

    touched = False

    def __reduce__(self):
        return (setattr, (Mine, "touched", True))


def test_pickles_are_never_loaded():
    content = npz_bytes(a=np.array([Mine()], dtype=object))
    with pytest.raises(ArchiveError, match=r"could not be read without pickle"):
        load_npz(content, ["a"])
    assert not Mine.touched


def test_numpy_archive_errors():
    with pytest.raises(ArchiveError, match=r"archive is not a NumPy archive"):
        load_npz(b"\x93NUMPY", ["a"])
    whole = npz_bytes(a=np.arange(300))
    with pytest.raises(ArchiveError, match=r"could not be read"):
        load_npz(whole[:-30], ["a"])
    with pytest.raises(TypeError, match=r"`names` must be a list of names. Received: names='a'"):
        load_npz(whole, "a")
    with pytest.raises(TypeError, match=r"`source` must be a path"):
        load_npz(3, ["a"])
