"""What goes wrong between a client and the service: an end under load, and clients that leave."""

import contextlib
import itertools
import json
import threading
import time
from collections import Counter

import psutil
import pytest
from service_process import LONG, Broken, Connection, request, started

from dlnotes.serving import load_bundle, protocol
from dlnotes.serving import server as server_module
from dlnotes.serving.app import create_app
from dlnotes.serving.batcher import BatchSettings
from dlnotes.serving.served import ServedModel
from dlnotes.serving.server import Server, address_of, bind

PATH = "/v1/models/points:predict"
REQUEST = request(PATH, b'{"instances": [[51, 102]]}')


@contextlib.contextmanager
def served(folder, before_shutdown=lambda: None, *, settings=None, keep_alive=5):
    """A service in this process; `before_shutdown` runs in its event loop, just before the end."""

    class Observed(Server):
        async def shutdown(self, sockets=None):
            before_shutdown()
            await super().shutdown(sockets)

    with load_bundle(folder) as bundle, bind("127.0.0.1", 0) as listener:
        ready = threading.Event()
        model = ServedModel(bundle, threads=1, settings=settings)
        server = Observed(create_app([model], on_ready=ready.set))
        server.config.timeout_keep_alive = keep_alive
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(LONG)
            yield server, address_of(listener), thread
        finally:
            server.should_exit = True
            thread.join(LONG)
            assert not thread.is_alive()


def answered(connection):
    """Whether the next answer is a prediction, and says that it is the last."""
    code, content = connection.receive()
    return (code, connection.ended) == (200, True) and "predictions" in json.loads(content)


def test_what_the_kernel_holds_at_the_end_is_read_and_answered(points_folder):
    fresh = []

    def send():  # the event loop stands still: nothing of this can have been read
        kept.send(REQUEST)
        for _ in range(3):
            fresh.append(Connection(address))
            fresh[-1].send(REQUEST)

    with served(points_folder, send) as (server, address, thread):
        kept, silent = Connection(address), Connection(address)
        for connection in (kept, silent):
            connection.send(REQUEST)
            assert connection.receive()[0] == 200
        server.should_exit = True
        assert answered(kept)
        assert [answered(connection) for connection in fresh] == [True] * 3
        with pytest.raises(Broken, match="after 0 bytes"):
            silent.receive()
        thread.join(LONG)
        with pytest.raises(ConnectionRefusedError):
            Connection(address)
    for connection in (kept, silent, *fresh):
        connection.close()


def test_clients_that_keep_a_connection_hear_that_it_ends(points_folder, monkeypatch):
    monkeypatch.setattr(server_module, "LAST_CALL_S", LONG)
    begun = threading.Event()
    with served(points_folder, begun.set) as (server, address, thread):
        with Connection(address) as connection:
            connection.send(REQUEST)
            assert connection.receive()[0] == 200
            server.should_exit = True
            assert begun.wait(LONG)
            time.sleep(0.1)
            connection.send(REQUEST)
            assert answered(connection)
        thread.join(LONG)


def test_the_end_waits_for_no_silent_client(points_folder):
    with served(points_folder) as (server, address, thread), contextlib.ExitStack() as stack:
        for begin in (b"", b"POST /v1/mod", REQUEST + REQUEST[:50]):
            stack.enter_context(Connection(address)).send(begin)
        time.sleep(0.1)
        server.should_exit = True
        begin = time.monotonic()
        thread.join(LONG)
        assert time.monotonic() - begin < 5


def test_sigterm_under_load_loses_no_request(points_folder, tmp_path):
    outcomes, lost = Counter(), []

    def client(address):
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                with Connection(address) as connection:
                    while not connection.ended:
                        try:
                            connection.send(REQUEST)
                            outcomes[connection.receive()[0]] += 1
                        except Broken as error:
                            # only a connection that the service never took may end so
                            if connection.answers or error.received:
                                lost.append((connection.answers, error.received))
                            return
        outcomes["refused"] += 1

    with started(points_folder, temporary=tmp_path) as (process, address):
        clients = [threading.Thread(target=client, args=(address,)) for _ in range(16)]
        for thread in clients:
            thread.start()
        end = time.monotonic() + LONG
        while outcomes[200] < 500 and time.monotonic() < end:
            time.sleep(0.01)
        process.terminate()
        assert process.wait(LONG) == 0
        for thread in clients:
            thread.join(LONG)
    assert not lost
    assert set(outcomes) <= {200, "refused"}
    assert outcomes["refused"] >= 1
    assert not list(tmp_path.iterdir())


