"""Gathers the saves that wait at the same moment and writes them with one call of one function.

The log has one lock, held until the commit is on disk: one save a time would be one save a flush.
"""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final, LiteralString, NamedTuple

from psycopg_pool import PoolTimeout

from domain.errors import Unavailable
from infra.postgres import Pool, answered

MOST_TOGETHER: Final = 64

APPEND: LiteralString = """-- Append saves; answers a row per save, or one for all of them.
SELECT save, outcome, last_position, reason FROM atelier_append(
    %s::integer[], %s::uuid[], %s::text[], %s::uuid[], %s::integer[],
    %s::text[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[],
    %s::integer[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::integer[])"""


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
    result: "Future[Result]"


class Appender:
    """Writes saves in one thread, each batch in one transaction; any number of threads bring them.

    The thread starts with the first save.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def append(self, save: Save) -> Result:
        """Write a save and wait for what became of it.

        Raises `Unavailable` when Postgres does not answer, and `psycopg.Error` for data that it
        does not take.
        """
        waiting = _Waiting(save, Future())
        self._waiting.put(waiting)
        self._start()
        return waiting.result.result()

    def _start(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="appender", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MOST_TOGETHER and not self._waiting.empty():
                batch.append(self._waiting.get())
            self._write(batch)

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            results = self._stored([waiting.save for waiting in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):
                for waiting in batch:  # one of them holds bad data: each by itself
                    self._write([waiting])
                return
            for waiting in batch:
                waiting.result.set_exception(error)
        else:
            for waiting, result in zip(batch, results, strict=True):
                waiting.result.set_result(result)

    def _stored(self, saves: Sequence[Save]) -> list[Result]:
        arguments = _arguments(saves)
        try:
            rows = self._call(arguments)
        except Unavailable as error:
            if isinstance(error.__cause__, PoolTimeout):
                raise
            # The connection was lost, perhaps at commit: event ids that are stored are a success.
            rows = self._call(arguments)
        if rows[0][0] == 0:
            return _all_appended(saves, rows[0][2])
        return [Result(outcome, last, reason) for _, outcome, last, reason in rows]

    def _call(self, arguments: list[list[Any]]) -> list[tuple[Any, ...]]:
        with answered(), self._pool.connection() as connection:
            return connection.execute(APPEND, arguments).fetchall()


def _all_appended(saves: Sequence[Save], last: int) -> list[Result]:
    results = []
    for save in reversed(saves):
        results.append(Result("appended", last, ""))
        last -= len(save.events)
    return results[::-1]


def _arguments(saves: Sequence[Save]) -> list[list[Any]]:
    """The function's arrays: those of the events, then those of the guards."""
    events = [(n, *event) for n, save in enumerate(saves, start=1) for event in save.events]
    guards = [(n, *guard) for n, save in enumerate(saves, start=1) for guard in save.guards]
    columns = [list(column) for column in zip(*events, strict=True)]
    return columns + ([list(column) for column in zip(*guards, strict=True)] or [[]] * 6)
