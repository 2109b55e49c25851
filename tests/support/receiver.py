"""A server that webhooks are sent to: HTTPS, and it answers what a test wants."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.support.certificates import make_certificate


class Heard(NamedTuple):
    """A request that has come in."""

    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What it is answered."""

    status: int = 204
    headers: Mapping[str, str] = MappingProxyType({})


class Receiver:
    """Keeps what it hears; `answers` decides on the answer, and may take its time."""

    def __init__(self, port: int, trusting: Path) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.url = f"https://{self.host}/atelier?order=7"
        self.trusting = trusting
        self.heard: list[Heard] = []
        self.answers: Callable[[Heard], Answer] = lambda heard: Answer()

    @property
    def ids(self) -> list[str]:
        """The ids of the webhooks that have come in."""
        return [each.headers["webhook-id"] for each in self.heard]

    def trust(self) -> ssl.SSLContext:
        """What a client needs so as to trust its certificate, and no other."""
        return ssl.create_default_context(cafile=self.trusting)


@contextmanager
def receiving(folder: Path, address: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver at a loopback address."""
    certificate, key = make_certificate(folder)
    server = _Server((address, 0), _Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.receiver = Receiver(server.server_address[1], certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        heard = Heard(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.server.receiver.heard.append(heard)
        answer = self.server.receiver.answers(heard)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""
