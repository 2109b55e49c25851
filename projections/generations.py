"""The generations of read models: made, filled, switched to, gone back to, and dropped."""

from datetime import datetime
from typing import LiteralString

import msgspec

from domain.errors import AtelierError, NotFound
from projections.model import Projection
from projections.rows import Connection

LISTED: LiteralString = """-- Which generations are there, and how does each do?
SELECT p.projection, p.generation, p.live, p.state, p.fingerprint, p.position,
       greatest(h.position - p.position, 0),
       (SELECT count(*) FROM atelier_parked k
         WHERE k.projection = p.projection AND k.generation = p.generation),
       coalesce(pg_total_relation_size(to_regclass(
           format('atelier_%%s_g%%s', p.projection, p.generation))), 0),
       p.made_at, p.live_since, p.accepted
  FROM atelier_projections p CROSS JOIN atelier_head h
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

UNREGISTER: LiteralString = """-- A generation is no more, and neither is what was set aside of it.
WITH gone AS (DELETE FROM atelier_projections
               WHERE projection = %(model)s AND generation = %(n)s AND NOT live)
DELETE FROM atelier_parked WHERE projection = %(model)s AND generation = %(n)s"""


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
            connection.execute(f"CREATE VIEW {projection.view} AS TABLE {projection.table_of(1)}")
    return serving is None or serving.fingerprint == projection.fingerprint()


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
    """Have another generation serve, from one moment to the next, for everybody."""
    name, view = projection.name, projection.view
    with connection.transaction():
        connection.execute(LOCK, [name])
        connection.execute(RETIRE, [name])
        connection.execute(SERVE, [accepted, name, generation])
        # Readers hold the view while they read: each sees one generation with its own position.
        connection.execute(f"DROP VIEW {view}")
        connection.execute(f"CREATE VIEW {view} AS TABLE {projection.table_of(generation)}")


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
    if target.fingerprint != projection.fingerprint():
        raise CannotSwitch(
            f"generation {target.generation} of {projection.name} is of another build, which alone"
            " can keep it up to date: go back to that build first"
        )
    switch(connection, projection, target.generation)
    return target.generation


def drop(connection: Connection, projection: Projection, generation: int) -> None:
    """Delete a generation with its rows; raises `CannotSwitch` for the one that serves."""
    found = generations(connection, [projection.name])
    one = next((each for each in found if each.generation == generation), None)
    if one is None:
        raise NotFound(f"{projection.name} has no generation {generation}")
    if one.live:
        raise CannotSwitch(f"generation {generation} of {projection.name} serves: rebuild another")
    with connection.transaction():
        # The table first, as who fills it does: it ends with its next batch.
        connection.execute(f"DROP TABLE IF EXISTS {projection.table_of(generation)}")
        connection.execute(LOCK, [projection.name])
        connection.execute(UNREGISTER, {"model": projection.name, "n": generation})
