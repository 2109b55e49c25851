"""Read models as they were: filled up to a position of the log, beside those that serve; and what
has changed in between, or differs between two generations.

The runner fills them as it fills any generation, but by a registry of the session's own: temporary
tables, which hide those of the same names. So no projector keeps such a table, nothing lists it,
and what cannot be applied is set aside for this once.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, LiteralString

import msgspec
import psycopg

from domain.errors import AtelierError, NotFound
from projections.event_reader import EventReader
from projections.generations import generations
from projections.model import Projection
from projections.rebuild import Difference, compared
from projections.rows import Connection
from projections.runner import Runner

SCRATCH: Final = 0  # no generation has this number
SESSION: Final = "pg_temp"  # the schema of what ends with the connection
NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")

Report = Callable[[int], object]  # how many events have been passed since the last time

REGISTRY: LiteralString = """-- A registry that only this session sees.
CREATE TEMP TABLE atelier_projections (LIKE atelier_projections INCLUDING ALL);
CREATE TEMP TABLE atelier_parked (LIKE atelier_parked INCLUDING ALL)"""

REGISTER: LiteralString = """-- It is to be filled.
INSERT INTO atelier_projections (projection, generation, live, state, fingerprint)
VALUES (%s, %s, false, 'building', %s)"""

LOOK_INTO: LiteralString = """-- Its tables come before ours.
SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), false)"""

ROWS: LiteralString = "SELECT count(*) FROM {table}"


class BadSchema(AtelierError):
    """A table cannot be made there."""

    code = "bad_argument"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of two things that are compared: a generation, or what it would be at a position."""

    position: int
    generation: int | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """How `after` differs from `before`; ``differences`` are the first of ``differing``."""

    model: str
    before: Side
    after: Side
    rows: int
    differing: int
    differences: list[Difference]


class AsOf:
    """A read model in a table of its own, at a position that only grows."""

    def __init__(
        self, connection: Connection, projection: Projection, read: EventReader, schema: str
    ) -> None:
        """Make the table, empty; `connection` is of no other use from now on."""
        self._connection = connection
        self._projection = projection
        self._runner = Runner([projection], read, state="building")
        self.table = f'"{schema}".{projection.table_of(SCRATCH)}'
        connection.execute(REGISTRY)
        registered = [projection.name, SCRATCH, projection.fingerprint()]
        connection.execute(REGISTER, registered)
        connection.execute(LOOK_INTO, [f'"{schema}"'])
        connection.execute(projection.table.statement(projection.table.sql, self.table))

    def advance(self, position: int, report: Report) -> None:
        """Apply the log up to this position."""
        names = [self._projection.name]
        while passed := self._runner.catch_up(self._connection, names, until=position):
            report(passed)

    def parked(self) -> int:
        """How many events could not be applied."""
        ((count,),) = self._connection.execute("SELECT count(*) FROM atelier_parked")
        return int(count)


def build(
    connection: Connection,
    projection: Projection,
    read: EventReader,
    *,
    at: int,
    schema: str,
    replace: bool,
    report: Report,
) -> tuple[int, int]:
    """Fill a table of the view's name in another schema; gives its rows, and the events parked.

    Raises `BadSchema` for a schema that is no place for it, and unless `replace` is given where
    there is such a table already.
    """
    _check(connection, projection, schema, replace=replace)
    _make_schema(connection, schema)
    scratch = f'"{schema}".{projection.table_of(SCRATCH)}'
    drop = projection.table.statement(projection.table.drop, scratch)
    connection.execute(drop)
    try:
        made = AsOf(connection, projection, read, schema)
        made.advance(at, report)
        ((rows,),) = connection.execute(projection.table.statement(ROWS, scratch))
        with connection.transaction():
            for name in ("", *(f"_{each}" for each in projection.table.beside)):
                connection.execute(f'DROP TABLE IF EXISTS "{schema}".{projection.view}{name}')
                connection.execute(f"ALTER TABLE {scratch}{name} RENAME TO {projection.view}{name}")
    except BaseException:  # Ctrl-C as well
        connection.execute(drop)
        raise
    return rows, made.parked()


def between_positions(
    connection: Connection,
    projection: Projection,
    read: EventReader,
    first: int,
    last: int,
    report: Report,
) -> Changes:
    """What the events after `first` and up to `last` have changed."""
    made = AsOf(connection, projection, read, SESSION)
    made.advance(first, report)
    before = f"{projection.view}_before"
    connection.execute(f"CREATE TEMP TABLE {before} AS TABLE {made.table}")
    made.advance(last, report)
    sides = (Side(position=first), Side(position=last))
    with connection.transaction():
        return _changes(connection, projection, (before, made.table), sides)


def between_generations(
    connection: Connection, projection: Projection, first: int, second: int
) -> Changes:
    """How the second generation differs from the first, each where it stands just now."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        there = {each.generation: each for each in generations(connection, [projection.name])}
        if unknown := {first, second} - set(there):
            raise NotFound(f"{projection.name} has no generation {min(unknown)}")
        sides = [Side(position=there[n].position, generation=n) for n in (first, second)]
        tables = [projection.table_of(n) for n in (first, second)]
        return _changes(connection, projection, tables, sides)


def _changes(
    connection: Connection, projection: Projection, tables: Sequence[str], sides: Sequence[Side]
) -> Changes:
    rows, differing, found = compared(connection, projection, *tables)
    # Of a comparison with what serves the second is the truth; here it is what came after.
    words = {"missing": "added", "surplus": "removed", "changed": "changed"}
    return Changes(
        model=projection.name,
        before=sides[0],
        after=sides[1],
        rows=rows,
        differing=differing,
        differences=[msgspec.structs.replace(each, what=words[each.what]) for each in found],
    )


def _check(connection: Connection, projection: Projection, schema: str, *, replace: bool) -> None:
    if not NAME.fullmatch(schema) or schema == "information_schema":
        raise BadSchema(f"--into {schema}: name a schema in small letters, digits and _")
    if _has(connection, f'"{schema}".atelier_head'):
        raise BadSchema(f"--into {schema}: the log and what serves are there; name another schema")
    if _has(connection, f'"{schema}".{projection.view}') and not replace:
        raise BadSchema(f"{schema}.{projection.view} is there already: --replace makes it anew")


def _make_schema(connection: Connection, schema: str) -> None:
    ((there,),) = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", [f'"{schema}"'])
    if there:  # else Postgres would ask for the right to make it all the same
        return
    try:
        connection.execute(f'CREATE SCHEMA "{schema}"')
    except psycopg.errors.InsufficientPrivilege as error:
        raise BadSchema(
            f"--into {schema}: there is no such schema, and Postgres does not let us make one"
        ) from error


def _has(connection: Connection, table: str) -> bool:
    ((there,),) = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
    return bool(there)
