"""The log behind the interfaces of the `eventsourcing` library: its recorder and its mapper.

This is the one module that imports the library. Why not its stock recorder: see docs/why.md.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag
from eventsourcing.persistence import (
    ApplicationRecorder,
    DataError,
    IntegrityError,
    JSONTranscoder,
    Mapper,
    MapperDeserialisationError,
    Notification,
    StoredEvent,
    Subscription,
)
from psycopg import sql

from domain.catalogue import CATALOGUE
from domain.errors import StateTooLarge, UnknownEvent
from domain.events import Event, NewEvent, Recorded, Segment, Unreadable
from domain.reservations import Guard
from infra.log.appender import Appender, Result, Save
from infra.log.keys import KeyRing
from infra.log.notifier import Notifier
from infra.log.watermark import Watermark
from infra.postgres import Listener, Pool, borrowed
from infra.process.metrics import APPEND

STATE_LIMIT_BYTES = 262_144  # the table refuses more, too
PERSONAL = "personal"

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
            records = [_record(row) for row in connection.execute(query, arguments)]
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


class EventMapper(Mapper[UUID]):
    """Turns enveloped events into rows and back; personal fields are sealed on the way in."""

    def __init__(self, keys: KeyRing) -> None:
        super().__init__(JSONTranscoder())
        self._keys = keys

    # The library asks for its own event classes; ours are msgspec structs, for which its
    # stock mapper raises TypeError, so the narrower types are the point.
    def to_stored_event(self, domain_event: NewEvent) -> StoredEnvelope:  # type: ignore[override]
        """The row of a new event. Raises `StateTooLarge` over 256 KiB."""
        event = domain_event.event
        state = msgspec.json.encode(self._sealed(domain_event))
        if len(state) > STATE_LIMIT_BYTES:
            raise StateTooLarge(f"{event.stored_name} is larger than {STATE_LIMIT_BYTES} bytes")
        return StoredEnvelope(
            originator_id=domain_event.aggregate_id,
            originator_version=domain_event.version,
            topic=event.stored_name,
            state=state,
            event_id=domain_event.event_id,
            actor=domain_event.actor,
            account=domain_event.account,
            correlation_id=domain_event.correlation_id,
            causation_id=domain_event.causation_id,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:  # type: ignore[override]
        """The event of a row; personal fields of an erased account are None.

        Raises `UnknownEvent` for a type that this build does not know.
        """
        assert isinstance(stored_event, StoredRecord)
        return self._enveloped(stored_event, self._opened(stored_event, personal=True))

    def readable(self, stored: StoredRecord, *, personal: bool = True) -> Recorded:
        """The event of a row, or `Unreadable` in its envelope; personal fields only if asked."""
        try:
            return self._enveloped(stored, self._opened(stored, personal=personal))
        except MapperDeserialisationError as error:
            return self._enveloped(stored, Unreadable(kind=stored.topic, error=str(error)))

    def recorded(self, row: Row, *, personal: bool) -> Recorded:
        """The same from a row of `ROWS`, in the shortest time."""
        position, aggregate_id, version, topic, state, event_id, recorded_at, actor, *ids = row
        kind = CATALOGUE[topic]
        if kind.personal and personal:
            return self.readable(_record(row))
        try:
            event = _DECODERS[kind].decode(f"{state[:-1]}{_NO_PERSONAL[kind]}}}")
        except (ValueError, TypeError) as error:
            told = f"position {position} ({topic}) cannot be decoded: {error!r}"
            event = Unreadable(kind=topic, error=told)
        return Recorded(
            event=event,
            event_id=event_id,
            aggregate_id=aggregate_id,
            version=version,
            actor=actor,
            account=ids[0],
            correlation_id=ids[1],
            causation_id=ids[2],
            position=position,
            recorded_at=recorded_at,
        )

    def members(
        self, kind: type[Event], stored: StoredRecord, *, personal: bool = True
    ) -> dict[str, Any]:
        """What the row's state holds; without `personal`, what is sealed in it is None."""
        members: dict[str, Any] = msgspec.json.decode(stored.state)
        if kind.personal:
            sealed, nothing = members.pop(PERSONAL), dict.fromkeys(kind.personal)
            members |= self._private(kind, stored, sealed) if personal else nothing
        return members

    def _sealed(self, new: NewEvent) -> dict[str, Any]:
        members: dict[str, Any] = msgspec.to_builtins(new.event)
        if new.event.personal:
            assert new.account is not None, "personal fields belong to an account"
            private = {name: members.pop(name) for name in new.event.personal}
            bound_to = _bound_to(new.event.stored_name, new.aggregate_id, new.version)
            members[PERSONAL] = self._keys.seal(new.account, msgspec.json.encode(private), bound_to)
        return members

    def _enveloped(self, stored: StoredRecord, event: Event) -> Recorded:
        assert isinstance(stored.originator_id, UUID)
        return Recorded(
            event=event,
            event_id=stored.event_id,
            aggregate_id=stored.originator_id,
            version=stored.originator_version,
            actor=stored.actor,
            account=stored.account,
            correlation_id=stored.correlation_id,
            causation_id=stored.causation_id,
            position=stored.id,
            recorded_at=stored.recorded_at,
        )

    def _opened(self, stored: StoredRecord, *, personal: bool) -> Event:
        kind = CATALOGUE.get(stored.topic)
        if kind is None:
            raise unknown(stored.id, stored.topic)
        try:
            return msgspec.convert(self.members(kind, stored, personal=personal), kind)
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            raise MapperDeserialisationError(
                f"position {stored.id} ({stored.topic}) cannot be decoded: {error!r}"
            ) from error

    def _private(self, kind: type[Event], stored: StoredRecord, sealed: str) -> dict[str, Any]:
        assert stored.account is not None
        bound_to = _bound_to(stored.topic, stored.originator_id, stored.originator_version)
        plain = self._keys.open(stored.account, sealed, bound_to)
        return dict.fromkeys(kind.personal) if plain is None else msgspec.json.decode(plain)


_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in CATALOGUE.values()}
# What makes a stored state one whose personal fields are None; what is sealed is passed over.
_NO_PERSONAL = {
    kind: "".join(f',"{name}":null' for name in kind.personal) for kind in CATALOGUE.values()
}

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


def unknown(position: int, kind: str) -> UnknownEvent:
    """Word of an event that a newer build has stored."""
    return UnknownEvent(
        f"position {position} holds {kind}, which this build does not know:"
        " upgrade it before you go on"
    )


def _bound_to(stored_name: str, aggregate_id: UUID | str, version: int) -> bytes:
    return f"{stored_name}:{aggregate_id}:{version}".encode()


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


def _record(row: tuple[Any, ...]) -> StoredRecord:
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
