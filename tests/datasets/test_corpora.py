import dataclasses
import hashlib
import importlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from contracts import check_loader_contract

from dlnotes import datasets
from dlnotes.datasets import (
    ArchiveError,
    DatasetFile,
    DatasetNotAvailable,
    load_imdb,
    load_python_text,
    load_registry,
    read_matching,
)
from dlnotes.datasets.text import _MODULES

# === The standard library ===


def test_python_text_keeps_the_loader_contract():
    data = check_loader_contract(load_python_text)
    info = datasets.dataset_info("python_text")
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert repr(data).startswith("CorpusData('python_text', train=")
    assert data.describe().startswith("python_text: ")
    assert len(repr(data)) < 100
    assert len(data.train) > 1_500_000
    assert min(len(data.val), len(data.test)) > 80_000
    with pytest.raises(ValueError, match="`val` must not be empty"):
        dataclasses.replace(data, val="")
    with pytest.raises(TypeError, match="`val` must be a text"):
        dataclasses.replace(data, val=b"text")


def test_each_part_is_whole_modules_and_none_is_in_two():
    data = load_python_text()
    names = [name for names in _MODULES.values() for name in names]
    assert data.files == tuple(names)
    assert len(set(names)) == len(names) == 50
    for text, names in zip((data.train, data.val, data.test), _MODULES.values(), strict=True):
        assert "\t" not in text
        starts = [text.index((_stdlib() / name).read_text("utf-8")[:300]) for name in names]
        assert starts == sorted(starts)


def _stdlib():
    import sysconfig
    from pathlib import Path

    return Path(sysconfig.get_path("stdlib"))


def test_docstrings_are_the_docstrings_alone(tmp_path):
    for names in _MODULES.values():
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                f'"""About {name}."""\nx = "no"\ndef f():\n\t"""Do\n\n\t    it\n\tall."""\n'
            )
    data = load_python_text("docstrings", directory=tmp_path)
    assert data.val.startswith("About bdb.py.\n\nDo\n\n    it\nall.\n\n\nAbout gettext.py.\n\n")
    assert "no" not in data.val
    assert "def f" in load_python_text(directory=tmp_path).val
    text = load_python_text("docstrings")
    assert 100_000 < len(text.train) < len(load_python_text().train) / 3


def test_a_python_without_sources_is_named(tmp_path):
    with pytest.raises(DatasetNotAvailable, match=r"'python_text': the source .*argparse\.py"):
        load_python_text(directory=tmp_path)
    with pytest.raises(ValueError, match="`what` must be one of 'source', 'docstrings'"):
        load_python_text("comments")


# === Film reviews ===


def archive(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def small_imdb(**more):
    members = {"aclImdb/README": b"read me", "aclImdb/train/unsup/0_0.txt": b"no class"}
    for part in ("train", "test"):
        for verdict in ("pos", "neg"):
            for i in range(10):
                text = f"{part} {verdict} {i} caf\N{LATIN SMALL LETTER E WITH ACUTE}"
                members[f"aclImdb/{part}/{verdict}/{i}_7.txt"] = text.encode()
    return archive({**members, **more})


@pytest.fixture
def serve(monkeypatch):
    """Answer for the archive on 127.0.0.1, with a registry that knows its hash and address."""
    servers = []

    def start(content):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_address[1]}/aclImdb_v1.tar.gz"
        digest = hashlib.sha256(content).hexdigest()
        file = DatasetFile("aclImdb_v1.tar.gz", len(content), digest, url)
        registry = dict(load_registry())
        registry["imdb"] = dataclasses.replace(registry["imdb"], files=(file,))
        module = importlib.import_module("dlnotes.datasets.registry")
        monkeypatch.setattr(module, "_course_registry", lambda: registry)

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_imdb_is_fetched_checked_and_read(serve, tmp_path):
    serve(small_imdb())
    with pytest.raises(DatasetNotAvailable, match="Fetch it with: dlnotes data fetch imdb"):
        load_imdb(directory=tmp_path)
    datasets.fetch("imdb", directory=tmp_path)
    data = check_loader_contract(load_imdb, directory=tmp_path, val_size=0.2)
    assert repr(data) == "TextData('imdb', train=16, val=4, test=20, classes=2)"
    for x, y in (
        (data.x_train, data.y_train),
        (data.x_val, data.y_val),
        (data.x_test, data.y_test),
    ):
        assert y.mean() == 0.5
        assert all(data.target_names[k][:3] in text for text, k in zip(x, y, strict=True))
        assert all(text.endswith("caf\N{LATIN SMALL LETTER E WITH ACUTE}") for text in x)
    assert all(text.startswith("test") for text in data.x_test)
    assert not {"no class", "read me"} & set(data.x.tolist())
    (tmp_path / "imdb" / "aclImdb_v1.tar.gz").write_bytes(small_imdb() + b"x")
    with pytest.raises(datasets.DatasetDamaged, match="is damaged"):
        load_imdb(directory=tmp_path)


