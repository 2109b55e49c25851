"""Leases: who works on which task until when, by Postgres' clock."""

from typing import LiteralString
from uuid import UUID

from infra.postgres import Pool, answered

TAKE: LiteralString = """-- Take a task's lease when nobody holds it.
INSERT INTO atelier_leases (task, consumer, expires_at)
VALUES (%(task)s, %(consumer)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (task) DO UPDATE SET consumer = excluded.consumer, expires_at = excluded.expires_at
 WHERE atelier_leases.expires_at <= now()"""

RENEW: LiteralString = """-- Keep a lease; one that somebody else has taken is not ours to keep.
UPDATE atelier_leases SET expires_at = now() + make_interval(secs => %(seconds)s)
 WHERE task = %(task)s AND consumer = %(consumer)s"""

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

    def renew(self, task: UUID) -> bool:
        """Whether the lease is still ours, for as long again."""
        return self._changed(RENEW, task)

    def release(self, task: UUID) -> None:
        """Let others have the task."""
        self._changed(RELEASE, task)

    def _changed(self, sql: LiteralString, task: UUID) -> bool:
        values = {"task": task, "consumer": self._consumer, "seconds": self.seconds}
        with answered(), self._pool.connection() as connection:
            return connection.execute(sql, values).rowcount == 1
