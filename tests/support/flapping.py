"""A way to an S3 server on which every other call fails, for as long as a test wants."""

import http.client
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.support import servers
from tests.support.atelier import Outside

BUSY: Final = b"<Error><Code>SlowDown</Code><Message>Please try again.</Message></Error>"
HOP: Final = ("connection", "transfer-encoding", "content-length")
PATIENCE_S: Final = 20.0


class Flapping:
    """The way; ``url`` is what clients are told, and ``failing`` makes every other call fail.

    Those that fail do so in turn: with a 503, by a connection that is cut before the server hears
    of the call, and by one that is cut when it has done what was asked.
    """

    def __init__(self, behind: str) -> None:
        self.failing = False
        self.calls = 0
        self.failed = 0
        self._behind = urlsplit(behind).netloc
        self._lock = threading.Lock()
        self._turns = itertools.cycle(["", "busy", "", "cut", "", "cut the answer"])
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.flapping = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def heal(self) -> None:
        """Fail no more."""
        self.failing = False

    def close(self) -> None:
        """Let nobody through any more."""
        self._server.shutdown()
        self._server.server_close()

    def fate(self) -> str:
        """What becomes of the next call; "" when it goes through."""
        with self._lock:
            self.calls += 1
            fate = next(self._turns) if self.failing else ""
            self.failed += bool(fate)
            return fate

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the server itself."""
        return http.client.HTTPConnection(self._behind, timeout=PATIENCE_S)


@contextmanager
def with_flapping_media(outside: Outside, folder: Path) -> Iterator[tuple[Outside, Flapping]]:
    """The same servers, but whoever goes to the media store goes by a way that may fail.

    Where `up` would start the media store itself, it is started here.
    """
    with ExitStack() as stack:
        environ, running = dict(outside.environ), dict(outside.running)
        if "media" not in running:
            media = servers.start_media(folder)
            stack.callback(media.server.stop)
            environ |= media.environ
            running["media"] = media.server
        way = Flapping(environ["ATELIER_S3_URL"])
        stack.callback(way.close)
        yield Outside(environ | {"ATELIER_S3_URL": way.url}, running), way


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    flapping: Flapping

    def handle_error(self, *_: object) -> None:
        """A client that has gone, or a server that was killed."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _pass(self) -> None:
        fate = self.server.flapping.fate()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if fate == "busy":
            self._answer(503, [("Content-Type", "application/xml")], BUSY)
        elif fate == "cut" or not self._ask(body, answer=fate != "cut the answer"):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass

    def _ask(self, body: bytes, *, answer: bool) -> bool:
        """Ask the server; False when there is no answer to give."""
        connection = self.server.flapping.connect()
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer:
            headers = [each for each in response.getheaders() if each[0].lower() not in HOP]
            length = response.getheader("content-length")
            self._answer(response.status, headers, data, length=length)
        return answer

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        head = self.command == "HEAD"
        self.send_header("Content-Length", (length or "0") if head else str(len(data)))
        self.end_headers()
        if not head:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
