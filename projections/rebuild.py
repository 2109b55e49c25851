"""Fills another generation of a read model while the one before serves, and compares the two."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, LiteralString

import msgspec

from projections.generations import begin, generations, live
from projections.model import Projection
from projections.rows import Connection
from projections.runner import EventReader, Runner

SHOWN_MOST: Final = 1_000

Connect = Callable[[], contextlib.AbstractContextManager[Connection]]
Progress = Callable[[int, int], object]  # position, head

HALT: LiteralString = """-- The one that serves stays where it is for a moment.
SELECT position FROM atelier_projections WHERE projection = %s AND live FOR UPDATE"""

COUNTED: LiteralString = """-- Are these the same rows?
SELECT count(*), coalesce(sum(hashtextextended(to_jsonb(t)::text, 0)::numeric), 0) FROM {table} t"""

DIFFERING: LiteralString = """-- Which rows are not the same?
SELECT to_jsonb(l), to_jsonb(n) FROM {live} l FULL JOIN {new} n USING ({key})
 WHERE to_jsonb(l) IS DISTINCT FROM to_jsonb(n) ORDER BY {key}"""


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
    """Another generation of one read model; one that was interrupted is gone on with."""

    def __init__(self, projection: Projection, connect: Connect, read: EventReader) -> None:
        self._projection = projection
        self._connect = connect
        self._runner = Runner([projection], read, state="building")
        with connect() as connection:
            unfinished = [
                each.generation
                for each in generations(connection, [projection.name])
                if each.state == "building" and each.fingerprint == projection.fingerprint()
            ]
            self.generation = unfinished[-1] if unfinished else begin(connection, projection)

    def fill(self, report: Progress) -> None:
        """Apply the log up to where the generation that serves stands, or the log itself ends."""
        with self._connect() as connection:
            while True:
                until = self._target(connection)
                applied = self._runner.catch_up(connection, until=until)
                at = self._position(connection)
                report(at, until)
                if at >= until or (not applied and at == self._position(connection)):
                    return

    def compare(self) -> Comparison:
        """Bring it to exactly where the one that serves stands, and compare all their rows."""
        with self._connect() as connection, self._connect() as snapshot:
            with self._connect() as halting, halting.transaction():
                ((position,),) = halting.execute(HALT, [self._projection.name])
                while self._position(connection) < position:
                    self._runner.catch_up(connection, until=position)
                snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                serving = live(snapshot, self._projection)  # from here on it sees no change
            assert serving is not None
            tables = [self._projection.table_of(n) for n in (serving.generation, self.generation)]
            counted = [self._counted(snapshot, table) for table in tables]
            differing, shown = 0, []
            if counted[0] != counted[1]:
                for difference in self._differences(snapshot, *tables):
                    differing += 1
                    if differing <= SHOWN_MOST:
                        shown.append(difference)
            snapshot.execute("COMMIT")
        return Comparison(
            model=self._projection.name,
            generation=self.generation,
            position=position,
            rows=counted[1][0],
            differing=differing,
            differences=shown,
        )

    def _target(self, connection: Connection) -> int:
        serving = live(connection, self._projection)
        ((head,),) = connection.execute("SELECT position FROM atelier_head")
        ours = serving is not None and serving.fingerprint == self._projection.fingerprint()
        return serving.position if serving and ours else int(head)

    def _position(self, connection: Connection) -> int:
        found = generations(connection, [self._projection.name])
        return next(each.position for each in found if each.generation == self.generation)

    def _counted(self, snapshot: Connection, table: str) -> tuple[int, Any]:
        ((count, total),) = snapshot.execute(self._projection.table.statement(COUNTED, table))
        return count, total

    def _differences(self, snapshot: Connection, live: str, new: str) -> Iterator[Difference]:
        key = self._projection.table.key
        sql = (
            DIFFERING.replace("{live}", live).replace("{new}", new).replace("{key}", ", ".join(key))
        )
        with snapshot.cursor(name="atelier_differences") as cursor:
            cursor.execute(sql.encode())
            for theirs, ours in cursor:
                row = ours or theirs
                what = "changed" if theirs and ours else "missing" if ours else "surplus"
                changed = [
                    name for name in row if (theirs or {}).get(name) != (ours or {}).get(name)
                ]
                yield Difference(
                    key={name: row[name] for name in key},
                    what=what,
                    columns=changed if what == "changed" else [],
                )
