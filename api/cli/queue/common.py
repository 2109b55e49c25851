"""What several of the commands ask of Postgres: who waits, who renders, what they run on."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg

from api.figures import NotMigrated
from infra.postgres import answered, connect
from infra.settings import Settings
from projections.queue import AGED, AGED_TASKS, ALONE

Connection = psycopg.Connection[tuple[Any, ...]]

# A task whose lease has run out waits again. What is paused keeps its place, and is listed last.
WAITING: LiteralString = """-- Who waits, in the order in which they will be claimed?
WITH lined AS (
    SELECT q.*, row_number() OVER (PARTITION BY q.vip ORDER BY {in_lane}) AS n
      FROM atelier_queue q
     WHERE NOT EXISTS (SELECT FROM atelier_leases l WHERE l.task = q.task AND l.expires_at > now())
), placed AS (
    SELECT q.*, CASE WHEN {alone} THEN q.n ELSE row_number() OVER (ORDER BY {order}) END AS position
      FROM lined q CROSS JOIN (SELECT {aged}) aged
)
SELECT w.task, w.account, (e.state::json ->> 'account_number')::integer, w.vip, w.position,
       e.recorded_at, w.attempt, w.retry_at
  FROM placed w JOIN atelier_events e ON e.position = w.place
 WHERE w.vip = ANY(%(vip)s) AND (%(task)s::uuid IS NULL OR w.task = %(task)s)
 ORDER BY EXISTS (SELECT FROM atelier_pauses p WHERE (p.lane = 'vip') = w.vip), w.position
 LIMIT %(limit)s""".replace("{alone}", ALONE)

# By whether each lane is served in rounds.
WAITING_BY: Final[dict[bool, LiteralString]] = {
    False: WAITING.replace("{in_lane}", "q.place")
    .replace("{order}", "q.place > aged.place, q.place > aged.place AND NOT q.vip, q.place")
    .replace("{aged}", f"{AGED} AS place"),
    True: WAITING.replace("{in_lane}", "q.rank, q.turn")
    .replace("{order}", "q.vip OR q.n > aged.tasks, NOT q.vip, q.n")
    .replace("{aged}", f"{AGED_TASKS} AS tasks"),
}

LEASES: LiteralString = """-- Who holds, or held last, which tasks, since when and until when?
SELECT l.task, l.consumer, s.recorded_at, l.expires_at, l.expires_at > now(), l.progress
  FROM atelier_leases l LEFT JOIN LATERAL (
       SELECT e.recorded_at FROM atelier_events e
        WHERE e.aggregate_id = l.task AND e.type = 'render.started.v1'
        ORDER BY e.aggregate_version DESC LIMIT 1) s ON true
 ORDER BY l.expires_at <= now(), s.recorded_at, l.task"""

BEHIND: LiteralString = """-- How many events of the log does the queue not show yet?
SELECT greatest(h.position - p.position, 0)
  FROM atelier_head h, atelier_projections p WHERE p.projection = 'queue' AND p.live"""

CONSUMERS: LiteralString = """-- Which consumers are connected, since when, and when last seen?
SELECT split_part(application_name, ' ', 3), min(backend_start),
       max(CASE state WHEN 'active' THEN clock_timestamp() ELSE state_change END)
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'atelier render-consumer %'
 GROUP BY 1 ORDER BY 2, 1"""

HOST_SHOWN: Final = 20  # as `processes.name_connections` cuts it


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is not being rendered; ``user`` is the number of its account."""

    task: UUID
    account: UUID
    user: int
    lane: str
    position: int
    requested_at: datetime
    attempt: int
    retry_at: datetime | None

    @property
    def backs_off(self) -> bool:
        """Whether it may not be claimed yet."""
        return self.retry_at is not None and self.retry_at > datetime.now(UTC)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the hands of a consumer, or of one that is gone when it is not ``held``."""

    task: UUID
    consumer: str
    started_at: datetime | None
    expires_at: datetime
    held: bool
    progress: float

    @property
    def process(self) -> str:
        """The consumer's host and process, without the random end of its name."""
        return self.consumer.rpartition("-")[0] or self.consumer


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer that is connected to Postgres; ``name`` is its host and process."""

    name: str
    since: datetime
    seen: datetime

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is its."""
        host, _, process = lease.process.rpartition("-")
        return lease.held and self.name == f"{host[:HOST_SHOWN]}-{process}"


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Connection]:
    """A connection; raises `Unavailable`, and `NotMigrated` where a table is missing."""
    settings.require("postgres_url")
    with answered(), connect(settings.postgres_url) as connection:
        try:
            yield connection
        except psycopg.errors.UndefinedTable as error:
            raise NotMigrated("the database is not migrated: run `atelier migrate`") from error


def waiting(
    connection: Connection,
    *,
    max_wait: float | None,
    fair: bool,
    lane: str | None = None,
    task: UUID | None = None,
    limit: int = 1,
) -> list[Waiting]:
    """The first tasks that wait: of one lane or all, or the one that is named.

    `max_wait` and `fair` as consumers have them.
    """
    lanes = [True, False] if lane is None else [lane == "vip"]
    values = {"vip": lanes, "task": task, "limit": limit, "max_wait": max_wait}
    rows = connection.execute(WAITING_BY[fair], values)
    return [
        Waiting(
            task=row[0],
            account=row[1],
            user=row[2],
            lane="vip" if row[3] else "normal",
            position=row[4],
            requested_at=row[5],
            attempt=row[6],
            retry_at=row[7],
        )
        for row in rows
    ]


def leases(connection: Connection) -> list[Lease]:
    """Every lease, those that are held first."""
    return [
        Lease(
            task=task,
            consumer=consumer,
            started_at=started_at,
            expires_at=expires_at,
            held=held,
            progress=round(progress, 3),
        )
        for task, consumer, started_at, expires_at, held, progress in connection.execute(LEASES)
    ]


def behind(connection: Connection) -> int:
    """How many events of the log the queue does not show yet."""
    row = connection.execute(BEHIND).fetchone()
    return int(row[0]) if row else 0


def live(connection: Connection) -> list[Live]:
    """The consumers that are connected to Postgres."""
    return [
        Live(name=name, since=since, seen=seen)
        for name, since, seen in connection.execute(CONSUMERS)
    ]


def since(moment: datetime) -> float:
    """For how many seconds it has been so."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


def clock(moment: datetime) -> str:
    """A time of today, in UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def as_json(answer: Any) -> str:
    """An answer for programs."""
    return msgspec.json.format(msgspec.json.encode(answer)).decode()
