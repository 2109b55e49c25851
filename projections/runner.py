"""Follows the log and keeps one read model: rows and position in one transaction."""

import threading
import time
from collections.abc import Callable
from typing import Any, LiteralString, Protocol

import psycopg
import structlog

from domain.account import AccountErased
from domain.errors import AtelierError, Unavailable, UnknownEvent
from domain.events import Recorded, Unreadable
from projections.model import Projection

log = structlog.get_logger("atelier.projector")

BATCH = 500
RETRY_S = 1.0

Connection = psycopg.Connection[tuple[Any, ...]]

LIVE: LiteralString = """-- Which generation is live, and where does it stand?
SELECT generation, position FROM atelier_projections WHERE projection = %s AND live"""

ADVANCE: LiteralString = """-- Advance, unless another projector has: then this one lost its lock.
UPDATE atelier_projections SET position = %s
 WHERE projection = %s AND generation = %s AND position = %s"""

REGISTER: LiteralString = """-- The first generation of a read model.
INSERT INTO atelier_projections (projection, generation, live, fingerprint)
VALUES (%s, 1, true, %s)"""

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


# Postgres is away, another projector took over, or a table is missing: parking would not help.
NOT_THE_EVENTS_FAULT = (psycopg.OperationalError, psycopg.ProgrammingError, LostLock)


class Leader(Protocol):
    """The lock that lets one projector at a time keep a read model."""

    def acquire(self, stop: threading.Event) -> bool:
        """Wait until the lock is ours; False when `stop` is set first."""

    def held(self) -> bool:
        """Whether it still is."""


def make(connection: Connection, projection: Projection) -> None:
    """Make a read model's first generation unless there is one."""
    with connection.transaction():
        if connection.execute(LIVE, [projection.name]).fetchone():
            return
        table = projection.table(1)
        connection.execute(_sql(projection.tables, table))
        connection.execute(f"CREATE VIEW {projection.view} AS TABLE {table}")
        connection.execute(REGISTER, [projection.name, projection.fingerprint()])


class Runner:
    """Keeps one read model on one connection, one batch of events a transaction."""

    def __init__(
        self,
        projection: Projection,
        connect: Callable[[], Connection],
        read: Callable[[int, int], list[Recorded]],
        applied: Callable[[int, float], object] = lambda events, seconds: None,
    ) -> None:
        """`applied` hears of each batch: how many events, and in how many seconds."""
        self._projection = projection
        self._connect = connect
        self._read = read
        self._applied = applied

    def run(self, leader: Leader, wait: Callable[[], object], stop: threading.Event) -> None:
        """Follow the log until `stop`; a fault of Postgres or of the log is waited out."""
        while not stop.is_set() and leader.acquire(stop):
            try:
                with self._connect() as connection:
                    self._follow(connection, leader, wait, stop)
            except UnknownEvent as error:
                log.error(
                    "stopped: upgrade this build", model=self._projection.name, why=str(error)
                )
                stop.wait(10 * RETRY_S)
            except (psycopg.Error, AtelierError) as error:
                log.warning("waiting", model=self._projection.name, why=type(error).__name__)
                stop.wait(RETRY_S)

    def catch_up(self, connection: Connection) -> int:
        """Apply one batch of what the read model lacks, and give how many events that was."""
        row = connection.execute(LIVE, [self._projection.name]).fetchone()
        if row is None:
            raise Unavailable("the read models are not there yet: run `atelier migrate`")
        generation, position = row
        batch = self._read(position, BATCH)
        if batch:
            began = time.perf_counter()
            self._apply_batch(connection, generation, position, batch)
            self._applied(len(batch), time.perf_counter() - began)
        return len(batch)

    def _follow(
        self,
        connection: Connection,
        leader: Leader,
        wait: Callable[[], object],
        stop: threading.Event,
    ) -> None:
        while not stop.is_set() and leader.held():
            if not self.catch_up(connection):
                wait()

    def _apply_batch(
        self, connection: Connection, generation: int, position: int, batch: list[Recorded]
    ) -> None:
        try:
            self._transact(connection, generation, position, batch, self._apply_plainly)
        except NOT_THE_EVENTS_FAULT:
            raise
        except Exception:  # one bad event must not stop the rest: find it, event by event
            self._transact(connection, generation, position, batch, self._apply_or_park)

    def _transact(
        self,
        connection: Connection,
        generation: int,
        position: int,
        batch: list[Recorded],
        apply: Callable[[Connection, int, Recorded], None],
    ) -> None:
        with connection.transaction():
            parked = self._parked_among(connection, generation, batch)
            for recorded in batch:
                if isinstance(recorded.event, AccountErased):
                    model = self._projection.name
                    connection.execute(FORGET, [model, generation, recorded.account])
                    parked = self._parked_among(connection, generation, batch)
                if recorded.aggregate_id in parked:
                    self._park(connection, generation, recorded, None)
                else:
                    apply(connection, generation, recorded)
            moved = connection.execute(
                ADVANCE, [batch[-1].position, self._projection.name, generation, position]
            )
            if moved.rowcount != 1:
                raise LostLock(f"another projector keeps {self._projection.name}")

    def _apply_plainly(self, connection: Connection, generation: int, recorded: Recorded) -> None:
        if isinstance(recorded.event, Unreadable):
            raise ValueError(recorded.event.error)
        table = self._projection.table(generation)
        for statement in self._projection.apply(recorded):
            connection.execute(_sql(statement.sql, table), statement.parameters)

    def _apply_or_park(self, connection: Connection, generation: int, recorded: Recorded) -> None:
        if self._parked_among(connection, generation, [recorded]):
            self._park(connection, generation, recorded, None)
            return
        try:
            with connection.transaction():
                self._apply_plainly(connection, generation, recorded)
        except NOT_THE_EVENTS_FAULT:
            raise
        except Exception as error:
            self._park(connection, generation, recorded, error)

    def _parked_among(
        self, connection: Connection, generation: int, batch: list[Recorded]
    ) -> set[Any]:
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


def _sql(text: LiteralString, table: str) -> LiteralString:
    return text.replace("{table}", table)
