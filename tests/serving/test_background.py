"""Services in processes of their own: they answer, say why not, and leave nothing behind."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import psutil
import pytest
from processes_help import gone, wait_until
from serving_bundles import answers_of

from dlnotes import serving
from dlnotes.processes import Child
from dlnotes.serving.trials import start_naive

LONG = 60
# a starter that is killed: its service must notice
STARTER = """
import signal, sys, time
from dlnotes.serving import start, trials
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
service = trials.start_naive(sys.argv[3]) if sys.argv[2] == "naive" else start([sys.argv[3]])
print(service.address, service.process.pid, flush=True)
time.sleep(600)
"""
# a service in which something hangs, and swallows the Ctrl-C
STUBBORN = """
import signal, time
from dlnotes.serving import background

def hang(orders, report):
    signal.signal(signal.SIGINT, lambda *_: None)
    report("listening")
    while True:
        time.sleep(60)

background._serve, background.FORCE_S = hang, 0.3
main = background.main
"""


def predict(address, name, instances):
    body = json.dumps({"instances": instances}).encode()
    url = f"{address}/v1/models/{name}:predict"
    with urllib.request.urlopen(url, body, timeout=LONG) as answer:
        return json.load(answer)["predictions"]


@pytest.fixture(scope="module")
def packed(points_folder, tmp_path_factory):
    return shutil.make_archive(tmp_path_factory.mktemp("packed") / "points", "zip", points_folder)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_answers_ends_with_its_block_and_leaves_nothing(points_folder, classifier, temporary):
    rows = [[0, 255], [51, 102]]
    failing = contextlib.suppress(ZeroDivisionError)
    with failing, serving.start([points_folder], threads=1) as service:
        answer = predict(service.address, "points", rows)
        assert service.running
        1 / 0  # noqa: B018
    assert service.process.returncode == 0, "a clean end"
    assert not service.running
    assert not list(temporary.iterdir())
    np.testing.assert_allclose(answer, answers_of(classifier, rows), atol=1e-6)
    assert service.stop() == 0, "a second end changes nothing"
    with pytest.raises(urllib.error.URLError):
        predict(service.address, "points", rows)


def test_one_that_is_killed_leaves_nothing(packed, temporary):
    with serving.start([packed]) as service:
        assert list(temporary.glob("*/dlnotes-bundle-*")), "what it has unpacked"
        service.process.kill()
    assert not list(temporary.iterdir())


def test_one_that_hangs_is_ended(tmp_path, monkeypatch):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    monkeypatch.syspath_prepend(tmp_path)
    folder, reports = tmp_path / "folder", queue.SimpleQueue()
    folder.mkdir()
    child = Child("stubborn", "it", tmp_path / "log.txt", {"folder": folder}, {}, reports.put)
    try:
        assert reports.get(timeout=LONG) == {"event": "listening"}, child.last_words()
        child.hang_up()
        assert child.process.wait(LONG) == 1
        assert not folder.exists()
    finally:
        child.kill()


def test_it_says_why_it_does_not_start(tmp_path):
    with pytest.raises(RuntimeError, match="dlnotes serve .exit status 1.*must be a bundle"):
        serving.start([tmp_path / "nothing"])


def test_what_cannot_be_told_leaves_nothing(points_folder, temporary):
    with pytest.raises(Exception, match="pickle"):
        serving.start([points_folder], settings=lambda: 0)
    assert not list(temporary.iterdir())


def test_its_patience_ends(points_folder, temporary):
    with pytest.raises(RuntimeError, match="dlnotes serve is not listening after 0.01 s"):
        serving.start([points_folder], patience=0.01)
    assert not list(temporary.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("hears", ["hears", "deaf"])
@pytest.mark.parametrize("kind", ["ours", "naive"])
def test_it_ends_with_a_starter_that_is_killed(packed, points_folder, tmp_path, kind, hears):
    path = packed if kind == "ours" else points_folder / "model.onnx"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, hears, kind, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        address, pid = starter.stdout.readline().split()
        assert len(predict(address, "points", [[1, 2]])) == 1
        process = psutil.Process(int(pid))
        starter.send_signal(signal.SIGKILL)
        wait_until(lambda: gone(process), "it goes on", LONG)
        assert not list(tmp_path.iterdir())
    finally:
        starter.kill()
        starter.wait(LONG)
        starter.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["bundle.zip"], {}, "`paths` must be a list of bundles. Received: paths='bundle.zip'"),
        ([[]], {}, "`paths` must be a list of bundles"),
        ([[3]], {}, "`paths` must be"),
        ([["bundle.zip"]], {"patience": 0}, "`patience` must be"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        serving.start(*arguments, **options)


def test_the_naive_service_answers_as_the_model(points_folder, classifier):
    rows = np.random.default_rng(8).integers(0, 256, (3, 2))
    wanted = classifier(rows.astype("float32") / 255)
    for name in ("model.keras", "model.onnx"):
        with start_naive(points_folder / name) as service:
            answer = predict(service.address, "points", rows.tolist())
        np.testing.assert_allclose(answer, wanted, atol=1e-5)
    with pytest.raises(RuntimeError, match="the naive service .exit status 1"):
        start_naive(points_folder / "other.onnx")
