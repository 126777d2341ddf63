"""Clients that measure a service, and the stranger that opens files without this package."""

import http.server
import json
import threading
import time

import numpy as np
import pytest
from serving_bundles import answers_of, make_classifier

from dlnotes.runtime import quiet_start

with quiet_start():
    from dlnotes import serving
    from dlnotes.serving.trials import ask_stranger, exchange, load, send_together

ROWS = np.array([[0, 255], [51, 102]])


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 200, but 503 to the body "busy", and hangs up on the body "broken".

    It is busy for its first requests, as many as `refusals`, and slow for the body "slow".
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_error(404)

    def do_POST(self):
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.paths.add((self.path, self.client_address))
            server.bodies.append(body)
            server.now += 1
            server.most = max(server.most, server.now)
            busy = body == b"busy" or len(server.bodies) <= server.refusals
        time.sleep(2 if body == b"slow" else 0.02)
        with server.lock:
            server.now -= 1
        if body == b"broken":
            self.close_connection = True
            return
        self.send_response(503 if busy else 200)
        if body != b"endless":
            self.send_header("Content-Length", "0")
        if body == b"last":
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def place():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.lock, server.paths, server.bodies = threading.Lock(), set(), []
        server.now = server.most = server.refusals = 0
        server.address = f"http://127.0.0.1:{server.server_address[1]}/a/path"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_as_many_ask_at_once_as_there_are_clients(place):
    seen = serving.measure(place.address, [b"1", b"2", b"3"], clients=4, total=20)
    assert seen.codes.tolist() == [200] * 20
    assert sorted(place.bodies) == sorted([b"1", b"2", b"3"] * 6 + [b"1", b"2"])
    assert place.most == 4
    assert len({client for _, client in place.paths}) == 4, "each keeps its connection"
    assert {path for path, _ in place.paths} == {"/a/path"}
    assert seen.seconds.min() >= 0.02
    assert 20 / seen.seconds.sum() < seen.throughput <= 4 / 0.02


def test_refusals_and_breaks_are_told_apart(place):
    bodies = [b"good", b"busy", b"broken"]
    seen = serving.measure(place.address, bodies, clients=1, total=6, pause=1)
    assert seen.codes.tolist() == [200, 503, 0, 200, 503, 0]
    assert seen.seconds.max() < 1, "the pause is not part of an answer"
    assert seen.throughput < 2 / 2, "but of the time for all, and refusals are no answers"
    np.testing.assert_array_equal(seen.waited, seen.seconds)


def test_what_breaks_is_no_answer(place):
    bodies = [b"good", b"broken"]
    seen = serving.measure(place.address, bodies, clients=2, total=40)
    assert sorted(seen.codes) == [0] * 20 + [200] * 20
    took = seen.seconds.sum() / 2  # two clients, always asking
    assert 20 / took * 0.5 < seen.throughput < 20 / took * 1.3


def test_who_is_refused_asks_again(place):
    place.refusals = 3
    seen = serving.measure(place.address, [b"1", b"2"], clients=1, total=2, again=True, pause=0.2)
    assert seen.codes.tolist() == [503, 503, 503, 200, 200]
    assert place.bodies == [b"1"] * 4 + [b"2"]
    assert seen.waited.shape == (2,)
    assert seen.waited[0] >= 3 * 0.2 + seen.seconds[:4].sum(), "with the rests between"
    assert seen.waited[1] == seen.seconds[4]
    assert seen.throughput < 2 / seen.waited[0]


def test_clients_of_a_service_that_always_refuses_are_ended(place):
    with pytest.raises(RuntimeError, match=r"the clients: not ready after 0\.5 s"):
        serving.measure(place.address, [b"busy"], clients=1, total=1, again=True, patience=0.5)


def test_many_who_ask_again_all_get_an_answer(place):
    place.refusals = 50
    seen = serving.measure(place.address, [b"1"], clients=8, total=30, again=True, pause=0.01)
    assert (seen.codes == 200).sum() == 30
    assert (seen.codes == 503).sum() == 50
    under_way = seen.throughput * seen.waited.mean()  # Little's law
    assert 5 < under_way <= 8


def test_a_slow_answer_is_given_up(place):
    begin = time.perf_counter()
    seen = serving.measure(place.address, [b"slow", b"1"], clients=1, total=2, timeout=0.3)
    assert seen.codes.tolist() == [0, 200]
    assert 0.3 <= seen.seconds[0] < 2
    assert time.perf_counter() - begin < 2


def test_other_ends_of_an_answer(place):
    seen = serving.measure(place.address, [b"last", b"1", b"endless", b"2"], clients=1, total=4)
    assert seen.codes.tolist() == [200, 200, 0, 200]
    assert len({client for _, client in place.paths}) == 3, "after the last a new connection"


def test_all_are_sent_before_the_call(place):
    begun = []

    def look():
        end = time.monotonic() + 5
        while len(place.bodies) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        begun.append(len(place.bodies))

    codes = send_together(place.address, [b"good", b"busy", b"good"], look)
    assert codes.tolist() == [200, 503, 200]
    assert begun == [3]


def test_what_the_call_raises_is_raised(place):
    with pytest.raises(ZeroDivisionError):
        send_together(place.address, [b"good"] * 2, lambda: 1 / 0)


def test_one_that_breaks_is_alone(place):
    codes = send_together(place.address, [b"good", b"broken", b"good"])
    assert codes.tolist() == [200, 0, 200]


