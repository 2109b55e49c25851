"""Which task is next?"""

from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from domain.events import Recorded
from domain.render import (
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderRequeued,
    RenderStarted,
    Requested,
)
from projections.model import Projection, Statement

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

INSERT: LiteralString = """-- A task takes its place in its lane.
INSERT INTO {table} (task, account, vip, place)
VALUES (%(task)s, %(account)s, %(vip)s, %(place)s)"""

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
        case _:
            return []


PROJECTION = Projection(
    name="queue",
    tables=TABLES,
    uses=(Requested, RenderStarted, RenderRequeued, RenderCompleted, RenderFailed, RenderCancelled),
    apply=apply,
)


def claimable(connection: psycopg.Connection[Any], *, limit: int) -> list[Claimable]:
    """The tasks that a consumer may try to claim, in the order in which it should."""
    return [Claimable(*row) for row in connection.execute(NEXT, {"limit": limit})]


def standing(connection: psycopg.Connection[Any]) -> int:
    """The position up to which the queue shows the log."""
    row = connection.execute(STANDING).fetchone()
    return int(row[0]) if row else 0
