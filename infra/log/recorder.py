"""The log behind the recorder's interface of the `eventsourcing` library.

Why not the library's stock recorder: see docs/why.md.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    DataError,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
)
from psycopg import sql

from domain.catalogue import CATALOGUE
from domain.events import Segment
from domain.reservations import Guard
from infra.log.appender import Appender, Result, Save
from infra.log.notifier import Notifier
from infra.log.watermark import Watermark
from infra.postgres import Listener, Pool, borrowed
from infra.process.metrics import APPEND

ROWS: LiteralString = """SELECT position, aggregate_id, aggregate_version, type, state, event_id,
       recorded_at, actor, account, correlation_id, causation_id FROM atelier_events """

OF_AGGREGATE: LiteralString = """WHERE aggregate_id = %s
   AND aggregate_version > coalesce(%s, 0) AND aggregate_version <= coalesce(%s, 2147483647)
 ORDER BY aggregate_version """

OF_AGGREGATES: LiteralString = """WHERE aggregate_id = ANY(%s)
 ORDER BY aggregate_id, aggregate_version"""

AFTER: LiteralString = """WHERE position > %s AND position <= coalesce(%s, 9223372036854775807)
   AND (%s::text[] IS NULL OR type = ANY(%s::text[]))
 ORDER BY position LIMIT %s"""

PROBE: LiteralString = """-- Is there room for a page more?
CREATE TEMPORARY TABLE atelier_probe ON COMMIT DROP AS SELECT 1"""

SOME: LiteralString = """-- Which events of some types are there in a part of the log?
-- Its last one comes in any case, and so does what this build does not know; both without a state.
WITH read AS MATERIALIZED (
    SELECT least(%(after)s::bigint + %(limit)s::bigint, position) AS last FROM atelier_head
)
SELECT position, aggregate_id, aggregate_version, type, CASE WHEN ours THEN state END, event_id,
       recorded_at, actor, account, correlation_id, causation_id
  FROM (SELECT *, type = ANY(%(types)s)
                  AND (%(of)s = 1 OR %(number)s
                       = abs(uuid_hash(coalesce(account, aggregate_id)) %% %(of)s::integer)) AS ours
          FROM atelier_events
         WHERE position > %(after)s AND position <= (SELECT last FROM read)) e
 WHERE ours OR position = (SELECT last FROM read) OR type <> ALL(%(known)s)
 ORDER BY position"""


Row = tuple[Any, ...]  # with the columns of `ROWS`


class VersionTaken(IntegrityError):
    """Another writer has stored this version of an aggregate."""


class Reserved(IntegrityError):
    """Somebody else holds what the save wanted to take."""


class OverLimit(IntegrityError):
    """The owner would hold more than allowed."""


@dataclass(frozen=True)
class StoredEnvelope(StoredEvent):
    """A stored event with our envelope, on its way into the log."""

    event_id: UUID
    actor: str
    account: UUID | None
    correlation_id: UUID
    causation_id: UUID | None


@dataclass(frozen=True)
class StoredRecord(Notification):
    """A row of the log: ``id`` is the position, ``topic`` the stored type name."""

    event_id: UUID
    recorded_at: datetime
    actor: str
    account: UUID | None
    correlation_id: UUID
    causation_id: UUID | None


class LogRecorder(ApplicationRecorder):
    """Records stored events through the function `atelier_append`, and reads them back."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._watermark = Watermark()
        self._appender = Appender(pool, Notifier(self.url).wake, self._watermark)

    @property
    def url(self) -> str:
        """Where the log is."""
        return str(self._pool.conninfo)

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, guards: Sequence[Guard] = (), **_: Any
    ) -> Sequence[int]:
        """Append the events as one save and give their positions.

        Raises `VersionTaken` on a version conflict, `Reserved` or `OverLimit` when a guard
        refuses, `DataError` on bad data, `Overloaded` when too many saves wait, `Unavailable`
        when Postgres does not answer.
        """
        began = time.perf_counter()
        result = self._appender.append(_save(stored_events, guards))
        APPEND.observe(time.perf_counter() - began)
        return _positions(result, len(stored_events))

    async def insert_events_async(
        self, stored_events: Sequence[StoredEvent], *, guards: Sequence[Guard] = ()
    ) -> Sequence[int]:
        """The same in an event loop."""
        began = time.perf_counter()
        result = await self._appender.append_async(_save(stored_events, guards))
        APPEND.observe(time.perf_counter() - began)
        return _positions(result, len(stored_events))

    def takes_events(self) -> bool:
        """Whether an append would be stored, as far as can be told without one.

        After an append that was not, it is found out whether there is room on the disk again.
        Raises `Unavailable` when Postgres does not answer, and `HistoryReplaced`.
        """
        with borrowed(self._pool) as connection:
            self._watermark.check(connection)
            ((read_only,),) = connection.execute("SHOW transaction_read_only")
            if read_only == "on":
                self._pool.drain()  # a demoted primary: new connections may lead to its successor
                return False
            if self._appender.failing:
                try:
                    connection.execute(PROBE)
                except psycopg.errors.OperationalError:
                    return False
                self._appender.failing = False
            return True

    def close(self, timeout: float) -> bool:
        """Take no more events, and tell whether all that wait were written within `timeout` s."""
        return self._appender.close(timeout)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredRecord]:
        """One aggregate's events by version."""
        order: LiteralString = "DESC LIMIT %s" if desc else "ASC LIMIT %s"
        return self._records(ROWS + OF_AGGREGATE + order, [originator_id, gt, lte, limit])

    def select_histories(self, originator_ids: Sequence[UUID]) -> Sequence[StoredRecord]:
        """All events of several aggregates, each aggregate's by version."""
        return self._records(ROWS + OF_AGGREGATES, [list(originator_ids)])

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[StoredRecord]:
        """The log in its global order."""
        after = (start or 0) - 1 if inclusive_of_start else (start or 0)
        wanted = list(topics) or None
        return self._records(ROWS + AFTER, [after, stop, wanted, wanted, limit])

    def select_some(
        self, after: int, limit: int, types: Collection[str], segment: Segment
    ) -> list[Row]:
        """The rows that matter among the `limit` after a position, in order.

        Those are events of some types, of a segment of the accounts; and without a state, the last
        of all, and those of types that this build does not know.
        """
        values = {
            "after": after,
            "limit": limit,
            "types": list(types),
            "known": list(CATALOGUE),
            "number": segment.number,
            "of": segment.of,
        }
        with borrowed(self._pool) as connection:
            rows = connection.execute(SOME, values, binary=True).fetchall()
        if rows:
            self._watermark.see(rows[-1][0], rows[-1][5])
        return rows

    def max_notification_id(self) -> int | None:
        """The newest position, or None in an empty log."""
        return self.head()[1] or None

    def head(self) -> tuple[UUID, int]:
        """The log's id and its newest position."""
        with borrowed(self._pool) as connection:
            row = connection.execute("SELECT log_id, position FROM atelier_head").fetchone()
        assert row is not None
        return row[0], row[1]

    def check_history(self) -> None:
        """Raise `HistoryReplaced` when the log does not hold the newest event that was seen."""
        with borrowed(self._pool) as connection:
            self._watermark.check(connection)

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """An endless iterator over the log after `gt`."""
        return LogSubscription(self, gt, topics)

    def select_rows(self, query: sql.Composed) -> list[StoredRecord]:
        """The rows of a query for the columns of `ROWS`."""
        return self._records(query, [])

    def _records(
        self, query: LiteralString | sql.Composed, arguments: list[Any]
    ) -> list[StoredRecord]:
        with borrowed(self._pool) as connection:
            records = [stored_record(row) for row in connection.execute(query, arguments)]
        if records:
            newest = max(records, key=lambda record: record.id)
            self._watermark.see(newest.id, newest.event_id)
        return records


