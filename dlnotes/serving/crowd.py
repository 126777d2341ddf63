"""A program that asks a service as many clients at once; `measure` runs it.

It is run as a script, in a process of its own, so what the clients do is no part of what the
service or the notebook does. It needs the standard library alone, so it is there at once.
"""

import collections
import contextlib
import heapq
import json
import re
import selectors
import socket
import sys
import time

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LAST = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
LATE_S = 0.1  # how often is looked for answers that take too long
clock = time.perf_counter


class Client:
    """One client: its connection, its question, and what came back of the answer."""

    def __init__(self):
        self.stream, self.request, self.got = None, None, b""
        self.number, self.first, self.sent = None, None, 0.0

    def send(self, selector, place, timeout):
        """Send the question, over a new connection if there is none."""
        self.sent, self.got = clock(), b""
        self.first = self.first or self.sent
        if self.stream is None:
            self.stream = socket.create_connection(place, timeout)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(self.stream, selectors.EVENT_READ, self)
        self.stream.sendall(self.request)

    def code(self, piece):
        """Return the code of the answer, None while it is not whole, or 0 if it is none."""
        if not piece:
            return 0
        self.got += piece
        head, end, body = self.got.partition(HEAD_END)
        if not end:
            return None
        length, status = LENGTH.search(head), head.split(b" ", 2)[1:2]
        if not (length and status and status[0].isdigit()):
            return 0
        return int(status[0]) if len(body) >= int(length[1]) else None

    def hang_up(self, selector):
        """Close the connection, if there is one; the next question opens another."""
        if self.stream is not None:
            with contextlib.suppress(KeyError):
                selector.unregister(self.stream)
            self.stream.close()
            self.stream = None


def ask(place, requests, *, clients, total, pause, timeout, again):
    """Ask `total` questions, and return what `Measured` holds, and the seconds until the end."""
    codes, seconds, waited = [], [], [0.0] * total
    left = iter(range(total))
    selector = selectors.DefaultSelector()
    crowd = [Client() for _ in range(clients)]
    ready, resting, busy = collections.deque((client, True) for client in crowd), [], set()

    def answered(client, code):
        now = clock()
        busy.discard(client)
        codes.append(code)
        seconds.append(now - client.sent)
        waited[client.number] = now - client.first
        if not code or LAST.search(client.got.partition(HEAD_END)[0]):
            client.hang_up(selector)
        if code == 503:
            heapq.heappush(resting, (now + pause, len(codes), client, not again))
        else:
            ready.append((client, True))

    begin, look = clock(), clock() + LATE_S
    while ready or resting or busy:
        while ready:
            client, new = ready.popleft()
            if new:
                client.number = next(left, None)
                if client.number is None:
                    continue
                client.request, client.first = requests[client.number % len(requests)], None
            busy.add(client)
            try:
                client.send(selector, place, timeout)
            except OSError:
                answered(client, 0)
        until = min(look, resting[0][0]) if resting else look
        if busy:
            events = selector.select(max(0.0, until - clock()))
        else:
            time.sleep(max(0.0, resting[0][0] - clock()) if resting else 0)
            events = ()
        for key, _ in events:
            client = key.data
            try:
                piece = client.stream.recv(2**16)
            except OSError:
                piece = b""
            if client not in busy:
                client.hang_up(selector)  # closed while no question was open
            elif (code := client.code(piece)) is not None:
                answered(client, code)
        now = clock()
        while resting and resting[0][0] <= now:
            ready.append(heapq.heappop(resting)[2:])
        if now >= look:
            look = now + LATE_S
            for client in [client for client in busy if client.sent + timeout < now]:
                client.got = b""
                answered(client, 0)
    took = clock() - begin
    for client in crowd:
        client.hang_up(selector)
    selector.close()
    return {"codes": codes, "seconds": seconds, "waited": waited, "took": took}


def main():
    """Read the orders from stdin, a line of JSON and then the requests; write what was seen."""
    orders = json.loads(sys.stdin.buffer.readline())
    requests = [sys.stdin.buffer.read(length) for length in orders.pop("lengths")]
    json.dump(ask(tuple(orders.pop("place")), requests, **orders), sys.stdout)


if __name__ == "__main__":
    main()
