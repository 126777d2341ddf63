"""Requests that nobody should send: made from the service's own OpenAPI schema, and then spoilt.

``DLNOTES_MALFORMED=10000 pytest -s tests/serving/test_malformed.py`` sends as many, others each
time, and prints what came back; without it some hundreds, always the same.
"""

import asyncio
import gc
import json
import math
import os
import re
from collections import Counter

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_process import LONG, Broken, Connection, request, started

from dlnotes.serving import load_bundle
from dlnotes.serving.app import create_app
from dlnotes.serving.served import ServedModel

GIVEN = os.environ.get("DLNOTES_MALFORMED")
COUNT = int(GIVEN or 400)
MOST_GROWTH = 50e6
WORDS = ["one", "two-three", "FOUR", "six", "\u0130", "\ud800", "", " ", "<start>", "one " * 9]


# === Strategies from a JSON schema ===


def valid(schema):
    """Values that the schema allows."""
    if "anyOf" in schema:
        return st.one_of(map(valid, schema["anyOf"]))
    if "const" in schema:
        return st.just(schema["const"])
    if schema["type"] == "array":
        low, high = schema.get("minItems", 0), schema.get("maxItems", 5)
        return st.lists(valid(schema["items"]), min_size=low, max_size=min(high, low + 5))
    if schema["type"] == "object":
        parts = {name: valid(part) for name, part in schema["properties"].items()}
        needed = {name: parts.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(needed, optional=parts)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].removesuffix("$"), fullmatch=True)
    if schema["type"] == "string":
        return st.sampled_from(WORDS[:2]) | st.text(min_size=1)
    low, high = schema.get("minimum"), schema.get("maximum")
    return st.integers(low, high) | st.floats(low, high, width=32)


def wrong(schema):
    """Values that it forbids, by one place at least."""
    if "anyOf" in schema:
        return st.one_of(map(wrong, schema["anyOf"]))
    if "const" in schema:
        return anything.filter(lambda value: value != schema["const"])
    if schema["type"] == "array":
        low, high = schema.get("minItems", 0), schema.get("maxItems", 5)
        one = st.lists(valid(schema["items"]), max_size=4)
        spoilt = st.builds(
            lambda rows, bad, place: [*rows[:place], bad, *rows[place:]],
            one,
            wrong(schema["items"]),
            st.integers(0, 4),
        )
        short = st.lists(valid(schema["items"]), max_size=low - 1) if low else st.nothing()
        long = st.integers(high + 1, high + 40).flatmap(
            lambda n: valid(schema["items"]).map(lambda item: [item] * n)
        )
        return st.one_of(spoilt, short, long, not_a(list))
    if schema["type"] == "object":
        more = st.dictionaries(st.text(max_size=9).map("_{}".format), anything, min_size=1)
        extra = st.builds(lambda a, b: {**a, **b}, valid(schema), more)
        name = st.sampled_from(schema["required"])
        less = st.builds(lambda a, b: {k: v for k, v in a.items() if k != b}, valid(schema), name)
        spoilt = st.sampled_from(list(schema["properties"])).flatmap(
            lambda name: st.builds(
                lambda whole, bad: {**whole, name: bad},
                valid(schema),
                wrong(schema["properties"][name]),
            )
        )
        return st.one_of(spoilt, extra, less, not_a(dict))
    if "pattern" in schema:
        fits = re.compile(schema["pattern"].removesuffix("$")).fullmatch
        near = st.from_regex(schema["pattern"][:-1]) | st.text("AZaz09+/=", max_size=9)
        return near.filter(lambda text: not fits(text)) | not_a(str)
    if schema["type"] == "string":
        return not_a(str)
    odd = st.sampled_from([math.nan, math.inf, -math.inf, 10**400, -(10**5000)])
    if "maximum" in schema:
        odd |= st.integers(max_value=schema["minimum"] - 1) | st.floats(schema["maximum"] + 1)
    return odd | not_a(int, float)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


def not_a(*kinds):
    return anything.filter(lambda value: type(value) not in kinds)


