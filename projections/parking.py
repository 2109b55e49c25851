"""What was set aside of a read model: listed, retried in its order, or given up."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from domain.errors import NotFound
from domain.events import Recorded, Unreadable
from projections.event_reader import EventReader
from projections.model import Projection
from projections.rows import Connection, Rows, ask_known

LISTED: LiteralString = """-- What is set aside, the oldest of each aggregate first?
SELECT k.projection, k.generation, k.aggregate_id, k.position, k.error, k.parked_at, e.type
  FROM atelier_parked k LEFT JOIN atelier_events e USING (position)
 WHERE %(models)s::text[] IS NULL OR k.projection = ANY(%(models)s)
 ORDER BY k.projection, k.generation, min(k.position) OVER (
              PARTITION BY k.projection, k.generation, k.aggregate_id), k.position"""

LOCK: LiteralString = """-- The projector waits for us before it commits its next batch.
SELECT p.position FROM atelier_projections p
 WHERE p.projection = %s AND p.generation = %s FOR UPDATE"""

TAKE: LiteralString = """-- It is set aside no longer.
DELETE FROM atelier_parked WHERE projection = %s AND generation = %s AND aggregate_id = %s
RETURNING position"""


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was set aside; ``error`` is None for what only came after such a one."""

    model: str
    generation: int
    aggregate_id: UUID
    position: int
    error: str | None
    parked_at: datetime
    type: str | None


class StillParked(Exception):
    """An event cannot be applied even now."""

    def __init__(self, position: int, cause: Exception) -> None:
        super().__init__(f"position {position}: {type(cause).__name__}")
        self.position = position


def parked(connection: Connection, models: list[str] | None = None) -> list[ParkedEvent]:
    """What is set aside of these read models, or of all."""
    names = ParkedEvent.__struct_fields__
    rows = connection.execute(LISTED, {"models": models})
    return [ParkedEvent(**dict(zip(names, row, strict=True))) for row in rows]


def retry(
    connection: Connection,
    projection: Projection,
    generation: int,
    aggregate: UUID,
    read: EventReader,
    *,
    skip: bool = False,
) -> int:
    """Apply what was set aside of an aggregate, in order, and give how many events that were.

    With `skip` the first of them is left out for good. Raises `StillParked` when one cannot be
    applied, and nothing is changed then; and `NotFound` when nothing of it is set aside.
    """
    with connection.transaction():
        connection.execute(LOCK, [projection.name, generation])
        taken = connection.execute(TAKE, [projection.name, generation, aggregate]).fetchall()
        positions = sorted(position for (position,) in taken)
        if not positions:
            raise NotFound(f"nothing of {aggregate} is set aside in {projection.name}")
        types = projection.types
        personal = types if projection.personal else frozenset[str]()
        events = [
            recorded
            for position in positions[skip:]
            for recorded in read(position - 1, 1, types, personal=personal).events
        ]
        _apply(connection, projection, generation, events)
    return len(events)


def _apply(
    connection: Connection, projection: Projection, generation: int, events: list[Recorded]
) -> None:
    name = projection.table_of(generation)
    for recorded in events:  # one by one, so that the one at fault is known
        rows = Rows(projection.table)
        keys = {recorded.aggregate_id} if projection.reads else set()
        keys |= set(projection.needs(recorded.event)) if projection.needs else set()
        try:
            if isinstance(recorded.event, Unreadable):
                raise ValueError(recorded.event.error)
            rows.ask(connection, name, keys, [recorded.account] if recorded.account else [])
            rows.take((), ask_known(connection, [recorded])())
            projection.fold(rows, recorded)
            rows.write(connection, name)
        except Exception as error:
            raise StillParked(recorded.position, error) from error
