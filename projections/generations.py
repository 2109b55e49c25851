"""The generations of read models: made, filled, switched to, gone back to, and dropped."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, LiteralString

import msgspec
import psycopg

from domain.errors import AtelierError, NotFound
from projections.model import Projection
from projections.rows import Connection

MOMENT_S: Final = 0.2  # so long at most those who read queue behind a lock that is waited for
PATIENCE_S: Final = 10.0

LISTED: LiteralString = """-- Which generations are there, and how does each do?
SELECT p.projection, p.generation, p.live, p.state, p.fingerprint, at.position,
       greatest(h.position - at.position, 0),
       (SELECT count(*) FROM atelier_parked k
         WHERE k.projection = p.projection AND k.generation = p.generation),
       coalesce(pg_total_relation_size(to_regclass(
           format('atelier_%%s_g%%s', p.projection, p.generation))), 0),
       p.made_at, p.live_since, p.accepted
  FROM atelier_projections p CROSS JOIN atelier_head h CROSS JOIN LATERAL (
       SELECT coalesce(avg(s.position)::bigint, p.position) AS position
         FROM atelier_projection_segments s
        WHERE (s.projection, s.generation) = (p.projection, p.generation)) at
 WHERE %(models)s::text[] IS NULL OR p.projection = ANY(%(models)s)
 ORDER BY p.projection, p.generation"""

REGISTER: LiteralString = """-- A new generation, the first of which serves at once.
INSERT INTO atelier_projections (projection, generation, live, state, fingerprint, live_since)
SELECT %(model)s, coalesce(max(generation), 0) + 1, count(*) = 0,
       CASE WHEN count(*) = 0 THEN 'ready' ELSE 'building' END, %(fingerprint)s,
       CASE WHEN count(*) = 0 THEN now() END
  FROM atelier_projections WHERE projection = %(model)s
RETURNING generation"""

LOCK: LiteralString = """-- Nobody else moves this read model's generations.
SELECT generation FROM atelier_projections WHERE projection = %s ORDER BY generation FOR UPDATE"""

RETIRE: LiteralString = """-- The one that serves serves no more.
UPDATE atelier_projections SET live = false WHERE projection = %s AND live"""

SERVE: LiteralString = """-- Another one serves.
UPDATE atelier_projections SET live = true, state = 'ready', live_since = now(), accepted = %s
 WHERE projection = %s AND generation = %s"""

AHEAD: LiteralString = """-- Which others show what the log has lost, as after a restore?
SELECT p.generation FROM atelier_projections p CROSS JOIN atelier_head h
 WHERE p.projection = %s AND NOT p.live AND p.position > h.position"""

UNREGISTER: LiteralString = """-- A generation is no more, and neither is what was set aside of it.
WITH gone AS (DELETE FROM atelier_projections
               WHERE projection = %(model)s AND generation = %(n)s AND NOT live)
DELETE FROM atelier_parked WHERE projection = %(model)s AND generation = %(n)s"""


SHAPE: LiteralString = """-- Which columns and which further views has a read model?
SELECT ARRAY(SELECT attname::text FROM pg_attribute
              WHERE attrelid = to_regclass(%(view)s) AND attnum > 0),
       (SELECT count(*) FROM unnest(%(beside)s::text[]) AS name
         WHERE to_regclass(name) IS NOT NULL)"""


class CannotSwitch(AtelierError):
    """A generation cannot serve, or cannot be dropped; the message says why."""

    code = "cannot_switch"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a read model.

    ``lag`` counts events, ``parked`` those that could not be applied, ``size`` bytes with indexes;
    ``accepted`` is how many rows differed from the generation before when it began to serve.
    """

    model: str
    generation: int
    live: bool
    state: str
    fingerprint: str
    position: int
    lag: int
    parked: int
    size: int
    made_at: datetime
    live_since: datetime | None
    accepted: int


def generations(connection: Connection, models: list[str] | None = None) -> list[Generation]:
    """Those of these read models, or of all."""
    rows = connection.execute(LISTED, {"models": models})
    names = Generation.__struct_fields__
    return [Generation(**dict(zip(names, row, strict=True))) for row in rows]


def live(connection: Connection, projection: Projection) -> Generation | None:
    """The generation that serves."""
    found = generations(connection, [projection.name])
    return next((each for each in found if each.live), None)


def make(connection: Connection, projection: Projection) -> bool:
    """Make a read model's first generation unless it has one; tells whether that is of this code.

    One of other code goes on serving, as far as it goes, until another is rebuilt.
    """
    with connection.transaction():
        serving = live(connection, projection)
        if serving is None:
            begin(connection, projection)
            _show(connection, projection, 1)
    return serving is None or serving.fingerprint == projection.fingerprint()


