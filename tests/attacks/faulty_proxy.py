"""A proxy before a tracking server, whose answers go wrong from a chosen request on, in a chosen way."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

PAGE = b"<html><body>Please log in to the hotel's network \x1b[31m</body></html>"
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}  # headers that hold for one connection
PATIENCE = 600  # seconds for the server behind; it may be frozen meanwhile


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        first: number of the first request to which it happens, from 1.
        length: how many requests it lasts.
        kind: one of :data:`KINDS`.
    """

    first: int
    length: int
    kind: str

    def covers(self, number: int) -> bool:
        """Whether it happens to the request of that number."""
        return self.first <= number < self.first + self.length


class FaultyProxy:
    """Hands requests on to the server at a port of this machine, except where a fault is due.

    Attributes:
        port: where it listens.
        requests: how many came since :meth:`expect`.
        blows: how many of them the fault met.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream, self.requests, self.blows = upstream, 0, 0
        self._fault, self._over, self._counting = Fault(0, 0, ""), threading.Event(), threading.Lock()
        self._at_first: Callable[[], object] = lambda: None
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def expect(self, fault: Fault, at_first: Callable[[], object] = lambda: None) -> None:
        """Count anew, and have this fault happen; ``at_first`` is called as it begins."""
        self._over = threading.Event()
        self.requests, self.blows, self._fault, self._at_first = 0, 0, fault, at_first

    def mend(self) -> None:
        """Let the fault be over; what hangs is let go."""
        self._fault = Fault(0, 0, "")
        self._over.set()

    def close(self) -> None:
        """Stop listening."""
        self.mend()
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> tuple[str, threading.Event]:
        """What happens to the request that has just come, and what ends it where that hangs."""
        with self._counting:
            self.requests += 1
            if not self._fault.covers(self.requests):
                return "", self._over
            self.blows += 1
            if self.blows == 1:
                self._at_first()
            return self._fault.kind, self._over


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[FaultyProxy]
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # who asked has gone, or the server behind
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, over = self.owner.next()
        FAULTS.get(kind, _Handler.hand_on)(self, body, over)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - as http.server calls them

    def hand_on(self, body: bytes, over: threading.Event) -> None:
        """As it should be."""
        status, headers, content = self._asked(body)
        self._answer(status, headers, content, len(content))

    def refuse(self, body: bytes, over: threading.Event) -> None:
        """The connection is closed, and nothing done."""
        self.close_connection = True

    def lose(self, body: bytes, over: threading.Event) -> None:
        """It is done, and nobody told."""
        self._asked(body)
        self.close_connection = True

    def halve(self, body: bytes, over: threading.Event) -> None:
        """It is done, and half of the answer told."""
        status, headers, content = self._asked(body)
        self._answer(status, headers, content[: len(content) // 2], len(content))
        self.close_connection = True

    def fail(self, body: bytes, over: threading.Event) -> None:
        """An error of the server's own, told as JSON."""
        self._answer(500, {"Content-Type": "application/json"}, b'{"error_code": "INTERNAL_ERROR", "message": "x"}')

    def be_busy(self, body: bytes, over: threading.Event) -> None:
        """What stands before the server cannot reach it."""
        self._answer(503, {"Content-Type": "text/html", "Retry-After": "3600"}, PAGE)

    def talk_nonsense(self, body: bytes, over: threading.Event) -> None:
        """Somebody else answers that all is well."""
        self._answer(200, {"Content-Type": "text/html"}, PAGE)

    def hang(self, body: bytes, over: threading.Event) -> None:
        """No answer, until all is over."""
        over.wait()
        self.close_connection = True

    def trickle(self, body: bytes, over: threading.Event) -> None:
        """An answer of which a letter comes now and then."""
        status, headers, content = self._asked(body)
        self._answer(status, headers, b"", len(content))
        for letter in content:
            self.wfile.write(bytes([letter]))
            if over.wait(0.3):
                break
        self.close_connection = True

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        server = http.client.HTTPConnection("127.0.0.1", self.owner.upstream, timeout=PATIENCE)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        try:
            server.request(self.command, self.path, body, kept)
            answer = server.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except http.client.HTTPException as error:  # it died in the midst of its answer
            raise ConnectionError(str(error)) from error
        finally:
            server.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)


FAULTS = {
    "refuses": _Handler.refuse, "loses": _Handler.lose, "halves": _Handler.halve, "fails": _Handler.fail,
    "busy": _Handler.be_busy, "nonsense": _Handler.talk_nonsense, "hangs": _Handler.hang,
    "trickles": _Handler.trickle,
}  # fmt: skip
KINDS = tuple(FAULTS)
