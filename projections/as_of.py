"""Read models as they were: filled up to a position of the log, beside those that serve.

The runner fills them as it fills any generation, but by a registry of the session's own: temporary
tables, which hide those of the same names. So no projector keeps such a table, nothing lists it,
and what cannot be applied is set aside for this once.
"""

import re
from collections.abc import Callable
from typing import Final, LiteralString

from domain.errors import AtelierError
from projections.comparing import Difference, compared
from projections.model import Projection
from projections.rows import Connection
from projections.runner import EventReader, Runner

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


class BadSchema(AtelierError):
    """A table cannot be made there."""

    code = "bad_argument"


class AsOf:
    """A read model in a table of its own, at a position that only grows."""

    def __init__(
        self, connection: Connection, projection: Projection, read: EventReader, schema: str
    ) -> None:
        """Make the table, empty; `connection` is of no other use from now on."""
        self._connection = connection
        self._projection = projection
        self._runner = Runner([projection], read, state="building")
        self.table = f"{schema}.{projection.table_of(SCRATCH)}"
        connection.execute(REGISTRY)
        registered = [projection.name, SCRATCH, projection.fingerprint()]
        connection.execute(REGISTER, registered)
        connection.execute(LOOK_INTO, [schema])
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
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    scratch = f"{schema}.{projection.table_of(SCRATCH)}"
    connection.execute(f"DROP TABLE IF EXISTS {scratch}")
    try:
        made = AsOf(connection, projection, read, schema)
        made.advance(at, report)
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {scratch}")
        with connection.transaction():
            connection.execute(f"DROP TABLE IF EXISTS {schema}.{projection.view}")
            connection.execute(f"ALTER TABLE {scratch} RENAME TO {projection.view}")
    except BaseException:  # Ctrl-C as well
        connection.execute(f"DROP TABLE IF EXISTS {scratch}")
        raise
    return rows, made.parked()


def changes(
    connection: Connection,
    projection: Projection,
    read: EventReader,
    first: int,
    last: int,
    report: Report,
) -> tuple[int, int, list[Difference]]:
    """What the events after `first` and up to `last` have changed, as `compared` tells it."""
    made = AsOf(connection, projection, read, SESSION)
    made.advance(first, report)
    before = f"{SESSION}.{projection.view}_before"
    connection.execute(f"CREATE TEMP TABLE {projection.view}_before AS TABLE {made.table}")
    made.advance(last, report)
    return compared(connection, projection, before, made.table)


def _check(connection: Connection, projection: Projection, schema: str, *, replace: bool) -> None:
    if not NAME.fullmatch(schema) or schema == "information_schema":
        raise BadSchema(f"--into {schema}: name a schema in small letters, digits and _")
    if _has(connection, f"{schema}.atelier_head"):
        raise BadSchema(f"--into {schema}: the log and what serves are there; name another schema")
    table = f"{schema}.{projection.view}"
    if _has(connection, table) and not replace:
        raise BadSchema(f"{table} is there already: --replace makes it anew")


def _has(connection: Connection, table: str) -> bool:
    ((there,),) = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
    return bool(there)
