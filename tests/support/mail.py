"""A small SMTP server that keeps what it is given."""

import socketserver
import ssl
import threading
from types import TracebackType
from typing import Any, Self, cast


class MailServer:
    """Listens on loopback; with a TLS context it offers STARTTLS, or TLS from the first byte."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, at_once: bool = False) -> None:
        self.tls = tls
        self.at_once = at_once
        self.mails: list[tuple[str, bytes]] = []
        self.logins: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.mail = self
        self.port = int(self._server.server_address[1])

    def received_by(self, address: str) -> list[bytes]:
        return [mail for to, mail in self.mails if to == address]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    mail: MailServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is what some tests are about."""


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        ours = cast(_Server, self.server).mail
        if ours.tls and ours.at_once:
            self._encrypt(ours.tls)
        to = ""
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            match line.upper().split()[0]:
                case "EHLO":
                    offers = ["AUTH PLAIN", *(["STARTTLS"] if ours.tls else [])]
                    self._say("250-here", *[f"250-{each}" for each in offers], "250 HELP")
                case "STARTTLS" if ours.tls:
                    self._say("220 go ahead")
                    self._encrypt(ours.tls)
                case "AUTH":
                    ours.logins.append(line)
                    self._say("235 welcome")
                case "RCPT":
                    to = line.split("<")[1].split(">")[0]
                    self._say("250 ok")
                case "DATA":
                    self._say("354 go on")
                    ours.mails.append((to, self._data()))
                    self._say("250 taken")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def _encrypt(self, tls: ssl.SSLContext) -> None:
        self.connection = tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
