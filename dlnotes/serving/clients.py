"""Clients that ask a service at the same time, to measure how it answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from dlnotes.processes import run_script
from dlnotes.validation import check_flag, check_float, check_int, received


class Measured(NamedTuple):
    """What some clients saw.

    Attributes:
        codes: The code of each answer, (N,), in the order in which they came; 0 where the
            connection was refused, broke or was too slow.
        seconds: How long each took, (N,).
        waited: How long each question took, (T,): from its first try to its last answer, with the
            rests between. The same times as `seconds` where no question is asked again.
        throughput: Answers with code 200 a second, of all clients together. Refusals and broken
            connections take time but do not count: who refuses all is not fast.
    """

    codes: np.ndarray
    seconds: np.ndarray
    waited: np.ndarray
    throughput: float


def measure(
    address: str,
    bodies: Sequence[bytes],
    *,
    clients: int,
    total: int,
    again: bool = False,
    pause: float = 0.05,
    timeout: float = 120.0,
    patience: float = 600.0,
) -> Measured:
    """Let clients ask until enough was asked: each keeps a connection, and one question open.

    The clients are a process of their own, so that they take no time from this one.

    Args:
        address: Where to send, such as ``http://127.0.0.1:8000/v1/models/digits:predict``.
        bodies: What to send, one after the other, again from the first after the last.
        clients: How many ask at once, >= 1.
        total: How many questions there are, >= 1.
        again: Whether a client asks the same question again that was refused (503), until it is
            answered. Otherwise it goes on to the next.
        pause: How many seconds a client rests that was refused, >= 0.
        timeout: After how many seconds without an answer a connection counts as broken, > 0.
        patience: After how many seconds the clients are ended, > 0: with `again` they would ask a
            service that refuses for ever.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, there are no bodies, or the address is none.
        RuntimeError: If the process of the clients fails, with the end of what it wrote, or is not
            ready in time.
    """
    place, path = split_address(address)
    orders = {
        "place": place,
        "clients": check_int("clients", clients, low=1),
        "total": check_int("total", total, low=1),
        "again": check_flag("again", again),
        "pause": check_float("pause", pause, low=0),
        "timeout": check_float("timeout", timeout, low=0, open_low=True),
    }
    patience = check_float("patience", patience, low=0, open_low=True)
    if not bodies:
        raise ValueError(f"`bodies` must hold at least one. {received(bodies=bodies)}")
    requests = [_request(place, path, body) for body in bodies]
    orders["lengths"] = [len(request) for request in requests]
    seen = json.loads(
        run_script(
            Path(__file__).with_name("crowd.py"),
            b"\n".join([json.dumps(orders).encode(), b"".join(requests)]),
            flags=["-I", "-S"],
            timeout=patience,
            who="the clients",
        )
    )
    codes = np.array(seen["codes"])
    throughput = float((codes == 200).sum() / seen["took"])
    return Measured(codes, np.array(seen["seconds"]), np.array(seen["waited"]), throughput)


def split_address(address: str) -> tuple[tuple[str, int], str]:
    """Return host and port of an address, and the path there.

    Raises:
        ValueError: If it does not begin with ``http://`` and a host.

    Example:
        >>> split_address("http://127.0.0.1:8000/healthz")
        (('127.0.0.1', 8000), '/healthz')
    """
    parts = urlsplit(address) if isinstance(address, str) else None
    if parts is None or parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"`address` must begin with http://. {received(address=address)}")
    return (parts.hostname, parts.port or 80), parts.path or "/"


def _request(place: tuple[str, int], path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {place[0]}:{place[1]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
