import dataclasses

import pytest

from dlnotes import datasets
from dlnotes.datasets import RegistryError, dataset_info, load_registry

ENTRY = """
[toy]
title = "Toy"
kind = "download"
task = "none"
samples = 1
features = 2
license = "none"
source = "here"
notes = "Nothing."
loader = "load_toy"
[[toy.files]]
name = "toy.bin"
url = "https://example.org/toy.bin"
size = 3
sha256 = "SHA"
""".replace("SHA", "a" * 64)


def write(tmp_path, text):
    path = tmp_path / "registry.toml"
    path.write_text(text)
    return path


def test_course_registry_names_real_loaders():
    registry = load_registry()
    assert list(registry)[:5] == ["iris", "wine", "breast_cancer", "diabetes", "digits"]
    for info in registry.values():
        assert callable(getattr(datasets, info.loader)), info.name
        for file in info.files:
            assert file.url.startswith("https://") == (info.kind == "download"), file.name


@pytest.mark.parametrize(
    "info", [i for i in load_registry().values() if i.kind in ("bundled", "extract")],
    ids=lambda info: info.name,
)  # fmt: skip
def test_counts_are_true(info):
    if info.name == "placements":
        clean = datasets.load_placements().clean
        assert clean.shape == (info.samples, info.features + 2)  # the number and the answer
        return
    data = getattr(datasets, info.loader)()
    if info.name == "photos":
        assert [data.china.size, data.flower.size] == [info.features] * info.samples
        return
    if info.task == "forecasting":
        assert data.values.shape == (info.samples,)
        return
    if info.task == "language modelling":  # another release of Python has other texts
        assert info.samples == 0
        return
    assert len(data.x) == info.samples
    assert data.x[0].size == info.features


def test_entries_are_frozen(tmp_path):
    registry = load_registry(write(tmp_path, ENTRY))
    assert registry["toy"].size == 3
    assert registry["toy"].file("toy.bin").url == "https://example.org/toy.bin"
    with pytest.raises(TypeError):
        registry["other"] = registry["toy"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        registry["toy"].size = 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Toy"\n', "", "dataset 'toy': missing key title"),
        ('title = "Toy"', 'title = "Toy"\ncolour = 1', "dataset 'toy': unknown key colour"),
        ('title = "Toy"', 'title = " "', "dataset 'toy': `title` must be a non-empty text"),
        (
            'kind = "download"',
            'kind = "new"',
            "dataset 'toy': `kind` must be one of bundled.*'new'",
        ),
        ('kind = "download"', 'kind = "bundled"', "kind 'bundled' must have no files"),
        ("samples = 1", "samples = -1", "dataset 'toy': `samples` must be an integer >= 0.*-1"),
        ("samples = 1", "samples = true", "dataset 'toy': `samples` must be an integer"),
        ("size = 3", "size = 0", "dataset 'toy', file 'toy.bin': `size` must be an integer >= 1"),
        ("a" * 64, "A" * 64, "file 'toy.bin': `sha256` must be 64 lower-case hexadecimal"),
        ("https://example", "ftp://example", "`url` must start with https:// or http://"),
        ('url = "https://example.org/toy.bin"\n', "", "dataset 'toy', a file: missing key url"),
        ('"toy.bin"', '"../toy.bin"', "`name` must be a plain file name"),
        ('"toy.bin"', '".toy.bin"', "`name` must be a plain file name"),
        ("size = 3", "size = 3\nmembers = 'a'", "`members` must be a list of names"),
        ("[toy]", "[Toy]", "dataset 'Toy': the name must be lower-case"),
        ("[toy]", "[toy", "registry.toml is not valid TOML"),
    ],
)
def test_unusable_entry_is_named(tmp_path, old, new, message):
    assert old in ENTRY
    text = ENTRY.replace(old, new)
    if new == "[Toy]":
        text = text.replace("toy.files", "Toy.files")
    with pytest.raises(RegistryError, match=message):
        load_registry(write(tmp_path, text))


def test_unusable_shapes_are_named(tmp_path):
    with pytest.raises(RegistryError, match=r"dataset 'toy' must be a table"):
        load_registry(write(tmp_path, "toy = 1"))
    with pytest.raises(RegistryError, match=r"kind 'download' must have at least one file"):
        load_registry(write(tmp_path, ENTRY[: ENTRY.index("[[")]))
    twice = ENTRY + ENTRY[ENTRY.index("[[") :]
    with pytest.raises(RegistryError, match=r"dataset 'toy': two files have the same name"):
        load_registry(write(tmp_path, twice))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"`name` must be one of 'iris', .*name='irises'"):
        dataset_info("irises")
    with pytest.raises(ValueError, match=r"`name` must be one of 'mnist.npz'.*name='x'"):
        dataset_info("mnist").file("x")
    with pytest.raises(TypeError, match=r"`path` must be a path. Received: path=3"):
        load_registry(3)
