"""Leases: who works on which task until when, by Postgres' clock."""

from typing import LiteralString
from uuid import UUID

from domain.render import RenderCancelled, RenderCompleted, RenderFailed
from infra.postgres import Pool, answered

ENDS = [kind.stored_name for kind in (RenderCancelled, RenderCompleted, RenderFailed)]

TAKE: LiteralString = """-- Take a task's lease when nobody holds it.
INSERT INTO atelier_leases (task, consumer, expires_at)
VALUES (%(task)s, %(consumer)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (task) DO UPDATE SET consumer = excluded.consumer, expires_at = excluded.expires_at,
                                 progress = 0
 WHERE atelier_leases.expires_at <= now()"""

RENEW: LiteralString = """-- Keep a lease; one that somebody else has taken is not ours to keep,
-- and one whose task has ended, as by cancelling, is nobody's.
UPDATE atelier_leases SET expires_at = now() + make_interval(secs => %(seconds)s),
                          progress = greatest(progress, %(progress)s)
 WHERE task = %(task)s AND consumer = %(consumer)s
   AND NOT EXISTS (SELECT FROM atelier_events e
                    WHERE e.aggregate_id = %(task)s AND e.type = ANY(%(ends)s))"""

RELEASE: LiteralString = """-- Let go of a lease.
DELETE FROM atelier_leases WHERE task = %(task)s AND consumer = %(consumer)s"""


class Leases:
    """The leases of one consumer, whose name no other process has; they last for `seconds`.

    Each method raises `Unavailable` when Postgres does not answer.
    """

    def __init__(self, pool: Pool, consumer: str, seconds: float) -> None:
        self._pool = pool
        self._consumer = consumer
        self.seconds = seconds

    def take(self, task: UUID) -> bool:
        """Whether the lease is ours now."""
        return self._changed(TAKE, task)

    def renew(self, task: UUID, progress: float = 0.0) -> bool:
        """Whether the lease is still ours, for as long again; notes the progress, from 0 to 1."""
        return self._changed(RENEW, task, progress)

    def release(self, task: UUID) -> None:
        """Let others have the task."""
        self._changed(RELEASE, task)

    def _changed(self, sql: LiteralString, task: UUID, progress: float = 0.0) -> bool:
        values = {
            "task": task,
            "consumer": self._consumer,
            "seconds": self.seconds,
            "progress": progress,
            "ends": ENDS,
        }
        with answered(), self._pool.connection() as connection:
            return connection.execute(sql, values).rowcount == 1
