"""Posting to an address that a client has named: checked before, and pinned to what was checked."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urljoin

from infra.webhooks.targets import Forbidden, Permit, Target, is_public, resolved, target

REDIRECTS: Final = (301, 302, 307, 308)  # the body is sent again; 303 asks for something else
MOST_REDIRECTS: Final = 3
CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0  # for all of it, redirects included, however slowly the answer drips


class Poster:
    """Posts over TLS to the hosts that are allowed, and reads of the answer no more than its head.

    `permits` says which network addresses a host may have.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        permits: Permit = is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = hosts
        self._permits = permits
        self._tls = tls or ssl.create_default_context()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer, after the redirects that it asked for.

        Raises `Forbidden`, `OSError` or `http.client.HTTPException` when there is none.
        """
        deadline = time.monotonic() + ANSWER_S
        for _ in range(MOST_REDIRECTS + 1):
            to = target(url, self._hosts)
            connection = _Pinned(to, resolved(to, self._permits), self._tls, deadline)
            status, location = connection.post(to.path, body, headers)
            if status not in REDIRECTS or not location:
                return status
            url = urljoin(url, location)
        raise Forbidden(f"redirect at most {MOST_REDIRECTS} times")


class _Pinned(http.client.HTTPSConnection):
    """Connects to addresses that were checked; certificate and Host are those of the name."""

    def __init__(
        self, to: Target, addresses: list[str], tls: ssl.SSLContext, deadline: float
    ) -> None:
        super().__init__(to.host, to.port, context=tls)
        self._addresses = addresses
        self._tls = tls
        self._deadline = deadline

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        """Status and `Location` of the answer; the rest of it is not read."""
        end = threading.Timer(self._left(ANSWER_S), self._cut)
        end.daemon = True
        end.start()
        try:
            self.request("POST", path, body, dict(headers))
            with self.getresponse() as answer:
                if time.monotonic() < self._deadline:  # else it may be half an answer
                    return answer.status, answer.headers.get("Location")
        except (OSError, http.client.HTTPException):
            if time.monotonic() < self._deadline:
                raise
        finally:
            end.cancel()
            self.close()
        raise TimeoutError(f"no answer within {ANSWER_S:.0f} s")

    def connect(self) -> None:
        """Connect to the first address that answers."""
        self.sock = self._tls.wrap_socket(
            self._connected(), server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock.settimeout(ANSWER_S)
        self.sock.do_handshake()  # now that it can be cut

    def _connected(self) -> socket.socket:
        failure = OSError("no address")
        for address in self._addresses:
            try:
                return socket.create_connection((address, self.port), self._left(CONNECT_S))
            except OSError as error:
                failure = error
        raise failure

    def _cut(self) -> None:
        """End whatever is waited for; a limit for each read would not bound them all."""
        with contextlib.suppress(OSError):  # it has ended by itself
            if self.sock is not None:
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def _left(self, most: float) -> float:
        return min(most, max(self._deadline - time.monotonic(), 0.01))
