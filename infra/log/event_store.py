"""The event store: domain events in, domain events out."""

import contextlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg import sql

from domain.catalogue import CATALOGUE
from domain.errors import EmailTaken, TooManyTasks, VersionConflict
from domain.events import WHOLE, NewEvent, Recorded, Segment
from domain.reservations import EMAIL, Guard, guards
from infra.log.event_mapper import EventMapper, unknown
from infra.log.fingerprints import HASH, KeyCheck
from infra.log.keys import KeyRing, email_key
from infra.log.recorder import (
    ROWS,
    LogRecorder,
    OverLimit,
    Reserved,
    StoredEnvelope,
    StoredRecord,
    VersionTaken,
)
from infra.postgres import Pool, borrowed, open_pool


class EventBatch(NamedTuple):
    """Events of a part of the log, and the position up to which it was read."""

    events: list[Recorded]
    position: int


class EventLog:
    """The log as it is stored, for readers that pass events on undecoded."""

    def __init__(self, pool: Pool) -> None:
        self._recorder = LogRecorder(pool)

    def read_stored(self, after: int, limit: int) -> list[StoredRecord]:
        """Up to `limit` rows after a position, in order."""
        return list(self._recorder.select_notifications(after, limit, inclusive_of_start=False))

    def read_where(self, condition: sql.Composable, limit: int) -> list[StoredRecord]:
        """The first rows, in order, for which a condition on the log's columns holds."""
        order = sql.SQL("WHERE {} ORDER BY position LIMIT {}").format(condition, limit)
        return self._recorder.select_rows(sql.SQL(ROWS) + order)

    def head(self) -> tuple[UUID, int]:
        """The log's id and its newest position (0 when empty)."""
        return self._recorder.head()

    def check_history(self) -> None:
        """Raise `HistoryReplaced` when the log does not hold the newest event that was read."""
        self._recorder.check_history()


