"""What is to be told of ended tasks, and what has become of it: a row for each, in Postgres."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from domain.render import WebhookRequested
from infra.postgres import Pool, borrowed

# Stored for ever: it names the row that says how far the log has been followed.
FOLLOWER: Final = "webhooks"
FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 7_200.0
KEPT_DAYS: Final = 30
SWEPT_TOGETHER: Final = 500
DOUBLINGS: Final = 11  # then it is the longest

State = Literal["pending", "sent", "given_up"]

FROM_NOW: LiteralString = """-- A follower with side effects starts from now, not from the origin.
INSERT INTO atelier_followers (follower, position)
SELECT %s, position FROM atelier_head ON CONFLICT DO NOTHING"""

STANDING: LiteralString = """-- How far has the follower come?
SELECT position FROM atelier_followers WHERE follower = %s"""

ADD: LiteralString = """-- Which of the tasks that have ended is somebody to be told of?
INSERT INTO atelier_webhooks (task, account, ended_at)
SELECT e.aggregate_id, e.account, e.recorded_at
  FROM unnest(%(ends)s::bigint[]) AS n (position)
  JOIN atelier_events e ON e.position = n.position
  JOIN atelier_events w ON w.aggregate_id = e.aggregate_id
                       AND w.aggregate_version = 2 AND w.type = %(asked)s
ON CONFLICT DO NOTHING"""

FORGET: LiteralString = """-- Nothing more is told of whoever is erased.
DELETE FROM atelier_webhooks WHERE account = ANY(%(erased)s)"""

SWEEP: LiteralString = """-- Nobody asks any more what became of these.
DELETE FROM atelier_webhooks WHERE task = ANY(ARRAY(
    SELECT task FROM atelier_webhooks
     WHERE ended_at < now() - make_interval(days => %(days)s) AND state <> 'pending'
     ORDER BY ended_at LIMIT %(limit)s))"""

ADVANCE: LiteralString = """-- What ended up to here is in the table.
UPDATE atelier_followers SET position = %(position)s WHERE follower = %(follower)s"""

DUE: LiteralString = """-- Which are to be sent now, and by whom not yet?
SELECT task, account, attempts, now() FROM atelier_webhooks
 WHERE state = 'pending' AND next_at <= now()
   AND task <> ALL(%(under_way)s) AND account <> ALL(%(busy)s)
 ORDER BY next_at LIMIT %(limit)s"""

# Its own number of attempts tells whether another has sent it meanwhile.
TRIED: LiteralString = """-- An attempt has ended.
UPDATE atelier_webhooks
   SET attempts = attempts + 1, tried_at = now(), status = %(status)s, error = %(error)s,
       state = CASE WHEN %(sent)s THEN 'sent'
                    WHEN %(final)s OR now() >= until THEN 'given_up' ELSE 'pending' END,
       next_at = least(until, now() + make_interval(secs => %(delay)s * (0.75 + random() / 2)))
 WHERE task = %(task)s AND attempts = %(attempts)s"""

DROP: LiteralString = """-- There is nobody left to tell.
DELETE FROM atelier_webhooks WHERE task = %s"""

LIST: LiteralString = """-- What has become of the newest, or of those in one state?
SELECT * FROM atelier_webhooks
 WHERE %(state)s::text IS NULL OR state = %(state)s
 ORDER BY ended_at DESC, task LIMIT %(limit)s"""

RETRY: LiteralString = """-- Send them again, for another day if need be.
UPDATE atelier_webhooks
   SET state = 'pending', attempts = 0, next_at = now(), until = now() + interval '1 day'
 WHERE task = ANY(%(tasks)s) OR (%(all)s AND state = 'given_up')
RETURNING task"""


class Due(msgspec.Struct, frozen=True):
    """One that is to be sent ``now``, by Postgres' clock."""

    task: UUID
    account: UUID
    attempts: int
    now: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told of one task; ``status`` and ``error`` are those of the last attempt.

    ``until`` is when the last attempt is made.
    """

    task: UUID
    account: UUID
    state: State
    ended_at: datetime
    attempts: int
    next_at: datetime
    until: datetime
    tried_at: datetime | None
    status: int | None
    error: str


class Deliveries:
    """The table."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def standing(self) -> int:
        """Up to which position of the log the ended tasks are in the table."""
        with borrowed(self._pool) as connection:
            connection.execute(FROM_NOW, [FOLLOWER])
            row = connection.execute(STANDING, [FOLLOWER]).fetchone()
        assert row is not None
        return int(row[0])

    def follow(self, position: int, *, ends: Sequence[int], erased: Sequence[UUID | None]) -> None:
        """Go on to a position: tasks have ended at these, and these accounts were erased.

        What was sent or given up a month ago is forgotten on the way.
        """
        asked = WebhookRequested.stored_name
        values = {"ends": list(ends), "erased": list(erased), "asked": asked}
        with borrowed(self._pool) as connection, connection.transaction():
            connection.execute(ADD, values)
            connection.execute(FORGET, values)
            connection.execute(SWEEP, {"days": KEPT_DAYS, "limit": SWEPT_TOGETHER})
            connection.execute(ADVANCE, {"position": position, "follower": FOLLOWER})

    def due(self, limit: int, *, under_way: Collection[UUID], busy: Collection[UUID]) -> list[Due]:
        """What is to be sent now, but no task that is `under_way` and none of `busy` accounts."""
        values = {"limit": limit, "under_way": list(under_way), "busy": list(busy)}
        return [Due(*row) for row in self._ask(DUE, values)]

    def tried(
        self,
        due: Due,
        *,
        sent: bool,
        final: bool = False,
        status: int | None = None,
        error: str = "",
    ) -> None:
        """Write down how an attempt ended; the next comes later and later, none after a `final`."""
        delay = min(FIRST_RETRY_S * 2 ** min(due.attempts, DOUBLINGS), LONGEST_RETRY_S)
        values = {"task": due.task, "attempts": due.attempts, "delay": delay}
        outcome = {"sent": sent, "final": final, "status": status, "error": error}
        self._change(TRIED, values | outcome)

    def drop(self, task: UUID) -> None:
        """Forget a task whose person was erased."""
        self._change(DROP, [task])

    def newest(self, limit: int, state: State | None = None) -> list[Delivery]:
        """The newest, or the newest in one state."""
        with borrowed(self._pool) as connection:
            cursor = connection.cursor(row_factory=class_row(Delivery))
            return cursor.execute(LIST, {"limit": limit, "state": state}).fetchall()

    def retry(self, tasks: Collection[UUID], *, given_up: bool = False) -> list[UUID]:
        """Have these sent again, and with `given_up` all that were given up; gives the tasks."""
        values = {"tasks": list(tasks), "all": given_up}
        return [task for (task,) in self._ask(RETRY, values)]

    def _ask(self, query: LiteralString, values: Any) -> list[tuple[Any, ...]]:
        with borrowed(self._pool) as connection:
            return connection.execute(query, values).fetchall()

    def _change(self, statement: LiteralString, values: Any) -> None:
        with borrowed(self._pool) as connection:
            connection.execute(statement, values)