def test_one_long_review_does_not_widen_all_others(serve, tmp_path):
    long = "caf\N{LATIN SMALL LETTER E WITH ACUTE} " * 10_000
    serve(small_imdb(**{f"aclImdb/{p}/pos/99_9.txt": long.encode() for p in ("train", "test")}))
    datasets.fetch("imdb", directory=tmp_path)
    data = load_imdb(directory=tmp_path, val_size=0.2)
    assert data.max_length == len(long) == 50_000
    assert sum(text == long for text in data.x.tolist()) == 2
    for x in (data.x_train, data.x_val, data.x_test):
        assert x.dtype == np.dtypes.StringDType()
        assert x.nbytes < 1000  # the texts lie beside it, each once; of one width: 200,000 a text
        assert not x.flags.writeable


def test_imdb_with_other_content_is_refused(serve, tmp_path):
    serve(small_imdb(**{"aclImdb/train/pos/99_9.txt": b"\xff"}))
    datasets.fetch("imdb", directory=tmp_path)
    with pytest.raises(ArchiveError, match=r"'aclImdb/train/pos/99_9\.txt' is not UTF-8"):
        load_imdb(directory=tmp_path)
    serve(archive({"aclImdb/README": b"read me"}))
    datasets.fetch("imdb", directory=tmp_path)
    with pytest.raises(ArchiveError, match="holds no reviews"):
        load_imdb(directory=tmp_path)


def test_the_registry_promises_the_authors_file():
    (file,) = load_registry()["imdb"].files
    assert file.url == "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
    assert file.sha256 == "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"


# === Members by pattern ===


def test_members_are_read_by_a_pattern_of_the_whole_name(tmp_path):
    data = archive({"a/1.txt": b"1", "a/2.txt": b"22", "b/1.txt": b"3", "a/1.txt.bak": b"4"})
    assert read_matching(data, r"a/[0-9]\.txt") == {"a/1.txt": b"1", "a/2.txt": b"22"}
    assert read_matching(data, "nothing") == {}
    path = tmp_path / "x.tar.gz"
    path.write_bytes(data)
    assert read_matching(path, "b/.*") == {"b/1.txt": b"3"}
    with pytest.raises(ArchiveError, match="larger than max_size=2 bytes"):
        read_matching(data, r"a/[0-9]\.txt", max_size=2)  # 3 bytes together
    with pytest.raises(ValueError, match="`pattern` must be a regular expression"):
        read_matching(data, "(")
    with pytest.raises(TypeError, match="`pattern` must be a text"):
        read_matching(data, 1)
    noise = archive({"a": np.random.default_rng(0).bytes(3000)})
    with pytest.raises(ArchiveError, match="archive is not a readable archive"):
        read_matching(noise[:1500], "a")


def test_links_and_doubles_are_refused_only_where_the_pattern_matches():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("twice"))
        tar.addfile(tarfile.TarInfo("good"))
    data = stream.getvalue()
    assert read_matching(data, "good") == {"good": b""}
    with pytest.raises(ArchiveError, match="member 'link' is not a regular file"):
        read_matching(data, "link")
    with pytest.raises(ArchiveError, match="member 'twice' occurs twice"):
        read_matching(data, "twice")