@st.composite
def torn(draw, texts):
    """JSON with bytes cut out, put in, or exchanged."""
    text = bytearray(draw(texts))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        size = draw(st.integers(0, 9))
        text[begin : begin + size] = draw(
            st.binary(max_size=9) | st.sampled_from([b"[" * 999, b"\\ud800", b"1e999", b"-", b'"'])
        )
    return bytes(text)


@st.composite
def envelopes(draw, paths, bodies):
    """Requests whose method, address or headers are odd."""
    sign = st.characters(min_codepoint=1, max_codepoint=255)
    odd = st.text(sign, max_size=9)
    path = draw(st.sampled_from(paths))
    method = draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "BREW", "post"]))
    place = draw(st.integers(0, len(path)))
    piece = draw(odd | st.sampled_from(["", "", "%", "%00", "%ff", "/../", "//", "?a=b", "#", " "]))
    headers = draw(
        st.lists(
            st.builds("{}: {}".format, odd, odd)
            | st.sampled_from(
                [
                    "Content-Type: text/plain",
                    "Content-Encoding: gzip",
                    "Content-Length: 3",
                    "Content-Length: -1",
                    "Content-Length: 99999999999999999999",
                    "Transfer-Encoding: chunked",
                    "Transfer-Encoding: gzip, chunked",
                    "Connection: close",
                    "Connection: upgrade",
                    "Upgrade: websocket",
                    "Expect: 100-continue",
                    "Host: [",
                    "X-Forwarded-For: 1, 2",
                    "X: " + "x" * 70_000,
                ]
            ),
            max_size=3,
        )
    )
    path = path[:place] + piece + path[place:]
    return request(path, draw(bodies), method=method, headers=headers)


def encode(value):
    return json.dumps(value).encode()


# === The service ===


class Watched:
    """A running service, the requests sent to it, and its memory."""

    def __init__(self, process, address):
        self.address, self.codes = address, Counter()
        self._process = psutil.Process(process.pid)
        self.schema = json.loads(self.ask(request("/openapi.json", b"", method="GET"))[1])
        for path in self.paths():
            assert self.predict(path, encode(self.body(path)["example"]))[0] == 200
        self._before = self._process.memory_info().rss

    def paths(self):
        return [path for path in self.schema["paths"] if path.endswith(":predict")]

    def body(self, path):
        return self.schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]

    def ask(self, content, **options):
        """Return status and content; None and nothing if there came no answer."""
        with Connection(self.address, **options) as connection:
            try:
                connection.send(content)
                code, answer = connection.receive(bodiless=content.startswith(b"HEAD"))
            except (Broken, TimeoutError):
                code, answer = None, b""
        self.codes[code] += 1
        return code, answer

    def predict(self, path, body):
        return self.ask(request(path, body))

    def grown(self):
        return self._process.memory_info().rss - self._before


@pytest.fixture(scope="module")
def service(points_folder, words_folder):
    """One for all tests of the module that this process runs; its end looks at its memory."""
    with started(points_folder, words_folder) as (process, address):
        watched = Watched(process, address)
        yield watched
        for path in watched.paths():
            assert watched.predict(path, encode(watched.body(path)["example"]))[0] == 200
        grown = watched.grown()
        if GIVEN:
            print(f"\nanswers: {dict(watched.codes)}, memory grew by {grown / 1e6:.1f} MB")
        assert grown < MOST_GROWTH
        process.terminate()
        assert process.stdout.read() == "Stopped.\n", "not a word in the log"
        assert process.wait(LONG) == 0


def examples(share):
    return settings(
        max_examples=max(1, round(COUNT * share)),
        deadline=None,
        database=None,
        derandomize=not GIVEN,
        suppress_health_check=list(HealthCheck),
    )


PATHS = st.sampled_from(["/v1/models/points:predict", "/v1/models/words:predict"])


def schema_of(service, path):
    return service.body(path)["schema"]


@examples(0.1)
@given(data=st.data(), path=PATHS)
def test_what_the_schema_allows_is_answered(service, data, path):
    body = data.draw(valid(schema_of(service, path)))
    code, answer = service.predict(path, encode(body))
    if path.endswith("words:predict") and code == 400:  # the schema does not list the vocabulary
        error = json.loads(answer)
        assert error["field"].startswith("instances[")
        assert any(
            part in error["error"]
            for part in ("does not know", "at most", "half of one", "at least one token")
        )
    else:
        assert code == 200
        assert len(json.loads(answer)["predictions"]) == len(body["instances"])


