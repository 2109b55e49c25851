"""Connections to Postgres: pools, single connections, and waiting for the log to grow."""

import asyncio
import contextlib
import select
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from domain.errors import Unavailable
from infra.outage import Outage

OUTAGE = Outage("Postgres")
CHANNEL: LiteralString = "atelier_events"
CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 3_000
RETRY_S = 1.0

# A server that went away without a word is noticed after about ten seconds: keepalives are for a
# connection that waits for an answer, the last limit for what was sent and not acknowledged.
KEEPALIVE = {
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 9_000,
}

# What Postgres raises when it serves nobody just now: it is away, read-only (25006) or damaged.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, PoolTimeout)


def parameters(**settings: str | int) -> dict[str, Any]:
    """Connection parameters with our time limits and these session settings."""
    session = {
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "timezone": "UTC",
        **settings,
    }
    options = " ".join(f"-c {name}={value}" for name, value in session.items())
    return {"connect_timeout": CONNECT_TIMEOUT_S, "options": options, **KEEPALIVE}


def connect(
    url: str, *, autocommit: bool = True, **settings: str | int
) -> psycopg.Connection[tuple[Any, ...]]:
    """Open one connection; `settings` are session settings such as ``statement_timeout``."""
    return psycopg.connect(url, autocommit=autocommit, **parameters(**settings))


Pool = ConnectionPool[psycopg.Connection[tuple[Any, ...]]]
AsyncPool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]


def open_pool(url: str, size: int, **settings: str | int) -> Pool:
    """A pool of autocommit connections that opens lazily and recovers by itself."""
    return ConnectionPool(
        url,
        min_size=1,
        max_size=size,
        open=True,
        timeout=CONNECT_TIMEOUT_S,
        reconnect_timeout=CONNECT_TIMEOUT_S,
        kwargs={"autocommit": True, **parameters(**settings)},
        check=_check,
    )


def make_async_pool(url: str, size: int) -> AsyncPool:
    """The same for an event loop; the caller opens and closes it inside the loop."""
    return AsyncConnectionPool(
        url,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CONNECT_TIMEOUT_S,
        reconnect_timeout=CONNECT_TIMEOUT_S,
        kwargs={"autocommit": True, **parameters()},
        check=_check_async,
    )


def _check(connection: psycopg.Connection[Any]) -> None:
    if _has_heard(connection.fileno()):
        ConnectionPool.check_connection(connection)


async def _check_async(connection: psycopg.AsyncConnection[Any]) -> None:
    if _has_heard(connection.fileno()):
        await AsyncConnectionPool.check_connection(connection)


def _has_heard(descriptor: int) -> bool:
    """Whether something has come in: an idle connection hears nothing but its end.

    This spares a round trip each time that a connection is taken from a pool.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def reason(error: Exception) -> str:
    """What Postgres says of an error, or else the way to it; one line without a password."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = next((line for line in lines if "FATAL:" in line), lines[0])
    return said.rpartition("FATAL:")[2].strip().removeprefix("connection failed: ")


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turn a Postgres that cannot serve just now into `Unavailable`."""
    try:
        yield
    except AWAY as error:
        why = reason(error)
        OUTAGE.away(why)
        read_only = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
        does = "takes no changes just now" if read_only else "does not answer"
        raise Unavailable(f"Postgres {does}; try again in a moment", why) from error
    OUTAGE.over()


@contextlib.contextmanager
def borrowed(pool: Pool) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection of the pool; raises `Unavailable` when Postgres cannot serve just now.

    Once a server has said that it is read-only or damaged, all connections to it are given up: a
    new one may lead to another server, or to the same one after its recovery.
    """
    with answered():
        try:
            with pool.connection() as connection:
                yield connection
        except psycopg.InternalError:
            pool.drain()
            raise


@contextlib.asynccontextmanager
async def borrowed_async(
    pool: AsyncPool,
) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """The same for an event loop."""
    with answered():
        try:
            async with pool.connection() as connection:
                yield connection
        except psycopg.InternalError:
            await pool.drain()
            raise


class Listener:
    """Waits until the log has grown: woken by NOTIFY, and by itself, since one may be lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def wait(self, timeout: float = 1.0) -> bool:
        """Whether a notice came within `timeout` seconds; a connection made anew counts as one."""
        try:
            if self._connection is None:
                self._connection = connect(self._url)
                self._connection.execute(f"LISTEN {CHANNEL}")
                return True
            for _ in self._connection.notifies(timeout=min(timeout, 1.0), stop_after=1):
                return True
        except psycopg.Error:
            self.close()
            time.sleep(min(timeout, 0.2))
            return True
        return False

    def close(self) -> None:
        """Give the connection back; the next wait makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class AsyncListener:
    """Rings in an event loop when the log has grown: one connection for all who wait there.

    It listens from the first time that somebody asks.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._next = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self.over = False

    def next(self) -> asyncio.Event:
        """The next ring. Take it, look, then wait for it: so none between is missed.

        A notice may be lost, so wait with a time limit.
        """
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        return self._next

    def end(self) -> None:
        """Ring for the last time: who waits shall go home. From now on waiting takes no time."""
        self.over = True
        self._next.set()

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    def _ring(self) -> None:
        if not self.over:
            rung, self._next = self._next, asyncio.Event()
            rung.set()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, **parameters()
                )
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._ring()  # what came while nobody listened
                    async for _ in connection.notifies():
                        self._ring()
            except psycopg.Error:
                await asyncio.sleep(RETRY_S)
