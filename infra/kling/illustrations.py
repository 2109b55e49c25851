"""What the engine is to draw, and what has become of it: a row for each task, in Postgres."""

from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from infra.postgres import Pool, borrowed

FORGOTTEN: Final = "1 day"  # after which a remote task that has not ended holds no slot any more

State = Literal["wanted", "submitting", "submitted", "made", "refused", "unusable"]

ASK: LiteralString = """-- A task's picture is wanted from the engine, for so long.
INSERT INTO atelier_illustrations (task, folder, until)
VALUES (%s, %s, now() + make_interval(secs => %s)) ON CONFLICT DO NOTHING"""

FIND: LiteralString = """-- How does a task's picture stand, and how long is it waited for?
SELECT state, folder, reason, extract(epoch FROM until - now())::float8 AS seconds_left
  FROM atelier_illustrations WHERE task = %s"""

DUE: LiteralString = """-- Which in some state are to be seen to now?
SELECT i.*, e.account FROM atelier_illustrations i
  JOIN atelier_events e ON e.aggregate_id = i.task AND e.aggregate_version = 1
 WHERE i.state = ANY(%(states)s) AND i.next_at <= now() AND (i.until > now() OR NOT %(waited)s)
 ORDER BY i.next_at, i.until, i.task LIMIT %(limit)s"""

UNDER_WAY: LiteralString = """-- How many slots are taken? One from before its submit to its end.
SELECT count(*) FROM atelier_illustrations WHERE state IN ('submitting', 'submitted')"""

OVER: LiteralString = """-- Whose tasks have ended, or whose engine has been silent for too long?
SELECT i.*, e.account FROM atelier_illustrations i
  JOIN atelier_events e ON e.aggregate_id = i.task AND e.aggregate_version = 1
 WHERE (i.state <> 'submitted' OR i.until < now() - %(forgotten)s::interval)
   AND EXISTS (SELECT FROM atelier_events n
                WHERE n.aggregate_id = i.task AND n.type = ANY(%(ends)s))"""

CUT_OFF: LiteralString = """-- Which were being submitted when whoever did it died?
UPDATE atelier_illustrations SET state = 'wanted', next_at = now()
 WHERE state = 'submitting' RETURNING task"""

MOVE: LiteralString = """-- An illustration has come to another state.
UPDATE atelier_illustrations
   SET state = %(state)s, tries = 0, next_at = now() + make_interval(secs => %(delay)s),
       remote_id = coalesce(%(remote_id)s, remote_id), reason = %(reason)s
 WHERE task = %(task)s"""

WAIT: LiteralString = """-- It is seen to again later.
UPDATE atelier_illustrations
   SET state = %(state)s, tries = tries + (%(state)s <> 'submitting')::integer,
       next_at = now() + make_interval(secs => %(delay)s)
 WHERE task = %(task)s"""

HINT: LiteralString = """-- Somebody says that the engine is through with one of its tasks.
UPDATE atelier_illustrations SET next_at = now() WHERE remote_id = %s AND state = 'submitted'"""

DROP: LiteralString = """-- Nobody needs it any more.
DELETE FROM atelier_illustrations WHERE task = %s"""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a task's picture stands; ``reason`` says why it was refused."""

    state: State
    folder: str
    reason: str
    seconds_left: float


class Illustration(msgspec.Struct, frozen=True, kw_only=True):
    """A row, and whose it is."""

    task: UUID
    state: State
    folder: str
    remote_id: str | None
    tries: int
    next_at: datetime
    until: datetime
    reason: str
    account: UUID


def guide_key(folder: str) -> str:
    """Where the picture lies that the engine goes by."""
    return f"{folder}/guide.png"


def made_key(folder: str) -> str:
    """Where the picture lies that the engine has made."""
    return f"{folder}/made.png"


class Illustrations:
    """The table; every method raises `Unavailable` when Postgres does not answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def ask(self, task: UUID, folder: str, seconds: float) -> None:
        """Have the guide in a folder of the media store redrawn, within so many seconds."""
        self._change(ASK, [task, folder, seconds])

    def find(self, task: UUID) -> Standing | None:
        """How a task's picture stands, if it was asked for."""
        with borrowed(self._pool) as connection:
            cursor = connection.cursor(row_factory=class_row(Standing))
            return cursor.execute(FIND, [task]).fetchone()

    def due(self, *states: State, limit: int = 100, waited: bool = False) -> list[Illustration]:
        """What is to be seen to now; with `waited` only what somebody still waits for."""
        return self._rows(DUE, {"states": list(states), "limit": limit, "waited": waited})

    def over(self, ends: list[str]) -> list[Illustration]:
        """Those whose tasks have ended, by events of these types, and that hold no slot."""
        return self._rows(OVER, {"ends": ends, "forgotten": FORGOTTEN})

    def under_way(self) -> int:
        """How many of the engine's slots are taken."""
        with borrowed(self._pool) as connection:
            row = connection.execute(UNDER_WAY).fetchone()
        assert row is not None
        return int(row[0])

    def cut_off(self) -> list[UUID]:
        """Have those submitted anew whose submit nobody has seen the end of."""
        with borrowed(self._pool) as connection:
            return [task for (task,) in connection.execute(CUT_OFF).fetchall()]

    def move(
        self,
        task: UUID,
        state: State,
        *,
        delay: float = 0,
        remote_id: str | None = None,
        reason: str = "",
    ) -> None:
        """Write down that it has come to another state."""
        values = {"task": task, "state": state, "delay": delay}
        self._change(MOVE, values | {"remote_id": remote_id, "reason": reason})

    def wait(self, task: UUID, state: State, delay: float) -> None:
        """See to it again in so many seconds."""
        self._change(WAIT, {"task": task, "state": state, "delay": delay})

    def hint(self, remote_id: str) -> None:
        """Look at a task of the engine's at once."""
        self._change(HINT, [remote_id])

    def drop(self, task: UUID) -> None:
        """Forget it."""
        self._change(DROP, [task])

    def _rows(self, query: LiteralString, values: Any) -> list[Illustration]:
        with borrowed(self._pool) as connection:
            cursor = connection.cursor(row_factory=class_row(Illustration))
            return cursor.execute(query, values).fetchall()

    def _change(self, statement: LiteralString, values: Any) -> None:
        with borrowed(self._pool) as connection:
            connection.execute(statement, values)