@examples(0.4)
@given(data=st.data(), path=PATHS)
def test_what_the_schema_forbids_gets_400(service, data, path):
    body = data.draw(wrong(schema_of(service, path)))
    code, answer = service.predict(path, encode(body))
    assert code == 400
    assert json.loads(answer)["error"]


@examples(0.3)
@given(data=st.data(), path=PATHS)
def test_torn_json_gets_400_or_an_answer(service, data, path):
    whole = valid(schema_of(service, path)).map(encode)
    body = data.draw(torn(whole) | st.binary(max_size=99) | anything.map(encode))
    code, answer = service.predict(path, body)
    assert code in (200, 400)
    assert "error" in json.loads(answer) or code == 200


@examples(0.2)
@given(data=st.data())
def test_odd_methods_addresses_and_headers(service, data):
    paths = [*service.schema["paths"], "/", "/docs", "/openapi.json", "*", ""]
    bodies = st.binary(max_size=20) | st.just(b'{"instances": [[1, 2]]}')
    # some announce a body that never comes
    code, _ = service.ask(data.draw(envelopes(paths, bodies)), timeout=1 if GIVEN else 0.3)
    assert code in (None, 200, 400, 404, 405, 408, 413, 415, 431)


LARGE = {
    "deep": b"[" * 8_000_000,
    "deep objects": b'{"instances":' * 600_000,
    "many lists": b'{"instances": [' + b"[]," * 2_000_000 + b"[]]}",
    "many rows": b'{"instances": [' + b"[1,2]," * 1_000_000 + b"[1,2]]}",
    "a long row": b'{"instances": [[' + b"1," * 3_000_000 + b"1]]}",
    "digits": b'{"instances": [[' + b"9" * 4000 + b",1]]}",
    "more digits": b'{"instances": [[' + b"9" * 8_000_000 + b",1]]}",
    "a fraction": b'{"instances": [[0.' + b"9" * 8_000_000 + b",256]]}",
    "long bytes": b'{"instances": [{"b64": "' + b"AAAA" * 1_900_000 + b'"}]}',
    "a long text": b'{"instances": ["' + b"one " * 1_900_000 + b'"]}',
    "many keys": b"{" + b",".join(b'"%d":1' % i for i in range(600_000)) + b"}",
    "a long key": b'{"' + b"x" * 8_000_000 + b'":1}',
    "too large": b" " * (8 * 2**20 + 1),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_nonsense_is_refused(service, name):
    for path in service.paths():
        code, answer = service.predict(path, LARGE[name])
        assert code == (413 if name == "too large" else 400)
        assert len(answer) < 2000


def test_refused_requests_leave_nothing_for_the_garbage_collector(points_folder):
    """It runs seldom in the service: what is in a cycle keeps its body of megabytes until then."""

    async def ask(app, body):
        codes, pieces = [], [{"type": "http.request", "body": body}]

        async def receive():
            return pieces.pop() if pieces else await asyncio.Event().wait()

        async def send(message):
            codes.append(message.get("status"))

        path = "/v1/models/points:predict"
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        await app(scope, receive, send)
        await asyncio.sleep(0)
        return codes[0]

    async def run():
        ready = asyncio.Event()
        with load_bundle(points_folder) as bundle:
            app = create_app([ServedModel(bundle, threads=1)], on_ready=ready.set)
            async with app.router.lifespan_context(app):
                await ready.wait()
                gc.collect()
                gc.freeze()  # what is there already is not looked at
                gc.disable()
                bodies = ["[51, 102]", "[51]", "[51, NaN]", "[51, 1], [2]", '"x"', '{"y": 1}']
                for body in (*bodies, "[51, 1]" * 30_000, "[51, 256]"):
                    code = await ask(app, b'{"instances": [%s]}' % body.encode())
                    assert code == (200 if body == bodies[0] else 400)
                    assert gc.collect() == 0, body[:99]

    try:
        asyncio.run(run())
    finally:
        gc.unfreeze()
        gc.enable()
