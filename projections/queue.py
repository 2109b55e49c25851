"""Which task is next?"""

from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from domain.account import AccountErased
from domain.events import Recorded
from domain.render import (
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderRequeued,
    RenderStarted,
    Requested,
)
from projections.model import KNOWN, Projection, Statement

TABLES: LiteralString = """
CREATE TABLE {table} (
    task     uuid PRIMARY KEY,
    account  uuid NOT NULL,
    vip      boolean NOT NULL,
    place    bigint NOT NULL,
    started  boolean NOT NULL DEFAULT false,
    attempt  integer NOT NULL DEFAULT 0,
    retry_at timestamptz
);
CREATE INDEX ON {table} (vip DESC, place)"""

INSERT: LiteralString = (
    """-- A task takes its place in its lane.
INSERT INTO {table} (task, account, vip, place)
SELECT %(task)s, %(account)s, %(vip)s, %(place)s WHERE """
    + KNOWN
)

STARTED: LiteralString = """-- A consumer has claimed the task.
UPDATE {table} SET started = true, attempt = %(attempt)s WHERE task = %(task)s"""

REQUEUED: LiteralString = """-- The task is back in its place, to be claimed from `retry_at` on.
UPDATE {table} SET started = false, retry_at = %(retry_at)s WHERE task = %(task)s"""

ENDED: LiteralString = """-- The task leaves the queue.
DELETE FROM {table} WHERE task = %(task)s"""

NEXT: LiteralString = """-- Which tasks may be claimed now, first in the queue first?
SELECT q.task, q.account
  FROM atelier_queue q
 WHERE (q.retry_at IS NULL OR q.retry_at <= now())
   AND NOT EXISTS (SELECT FROM atelier_leases l WHERE l.task = q.task AND l.expires_at > now())
 ORDER BY q.vip DESC, q.place
 LIMIT %(limit)s"""

STANDING: LiteralString = """-- How far has the queue followed the log?
SELECT position FROM atelier_projections WHERE projection = 'queue' AND live"""

ERASED: LiteralString = """-- Whoever is erased leaves no tasks behind.
DELETE FROM {table} WHERE account = %(account)s"""


DEPTH: LiteralString = """-- How many tasks wait, how many are rendered, how long waits the first?
SELECT count(*) FILTER (WHERE waiting AND vip), count(*) FILTER (WHERE waiting AND NOT vip),
       count(*) FILTER (WHERE NOT waiting),
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT e.recorded_at FROM atelier_events e
            WHERE e.position = min(place) FILTER (WHERE waiting)))::float8, 0)
  FROM (SELECT q.vip, q.place, NOT q.started OR NOT EXISTS (
                   SELECT FROM atelier_leases l
                    WHERE l.task = q.task AND l.expires_at > now()) AS waiting
          FROM atelier_queue q) tasks"""


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """How full the queue is; ``oldest_seconds`` is how long the first pending task has waited."""

    pending_vip: int
    pending_normal: int
    started: int
    oldest_seconds: float


class Claimable(msgspec.Struct, frozen=True):
    """A task that nobody holds: pending, or started and left."""

    task: UUID
    account: UUID


def apply(recorded: Recorded) -> list[Statement]:
    """How an event changes the queue."""
    event, task = recorded.event, {"task": recorded.aggregate_id}
    match event:
        case Requested():
            entry = {"account": recorded.account, "place": recorded.position, "vip": event.vip}
            return [Statement(INSERT, task | entry)]
        case RenderStarted():
            return [Statement(STARTED, task | {"attempt": event.attempt})]
        case RenderRequeued():
            retry_at = recorded.recorded_at + timedelta(seconds=event.retry_after_seconds)
            return [Statement(REQUEUED, task | {"retry_at": retry_at})]
        case RenderCompleted() | RenderFailed() | RenderCancelled():
            return [Statement(ENDED, task)]
        case AccountErased():
            return [Statement(ERASED, {"account": recorded.account})]
        case _:
            return []


PROJECTION = Projection(
    name="queue",
    tables=TABLES,
    uses=(
        Requested,
        RenderStarted,
        RenderRequeued,
        RenderCompleted,
        RenderFailed,
        RenderCancelled,
        AccountErased,
    ),
    apply=apply,
)


def claimable(connection: psycopg.Connection[Any], *, limit: int) -> list[Claimable]:
    """The tasks that a consumer may try to claim, in the order in which it should."""
    return [Claimable(*row) for row in connection.execute(NEXT, {"limit": limit})]


def standing(connection: psycopg.Connection[Any]) -> int:
    """The position up to which the queue shows the log."""
    row = connection.execute(STANDING).fetchone()
    return int(row[0]) if row else 0


def depth(connection: psycopg.Connection[Any]) -> Depth:
    """How full the queue is."""
    ((vip, normal, started, oldest),) = connection.execute(DEPTH)
    return Depth(
        pending_vip=vip, pending_normal=normal, started=started, oldest_seconds=max(0.0, oldest)
    )
