"""The event store: our log table behind the interfaces of the `eventsourcing` library.

This is the one module that imports the library. Why not its stock recorder: see docs/why.md.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
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

from domain.catalogue import CATALOGUE
from domain.errors import (
    EmailTaken,
    StateTooLarge,
    TooManyTasks,
    UnknownEvent,
    VersionConflict,
)
from domain.events import Event, NewEvent, Recorded, Unreadable
from domain.reservations import EMAIL, Guard, guards
from infra.appender import Appender, Save
from infra.keys import KeyRing, email_key
from infra.postgres import CHANNEL, Listener, Pool, answered, connect, open_pool

STATE_LIMIT_BYTES = 262_144  # the table refuses more, too
NOTIFY_EVERY_S = 0.005  # a NOTIFY takes a lock of the whole cluster at commit: seldom, and apart
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
        self._appender = Appender(pool)

    @property
    def url(self) -> str:
        """Where the log is."""
        return str(self._pool.conninfo)

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, guards: Sequence[Guard] = (), **_: Any
    ) -> Sequence[int]:
        """Append the events as one save and give their positions.

        Raises `IntegrityError` on a version conflict, `Reserved` or `OverLimit` when a guard
        refuses, `DataError` on bad data, `Unavailable` when Postgres does not answer.
        """
        outcome, last, reason = self._appender.append(_save(stored_events, guards))
        if outcome in REFUSALS:
            raise REFUSALS[outcome](reason)
        return range(last - len(stored_events) + 1, last + 1)

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

    def max_notification_id(self) -> int | None:
        """The newest position, or None in an empty log."""
        return self.head()[1] or None

    def head(self) -> tuple[UUID, int]:
        """The log's id and its newest position."""
        with answered(), self._pool.connection() as connection:
            row = connection.execute("SELECT log_id, position FROM atelier_head").fetchone()
        assert row is not None
        return row[0], row[1]

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """An endless iterator over the log after `gt`."""
        return LogSubscription(self, gt, topics)

    def _records(self, query: LiteralString, arguments: list[Any]) -> list[StoredRecord]:
        with answered(), self._pool.connection() as connection:
            return [_record(row) for row in connection.execute(query, arguments)]