class EventStore:
    """Loads and appends domain events; what they reserve is checked in the same transaction."""

    def __init__(self, pool: Pool, keys: KeyRing, email_secret: bytes) -> None:
        self._pool = pool
        self._recorder = LogRecorder(pool)
        self._mapper = EventMapper(keys)
        self._email_secret = email_secret
        self._check_secret = KeyCheck(pool, HASH, email_secret)
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

    def head(self) -> tuple[UUID, int]:
        """The log's id and its newest position (0 when empty)."""
        return self._recorder.head()

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Up to `limit` events after a position, in the global order.

        One that cannot be decoded comes as `Unreadable`, so that it stops nobody. Raises
        `UnknownEvent` when the next event's type is not in this build's catalogue.
        """
        rows = self._recorder.select_notifications(after, limit, inclusive_of_start=False)
        known = list(itertools.takewhile(lambda row: row.topic in CATALOGUE, rows))
        return [self._mapper.readable(row) for row in known or rows[:1]]

    def read_some(
        self,
        after: int,
        limit: int,
        types: Collection[str],
        *,
        personal: Collection[str],
        segment: Segment = WHOLE,
    ) -> EventBatch:
        """Of the next up to `limit` events those of some types, and of a segment of the accounts.

        What is sealed is opened in events of `personal` types, and None in the others. Otherwise as
        `read`.
        """
        events: list[Recorded] = []
        last = after
        for row in self._recorder.select_some(after, limit, types, segment):
            kind, state = row[3], row[4]
            if kind not in CATALOGUE:
                if last == after:
                    raise unknown(row[0], kind)
                break
            last = row[0]
            if state is not None:
                events.append(self._mapper.recorded(row, personal=kind in personal))
        return EventBatch(events, last)

    def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save and give the position of the last.

        Raises `VersionConflict`, `EmailTaken`, `TooManyTasks`, `StateTooLarge`, `AccountErased`,
        `Overloaded`, `HistoryReplaced` or `Unavailable`: then nothing of the save is stored; or
        `OutcomeUnknown`.
        """
        for new in events:
            if _opens_account(new):
                self.keys.create(new.aggregate_id)  # its first event is sealed as well
        stored, wanted = self._prepared(events)
        with _refusals(wanted):
            return self._recorder.insert_events(stored, guards=wanted)[-1]

    async def append_async(self, events: Sequence[NewEvent]) -> int:
        """The same in an event loop, for events that `can_seal_at_once` allows."""
        stored, wanted = self._prepared(events)
        with _refusals(wanted):
            return (await self._recorder.insert_events_async(stored, guards=wanted))[-1]

    def can_seal_at_once(self, events: Sequence[NewEvent]) -> bool:
        """Whether the events' keys are at hand, so that nothing is asked of Postgres before."""
        return not any(
            _opens_account(new)
            or (new.event.personal and new.account and not self.keys.remembers(new.account))
            for new in events
        )

    def check_history(self) -> None:
        """Raise `HistoryReplaced` when the log does not hold the newest event that was seen."""
        self._recorder.check_history()

    def check_keys(self) -> None:
        """Raise `WrongKeys` when the keys are not those under which the log was filled."""
        self.keys.check()
        self._check_secret()

    def takes_events(self) -> bool:
        """Whether an append would be stored, as far as is known.

        Raises `Unavailable`, `HistoryReplaced`, and `WrongKeys` when the keys are not the log's.
        """
        self.check_keys()
        return self._recorder.takes_events()

    def close(self, timeout: float) -> bool:
        """Take no more events, and tell whether all that wait were written within `timeout` s."""
        return self._recorder.close(timeout)

    def _prepared(self, events: Sequence[NewEvent]) -> tuple[list[StoredEnvelope], list[Guard]]:
        stored = [self._mapper.to_stored_event(new) for new in events]
        return stored, [guard for new in events for guard in guards(new, self.email_key)]

    def next_account_number(self) -> int:
        """A number that no account has had; gaps are fine."""
        with borrowed(self._pool) as connection:
            row = connection.execute("SELECT nextval('atelier_account_numbers')").fetchone()
        assert row is not None
        return int(row[0])

    def owner_of(self, scope: str, key: str) -> UUID | None:
        """Who holds a reservation."""
        with borrowed(self._pool) as connection:
            row = connection.execute(
                "SELECT owner FROM atelier_reservations WHERE scope = %s AND key = %s",
                [scope, key],
            ).fetchone()
        return row[0] if row else None

    def email_key(self, email: str) -> str:
        """The key under which an address is reserved; raises `WrongKeys`."""
        self._check_secret()
        return email_key(email, self._email_secret)

    def _decoded(self, rows: Iterable[StoredRecord]) -> list[Recorded]:
        return [self._mapper.to_domain_event(row) for row in rows]


def open_store(url: str, master_key: bytes, email_secret: bytes, *, connections: int) -> EventStore:
    """The event store on a pool of its own, for as long as the process lives."""
    pool = open_pool(url, connections)
    return EventStore(pool, KeyRing(pool, master_key), email_secret)


@contextlib.contextmanager
def store_for_a_while(url: str, master_key: bytes, email_secret: bytes) -> Iterator[EventStore]:
    """The same for a command, which gives the connections back."""
    with open_pool(url, 2) as pool:
        yield EventStore(pool, KeyRing(pool, master_key), email_secret)


@contextlib.contextmanager
def _refusals(wanted: Sequence[Guard]) -> Iterator[None]:
    """Turn what the recorder refuses into what it means for a command."""
    try:
        yield
    except OverLimit as error:
        raise TooManyTasks(str(error)) from error
    except (VersionTaken, Reserved) as error:
        # A task's place is its own: taken, it tells that another writer requested the task.
        wanted_email = any(guard.scope == EMAIL for guard in wanted)
        taken = isinstance(error, Reserved) and wanted_email
        raise (EmailTaken if taken else VersionConflict)(str(error)) from error


def _opens_account(new: NewEvent) -> bool:
    return new.version == 1 and new.aggregate_id == new.account
