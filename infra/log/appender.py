"""Gathers the saves that wait at the same moment and writes them with one call of one function.

The log has one lock, held until the commit is on disk: one save a time would be one save a flush.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg_pool import PoolTimeout

from domain.errors import HistoryReplaced, OutcomeUnknown, Overloaded, Unavailable
from infra.log.watermark import NOT_HELD, Watermark
from infra.postgres import Pool, borrowed

MOST_TOGETHER: Final = 128
WRITERS: Final = 2  # while one waits for Postgres, the other gathers and prepares what is next
FULL: Final = 32  # saves; of more than that, half are left to the other writer
WORTH: Final = 16  # saves; fewer do not go while others are on their way
STUCK_S: Final = 1.0  # a batch that takes longer holds up nobody who could go by another connection
TRIES: Final = 3  # whatever ended one connection may have ended the next one in the pool as well
MOST_WAITING: Final = 1_024  # saves; more of them would wait for longer than a client does

# UUIDs and texts go in binary, which neither side has to quote; the few numbers as one literal.
APPEND: LiteralString = """-- Append saves; answers a row per save, or one for all of them.
SELECT save, outcome, last_position, reason FROM atelier_append_after(
    %s::bigint, %b::uuid,
    %s::integer[], %b::uuid[], %b::text[], %b::uuid[], %s::integer[],
    %b::text[], %b::uuid[], %b::uuid[], %b::uuid[], %b::text[],
    %s::integer[], %b::text[], %b::text[], %b::text[], %b::uuid[], %s::integer[])"""
NUMBERS: Final = (0, 4, 10, 15)  # the places of these among the arguments


# When whoever waits for a save stops waiting, by `time.monotonic`; unset: never.
DEADLINE: ContextVar[float | None] = ContextVar("DEADLINE", default=None)


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
    """Writes saves, each batch of them in one transaction, in threads of its own.

    Any number of threads and event loops may call it. A save is written exactly once even if its
    caller goes away, but never after its `DEADLINE`, when its caller has been told that it was not.
    The threads start with the first save and call `stored` after each commit.

    A batch is all that waits, or the half of it when that is much: then the other half is ready
    at the moment when Postgres has stored the first, and neither has to wait for the other. While a
    batch gets no answer, whatever waits goes by the other writer's connection. A thread that calls
    while nothing waits or is on its way, and has no deadline, writes its save itself, which spares
    it two changes of threads.
    """

    def __init__(self, pool: Pool, stored: Callable[[], None], watermark: Watermark) -> None:
        self._pool = pool
        self._watermark = watermark
        self._tell = stored
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._writing: dict[int, float] = {}  # since when batches are on their way, by thread
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.failing = False  # whether Postgres did not take the last batch

    def append(self, save: Save) -> Result:
        """Write a save and wait for what became of it.

        Raises `Overloaded` when too many saves wait, `Unavailable` when Postgres does not answer
        or this appender is closed, `OutcomeUnknown` when it had not answered by the `DEADLINE` and
        may yet store the save, `HistoryReplaced` when the log does not hold what this process has
        seen of it, and `psycopg.Error` for data that Postgres does not take.
        """
        result: Future[Result] = Future()
        if DEADLINE.get() is None and self._begin_alone():
            self._write_and_end([_Waiting(save, result)])
            with self._lock:
                self._ready.notify()  # what has come meanwhile
            return result.result()
        waiting = self._enter(save, result)
        try:
            return result.result(_left())
        except TimeoutError as error:
            raise self._withdraw(waiting) from error

    async def append_async(self, save: Save) -> Result:
        """The same in an event loop."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiting = self._enter(save, result)
        try:
            async with asyncio.timeout(_left()):
                return await result
        except TimeoutError as error:
            raise self._withdraw(waiting) from error

    def close(self, timeout: float) -> bool:
        """Take no more saves, and tell whether those that wait were written within `timeout` s."""
        with self._lock:
            self._closed = True
            self._ready.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            return self._ready.wait_for(
                lambda: not self._waiting and not self._writing,
                max(0.0, deadline - time.monotonic()),
            )

    def _begin_alone(self) -> bool:
        with self._lock:
            if self._closed or self._waiting or self._writing:
                return False
            self._writing[threading.get_ident()] = time.monotonic()
            return True

    def _enter(self, save: Save, result: "Future[Result] | asyncio.Future[Result]") -> _Waiting:
        waiting = _Waiting(save, result)
        if (left := _left()) is not None and left <= 0:
            raise _not_stored()
        with self._lock:
            if self._closed:
                raise Unavailable("this process is stopping; try again in a moment")
            if len(self._waiting) >= MOST_WAITING:
                raise Overloaded("too many changes wait to be stored; try again in a moment")
            self._waiting.append(waiting)
            if not self._threads:
                self._start()
            elif len(self._waiting) == (WORTH if self._writing else 1):
                self._ready.notify()  # once: whoever is busy looks by itself
        return waiting

    def _withdraw(self, waiting: _Waiting) -> Unavailable | OutcomeUnknown:
        """Write a save no longer, unless it is on its way; gives what its caller is to be told."""
        with self._lock:
            for n, each in enumerate(self._waiting):
                if each is waiting:
                    del self._waiting[n]
                    return _not_stored()
        return OutcomeUnknown(
            "Postgres has not confirmed the change in time, and may have made it: look before you"
            " send it again"
        )

    def _start(self) -> None:
        for n in range(WRITERS):
            thread = threading.Thread(target=self._run, name=f"appender {n}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while batch := self._next():
            self._write_and_end(batch)

    def _write_and_end(self, batch: list[_Waiting]) -> None:
        try:
            self._write(batch)
        finally:
            with self._lock:
                del self._writing[threading.get_ident()]
                if self._closed:
                    self._ready.notify_all()

    def _next(self) -> list[_Waiting]:
        """The batch whose turn it is; empty when there will be no more."""
        with self._lock:
            while not self._may_write():
                if self._closed and not self._waiting:
                    self._ready.notify_all()
                    return []
                self._ready.wait(STUCK_S)
            self._writing[threading.get_ident()] = time.monotonic()
            count = len(self._waiting)
            if count > FULL:
                count = min(MOST_TOGETHER, max(FULL, (count + 1) // 2))
            batch = [self._waiting.popleft() for _ in range(count)]
            if self._may_write():
                self._ready.notify()
            return batch

    def _may_write(self) -> bool:
        if not self._waiting:
            return False
        if not self._writing or len(self._waiting) >= WORTH:
            return True
        return time.monotonic() - max(self._writing.values()) > STUCK_S

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            results = self._stored([waiting.save for waiting in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable | HistoryReplaced):
                for waiting in batch:  # one of them holds bad data: each by itself
                    self._write([waiting])
                return
            self.failing = isinstance(error, Unavailable)
            _answer(batch, [error] * len(batch))
        else:
            self.failing = False
            _answer(batch, results)
            self._tell()

    def _stored(self, saves: Sequence[Save]) -> list[Result]:
        rows = self._answers(_arguments(saves))
        if rows[0][0] == 0:
            last = rows[0][2]
            self._watermark.see(last, saves[-1].events[-1][0])
            return _all_appended(saves, last)
        for save, outcome, last, _ in rows:
            if outcome in ("appended", "stored"):
                self._watermark.see(last, saves[save - 1].events[-1][0])
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
        seen = self._watermark.seen
        with borrowed(self._pool) as connection:
            try:
                return connection.execute(APPEND, [*seen, *arguments], prepare=True).fetchall()
            except psycopg.DatabaseError as error:
                if error.sqlstate == NOT_HELD and seen.event_id is not None:
                    raise HistoryReplaced(seen.position, seen.event_id) from error
                raise


def _left() -> float | None:
    deadline = DEADLINE.get()
    return None if deadline is None else deadline - time.monotonic()


def _not_stored() -> Unavailable:
    return Unavailable("Postgres does not answer; try again in a moment")


def _answer(batch: Sequence[_Waiting], results: Sequence[Result | Exception]) -> None:
    """Give each caller what is theirs, those of an event loop with one call into it."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Any, Result | Exception]]] = {}
    for waiting, result in zip(batch, results, strict=True):
        if isinstance(waiting.result, Future):
            _settle([(waiting.result, result)])
        else:
            loops.setdefault(waiting.result.get_loop(), []).append((waiting.result, result))
    for loop, settled in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
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
