import dataclasses
import gzip
import hashlib
import importlib
import io
import struct
import tarfile

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from dlnotes import datasets
from dlnotes.datasets import ArchiveError, DatasetFile, load_registry
from dlnotes.datasets.images import parse_cifar10, parse_idx


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def small(rng, count, shape):
    x = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return x, np.arange(count, dtype=np.uint8) % 10


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put stand-ins for the full sets into a cache folder, with a registry that knows them."""
    registry = dict(load_registry())

    def put(name, contents):
        folder = tmp_path / name
        folder.mkdir()
        files = []
        for old in registry[name].files:
            content = contents[old.name]
            (folder / old.name).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            files.append(DatasetFile(old.name, len(content), sha256, old.url, old.members))
        registry[name] = dataclasses.replace(registry[name], files=tuple(files))
        module = importlib.import_module("dlnotes.datasets.registry")
        monkeypatch.setattr(module, "_course_registry", lambda: registry)
        return tmp_path

    return put


def rows(x):
    return sorted(picture.tobytes() for picture in x)


def test_digits_are_scaled_ink():
    data = datasets.load_digits()
    raw = sklearn_digits()
    assert data.pixel_range == (0.0, 1.0)
    assert (data.x.min(), data.x.max()) == (0.0, 1.0)
    assert rows(data.x) == rows(raw.images / 16)
    assert data.target_names == tuple("0123456789")
    # Each label still belongs to its picture.
    labels = {x.tobytes(): y for x, y in zip(raw.images / 16, raw.target, strict=True)}
    assert all(labels[x.tobytes()] == y for x, y in zip(data.x_test, data.y_test, strict=True))
    with pytest.raises(ValueError, match=r"`val_size` must be a finite number"):
        datasets.load_digits(val_size=2)


def test_mnist_from_the_cache(install):
    rng = np.random.default_rng(0)
    (x, y), (x_test, y_test) = small(rng, 100, (28, 28)), small(rng, 20, (28, 28))
    stream = io.BytesIO()
    np.savez(stream, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    directory = install("mnist", {"mnist.npz": stream.getvalue()})
    data = datasets.load_mnist(directory=directory)
    assert repr(data) == "ImageData('mnist', train=90, val=10, test=20, shape=(28, 28))"
    np.testing.assert_array_equal(data.x_test, x_test)
    np.testing.assert_array_equal(data.y_test, y_test)
    assert rows([*data.x_train, *data.x_val]) == rows(x)
    np.testing.assert_array_equal(np.bincount(data.y_val), [1] * 10)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert len(datasets.load_mnist(directory=directory, val_size=0.2).x_val) == 20


def test_fashion_mnist_from_the_cache(install):
    rng = np.random.default_rng(1)
    (x, y), (x_test, y_test) = small(rng, 50, (28, 28)), small(rng, 10, (28, 28))
    directory = install(
        "fashion_mnist",
        {
            "train-images-idx3-ubyte.gz": gzip.compress(idx(x)),
            "train-labels-idx1-ubyte.gz": gzip.compress(idx(y)),
            "t10k-images-idx3-ubyte.gz": gzip.compress(idx(x_test)),
            "t10k-labels-idx1-ubyte.gz": gzip.compress(idx(y_test)),
        },
    )
    data = datasets.load_fashion_mnist(directory=directory, val_size=0.2)
    np.testing.assert_array_equal(data.x_test, x_test)
    np.testing.assert_array_equal(data.y_test, y_test)
    assert len(data.x_train) == 40
    assert data.target_names[9] == "ankle boot"


def test_cifar10_from_the_cache(install):
    rng = np.random.default_rng(2)
    batches = [small(rng, 10, (32, 32, 3)) for _ in range(6)]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for member, (x, y) in zip(
            load_registry()["cifar10"].files[0].members, batches, strict=True
        ):
            records = np.hstack([y[:, None], x.transpose(0, 3, 1, 2).reshape(10, -1)])
            info = tarfile.TarInfo(member)
            info.size = records.nbytes
            tar.addfile(info, io.BytesIO(records.tobytes()))
    directory = install("cifar10", {"cifar-10-binary.tar.gz": stream.getvalue()})
    data = datasets.load_cifar10(directory=directory, val_size=0.2)
    assert repr(data) == "ImageData('cifar10', train=40, val=10, test=10, shape=(32, 32, 3))"
    np.testing.assert_array_equal(data.x_test, batches[5][0])
    assert rows([*data.x_train, *data.x_val]) == rows(np.concatenate([x for x, _ in batches[:5]]))


def test_malformed_content_is_refused():
    good = idx(np.zeros((2, 3), np.uint8))
    for bad in (b"", good[:6], b"\x00\x00\x0d" + good[3:]):
        with pytest.raises(ArchiveError, match=r"`content` must be an IDX file of unsigned bytes"):
            parse_idx(bad)
    for bad in (good[:-1], good + b"x"):
        with pytest.raises(ArchiveError, match=r"values of shape \(2, 3\). Received: [57] bytes"):
            parse_idx(bad)
    with pytest.raises(ArchiveError, match=r"records of 3073 bytes. Received: 3072 bytes"):
        parse_cifar10(bytes(3072))
    with pytest.raises(ArchiveError, match=r"classes 0 to 9. Received: class 10"):
        parse_cifar10(bytes([10]) + bytes(3072))
