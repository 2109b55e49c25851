"""Follows the log and keeps one read model: rows and position in one transaction."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, LiteralString, NamedTuple, Protocol
from uuid import UUID

import psycopg
import structlog

from domain.account import AccountErased
from domain.errors import AtelierError, HistoryReplaced, Unavailable, UnknownEvent
from domain.events import Recorded, Unreadable
from projections.model import Projection
from projections.rows import Rows

log = structlog.get_logger("atelier.projector")

BATCH = 2_000
RETRY_S = 1.0
GATHER_S = 0.02  # between two batches while the log grows; the first after a pause comes at once

Connection = psycopg.Connection[tuple[Any, ...]]

LIVE: LiteralString = """-- Which generation is live, where does it stand, and is anything parked?
-- And which events are there, and where it stood the last time?
SELECT p.generation, p.position,
       EXISTS (SELECT FROM atelier_parked k
                WHERE k.projection = p.projection AND k.generation = p.generation),
       (SELECT e.event_id FROM atelier_events e WHERE e.position = p.position),
       (SELECT e.event_id FROM atelier_events e WHERE e.position = %(seen)s)
  FROM atelier_projections p WHERE p.projection = %(model)s AND p.live"""

ADVANCE: LiteralString = """-- Advance, unless another projector has: then this one lost its lock.
UPDATE atelier_projections SET position = %s
 WHERE projection = %s AND generation = %s AND position = %s RETURNING position"""

MADE: LiteralString = """-- Which generation is live, and what code makes its rows?
SELECT generation, fingerprint FROM atelier_projections WHERE projection = %s AND live"""

REGISTER: LiteralString = """-- A new generation of a read model.
INSERT INTO atelier_projections (projection, generation, live, fingerprint)
VALUES (%s, %s, true, %s)"""

UNREGISTER: LiteralString = """-- A generation is no more, and neither is what was set aside of it.
WITH gone AS (DELETE FROM atelier_projections WHERE projection = %(model)s AND generation = %(n)s)
DELETE FROM atelier_parked WHERE projection = %(model)s AND generation = %(n)s"""

PARKED: LiteralString = """-- Which of these aggregates are parked?
SELECT DISTINCT aggregate_id FROM atelier_parked
 WHERE projection = %s AND generation = %s AND aggregate_id = ANY(%s)"""

PARK: LiteralString = """-- Set an event aside until somebody retries it.
INSERT INTO atelier_parked (projection, generation, position, aggregate_id, account,
                            event_id, error)
VALUES (%s, %s, %s, %s, %s, %s, %s)"""

FORGET: LiteralString = """-- What was set aside of somebody erased is of no use any more.
DELETE FROM atelier_parked WHERE projection = %s AND generation = %s AND account = %s"""


class LostLock(AtelierError):
    """Another projector keeps this read model now."""

    code = "lost_lock"
    retriable = True


def is_events_fault(error: Exception) -> bool:
    """Whether other events would go on without this one, so that parking it helps.

    Postgres that is away, read-only or damaged, a missing table, and a process that is out of
    memory or files would fail the next event as well.
    """
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
    return not isinstance(error, AtelierError | OSError | MemoryError)


class Leader(Protocol):
    """The lock that lets one projector at a time keep a read model."""

    def acquire(self, stop: threading.Event) -> bool:
        """Wait until the lock is ours; False when `stop` is set first."""

    def held_lately(self) -> bool:
        """Whether it still was, a moment ago."""


class EventBatch(Protocol):
    """The events that a read model uses of a part of the log, and where that part ends."""

    @property
    def events(self) -> list[Recorded]:
        """In the log's order."""

    @property
    def position(self) -> int:
        """Of the part's last event, used or not."""


class EventReader(Protocol):
    """Reads some types of the events after a position, as `EventStore.read_some` does."""

    def __call__(
        self, after: int, limit: int, types: Collection[str], *, personal: bool
    ) -> EventBatch:
        """What follows."""