def test_clients_that_leave_take_nothing_with_them(points_folder, tmp_path):
    pieces = (REQUEST, REQUEST[:-5], REQUEST[:40], b"POST", REQUEST * 3)
    with started(points_folder, temporary=tmp_path) as (process, address):
        watched = psutil.Process(process.pid)

        def leave(times):
            for i in range(times):
                with Connection(address) as connection:
                    connection.send(pieces[i % len(pieces)])

        leave(100)
        before = watched.memory_info().rss
        leave(1000)
        with Connection(address) as connection:
            connection.send(REQUEST)
            assert connection.receive()[0] == 200
        end = time.monotonic() + LONG
        while watched.num_fds() > 40 and time.monotonic() < end:
            time.sleep(0.05)
        assert watched.num_fds() <= 40, "connections are left"
        assert watched.memory_info().rss - before < 2**24
        process.terminate()
        assert process.stdout.read() == "Stopped.\n", "no word about any of them"
        assert process.wait(LONG) == 0


# === Limits to what a client may leave undone ===


@pytest.fixture(scope="module")
def address(points_folder):
    with served(points_folder) as (_, address, _):
        yield address


@pytest.mark.parametrize(
    ("begin", "piece", "code"),
    [
        (b"GET /healthz HTTP/1.1\r\nX: ", b"x" * 1000, 431),
        (b"GET /healthz HTTP/1.1\r\n", b"X: 1\r\n" * 200, 431),
        (b"GET /", b"x" * 1000, 431),
        (b"", b"\r\n" * 500, 431),
        (request(PATH, b"")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", b"z\r\n" * 9, 400),
        (
            f"POST {PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ".encode(),
            b"x" * 1000,
            431,
        ),
        (
            f"POST {PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;".encode(),
            b"x" * 1000,
            431,
        ),
    ],
    ids=["header", "headers", "address", "empty lines", "chunks", "trailer", "chunk extension"],
)
def test_what_never_ends_is_refused(address, begin, piece, code):
    with Connection(address) as connection:
        connection.send(begin)
        pieces = itertools.repeat(piece, 5000)
        with contextlib.suppress(Broken):  # it may end between a look and a piece
            while not connection.readable():
                connection.send(next(pieces))
        assert connection.receive()[0] == code
        with pytest.raises(Broken):
            connection.receive()


def test_large_bodies_in_small_chunks_are_read(address):
    body = b'{"instances": [[51, 102]]}' + b" " * 100_000
    head = f"POST {PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"1\r\n" + body[i : i + 1] + b"\r\n" for i in range(len(body)))
    whole = request(PATH, body)
    with Connection(address) as connection:
        for content in (head + chunks + b"0\r\n\r\n", whole, whole[:90_000], whole[90_000:]):
            connection.send(content)
        assert [connection.receive()[0] for _ in range(3)] == [200] * 3


def test_requests_sent_at_once_are_answered_in_their_order(address):
    health = request("/healthz", b"", method="GET")
    with Connection(address) as connection:
        connection.send(health + REQUEST + health + b"nonsense\r\n\r\n")
        answers = [json.loads(connection.receive()[1]) for _ in range(3)]
        assert [next(iter(answer)) for answer in answers] == ["status", "predictions", "status"]
        with pytest.raises(Broken):
            connection.receive()


@pytest.mark.parametrize(
    ("begin", "codes"),
    [(b"", []), (b"POST /v1", []), (REQUEST[:-5], [408]), (REQUEST + REQUEST[:50], [200])],
    ids=["nothing", "half a head", "half a body", "one and a half requests"],
)
def test_silent_clients_are_left(points_folder, monkeypatch, begin, codes):
    monkeypatch.setattr(protocol, "PATIENCE_S", 0.3)
    settings = BatchSettings(timeout=0.3 if codes == [408] else LONG)
    with (
        served(points_folder, settings=settings, keep_alive=0.2) as (_, address, _),
        Connection(address) as connection,
    ):
        connection.send(begin)
        found = []
        with contextlib.suppress(Broken):
            while True:
                found.append(connection.receive()[0])
        assert found == codes


def test_a_client_that_sends_drop_by_drop_gets_408(points_folder, monkeypatch):
    monkeypatch.setattr(protocol, "PATIENCE_S", 0.2)
    with served(points_folder) as (_, address, _), Connection(address) as connection:
        with contextlib.suppress(Broken):
            for sign in b"GET /healthz HTTP/1.1\r\n":
                connection.send(bytes([sign]))
                time.sleep(0.03)
        assert connection.receive()[0] == 408
