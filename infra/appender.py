"""Gathers the saves that wait at the same moment and writes them with one call of one function.

The log has one lock, held until the commit is on disk: one save a time would be one save a flush.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, LiteralString, NamedTuple

from psycopg_pool import PoolTimeout

from domain.errors import Overloaded, Unavailable
from infra.postgres import Pool, answered

MOST_TOGETHER: Final = 128
TRIES: Final = 3  # whatever ended one connection may have ended the next one in the pool as well
MOST_WAITING: Final = 1_024  # saves; more of them would wait for longer than a client does

# UUIDs and texts go in binary, which neither side has to quote; the few numbers as one literal.
APPEND: LiteralString = """-- Append saves; answers a row per save, or one for all of them.
SELECT save, outcome, last_position, reason FROM atelier_append(
    %s::integer[], %b::uuid[], %b::text[], %b::uuid[], %s::integer[],
    %b::text[], %b::uuid[], %b::uuid[], %b::uuid[], %b::text[],
    %s::integer[], %b::text[], %b::text[], %b::text[], %b::uuid[], %s::integer[])"""
NUMBERS: Final = (0, 4, 10, 15)  # the places of these among the arguments


class Save(NamedTuple):
    """The columns of the events and of the guards of one save, without its number."""

    events: Sequence[tuple[Any, ...]]
    guards: Sequence[tuple[Any, ...]]


class Result(NamedTuple):
    """What became of a save: its outcome, its last position, and why it was refused."""

    outcome: str
    last_position: int
    reason: str


class _Waiting(NamedTuple):
    save: Save
    result: "Future[Result] | asyncio.Future[Result]"


class Appender:
    """Writes saves in one thread, each batch in one transaction.

    Any number of threads and event loops bring them. Whoever stops waiting gets no answer, but
    the save is written all the same, once. The thread starts with the first save; `stored` is
    called in it after each commit.
    """

    def __init__(self, pool: Pool, stored: Callable[[], None]) -> None:
        self._pool = pool
        self._tell = stored
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def append(self, save: Save) -> Result:
        """Write a save and wait for what became of it.

        Raises `Overloaded` when too many saves wait, `Unavailable` when Postgres does not answer
        or this appender is closed, and `psycopg.Error` for data that Postgres does not take.
        """
        result: Future[Result] = Future()
        self._enter(_Waiting(save, result))
        return result.result()

    async def append_async(self, save: Save) -> Result:
        """The same in an event loop."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._enter(_Waiting(save, result))
        return await result

    def close(self, timeout: float) -> bool:
        """Take no more saves, and tell whether those that wait were written within `timeout` s."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _enter(self, waiting: _Waiting) -> None:
        with self._lock:
            if self._closed:
                raise Unavailable("this process is stopping; try again in a moment")
            if self._waiting.qsize() >= MOST_WAITING:
                raise Overloaded("too many changes wait to be stored; try again in a moment")
            self._waiting.put(waiting)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="appender", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < MOST_TOGETHER and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    self._write(batch)
                    return
                batch.append(following)
            self._write(batch)

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            results = self._stored([waiting.save for waiting in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):
                for waiting in batch:  # one of them holds bad data: each by itself
                    self._write([waiting])
                return
            _answer(batch, [error] * len(batch))
        else:
            _answer(batch, results)
            self._tell()

    def _stored(self, saves: Sequence[Save]) -> list[Result]:
        rows = self._answers(_arguments(saves))
        if rows[0][0] == 0:
            return _all_appended(saves, rows[0][2])
        return [Result(outcome, last, reason) for _, outcome, last, reason in rows]

    def _answers(self, arguments: list[Any]) -> list[tuple[Any, ...]]:
        for left in reversed(range(TRIES)):
            try:
                return self._call(arguments)
            except Unavailable as error:
                # A connection was lost, perhaps at commit: event ids that are stored are a success.
                if not left or isinstance(error.__cause__, PoolTimeout):
                    raise
        raise AssertionError("the last try answers or raises")

    def _call(self, arguments: list[Any]) -> list[tuple[Any, ...]]:
        with answered(), self._pool.connection() as connection:
            return connection.execute(APPEND, arguments, prepare=True).fetchall()


def _answer(batch: Sequence[_Waiting], results: Sequence[Result | Exception]) -> None:
    """Give each caller what is theirs, those of an event loop with one call into it."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Any, Result | Exception]]] = {}
    for waiting, result in zip(batch, results, strict=True):
        if isinstance(waiting.result, Future):
            _settle([(waiting.result, result)])
        else:
            loops.setdefault(waiting.result.get_loop(), []).append((waiting.result, result))
    for loop, settled in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[Any, Result | Exception]]) -> None:
    for future, result in settled:
        if future.done():  # whoever asked has given up
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _all_appended(saves: Sequence[Save], last: int) -> list[Result]:
    results = []
    for save in reversed(saves):
        results.append(Result("appended", last, ""))
        last -= len(save.events)
    return results[::-1]


def _arguments(saves: Sequence[Save]) -> list[Any]:
    """The function's arrays: those of the events, then those of the guards."""
    events = [(n, *event) for n, save in enumerate(saves, start=1) for event in save.events]
    guards = [(n, *guard) for n, save in enumerate(saves, start=1) for guard in save.guards]
    columns: list[Any] = [list(column) for column in zip(*events, strict=True)]
    columns += [list(column) for column in zip(*guards, strict=True)] or [[] for _ in range(6)]
    for place in NUMBERS:
        columns[place] = _literal(columns[place])
    return columns


def _literal(numbers: Sequence[int | None]) -> str:
    return "{" + ",".join("NULL" if n is None else str(n) for n in numbers) + "}"
