"""One active process of a kind: a session lock of Postgres that a stopped process loses."""

import hashlib
import threading
from types import TracebackType
from typing import Any, Self

import psycopg

from infra.postgres import connect

IDLE_SESSION_TIMEOUT_MS = 3_000  # a frozen leader loses its session, hence the lock, after this
PING_S = 1.0
RETRY_S = 0.5


def lock_key(name: str) -> int:
    """The number under which Postgres knows the lock of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class Leadership:
    """Holds the advisory lock of a name while its connection lives.

    A ping each second keeps the session alive. A process that is stopped (SIGSTOP) pings no more,
    so Postgres ends its session and another takes over after about three seconds.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._key = lock_key(name)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._ours = False
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._pinger = threading.Thread(target=self._ping, name=f"lock {name}", daemon=True)

    def __enter__(self) -> Self:
        self._pinger.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self.release()

    def acquire(self, stop: threading.Event) -> bool:
        """Wait until the lock is ours; False when `stop` is set first."""
        while not stop.is_set():
            if self.try_acquire():
                return True
            stop.wait(RETRY_S)
        return False

    def demand(self, seconds: float) -> bool:
        """Wait for the lock at most so long, in a queue that comes before all who `acquire`."""
        with self._guard:
            try:
                connection = self._opened()
                connection.execute(f"SET statement_timeout = {round(seconds * 1000)}")
                connection.execute("SET lock_timeout = 0")
                connection.execute("SELECT pg_advisory_lock(%s)", [self._key])
            except psycopg.Error:
                self._drop()
                return False
            self._ours = True
            return True

    def held(self) -> bool:
        """Whether the lock is still ours, asked of Postgres itself."""
        with self._guard:
            if self._connection is None or not self._ours:
                return False
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error:
                self._drop()
                return False
            return True

    def held_lately(self) -> bool:
        """Whether the lock was still ours when Postgres was last asked, a second ago at most."""
        return self._ours

    def release(self) -> None:
        """Give the lock up."""
        with self._guard:
            self._drop()

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it, and tell whether it is ours."""
        with self._guard:
            if self._ours:
                return True
            try:
                row = (
                    self._opened()
                    .execute("SELECT pg_try_advisory_lock(%s)", [self._key])
                    .fetchone()
                )
            except psycopg.Error:
                self._drop()
                return False
            self._ours = bool(row and row[0])
            return self._ours

    def _opened(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(
                self._url,
                idle_session_timeout=IDLE_SESSION_TIMEOUT_MS,
                idle_in_transaction_session_timeout=IDLE_SESSION_TIMEOUT_MS,
                tcp_keepalives_idle=1,
                tcp_keepalives_interval=1,
                tcp_keepalives_count=2,
            )
        return self._connection

    def _drop(self) -> None:
        self._ours = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ping(self) -> None:
        while not self._closed.wait(PING_S):
            self.held()
