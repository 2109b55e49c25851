"""Which task is next?"""

from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import replace

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
from projections.model import Projection
from projections.rows import Rows, Table

TABLE: LiteralString = """
CREATE TABLE {table} (
    task     uuid PRIMARY KEY,
    account  uuid NOT NULL,
    vip      boolean NOT NULL,
    place    bigint NOT NULL,
    started  boolean NOT NULL,
    attempt  integer NOT NULL,
    retry_at timestamptz
);
CREATE INDEX ON {table} (vip DESC, place)"""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: a task that has not ended, to be claimed from ``retry_at`` on."""

    task: UUID
    account: UUID
    vip: bool
    place: int
    started: bool = False
    attempt: int = 0
    retry_at: datetime | None = None


NEXT: LiteralString = """-- Which tasks may be claimed now, first in the queue first?
SELECT q.task, q.account
  FROM atelier_queue q
 WHERE (q.retry_at IS NULL OR q.retry_at <= now())
   AND NOT EXISTS (SELECT FROM atelier_leases l WHERE l.task = q.task AND l.expires_at > now())
 ORDER BY q.vip DESC, q.place
 LIMIT %(limit)s"""

STANDING: LiteralString = """-- How far has the queue followed the log?
SELECT position FROM atelier_projections WHERE projection = 'queue' AND live"""

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


def fold(rows: Rows[Place], recorded: Recorded) -> None:
    """How an event changes the queue."""
    event, task = recorded.event, recorded.aggregate_id
    match event:
        case Requested() if rows.knows(recorded.account):
            assert recorded.account is not None
            entry = Place(
                task=task, account=recorded.account, vip=event.vip, place=recorded.position
            )
            rows.put(entry)
        case RenderStarted() if row := rows.get(task):
            rows.put(replace(row, started=True, attempt=event.attempt))
        case RenderRequeued() if row := rows.get(task):
            retry_at = recorded.recorded_at + timedelta(seconds=event.retry_after_seconds)
            rows.put(replace(row, started=False, retry_at=retry_at))
        case RenderCompleted() | RenderFailed() | RenderCancelled():
            rows.remove(task)
        case AccountErased():
            rows.forget(recorded.account)


PROJECTION = Projection(
    name="queue",
    table=Table(row=Place, key=("task",), sql=TABLE),
    uses=(
        Requested,
        RenderStarted,
        RenderRequeued,
        RenderCompleted,
        RenderFailed,
        RenderCancelled,
        AccountErased,
    ),
    fold=fold,
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