class LogSubscription(Subscription[ApplicationRecorder]):
    """Follows the log; woken by NOTIFY, and looking once a second."""

    def __init__(self, recorder: LogRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
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
        return self._enveloped(stored_event, self._opened(stored_event))

    def readable(self, stored: StoredRecord) -> Recorded:
        """The event of a row, or `Unreadable` in its envelope."""
        try:
            return self.to_domain_event(stored)
        except MapperDeserialisationError as error:
            return self._enveloped(stored, Unreadable(error=str(error)))

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

    def _opened(self, stored: StoredRecord) -> Event:
        kind = CATALOGUE.get(stored.topic)
        if kind is None:
            raise UnknownEvent(
                f"position {stored.id} holds {stored.topic}, which this build does not know:"
                " upgrade it before you go on"
            )
        try:
            members = msgspec.json.decode(stored.state)
            if kind.personal:
                members |= self._private(kind, stored, members.pop(PERSONAL))
            return msgspec.convert(members, kind)
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            raise MapperDeserialisationError(
                f"position {stored.id} ({stored.topic}) cannot be decoded: {error!r}"
            ) from error

    def _private(self, kind: type[Event], stored: StoredRecord, sealed: str) -> dict[str, Any]:
        assert stored.account is not None
        bound_to = _bound_to(stored.topic, stored.originator_id, stored.originator_version)
        plain = self._keys.open(stored.account, sealed, bound_to)
        return dict.fromkeys(kind.personal) if plain is None else msgspec.json.decode(plain)


class Notifier:
    """Tells the log's readers that it has grown, on a connection of its own, at most each 5 ms."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._grown = threading.Event()
        threading.Thread(target=self._run, name="notifier", daemon=True).start()

    def wake(self) -> None:
        """Send a notice soon; it may get lost, so readers look by themselves as well."""
        self._grown.set()

    def _run(self) -> None:
        connection: psycopg.Connection[tuple[Any, ...]] | None = None
        while self._grown.wait():
            self._grown.clear()
            try:
                connection = connection or connect(self._url)
                connection.execute(f"NOTIFY {CHANNEL}")
            except psycopg.Error:
                connection = None
            time.sleep(NOTIFY_EVERY_S)


class EventLog:
    """The log as it is stored, for readers that pass events on undecoded."""

    def __init__(self, pool: Pool) -> None:
        self._recorder = LogRecorder(pool)

    def read_stored(self, after: int, limit: int) -> list[StoredRecord]:
        """Up to `limit` rows after a position, in order."""
        return list(self._recorder.select_notifications(after, limit, inclusive_of_start=False))

    def head(self) -> tuple[UUID, int]:
        """The log's id and its newest position (0 when empty)."""
        return self._recorder.head()


class EventStore:
    """Loads and appends domain events; what they reserve is checked in the same transaction."""

    def __init__(self, pool: Pool, keys: KeyRing, email_secret: bytes) -> None:
        self._pool = pool
        self._recorder = LogRecorder(pool)
        self._mapper = EventMapper(keys)
        self._email_secret = email_secret
        self._notifier = Notifier(self._recorder.url)
        self.keys = keys

    def load(self, aggregate_id: UUID) -> list[Recorded]:
        """An aggregate's history, oldest first; empty when there is none."""
        return self._decoded(self._recorder.select_events(aggregate_id))

    def load_many(self, aggregate_ids: Sequence[UUID]) -> dict[UUID, list[Recorded]]:
        """The histories of several aggregates by one query; empty ones are there, too."""
        histories: dict[UUID, list[Recorded]] = {each: [] for each in aggregate_ids}
        for recorded in self._decoded(self._recorder.select_histories(aggregate_ids)):
            histories[recorded.aggregate_id].append(recorded)
        return histories

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Up to `limit` events after a position, in the global order.

        One that cannot be decoded comes as `Unreadable`, so that it stops nobody. Raises
        `UnknownEvent` when the next event's type is not in this build's catalogue.
        """
        rows = self._recorder.select_notifications(after, limit, inclusive_of_start=False)
        known = list(itertools.takewhile(lambda row: row.topic in CATALOGUE, rows))
        return [self._mapper.readable(row) for row in known or rows[:1]]

    def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save and give the position of the last.

        Raises `VersionConflict`, `EmailTaken`, `TooManyTasks`, `StateTooLarge`, `AccountErased`
        or `Unavailable`; then nothing of the save is stored.
        """
        for new in events:
            if new.version == 1 and new.aggregate_id == new.account:
                self.keys.create(new.aggregate_id)  # an account's first event is sealed as well
        stored = [self._mapper.to_stored_event(new) for new in events]
        wanted = [guard for new in events for guard in guards(new, self.email_key)]
        try:
            positions = self._recorder.insert_events(stored, guards=wanted)
        except OverLimit as error:
            raise TooManyTasks(str(error)) from error
        except IntegrityError as error:
            # A task's place is its own: taken, it tells that another writer requested the task.
            wanted_email = any(guard.scope == EMAIL for guard in wanted)
            taken = isinstance(error, Reserved) and wanted_email
            raise (EmailTaken if taken else VersionConflict)(str(error)) from error
        self._notifier.wake()
        return positions[-1]

    def next_account_number(self) -> int:
        """A number that no account has had; gaps are fine."""
        with answered(), self._pool.connection() as connection:
            row = connection.execute("SELECT nextval('atelier_account_numbers')").fetchone()
        assert row is not None
        return int(row[0])

    def owner_of(self, scope: str, key: str) -> UUID | None:
        """Who holds a reservation."""
        with answered(), self._pool.connection() as connection:
            row = connection.execute(
                "SELECT owner FROM atelier_reservations WHERE scope = %s AND key = %s",
                [scope, key],
            ).fetchone()
        return row[0] if row else None

    def email_key(self, email: str) -> str:
        """The key under which an address is reserved."""
        return email_key(email, self._email_secret)

    def _decoded(self, rows: Iterable[StoredRecord]) -> list[Recorded]:
        return [self._mapper.to_domain_event(row) for row in rows]


def open_store(url: str, master_key: bytes, email_secret: bytes, *, connections: int) -> EventStore:
    """The event store on a pool of its own."""
    pool = open_pool(url, connections)
    return EventStore(pool, KeyRing(pool, master_key), email_secret)


REFUSALS: dict[str, Callable[[str], Exception]] = {
    "version": IntegrityError,
    "reserved": Reserved,
    "limit": OverLimit,
    "refused": DataError,
}


def _bound_to(stored_name: str, aggregate_id: UUID | str, version: int) -> bytes:
    return f"{stored_name}:{aggregate_id}:{version}".encode()


def _save(events: Sequence[StoredEvent], wanted: Sequence[Guard]) -> Save:
    rows = [e for e in events if isinstance(e, StoredEnvelope)]
    assert len(rows) == len(events), "only enveloped events can be stored"
    return Save(
        [
            (
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
            for e in rows
        ],
        [(g.kind, g.scope, g.key, g.owner, g.limit) for g in wanted],
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
