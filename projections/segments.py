"""Fills new generations by several processes, each the events of its segment of the accounts."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from multiprocessing.process import BaseProcess
from typing import Any, Final, LiteralString, NamedTuple

import psycopg

from domain.errors import AtelierError, Unavailable
from domain.events import Segment
from projections.event_reader import EventReader
from projections.governor import Governor
from projections.model import Projection
from projections.rows import Connection
from projections.runner import LostLock, Runner, tune_garbage_collection

Connect = Callable[[], AbstractContextManager[Connection]]
Progress = Callable[[int, int], object]  # position, head

POLL_S: Final = 0.05
RETRY_S: Final = 1.0
NICE: Final = 10  # whoever serves comes first
MOST: Final = 4  # processes, each with two connections

SEGMENTED: LiteralString = """-- Which of these generations are filled by segments, and by how many?
SELECT projection, count(*), max(position) FROM atelier_projection_segments
       JOIN unnest(%(models)s::text[], %(generations)s::integer[]) AS ours (projection, generation)
            USING (projection, generation)
 GROUP BY projection"""

SPLIT: LiteralString = """-- From here on each segment has a position of its own.
INSERT INTO atelier_projection_segments (projection, generation, segment, position)
SELECT projection, generation, segment, position
  FROM atelier_projections
       JOIN unnest(%(models)s::text[], %(generations)s::integer[]) AS ours (projection, generation)
            USING (projection, generation)
       CROSS JOIN generate_series(0, %(of)s - 1) AS segment"""

REACHED: LiteralString = """-- How far have the segments come?
SELECT avg(position)::bigint FROM atelier_projection_segments
       JOIN unnest(%(models)s::text[], %(generations)s::integer[]) AS ours (projection, generation)
            USING (projection, generation)"""

JOIN: LiteralString = """-- All have come to the same position, which is the generation's.
WITH done AS (
    DELETE FROM atelier_projection_segments s
     USING unnest(%(models)s::text[], %(generations)s::integer[]) AS ours (projection, generation)
     WHERE (s.projection, s.generation) = (ours.projection, ours.generation)
    RETURNING s.projection, s.generation, s.position
)
UPDATE atelier_projections p SET position = least.position
  FROM (SELECT projection, generation, min(position) AS position FROM done
         GROUP BY projection, generation) AS least
 WHERE (p.projection, p.generation) = (least.projection, least.generation)"""


class Log(NamedTuple):
    """How a process reaches the log and the read models."""

    connect: Connect
    read: EventReader


OpenLog = Callable[[], AbstractContextManager[Log]]  # pickled for other processes


def processes() -> int:
    """How many processes fill a generation here."""
    return min(MOST, len(os.sched_getaffinity(0)))


def are_begun(connection: Connection, generations: Mapping[str, int]) -> bool:
    """Whether some of these are filled by segments, which only `fill` goes on with."""
    return bool(connection.execute(SEGMENTED, _ours(generations)).fetchall())


def fill(
    open_log: OpenLog,
    connection: Connection,
    projections: Sequence[Projection],
    generations: Mapping[str, int],
    until: int,
    report: Progress,
) -> None:
    """Bring generations to a position: `until`, or where a segment of theirs is beyond it.

    `processes` of low priority fill them, and rest while others suffer. What was begun before, also
    by a process that was killed, is gone on with. Raises `Unavailable` when one of them fails.
    """
    ours = _ours(generations)
    groups, furthest = _split(connection, projections, generations)
    until = max(until, furthest)
    governor = Governor(connection)
    for of, group in groups.items():
        with _working(open_log, group, of, until) as (workers, rest):
            while any(worker.is_alive() for worker in workers):
                time.sleep(POLL_S)
                rest.value = governor.rest()
                ((at,),) = connection.execute(REACHED, ours)
                report(at, until)
    connection.execute(JOIN, ours)


def _split(
    connection: Connection, projections: Sequence[Projection], generations: Mapping[str, int]
) -> tuple[dict[int, list[Projection]], int]:
    """Read models by the number of their segments, and the newest position of all of these."""
    begun: dict[str, int] = {}
    furthest = 0
    for name, of, position in connection.execute(SEGMENTED, _ours(generations)):
        begun[name] = of
        furthest = max(furthest, position)
    new = {name: number for name, number in generations.items() if name not in begun}
    connection.execute(SPLIT, _ours(new) | {"of": processes()})
    groups: dict[int, list[Projection]] = {}
    for each in projections:
        groups.setdefault(begun.get(each.name, processes()), []).append(each)
    return groups, furthest


def _ours(generations: Mapping[str, int]) -> dict[str, Any]:
    return {"models": list(generations), "generations": list(generations.values())}


@contextlib.contextmanager
def _working(
    open_log: OpenLog, projections: Sequence[Projection], of: int, until: int
) -> Iterator[tuple[list[BaseProcess], Any]]:
    """A process for each segment, and the value that tells them how long to rest."""
    context = multiprocessing.get_context("spawn")  # threads and connections cannot be forked
    rest = context.Value("d", 0.0)
    failures = context.SimpleQueue()
    workers: list[BaseProcess] = []
    for number in range(of):
        arguments = (open_log, projections, Segment(number, of), until, rest, failures)
        workers.append(context.Process(target=_work, args=arguments, daemon=True))
    try:
        for worker in workers:
            worker.start()
        yield workers, rest
    finally:
        for worker in workers:
            worker.terminate()  # what has ended is not affected, nor is what it has stored
            worker.join()
    if any(worker.exitcode for worker in workers):
        why = "it was killed" if failures.empty() else failures.get()
        raise Unavailable(
            f"a process that fills read models ended early, {why}: call it again, and it goes on"
        )


def _work(
    open_log: OpenLog,
    projections: Sequence[Projection],
    segment: Segment,
    until: int,
    rest: Any,
    failures: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    os.nice(NICE)
    tune_garbage_collection()
    try:
        with open_log() as log, log.connect() as connection:
            connection.execute("SET lock_timeout = 0")  # for the others, who write the same counts
            runner = Runner(projections, log.read, state="building", segment=segment)
            while _fill_some(runner, connection, until, rest) and _has_parent():
                pass
    except (AtelierError, psycopg.Error) as error:
        failures.put(str(error).partition("\n")[0])
        sys.exit(1)


def _fill_some(runner: Runner, connection: Connection, until: int, rest: Any) -> int:
    began = time.monotonic()
    try:
        applied = runner.catch_up(connection, until=until)
    except LostLock:  # to one whose parent was killed: it ends after its batch
        time.sleep(RETRY_S)
        return 1
    time.sleep(rest.value * (time.monotonic() - began))
    return applied


def _has_parent() -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and parent.is_alive()
