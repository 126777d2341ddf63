import hashlib
import http.server
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from dlnotes import datasets
from dlnotes.datasets import (
    DatasetDamaged,
    DatasetError,
    DatasetFile,
    DatasetInfo,
    DatasetNotAvailable,
    DownloadError,
    read_dataset_file,
)

fetch_module = importlib.import_module("dlnotes.datasets.fetch")  # the name is the function's

CONTENT = bytes(range(256)) * 800  # 200 kB: several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers on 127.0.0.1 with the function registered for a path, and counts the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes = {}
        self.hits = []
        self.released = threading.Event()

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what is tested here

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hits.append(self.path)
        self.server.routes[self.path](self, self.server.hits.count(self.path))

    def log_message(self, *args):
        pass

    def start(self, code=200, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send_all(self, content=CONTENT):
        self.start(Content_Length=str(len(content)))
        self.wfile.write(content)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch_module, "_PAUSE_S", 0.0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def toy(url):
    return {"toy": toy_info((DatasetFile("toy.bin", len(CONTENT), SHA256, url),))}


def toy_info(files, kind="download"):
    texts = {"title": "Toy", "task": "none", "license": "none", "source": "here", "notes": "-"}
    return DatasetInfo(
        name="toy", kind=kind, samples=1, features=1, loader="load_toy", files=files, **texts
    )


def visible(tmp_path):
    folder = tmp_path / "toy"
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock") if folder.exists() else []


def get(server, tmp_path, path="/toy", **arguments):
    registry = arguments.pop("registry", None) or toy(server.url(path))
    return datasets.fetch("toy", directory=tmp_path, registry=registry, **arguments)


def test_fetches_once_and_reports(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.send_all()
    seen = []
    folder = get(server, tmp_path, progress=lambda *step: seen.append(step))
    assert folder == tmp_path / "toy"
    assert (folder / "toy.bin").read_bytes() == CONTENT
    assert seen[-1] == ("toy.bin", len(CONTENT), len(CONTENT))
    assert [step[1] for step in seen] == sorted({step[1] for step in seen})
    get(server, tmp_path)
    assert server.hits == ["/toy"]
    assert visible(tmp_path) == ["toy.bin"]


def test_several_files(server, tmp_path):
    server.routes["/a"] = lambda h, n: h.send_all(b"aaa")
    server.routes["/b"] = lambda h, n: h.send_all(b"bb")
    files = tuple(
        DatasetFile(f"{c}.bin", len(t), hashlib.sha256(t).hexdigest(), server.url(f"/{c}"))
        for c, t in (("a", b"aaa"), ("b", b"bb"))
    )
    get(server, tmp_path, registry={"toy": toy_info(files)})
    assert visible(tmp_path) == ["a.bin", "b.bin"]


def test_wrong_hash_keeps_nothing(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.send_all(bytes(len(CONTENT)))
    with pytest.raises(DownloadError, match=f"'toy'.*has SHA-256 .*expected {SHA256}"):
        get(server, tmp_path)
    assert visible(tmp_path) == []
    assert len(server.hits) == 1


def test_wrong_length_is_refused_early(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.send_all(CONTENT + b"x")
    with pytest.raises(DownloadError, match=r"the server offers 204801 bytes, expected 204800"):
        get(server, tmp_path)

    def endless(handler, n):
        handler.start()
        while not server.released.is_set():
            handler.wfile.write(CONTENT)

    server.routes["/endless"] = endless
    with pytest.raises(DownloadError, match=r"the server sends more than 204800 bytes"):
        get(server, tmp_path, "/endless")
    assert visible(tmp_path) == []


def truncated(handler, n):
    handler.start(Content_Length=str(len(CONTENT)))
    handler.wfile.write(CONTENT[:1000])


def test_truncated_body_is_tried_three_times(server, tmp_path):
    server.routes["/toy"] = truncated
    with pytest.raises(DownloadError, match=r"ended after 1000 of 204800 bytes \(attempt 3\)"):
        get(server, tmp_path)
    assert len(server.hits) == 3
    assert visible(tmp_path) == []


def test_third_attempt_may_succeed(server, tmp_path):
    def shaky(handler, n):
        if n == 1:
            truncated(handler, n)
        elif n == 2:
            handler.start(503)
        else:
            handler.send_all()

    server.routes["/toy"] = shaky
    get(server, tmp_path)
    assert len(server.hits) == 3
    assert visible(tmp_path) == ["toy.bin"]


def test_404_is_final(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.start(404)
    with pytest.raises(DownloadError, match=r"toy.bin could not be fetched from http.*answers 404"):
        get(server, tmp_path)
    assert len(server.hits) == 1
    assert visible(tmp_path) == []


def test_500_is_tried_again(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.start(500)
    with pytest.raises(DownloadError, match=r"answers 500 .*\(attempt 3\)"):
        get(server, tmp_path)
    assert len(server.hits) == 3


def test_nobody_listens(tmp_path, server):
    server.server_close()
    with pytest.raises(DownloadError, match=r"no connection .*\(attempt 3\)"):
        get(server, tmp_path)
    assert visible(tmp_path) == []


def test_silent_server_times_out(server, tmp_path):
    server.routes["/toy"] = lambda h, n: server.released.wait(10)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"no answer within 0.1 s \(attempt 3\)"):
        get(server, tmp_path, timeout=0.1)
    assert time.monotonic() - start < 2
    assert visible(tmp_path) == []


def test_server_that_stops_in_the_middle_times_out(server, tmp_path):
    def stall(handler, n):
        truncated(handler, n)
        server.released.wait(10)

    server.routes["/toy"] = stall
    with pytest.raises(DownloadError, match=r"no answer within 0.1 s \(attempt 3\)"):
        get(server, tmp_path, timeout=0.1)
    assert visible(tmp_path) == []


def test_dripping_server_meets_the_total_timeout(server, tmp_path):
    def drip(handler, n):
        handler.start(Content_Length=str(len(CONTENT)))
        while not server.released.wait(0.02):
            handler.wfile.write(b"x")

    server.routes["/toy"] = drip
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"time allowed for the whole file is over"):
        get(server, tmp_path, timeout=0.5, total_timeout=0.3)
    assert time.monotonic() - start < 2
    assert visible(tmp_path) == []


def test_redirect_is_followed(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.start(302, Location="/there")
    server.routes["/there"] = lambda h, n: h.send_all()
    get(server, tmp_path)
    assert server.hits == ["/toy", "/there"]
    assert visible(tmp_path) == ["toy.bin"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirect_to_another_scheme_is_refused(server, tmp_path, target):
    server.routes["/toy"] = lambda h, n: h.start(302, Location=target)
    with pytest.raises(DownloadError, match=f"redirect from http to '{target}' refused"):
        get(server, tmp_path)
    assert len(server.hits) == 1
    assert visible(tmp_path) == []


def test_redirect_from_https_to_http_is_refused():
    handler = fetch_module._SafeRedirects("toy")
    request = urllib.request.Request("https://example.org/a")

    class Body:
        closed = False

        def close(self):
            self.closed = True

    body = Body()
    with pytest.raises(
        DownloadError, match=r"redirect from https to 'http://example.org/b' refused"
    ):
        handler.http_error_302(request, body, 302, "", {"location": "http://example.org/b"})
    assert body.closed


def test_redirect_loop_ends(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.start(302, Location="/toy")
    with pytest.raises(DownloadError, match=r"answers 302"):
        get(server, tmp_path)
    assert len(server.hits) < 15


def test_other_schemes_are_never_opened(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with pytest.raises(DownloadError, match=r"only http and https addresses"):
        datasets.fetch("toy", directory=tmp_path, registry=toy(secret.as_uri()))
    assert visible(tmp_path) == []


def test_interrupt_leaves_nothing(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.send_all()

    def interrupt(*step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, progress=interrupt)
    assert visible(tmp_path) == []


def test_file_appears_by_a_rename_only(server, tmp_path, monkeypatch):
    server.routes["/toy"] = lambda h, n: h.send_all()
    moved = []

    def watch(part, target):
        moved.append((os.path.dirname(part), os.path.getsize(part), target.exists()))
        os.rename(part, target)

    monkeypatch.setattr(fetch_module.os, "replace", watch)
    get(server, tmp_path)
    assert moved == [(str(tmp_path / "toy"), len(CONTENT), False)]


def test_a_faster_process_is_no_error(server, tmp_path, monkeypatch):
    server.routes["/toy"] = lambda h, n: h.send_all()

    def occupied(part, target):
        target.write_bytes(CONTENT)
        raise PermissionError(13, "in use")

    monkeypatch.setattr(fetch_module.os, "replace", occupied)
    get(server, tmp_path)
    assert visible(tmp_path) == ["toy.bin"]


def test_full_disk_is_told_before_the_transfer(server, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(fetch_module.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DatasetError, match=r"toy.bin needs 204.8 kB, but .* has only 1.0 kB free"):
        get(server, tmp_path)
    assert server.hits == []


def test_disk_error_during_the_transfer(server, tmp_path, monkeypatch):
    server.routes["/toy"] = lambda h, n: h.send_all()

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_module.os, "fsync", fail)
    with pytest.raises(DatasetError, match=r"toy.bin could not be written: .*No space left"):
        get(server, tmp_path)
    assert visible(tmp_path) == []
    assert len(server.hits) == 1


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "toy").write_text("in the way")
    with pytest.raises(DatasetError, match=r"dataset 'toy': cannot create"):
        get(server, tmp_path)


# === Several processes ===

CHILD = """
import sys
from dlnotes import datasets
registry = datasets.load_registry(sys.argv[1])
print(datasets.fetch("toy", directory=sys.argv[2], registry=registry))
"""


def spawn(server, tmp_path):
    registry = tmp_path / "registry.toml"
    registry.write_text(
        '[toy]\ntitle = "Toy"\nkind = "download"\ntask = "none"\nsamples = 1\nfeatures = 1\n'
        'license = "none"\nsource = "here"\nnotes = "-"\nloader = "load_toy"\n'
        f'[[toy.files]]\nname = "toy.bin"\nurl = "{server.url("/toy")}"\n'
        f'size = {len(CONTENT)}\nsha256 = "{SHA256}"\n'
    )
    root = os.path.dirname(os.path.dirname(datasets.__path__[0]))
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(registry), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": root, "no_proxy": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_two_processes_at_once(server, tmp_path):
    def slow(handler, n):
        server.released.wait(10)
        handler.send_all()

    server.routes["/toy"] = slow
    children = [spawn(server, tmp_path), spawn(server, tmp_path)]
    wait_for(lambda: server.hits)
    time.sleep(0.4)  # let the second one arrive
    server.released.set()
    for child in children:
        output, _ = child.communicate(timeout=20)
        assert child.returncode == 0, output
    assert visible(tmp_path) == ["toy.bin"]
    assert (tmp_path / "toy" / "toy.bin").read_bytes() == CONTENT
    assert len(server.hits) == (1 if sys.platform != "win32" else 2)


def test_without_a_lock_two_transfers_end_in_one_right_file(server, tmp_path, monkeypatch):
    # As on Windows: the outcome must not depend on the lock.
    monkeypatch.setitem(sys.modules, "fcntl", None)
    barrier = threading.Barrier(2)

    def together(handler, n):
        barrier.wait(10)
        handler.send_all()

    server.routes["/toy"] = together
    threads = [threading.Thread(target=get, args=(server, tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.hits) == 2
    assert visible(tmp_path) == ["toy.bin"]
    assert (tmp_path / "toy" / "toy.bin").read_bytes() == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="needs a lock and SIGKILL")
def test_killed_halfway_and_run_again(server, tmp_path):
    def first_half_only(handler, n):
        handler.start(Content_Length=str(len(CONTENT)))
        handler.wfile.write(CONTENT[:100_000])
        if n == 1:
            server.released.wait(10)
        else:
            handler.wfile.write(CONTENT[100_000:])

    server.routes["/toy"] = first_half_only
    child = spawn(server, tmp_path)
    folder = tmp_path / "toy"
    wait_for(lambda: any(p.stat().st_size > 50_000 for p in folder.glob(".*.part")))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not (folder / "toy.bin").exists()
    assert len(visible(tmp_path)) == 1
    get(server, tmp_path)
    assert visible(tmp_path) == ["toy.bin"]
    assert (folder / "toy.bin").read_bytes() == CONTENT


def test_without_a_lock_only_old_leftovers_go(server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    server.routes["/toy"] = lambda h, n: h.send_all()
    (tmp_path / "toy").mkdir()
    for name, age in ((".toy.bin.old.part", 2 * 24 * 3600), (".toy.bin.new.part", 60)):
        path = tmp_path / "toy" / name
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    get(server, tmp_path)
    assert visible(tmp_path) == [".toy.bin.new.part", "toy.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a lock")
def test_waiting_for_another_process_ends(server, tmp_path):
    import fcntl

    (tmp_path / "toy").mkdir()
    with open(tmp_path / "toy" / ".lock", "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match=r"another process has been fetching into .* 0.1 s"):
            get(server, tmp_path, total_timeout=0.1)


# === Reading ===


def test_offline_error_says_what_to_do(tmp_path):
    with pytest.raises(DatasetNotAvailable) as caught:
        datasets.load_mnist(directory=tmp_path)
    assert isinstance(caught.value, FileNotFoundError)
    assert str(caught.value) == (
        "dataset 'mnist' (11.5 MB) is not on this machine: its file mnist.npz belongs at "
        f"{tmp_path / 'mnist' / 'mnist.npz'}. Fetch it with: dlnotes data fetch mnist"
    )
    for load in (datasets.load_fashion_mnist, datasets.load_cifar10):
        with pytest.raises(DatasetNotAvailable, match=r"Fetch it with: dlnotes data fetch"):
            load(directory=tmp_path)


def test_damaged_file_is_found_and_mended(server, tmp_path):
    server.routes["/toy"] = lambda h, n: h.send_all()
    registry = toy(server.url("/toy"))
    where = {"directory": tmp_path, "registry": registry}
    assert datasets.dataset_state("toy", **where) == "not downloaded"
    target = get(server, tmp_path) / "toy.bin"
    assert datasets.dataset_state("toy", **where) == "ready"
    assert read_dataset_file("toy", "toy.bin", **where) == CONTENT
    target.write_bytes(CONTENT[:-1] + b"x")
    assert datasets.dataset_state("toy", **where) == "damaged"
    with pytest.raises(DatasetDamaged, match=r"toy.bin is damaged.*again with: dlnotes data fetch"):
        read_dataset_file("toy", "toy.bin", **where)
    get(server, tmp_path)
    assert datasets.dataset_state("toy", **where) == "ready"
    target.unlink()
    target.mkdir()
    with pytest.raises(DatasetDamaged, match=r"toy.bin cannot be read"):
        read_dataset_file("toy", "toy.bin", **where)


def test_extracts_are_checked_too(tmp_path, monkeypatch):
    path = tmp_path / "placements_clean.csv"
    content = read_dataset_file("placements", "placements_clean.csv")
    path.write_bytes(content.replace(b"7.", b"8.", 1))
    monkeypatch.setattr(fetch_module, "resource", lambda relative: path)
    with pytest.raises(DatasetDamaged, match=r"placements_clean.csv is damaged.*Restore it"):
        datasets.load_placements_xy()

    def missing(relative):
        raise FileNotFoundError(relative)

    monkeypatch.setattr(fetch_module, "resource", missing)
    with pytest.raises(DatasetNotAvailable, match=r"data/placements_clean.csv is missing"):
        datasets.load_placements_xy()


def test_cache_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("DLNOTES_DATA", raising=False)
    monkeypatch.setattr(fetch_module, "repository_root", lambda: tmp_path)
    assert datasets.cache_directory() == tmp_path / "data" / "cache"
    monkeypatch.setattr(fetch_module, "repository_root", lambda: None)
    monkeypatch.setattr(fetch_module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert datasets.cache_directory() == tmp_path / "xdg" / "dlnotes"
    monkeypatch.setenv("DLNOTES_DATA", str(tmp_path / "mine"))
    assert datasets.cache_directory() == tmp_path / "mine"


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"`name` must be one of 'iris'.*name='mnits'"):
        datasets.fetch("mnits")
    with pytest.raises(ValueError, match=r"'iris' is bundled and needs no fetching"):
        datasets.fetch("iris", directory=tmp_path)
    with pytest.raises(ValueError, match=r"`timeout` must be a finite number > 0.*timeout=0"):
        datasets.fetch("mnist", timeout=0, directory=tmp_path)
    with pytest.raises(TypeError, match=r"`total_timeout` must be a number"):
        datasets.fetch("mnist", total_timeout="long", directory=tmp_path)
    with pytest.raises(
        TypeError, match=r"`progress` must be callable or None. Received: progress=1"
    ):
        datasets.fetch("mnist", progress=1, directory=tmp_path)
    with pytest.raises(TypeError, match=r"`directory` must be a path. Received: directory=3"):
        datasets.fetch("mnist", directory=3)
    with pytest.raises(ValueError, match=r"`name` must be one of 'mnist.npz'"):
        read_dataset_file("mnist", "other.npz")
    with pytest.raises(ValueError, match=r"`num_bytes` must be an integer >= 0"):
        datasets.format_size(-1)
    assert list(tmp_path.iterdir()) == []
