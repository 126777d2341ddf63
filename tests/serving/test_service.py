"""The service over HTTP, on a real socket in this process."""

import contextlib
import http.client
import inspect
import json
import re
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from contracts import check_docstring
from processes_help import wait_until
from serving_bundles import CLASSIFIER, answers_of
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dlnotes.serving import app as app_module
from dlnotes.serving import engines, load_bundle
from dlnotes.serving.app import create_app
from dlnotes.serving.batcher import BatchSettings
from dlnotes.serving.metrics import Metrics
from dlnotes.serving.predictor import Predictor
from dlnotes.serving.served import ServedModel
from dlnotes.serving.server import Server, bind

LONG = 20
ROW = [51, 102]


class Service:
    """A running service: its models, and how to ask."""

    def __init__(self, port, models, states):
        self.port, self.models, self.states = port, models, states

    def ask(self, method, path, body=None, headers=None):
        """Return status, content and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        if body is not None and not isinstance(body, str | bytes):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        kind = response.getheader("content-type", "")
        if content and kind.startswith("application/json"):
            content = json.loads(content)
        return SimpleNamespace(code=response.status, content=content, headers=response.headers)

    def predict(self, body, name="points", **options):
        return self.ask("POST", f"/v1/models/{name}:predict", body, **options)


@contextlib.contextmanager
def running(*folders, settings=None, wait=True, **options):
    metrics = Metrics()
    with contextlib.ExitStack() as stack:
        bundles = [stack.enter_context(load_bundle(folder)) for folder in folders]
        models = [ServedModel(b, settings=settings, metrics=metrics, threads=1) for b in bundles]
        states, known = [], threading.Event()
        app = create_app(
            models,
            metrics=metrics,
            on_ready=lambda: (states.append("ready"), known.set()),
            on_failure=lambda error: (states.append(error), known.set()),
            **options,
        )
        listener = stack.enter_context(bind("127.0.0.1", 0))
        server = Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert not wait or known.wait(LONG)
            service = Service(listener.getsockname()[1], models, states)
            service.server, service.thread = server, thread
            yield service
        finally:
            server.should_exit = True
            thread.join(LONG)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def service(points_folder, words_folder):
    with running(points_folder, words_folder, max_body_bytes=200_000) as made:
        assert made.states == ["ready"]
        yield made


@pytest.fixture
def gate(monkeypatch):
    """Lets the engine compute only when `gate.open` is set; the golden request passes."""
    made = SimpleNamespace(open=threading.Event(), begun=threading.Semaphore(0), calls=[])
    real = engines.OnnxEngine.run

    def run(self, inputs):
        first = next(iter(inputs.values()))
        if len(made.calls) and not made.open.is_set():
            made.begun.release()
            assert made.open.wait(LONG)
        made.calls.append(len(first))
        return real(self, inputs)

    monkeypatch.setattr(engines.OnnxEngine, "run", run)
    yield made
    made.open.set()


# === What is answered ===


def test_predictions_are_those_of_the_model(service, classifier):
    rows = [ROW, [0, 255], [9.5, 3]]
    answer = service.predict({"instances": rows})
    assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
    np.testing.assert_allclose(
        answer.content["predictions"], answers_of(classifier, rows), atol=1e-5
    )
    named = {"instances": [{"x": row} for row in rows], "signature_name": "serving_default"}
    assert service.predict(named).content == answer.content
    plain = service.predict({"instances": rows}, headers={"Content-Type": "text/plain"})
    assert plain.content == answer.content, "as TensorFlow Serving, which reads any type as JSON"


def test_a_model_that_writes_answers_with_its_text(service):
    answer = service.predict({"instances": ["One-two", "five"]}, name="words")
    first, second = answer.content["predictions"]
    assert (first["source_tokens"], second["source_tokens"]) == (["one", "two"], ["five"])
    assert {len(row) for row in first["attention"]} == {2}
    alone = service.predict({"instances": ["five"]}, name="words").content["predictions"][0]
    assert alone["text"] == second["text"]
    np.testing.assert_allclose(alone["probabilities"], second["probabilities"], atol=1e-5)


def test_state_and_signature(service):
    assert service.ask("GET", "/healthz").content == {"status": "alive"}
    ready = service.ask("GET", "/readyz")
    models = {"points": "AVAILABLE", "words": "AVAILABLE"}
    assert (ready.code, ready.content) == (200, {"status": "ready", "models": models})
    assert service.ask("GET", "/v1/models").content == {"models": ["points", "words"]}
    points = service.ask("GET", "/v1/models/points").content
    assert points["model_version_status"] == [{"version": "2", "state": "AVAILABLE"}]
    assert points["labels"] == CLASSIFIER["labels"]
    assert points["inputs"] == [
        {"name": "x", "type": "float32", "shape": [2], "low": 0, "high": 255}
    ]
    assert points["digest"] == service.models[0].bundle.digest
    words = service.ask("GET", "/v1/models/words").content
    assert (words["writes"], words["attention"]) == (True, True)
    assert words["inputs"] == [{"name": "source", "type": "text", "max_length": 6}]


def test_metrics_count(points_folder):
    with running(points_folder) as service:
        service.predict({"instances": [ROW, ROW]})
        service.predict({"instances": [[1]]})
        text = service.ask("GET", "/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=")
    lines = text.content.decode().splitlines()
    for line in (
        'dlnotes_requests_total{code="200",model="points"} 1.0',
        'dlnotes_requests_total{code="400",model="points"} 1.0',
        'dlnotes_batch_rows_sum{model="points"} 2.0',
        'dlnotes_request_seconds_count{model="points"} 2.0',
        'dlnotes_waiting_rows{model="points"} 0.0',
        'dlnotes_ready{model="points"} 1.0',
    ):
        assert line in lines


def test_the_schema_describes_each_model(service):
    content = service.ask("GET", "/openapi.json").content
    path = content["paths"]["/v1/models/points:predict"]["post"]
    body = path["requestBody"]["content"]["application/json"]
    row = body["schema"]["properties"]["instances"]["anyOf"][0]["items"]
    assert row["items"] == {"type": "number", "minimum": 0, "maximum": 255}
    assert (row["minItems"], row["maxItems"]) == (2, 2)
    assert service.predict(body["example"]).code == 200
    assert {"200", "400", "413", "503", "504"} <= set(path["responses"])
    assert "/v1/models/words:predict" in content["paths"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(service, path):
    answer = service.ask("GET", path)
    page = answer.content.decode()
    assert (answer.code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"https?:|//[\w.]+\.\w|@import|<link|src=", page)
    assert page.startswith("<!doctype html>")


# === What is refused ===


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ("", None, "the body must be JSON"),
        ("{", None, "the body must be JSON"),
        (b"\xff\xfe\xfd", None, "the body must be JSON"),
        ("[" * 50_000, None, "the body must be JSON"),
        ("[]", None, "must be an object"),
        ("{}", "instances", "must be a list with at least one row"),
        ('{"instances": []}', "instances", "must be a list with at least one row"),
        ('{"instances": {"x": 1}}', "instances", "must be a list"),
        ('{"instances": [[1, 2]], "more": 1}', "more", "Received: key='more'"),
        ('{"instances": [[1, 2]], "signature_name": "x"}', "signature_name", "serving_default"),
        ('{"instances": [[1, 2], [1]]}', "instances[1]", "axis 0 has the length 1"),
        ('{"instances": [[1, "a"]]}', "instances[0]", "holds a text"),
        ('{"instances": [[1, NaN]]}', "instances[0]", "NaN or infinity"),
        ('{"instances": [[1, -Infinity]]}', "instances[0]", "NaN or infinity"),
        ('{"instances": [[1, 1e999]]}', "instances[0]", "NaN or infinity"),
        ('{"instances": [[1, 256]]}', "instances[0]", "in [0, 255], and holds 256"),
        ('{"instances": [{"y": [1, 2]}]}', "instances[0]", "Received: name='y'"),
        ('{"instances": [{"x": [1, 2]}, [1, 2]]}', "instances[1]", "must be an object"),
        ('{"instances": [[true, 1]]}', "instances[0]", "true or false"),
        ('{"instances": [[' + "9" * 5000 + ", 1]]}", None, "the body must be JSON"),
        (json.dumps({"instances": [ROW] * 65}), "instances", "at most 64 rows, and has 65"),
    ],
)
def test_wrong_requests_get_400_with_the_field(service, body, field, message):
    answer = service.predict(body)
    assert answer.code == 400
    assert message in answer.content["error"]
    assert answer.content.get("field") == field


@pytest.mark.parametrize(
    ("text", "message"),
    [("one six", "'six' (word 2)"), ("", "token"), ("one \ud800", "half of one"), (3, "a text")],
)
def test_texts_that_the_model_does_not_know_get_400(service, text, message):
    answer = service.predict({"instances": [{"source": text}]}, name="words")
    assert (answer.code, answer.content["field"]) == (400, "instances[0].source")
    assert message in answer.content["error"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/models/nobody", 404),
        ("POST", "/v1/models/nobody:predict", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/v1/models/points:predict", 405),
        ("DELETE", "/v1/models/points", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_wrong_addresses_and_methods(service, method, path, code):
    answer = service.ask(method, path, "{}" if method == "POST" else None)
    assert answer.code == code
    assert path in answer.content["error"]
    assert ("allow" in answer.headers) == (code == 405)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/v1/models/points"])
def test_head_is_get_without_its_content(service, path):
    head, get = service.ask("HEAD", path), service.ask("GET", path)
    assert (head.code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_large_and_packed_bodies_are_refused(service):
    body = json.dumps({"instances": [ROW]}) + " " * 200_000
    answer = service.predict(body)
    assert (answer.code, answer.content["error"]) == (
        413,
        "the body must have at most 200000 bytes",
    )

    def pieces():  # without a Content-Length
        for _ in range(30):
            yield b" " * 10_000

    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=LONG)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", "/v1/models/points:predict", pieces(), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    answer = service.predict(b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.code, "must not be compressed" in answer.content["error"]) == (415, True)
    plain = {"Content-Encoding": "Identity"}
    assert service.predict({"instances": [ROW]}, headers=plain).code == 200
    medium = json.dumps({"instances": [ROW]}) + " " * 150_000  # read in another thread
    assert service.predict(medium).code == 200


def test_a_body_that_does_not_come_gets_408(points_folder):
    with running(points_folder, settings=BatchSettings(timeout=0.2)) as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=LONG)
        connection.putrequest("POST", "/v1/models/points:predict")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"inst')
        assert connection.getresponse().status == 408
        connection.close()


@pytest.fixture
def reading(monkeypatch):
    """Lets a large body be read only when `reading.go` is set."""
    made = SimpleNamespace(begun=threading.Event(), go=threading.Event())
    real = ServedModel.ask

    def ask(self, body):
        if len(body) > app_module.INLINE_BYTES:
            made.begun.set()
            assert made.go.wait(LONG)
        return real(self, body)

    monkeypatch.setattr(ServedModel, "ask", ask)
    yield made
    made.go.set()


LARGE = json.dumps({"instances": [ROW]}) + " " * 150_000


def half_sent(service, body, share=1.0):
    """A connection over which a part of a request was sent."""
    client = socket.create_connection(("127.0.0.1", service.port))
    head = f"POST /v1/models/points:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    client.sendall(f"{head}\r\n\r\n{body[: int(share * len(body))]}".encode())
    return client


def test_large_bodies_are_limited_together(points_folder, monkeypatch):
    monkeypatch.setattr(app_module, "MOST_LARGE", 1)
    with running(points_folder, max_body_bytes=200_000) as service:
        with half_sent(service, LARGE, 0.95):
            wait_until(lambda: service.predict(LARGE).code == 503)
            answer = service.predict(LARGE)
            assert (answer.code, answer.headers["retry-after"]) == (503, "1")
            assert "too many large bodies" in answer.content["error"]
            assert service.predict({"instances": [ROW]}).code == 200, "small ones are read"
        wait_until(lambda: service.predict(LARGE).code == 200)


def test_a_body_that_waits_too_long_to_be_read_gets_504(points_folder, reading):
    with running(points_folder, settings=BatchSettings(timeout=0.2)) as service:
        answer = service.predict(LARGE)
        assert (answer.code, "within 0.2 s" in answer.content["error"]) == (504, True)
        assert not reading.go.is_set()
        reading.go.set()


def test_a_client_that_leaves_while_its_body_is_read_is_not_computed_for(
    points_folder, reading, gate
):
    gate.open.set()
    with running(points_folder, settings=BatchSettings(max_wait=1)) as service:
        with half_sent(service, LARGE):
            assert reading.begun.wait(LONG)
        wait_until(lambda: not service.server.server_state.connections)
        reading.go.set()
        line = 'dlnotes_requests_total{code="499",model="points"} 1.0'
        wait_until(lambda: line in service.ask("GET", "/metrics").content.decode())
    assert gate.calls == [2], "the golden request alone"


# === Under load, and at the end ===


def in_threads(service, count, body):
    """Ask at once; the answers are filled in as they come."""
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(service.predict(body))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, answers


def waiting(service):
    return service.models[0]._waiting


def test_requests_are_computed_together_and_the_loop_stays_free(points_folder, gate):
    with running(points_folder) as service:
        threads, answers = in_threads(service, 1, {"instances": [ROW]})
        assert gate.begun.acquire(timeout=LONG)
        more, others = in_threads(service, 5, {"instances": [ROW, ROW]})
        wait_until(lambda: waiting(service) == 10)
        assert service.ask("GET", "/healthz").code == 200, "while the engine computes"
        gate.open.set()
        for thread in threads + more:
            thread.join(LONG)
        assert {answer.code for answer in answers + others} == {200}
        assert gate.calls[1:] == [1, 10]


def test_overload_gets_503_with_a_time_to_come_again(points_folder, gate):
    settings = BatchSettings(max_batch_size=2, max_queue=2)
    with running(points_folder, settings=settings) as service:
        threads, answers = in_threads(service, 1, {"instances": [ROW]})
        assert gate.begun.acquire(timeout=LONG)
        more, others = in_threads(service, 1, {"instances": [ROW, ROW]})
        wait_until(lambda: waiting(service) == 2)
        answer = service.predict({"instances": [ROW]})
        assert (answer.code, int(answer.headers["retry-after"]) >= 1) == (503, True)
        gate.open.set()
        for thread in threads + more:
            thread.join(LONG)
        assert [answer.code for answer in answers + others] == [200, 200]
        assert service.predict({"instances": [ROW]}).code == 200


def test_an_answer_that_takes_too_long_gets_504(points_folder, gate):
    with running(points_folder, settings=BatchSettings(timeout=0.2)) as service:
        answer = service.predict({"instances": [ROW]})
        assert (answer.code, "within 0.2 s" in answer.content["error"]) == (504, True)
        gate.open.set()
        wait_until(lambda: service.predict({"instances": [ROW]}).code == 200)


def test_a_client_that_leaves_is_not_computed_for(points_folder, gate):
    with running(points_folder) as service:
        threads, answers = in_threads(service, 1, {"instances": [ROW]})
        assert gate.begun.acquire(timeout=LONG)
        body = json.dumps({"instances": [ROW] * 7}).encode()
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            head = (
                f"POST /v1/models/points:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            )
            client.sendall(head.encode() + b"\r\n\r\n" + body)
            wait_until(lambda: waiting(service) == 7)
        line = 'dlnotes_requests_total{code="499",model="points"} 1.0'
        wait_until(lambda: line in service.ask("GET", "/metrics").content.decode())
        gate.open.set()
        for thread in threads:
            thread.join(LONG)
        assert [answer.code for answer in answers] == [200]
        assert gate.calls == [2, 1], "the seven rows were never computed"


def test_shutdown_answers_what_was_accepted(points_folder, gate):
    before = set(threading.enumerate())
    with running(points_folder) as service:
        threads, answers = in_threads(service, 1, {"instances": [ROW]})
        assert gate.begun.acquire(timeout=LONG)
        more, others = in_threads(service, 4, {"instances": [ROW]})
        wait_until(lambda: waiting(service) == 4)
        service.server.should_exit = True
        time.sleep(0.3)
        assert service.thread.is_alive()
        gate.open.set()
        service.thread.join(LONG)
        for thread in threads + more:
            thread.join(LONG)
        assert [answer.code for answer in answers + others] == [200] * 5
    assert not set(threading.enumerate()) - before


def test_not_ready_before_the_model_is_warm(points_folder, monkeypatch):
    go, real = threading.Event(), engines.OnnxEngine.__init__

    def slow(self, *args, **kwargs):
        assert go.wait(LONG)
        real(self, *args, **kwargs)

    monkeypatch.setattr(engines.OnnxEngine, "__init__", slow)
    with running(points_folder, wait=False) as service:
        wait_until(lambda: service.server.started)
        try:
            assert service.ask("GET", "/healthz").code == 200
            answer = service.ask("GET", "/readyz")
            assert (answer.code, answer.content["models"]) == (503, {"points": "LOADING"})
            answer = service.predict({"instances": [ROW]})
            assert (answer.code, answer.headers["retry-after"]) == (503, "1")
        finally:
            go.set()
        wait_until(lambda: service.ask("GET", "/readyz").code == 200)


def test_a_model_with_other_answers_never_becomes_ready(points_folder, monkeypatch):
    def wrong(self, inputs):
        return {"y": np.zeros((len(inputs["x"]), 3), "float32")}

    monkeypatch.setattr(engines.OnnxEngine, "run", wrong)
    with running(points_folder) as service:
        assert "does not give the golden answer" in str(service.states[0])
        answer = service.ask("GET", "/readyz")
        assert (answer.code, answer.content["models"]) == (503, {"points": "FAILED"})
        assert "golden" in answer.content["errors"]["points"]
        assert service.predict({"instances": [ROW]}).code == 503


def test_a_model_whose_thread_has_failed_is_not_ready(points_folder, monkeypatch):
    with running(points_folder) as service:
        [model] = service.models
        model._batcher._on_batch = lambda rows, seconds: 1 / 0
        assert service.predict({"instances": [ROW]}).code == 200
        wait_until(lambda: service.ask("GET", "/readyz").code == 503)
        assert service.ask("GET", "/readyz").content["models"] == {"points": "FAILED"}
        answer = service.predict({"instances": [ROW]})
        assert (answer.code, answer.headers["retry-after"]) == (503, "1")


def test_what_comes_at_the_end_is_told_to_come_again(points_folder):
    with running(points_folder) as service:
        service.models[0]._batcher.close()
        answer = service.predict({"instances": [ROW]})
        assert (answer.code, answer.headers["retry-after"]) == (503, "1")
        assert "shutting down" in answer.content["error"]


def test_the_server_has_the_private_parts_that_ours_builds_on():
    for name in ("_start_asgi_task", "_unset_keepalive_if_required", "timeout_keep_alive_handler"):
        assert callable(getattr(HttpToolsProtocol, name))
    source = inspect.getsource(HttpToolsProtocol)
    for name in ("pipeline", "cycle", "flow", "timeout_keep_alive_task", "timeout_keep_alive"):
        assert re.search(rf"self\.{name}\b.* = ", source), name
    source = inspect.getsource(RequestResponseCycle)
    for name in ("disconnected", "message_event", "more_body", "response_started", "keep_alive"):
        assert re.search(rf"self\.{name}\b.* = ", source), name


@pytest.mark.parametrize(
    ("outputs", "code", "message"),
    [(np.nan, 400, "no finite answer"), (None, 500, "points could not be computed")],
)
def test_what_the_model_cannot_compute(points_folder, monkeypatch, caplog, outputs, code, message):
    with running(points_folder) as service:

        def run(self, inputs):
            if outputs is None:
                raise ZeroDivisionError("a secret")
            return {"y": np.full((len(inputs["x"]), 3), outputs)}

        monkeypatch.setattr(engines.OnnxEngine, "run", run)
        answer = service.predict({"instances": [ROW]})
        assert (answer.code, message in answer.content["error"]) == (code, True)
        assert "secret" not in str(answer.content)
    assert ("a secret" in caplog.text) == (code == 500)


def test_texts_that_utf_8_cannot_hold_are_escaped(points_folder, monkeypatch):
    with running(points_folder) as service:
        monkeypatch.setattr(Predictor, "compute", lambda self, arrays: ["\ud800", None])
        assert service.predict({"instances": [ROW] * 2}).content["predictions"] == ["\ud800", None]


def test_models_need_different_names(points_folder):
    with load_bundle(points_folder) as bundle:
        twins = [ServedModel(bundle), ServedModel(bundle)]
        for models in ([], twins):
            with pytest.raises(ValueError, match="`models` must be some, each of another name"):
                create_app(models)
    for documented in (create_app, ServedModel, app_module.Metrics):
        check_docstring(documented)
