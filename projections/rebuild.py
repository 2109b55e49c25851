"""Fills other generations of read models while those before serve, and compares them."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, LiteralString, Self

import msgspec

from projections import segments
from projections.generations import begin, generations, live
from projections.model import Projection
from projections.rows import Connection
from projections.runner import BATCH, Runner
from projections.segments import OpenLog, Progress

SHOWN_MOST: Final = 1_000
LARGE: Final = 250_000  # events, for which it pays to start other processes

REACHED: LiteralString = """-- How far have these generations come, and how far do those that serve?
SELECT min(b.position), least(min(l.position), max(h.position))
  FROM atelier_projections b
       JOIN unnest(%s::text[], %s::integer[]) AS ours (projection, generation)
            USING (projection, generation)
       CROSS JOIN atelier_head h
       LEFT JOIN atelier_projections l ON l.projection = b.projection AND l.live
                                      AND l.fingerprint = b.fingerprint"""

HALT: LiteralString = """-- The one that serves stays where it is for a moment.
SELECT position FROM atelier_projections WHERE projection = %s AND live FOR UPDATE"""

COUNTED: LiteralString = """-- Are these the same rows?
SELECT count(*), coalesce(sum(hash_record_extended(t, 0)::numeric), 0) FROM {table} t"""

DIFFERING: LiteralString = """-- Which rows are not the same?
SELECT to_jsonb(l), to_jsonb(n) FROM {live} l FULL JOIN {new} n USING ({key})
 WHERE to_jsonb(l) IS DISTINCT FROM to_jsonb(n) ORDER BY {key}"""


LEAVING: LiteralString = """-- Whose rows go with an event that comes after the position?
-- What is made anew never had them, as their keys are gone already.
SELECT account::text FROM atelier_events
 WHERE position > %s AND type = 'account.erased.v1'"""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that differs: its key, and which columns do; those of a row that only one side has.

    Their values are not told, since they may be personal.
    """

    key: dict[str, Any]
    what: str  # "missing", "surplus" or "changed", as the generation that serves has it
    columns: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two generations at one position; ``differences`` are the first of ``differing``."""

    model: str
    generation: int
    position: int
    rows: int
    differing: int
    differences: list[Difference]


class Rebuild:
    """Other generations of read models, filled together; those begun before are gone on with."""

    def __init__(self, projections: Sequence[Projection], open_log: OpenLog) -> None:
        self._projections = projections
        self._open_log = open_log
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        log = self._opened.enter_context(self._open_log())
        self._connect = log.connect
        self._runner = Runner(self._projections, log.read, state="building")
        with self._connect() as connection:
            self.generations = {each.name: _begun(connection, each) for each in self._projections}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def fill(self, report: Progress) -> None:
        """Apply the log up to where those that serve stand, but for less than a batch.

        Where other code than ours keeps the one that serves, up to the end of the log. A large part
        of the log is applied by several processes.
        """
        with self._connect() as connection:
            at, until = self._reached(connection, list(self.generations))
            if until - at > LARGE or segments.are_begun(connection, self.generations):
                segments.fill(
                    self._open_log, connection, self._projections, self.generations, until, report
                )
            self._fill(connection, list(self.generations), report)
            for name in self.generations:  # those that serve need not stand together
                self._fill(connection, [name], report)

    def compare(self, projection: Projection) -> Comparison:
        """Bring one to exactly where the one that serves stands, and compare all their rows."""
        name, generation = projection.name, self.generations[projection.name]
        with self._connect() as connection, self._connect() as snapshot:
            with self._connect() as halting, halting.transaction():
                ((position,),) = halting.execute(HALT, [name])
                while self._runner.catch_up(connection, [name], until=position):
                    pass
                snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                serving = live(snapshot, projection)  # from here on it sees no change
            assert serving is not None
            tables = [projection.table_of(n) for n in (serving.generation, generation)]
            leaving = {account for (account,) in snapshot.execute(LEAVING, [position])}
            rows, differing, shown = compared(snapshot, projection, *tables, leaving=leaving)
            snapshot.execute("COMMIT")
        return Comparison(
            model=name,
            generation=generation,
            position=position,
            rows=rows,
            differing=differing,
            differences=shown,
        )

    def _fill(self, connection: Connection, names: list[str], report: Progress) -> None:
        at, until = self._reached(connection, names)
        while at + BATCH < until:
            self._runner.catch_up(connection, names, until=until)
            at, until = self._reached(connection, names)
            report(at, until)
        self._runner.catch_up(connection, names, until=until)
        report(until, until)

    def _reached(self, connection: Connection, names: list[str]) -> tuple[int, int]:
        numbers = [self.generations[name] for name in names]
        ((at, until),) = connection.execute(REACHED, [names, numbers])
        return at, until


def compared(
    snapshot: Connection,
    projection: Projection,
    live: str,
    new: str,
    *,
    leaving: Collection[str] = (),
) -> tuple[int, int, list[Difference]]:
    """Compare two tables: the rows of the second, how many differ, and the first of these.

    Those of accounts that are `leaving` do not count.
    """
    counts = [_counted(snapshot, projection, table) for table in (live, new)]
    differing, shown = 0, []
    if counts[0] != counts[1]:
        for difference in _differences(snapshot, projection, live, new, leaving):
            differing += 1
            if differing <= SHOWN_MOST:
                shown.append(difference)
    return counts[1][0], differing, shown


def _begun(connection: Connection, projection: Projection) -> int:
    """The generation that was begun before, or another."""
    unfinished = [
        each.generation
        for each in generations(connection, [projection.name])
        if each.state == "building" and each.fingerprint == projection.fingerprint()
    ]
    return unfinished[-1] if unfinished else begin(connection, projection)


def _counted(snapshot: Connection, projection: Projection, table: str) -> tuple[int, Any]:
    ((count, total),) = snapshot.execute(projection.table.statement(COUNTED, table))
    return count, total


def _differences(
    snapshot: Connection, projection: Projection, live: str, new: str, leaving: Collection[str]
) -> Iterator[Difference]:
    key = projection.table.key
    sql: str = DIFFERING
    for place, name in {"{live}": live, "{new}": new, "{key}": ", ".join(key)}.items():
        sql = sql.replace(place, name)
    with snapshot.cursor(name="atelier_differences") as cursor:
        cursor.execute(sql.encode())
        for theirs, ours in cursor:
            row = ours or theirs
            if row.get("account") in leaving:
                continue
            what = "changed" if theirs and ours else "missing" if ours else "surplus"
            changed = [name for name in row if (theirs or {}).get(name) != (ours or {}).get(name)]
            yield Difference(
                key={name: row[name] for name in key},
                what=what,
                columns=changed if what == "changed" else [],
            )