class Checkpoint(NamedTuple):
    """The live generation, its position, whether anything of it is parked, and its last event."""

    generation: int
    position: int
    parked: bool
    event_id: UUID | None


def make(connection: Connection, projection: Projection) -> None:
    """Make a read model's first generation, or the next one where other code makes its rows now.

    The next one is filled from the beginning of the log; what is asked meanwhile waits for it.
    """
    fingerprint = projection.fingerprint()
    with connection.transaction():
        made = connection.execute(MADE, [projection.name]).fetchone()
        generation, of_code = made or (0, None)
        if of_code == fingerprint:
            return
        if made:
            connection.execute(f"DROP VIEW {projection.view}")
            connection.execute(f"DROP TABLE {projection.table_of(generation)}")
            connection.execute(UNREGISTER, {"model": projection.name, "n": generation})
        table = projection.table_of(generation + 1)
        connection.execute(projection.table.statement(projection.table.sql, table))
        connection.execute(f"CREATE VIEW {projection.view} AS TABLE {table}")
        connection.execute(REGISTER, [projection.name, generation + 1, fingerprint])


class Runner:
    """Keeps one read model on one connection, one batch of events a transaction."""

    def __init__(
        self,
        projection: Projection,
        connect: Callable[[], Connection],
        read: EventReader,
        applied: Callable[[int, float], object] = lambda events, seconds: None,
    ) -> None:
        """`applied` hears of each batch: how many events, and in how many seconds."""
        self._projection = projection
        self._connect = connect
        self._read = read
        self._applied = applied
        self._last: Checkpoint | None = None
        self._waits = False

    def run(self, leader: Leader, wait: Callable[[], object], stop: threading.Event) -> None:
        """Follow the log until `stop`, or until it is another one.

        A fault of Postgres or of the log is waited out.
        """
        while not stop.is_set() and leader.acquire(stop):
            try:
                with self._connect() as connection:
                    self._follow(connection, leader, wait, stop)
            except HistoryReplaced as error:
                log.error("stopped", model=self._projection.name, why=str(error))
                return
            except UnknownEvent as error:
                log.error(
                    "stopped: upgrade this build", model=self._projection.name, why=str(error)
                )
                stop.wait(10 * RETRY_S)
            except (psycopg.Error, AtelierError) as error:
                self._tell_once(error)
                stop.wait(RETRY_S)

    def _tell_once(self, error: Exception) -> None:
        if not self._waits:
            log.warning("waiting", model=self._projection.name, why=str(error).partition("\n")[0])
        self._waits = True

    def catch_up(self, connection: Connection) -> int:
        """Apply one batch of what the read model lacks, and give how many events that was.

        Raises `HistoryReplaced` when the log or the read model has gone back since the last batch.
        """
        projection = self._projection
        at = self._checkpoint(connection)
        passage = self._read(at.position, BATCH, projection.types, personal=projection.personal)
        if passage.position > at.position:
            began = time.perf_counter()
            self._apply_batch(connection, at, passage)
            self._applied(passage.position - at.position, time.perf_counter() - began)
        return passage.position - at.position

    def _checkpoint(self, connection: Connection) -> Checkpoint:
        last = self._last
        values = {"model": self._projection.name, "seen": last.position if last else 0}
        row = connection.execute(LIVE, values).fetchone()
        if row is None:
            raise Unavailable("the read models are not there yet: run `atelier migrate`")
        *standing, held = row
        at = Checkpoint(*standing)
        if last and last.event_id:
            went_back = at.generation == last.generation and at.position < last.position
            if went_back or held != last.event_id:
                raise HistoryReplaced(last.position, last.event_id)
        self._last = at
        return at

    def _follow(
        self,
        connection: Connection,
        leader: Leader,
        wait: Callable[[], object],
        stop: threading.Event,
    ) -> None:
        while not stop.is_set() and leader.held_lately():
            begun = time.monotonic()
            applied = self.catch_up(connection)
            self._waits = False
            if not applied:
                wait()
            elif applied < BATCH:  # the log grows all the time: let something gather
                stop.wait(max(0.0, begun + GATHER_S - time.monotonic()))

    def _apply_batch(self, connection: Connection, at: Checkpoint, passage: EventBatch) -> None:
        try:
            self._transact(connection, at, passage, self._fold)
        except psycopg.Error as error:
            if not is_events_fault(error):
                raise
            self._transact(connection, at, passage, self._fold_by_halves)

    def _transact(
        self,
        connection: Connection,
        at: Checkpoint,
        passage: EventBatch,
        fold: Callable[[Connection, Checkpoint, Sequence[Recorded]], None],
    ) -> None:
        with connection.transaction():
            if passage.events:
                fold(connection, at, passage.events)
            self._advance(connection, at, passage.position)

    def _fold_by_halves(
        self, connection: Connection, at: Checkpoint, events: Sequence[Recorded]
    ) -> None:
        """Find the event whose rows Postgres refuses, and park it, so that the rest goes on."""
        try:
            with connection.transaction():
                self._fold(connection, at, events)
        except psycopg.Error as error:
            if not is_events_fault(error):
                raise
            if len(events) == 1:
                return self._park(connection, at.generation, events[0], error)
            middle = len(events) // 2
            self._fold_by_halves(connection, at, events[:middle])
            self._fold_by_halves(connection, at, events[middle:])

    def _fold(self, connection: Connection, at: Checkpoint, events: Sequence[Recorded]) -> None:
        rows = self._loaded(connection, at.generation, events)
        aside = self._parked_among(connection, at.generation, events)
        for recorded in events:
            if isinstance(recorded.event, AccountErased):
                model = self._projection.name
                connection.execute(FORGET, [model, at.generation, recorded.account])
                aside = self._parked_among(connection, at.generation, events)
            if recorded.aggregate_id in aside:
                self._park(connection, at.generation, recorded, None)
                continue
            try:
                self._fold_one(rows, recorded)
            except Exception as error:
                if not is_events_fault(error):
                    raise
                rows.undo()
                self._park(connection, at.generation, recorded, error)
                aside.add(recorded.aggregate_id)
            else:
                rows.keep()
        rows.write(connection, self._projection.table_of(at.generation))

    def _fold_one(self, rows: Rows[Any], recorded: Recorded) -> None:
        if isinstance(recorded.event, Unreadable):
            raise ValueError(recorded.event.error)
        self._projection.fold(rows, recorded)

    def _loaded(
        self, connection: Connection, generation: int, events: Sequence[Recorded]
    ) -> Rows[Any]:
        """The rows that the events need."""
        rows = Rows(self._projection.table)
        needed = {key for recorded in events for key in self._projection.needs(recorded)}
        new = {(recorded.aggregate_id,) for recorded in events if recorded.version == 1}
        accounts = {recorded.account for recorded in events if recorded.account}
        name = self._projection.table_of(generation)
        rows.load(connection, name, needed - new, needed & new, accounts)
        return rows

    def _advance(self, connection: Connection, at: Checkpoint, position: int) -> None:
        name = self._projection.name
        moved = connection.execute(ADVANCE, [position, name, at.generation, at.position])
        if moved.fetchone() is None:
            raise LostLock(f"another projector keeps {name}")

    def _parked_among(
        self, connection: Connection, generation: int, batch: Sequence[Recorded]
    ) -> set[UUID]:
        aggregates = list({recorded.aggregate_id for recorded in batch})
        rows = connection.execute(PARKED, [self._projection.name, generation, aggregates])
        return {aggregate for (aggregate,) in rows}

    def _park(
        self, connection: Connection, generation: int, recorded: Recorded, error: Exception | None
    ) -> None:
        # The error's type and place, not its text, which may quote personal data.
        why = type(error).__name__ if error else None
        name, position = self._projection.name, recorded.position
        log.error("parked", model=name, position=position, why=why or "after a parked event")
        connection.execute(
            PARK,
            [
                name,
                generation,
                position,
                recorded.aggregate_id,
                recorded.account,
                recorded.event_id,
                why,
            ],
        )