def can_serve(connection: Connection, projection: Projection) -> bool:
    """Whether the generation that serves has whatever this build's queries read."""
    beside = [f"{projection.view}_{each}" for each in projection.table.beside]
    values = {"view": projection.view, "beside": beside}
    columns, views = connection.execute(SHAPE, values).fetchone() or ([], 0)
    return set(projection.table.row.__struct_fields__) <= set(columns) and views == len(beside)


def begin(connection: Connection, projection: Projection) -> int:
    """Make the table of another generation, which is to be filled; gives its number."""
    values = {"model": projection.name, "fingerprint": projection.fingerprint()}
    with connection.transaction():
        ((number,),) = connection.execute(REGISTER, values)
        name = projection.table_of(number)
        connection.execute(projection.table.statement(projection.table.sql, name))
    return int(number)


def switch(
    connection: Connection, projection: Projection, generation: int, *, accepted: int = 0
) -> None:
    """Have another generation serve, from one moment to the next, for everybody.

    Those that are ahead of the log would never show what comes in place of what it has lost, so
    they are dropped. Raises `CannotSwitch` where somebody reads for long, or where a view of
    somebody else's hangs on columns that the other generation lacks.
    """

    def serve() -> None:
        connection.execute(RETIRE, [projection.name])
        connection.execute(SERVE, [accepted, projection.name, generation])
        # Readers hold the view while they read: each sees one generation with its own position.
        _show(connection, projection, generation)
        for (ahead,) in connection.execute(AHEAD, [projection.name]).fetchall():
            _remove(connection, projection, ahead)

    _between_others(connection, projection, serve)


def roll_back(connection: Connection, projection: Projection) -> int:
    """Have the generation serve again that served before; gives its number.

    Raises `CannotSwitch` where there is none, or none that this build keeps up with the log.
    """
    before = [
        each
        for each in generations(connection, [projection.name])
        if not each.live and each.live_since is not None
    ]
    if not before:
        raise CannotSwitch(f"no other generation of {projection.name} has served before")
    target = max(before, key=lambda each: (each.live_since, each.generation))
    if (target.generation,) in connection.execute(AHEAD, [projection.name]).fetchall():
        raise CannotSwitch(
            f"generation {target.generation} of {projection.name} shows what the log has lost, as"
            " after a restore: rebuild it"
        )
    if target.fingerprint != projection.fingerprint():
        raise CannotSwitch(
            f"generation {target.generation} of {projection.name} is of another build, which alone"
            " can keep it up to date: go back to that build first"
        )
    switch(connection, projection, target.generation)
    return target.generation


def drop(connection: Connection, projection: Projection, generation: int) -> None:
    """Delete a generation with its rows; raises `CannotSwitch` for the one that serves."""

    def remove() -> None:
        found = generations(connection, [projection.name])
        one = next((each for each in found if each.generation == generation), None)
        if one is None:
            raise NotFound(f"{projection.name} has no generation {generation}")
        if one.live:
            raise CannotSwitch(
                f"generation {generation} of {projection.name} serves: rebuild another"
            )
        _remove(connection, projection, generation)

    _between_others(connection, projection, remove)


def _between_others(
    connection: Connection, projection: Projection, change: Callable[[], None]
) -> None:
    """Change generations in one transaction, while nobody else does, or reads or fills them.

    Whoever comes later queues behind a lock that is waited for, so it waits for a moment, lets them
    go first, and tries again.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with connection.transaction():
                connection.execute(LOCK, [projection.name])
                connection.execute(f"SET LOCAL lock_timeout = {int(1000 * MOMENT_S)}")
                change()
            return
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise CannotSwitch(
                    f"somebody reads {projection.name} for long, as a backup does:"
                    " try again when it has ended"
                ) from error
        time.sleep(MOMENT_S)


def _remove(connection: Connection, projection: Projection, generation: int) -> None:
    table = projection.table
    connection.execute(table.statement(table.drop, projection.table_of(generation)))
    connection.execute(UNREGISTER, {"model": projection.name, "n": generation})


def _show(connection: Connection, projection: Projection, generation: int) -> None:
    """Have queries read a generation; views that others have made over ours stay."""
    table = projection.table_of(generation)
    for name in ("", *(f"_{each}" for each in projection.table.beside)):
        _replace_view(connection, projection.view + name, table + name)


def _replace_view(connection: Connection, view: str, table: str) -> None:
    try:
        with connection.transaction():
            connection.execute(f"CREATE OR REPLACE VIEW {view} AS TABLE {table}")
    except psycopg.errors.InvalidTableDefinition:  # its columns are others
        try:
            connection.execute(f"DROP VIEW {view}")
        except psycopg.errors.DependentObjectsStillExist as error:
            raise CannotSwitch(
                f"{table} has other columns than the table before it, and what hangs on those has"
                f" to be dropped first: {error.diag.message_detail}"
            ) from error
        connection.execute(f"CREATE VIEW {view} AS TABLE {table}")