class LogSubscription(Subscription[ApplicationRecorder]):
    """Follows the log; woken by NOTIFY, and looking once a second."""

    def __init__(self, recorder: LogRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._log = recorder
        self._after = gt or 0
        self._wanted = topics
        self._listener = Listener(recorder.url)
        self._ready: list[Notification] = []

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        self._listener.close()

    def __next__(self) -> Notification:
        while not self._ready:
            if self._has_been_stopped:
                self._listener.close()
                raise StopIteration
            self._log.check_history()
            self._ready = list(
                self._recorder.select_notifications(
                    self._after, 500, topics=self._wanted, inclusive_of_start=False
                )
            )
            if not self._ready:
                self._listener.wait()
        first = self._ready.pop(0)
        self._after = first.id
        return first


REFUSALS: dict[str, Callable[[str], Exception]] = {
    "version": VersionTaken,
    "reserved": Reserved,
    "limit": OverLimit,
    "refused": DataError,
}


def _positions(result: Result, events: int) -> Sequence[int]:
    if result.outcome in REFUSALS:
        raise REFUSALS[result.outcome](result.reason)
    return range(result.last_position - events + 1, result.last_position + 1)


def _save(events: Sequence[StoredEvent], wanted: Sequence[Guard]) -> Save:
    return Save(
        [_columns(event) for event in events],
        [(g.kind, g.scope, g.key, g.owner, g.limit) for g in wanted],
    )


def _columns(e: StoredEvent) -> tuple[Any, ...]:
    assert isinstance(e, StoredEnvelope), "only enveloped events can be stored"
    return (
        e.event_id,
        e.topic,
        e.originator_id,
        e.originator_version,
        e.actor,
        e.account,
        e.correlation_id,
        e.causation_id,
        e.state.decode(),
    )


def stored_record(row: tuple[Any, ...]) -> StoredRecord:
    position, aggregate_id, version, kind, state, event_id, recorded_at, actor, account, *ids = row
    return StoredRecord(
        originator_id=aggregate_id,
        originator_version=version,
        topic=kind,
        state=state.encode(),
        id=position,
        event_id=event_id,
        recorded_at=recorded_at,
        actor=actor,
        account=account,
        correlation_id=ids[0],
        causation_id=ids[1],
    )
