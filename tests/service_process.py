"""`dlnotes serve` as a process of its own, and a client that sees each byte of a connection."""

import contextlib
import os
import re
import select
import socket
import subprocess
import sys

from processes_help import MAIN

LONG = 60


@contextlib.contextmanager
def started(*arguments, temporary=None):
    """A running service, warm: the process, and its address.

    Args:
        arguments: What stands behind ``dlnotes serve``; the port is a free one.
        temporary: The folder for its temporary files; the system's if None.
    """
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env | ({"TMPDIR": str(temporary)} if temporary else {}),
    )
    try:
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", first)
        assert found, first + process.stdout.read()
        assert process.stdout.readline() == "Ready.\n"
        yield process, found.group()
    finally:
        process.kill()
        process.wait(LONG)
        process.stdout.close()


class Broken(Exception):
    """The connection ended before the answer did.

    Attributes:
        received: How many bytes of the answer had come.
    """

    def __init__(self, received):
        super().__init__(f"after {received} bytes")
        self.received = received


class Connection:
    """A kept connection on which any bytes can be sent as a request.

    Attributes:
        answers: How many answers came.
        ended: Whether the service has said that it closes the connection.
    """

    def __init__(self, address, timeout=LONG):
        host, port = address.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""
        self.answers, self.ended = 0, False

    def send(self, content):
        try:
            self._socket.sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            raise Broken(0) from None

    def readable(self):
        """Whether something has come, or the connection has ended."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def receive(self, *, bodiless=False):
        """Return status and content of the next answer; with `bodiless` that of a HEAD request.

        Raises:
            Broken: If the connection ends before.
        """
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, self._left = self._left.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (li.partition(":") for li in lines[1:])
        }
        length = 0 if bodiless else int(headers.get("content-length", 0))
        while len(self._left) < length:
            self._more(len(head))
        content, self._left = self._left[:length], self._left[length:]
        self.answers += 1
        self.ended = headers.get("connection", "").lower() == "close"
        return int(lines[0].split()[1]), content

    def _more(self, received=0):
        try:
            piece = self._socket.recv(2**16)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Broken(received + len(self._left))
        self._left += piece

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(path, body, *, method="POST", headers=()):
    """Return the bytes of a request.

    Args:
        path: What is asked.
        body: Its bytes.
        method: POST or another.
        headers: Lines to add.
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