def test_nobody_there(place):
    nowhere = "http://127.0.0.1:9"  # the port of the discard service, which nobody runs
    seen = serving.measure(nowhere, [b"1"], clients=2, total=3000)
    assert seen.codes.tolist() == [0] * 3000
    assert seen.throughput == 0
    assert send_together(nowhere, [b"1", b"2"], timeout=5).tolist() == [0, 0]


def test_clients_that_fail_say_why(monkeypatch, tmp_path):
    (tmp_path / "crowd.py").write_text("raise ValueError('no crowd')")
    monkeypatch.setattr("dlnotes.serving.clients.__file__", str(tmp_path / "clients.py"))
    with pytest.raises(RuntimeError, match="(?s)the clients failed: .*no crowd"):
        serving.measure("http://127.0.0.1:9", [b"1"], clients=1, total=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": "127.0.0.1"}, "`address` must begin with http://"),
        ({"bodies": []}, "`bodies` must hold at least one"),
        ({"clients": 0}, "`clients` must be"),
        ({"total": 1.5}, "`total` must be"),
        ({"pause": -1}, "`pause` must be"),
        ({"again": 1}, "`again` must be True or False"),
        ({"address": "http://"}, "`address` must begin with http://"),
        ({"timeout": 0}, "`timeout` must be"),
        ({"patience": 0}, "`patience` must be"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    options = {"address": "http://x", "bodies": [b"1"], "clients": 1, "total": 1} | change
    with pytest.raises((TypeError, ValueError), match=message):
        serving.measure(options.pop("address"), options.pop("bodies"), **options)


def test_a_stranger_opens_what_needs_no_class_of_ours(points_folder, words_folder, tmp_path):
    model = make_classifier()
    model.save(tmp_path / "points.h5")
    inputs = {"x": (ROWS / 255 - 0.5).astype("float32")}
    words = {"source": np.array([[2, 3]], "int32"), "target": np.array([[2]], "int32")}
    tasks = [
        ("onnx", points_folder / "model.onnx", inputs),
        ("tensorflow", points_folder / "saved_model", inputs),
        ("keras", points_folder / "model.keras", inputs),
        ("keras", tmp_path / "points.h5", inputs),
        ("keras", words_folder / "model.keras", words),
        ("keras", tmp_path / "nothing.keras", inputs),
    ]
    *answers, ours, nothing = ask_stranger(tasks)
    for answer in answers:
        np.testing.assert_allclose(answer, answers_of(model, ROWS), atol=1e-6)
    assert "deserialized" in ours, "it has layers of this package"
    assert nothing.startswith("ValueError: File not found")


def test_a_stranger_has_only_the_library_that_a_format_needs(points_folder):
    inputs = {"x": (ROWS / 255 - 0.5).astype("float32")}
    tasks = [
        ("onnx", points_folder / "model.keras", inputs),
        ("tensorflow", points_folder / "model.keras", inputs),
    ]
    assert [type(answer) for answer in ask_stranger(tasks)] == [str, str]


@pytest.mark.parametrize(
    ("tasks", "options", "error", "message"),
    [
        ([("pickle", "a", {})], {}, ValueError, "`tasks` must be one of"),
        ([("keras", "a", {}), ("onnx", "a", {})], {}, ValueError, "must be in the order onnx, "),
        ([("onnx", "a", {})], {"timeout": 0.01}, RuntimeError, "not ready after 0.01 s"),
        ([("onnx", 3, {})], {}, TypeError, "`tasks` must be"),
    ],
)
def test_a_stranger_s_wrong_tasks_are_named(tasks, options, error, message):
    with pytest.raises(error, match=message):
        ask_stranger(tasks, **options)


def test_the_request_that_is_measured_is_one_of_the_service(points_folder):
    body = json.dumps({"instances": ROWS.tolist()}).encode()
    with serving.start([points_folder], threads=1) as service:
        found = load(service.address, "points", [body], clients=4, total=40)
        path = f"{service.address}/v1/models/points:predict"
        assert serving.measure(path, [body], clients=3, total=9).codes.tolist() == [200] * 9
        codes = send_together(path, [body] * 5, then=service.ask_to_end)
        assert codes.tolist() == [200] * 5, "what was sent is answered"
        assert service.stop() == 0
    assert 0 < found.share < 1
    assert 2 <= found.rows <= 8, "two rows a question, and four may ask"
    assert len(found.seconds) == len(found.waited) == 40
    assert not len(found.refusals)


def test_a_load_is_of_good_answers(place):
    address = place.address.removesuffix("/a/path")
    found = load(address, "any", [b"1"], clients=2, total=6)
    assert place.paths == {("/v1/models/any:predict", client) for _, client in place.paths}
    assert found.rate <= 2 / 0.02
    assert np.isnan([found.share, found.rows]).all(), "this place counts nothing"
    for body in (b"broken", b"busy"):
        with pytest.raises(RuntimeError, match="answered with codes .*, not 200 alone"):
            load(address, "any", [b"1", body], clients=1, total=2)
    place.refusals = len(place.bodies) + 2
    found = load(address, "any", [b"1"], clients=1, total=3, again=True)
    assert (len(found.seconds), len(found.refusals), len(found.waited)) == (3, 2, 3)


def test_an_exchange_is_text(place):
    address = place.address.removesuffix("/a/path")
    request = "POST /x HTTP/1.1\nContent-Length: 4\nConnection: close\n\nlast"
    head, _, body = exchange(address, request).partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "\r" not in head
    assert not body
    with pytest.raises(ValueError, match="`timeout` must be"):
        exchange(address, request, timeout=0)
