"""Leases: who works on which task until when, by Postgres' clock."""

import threading
from typing import LiteralString
from uuid import UUID

from domain.errors import Unavailable
from domain.render import RenderCancelled, RenderCompleted, RenderFailed, Stage
from infra.postgres import Pool, borrowed

TELL_EVERY_S = 0.25  # at most: each telling of the progress renews the lease
BEAT_S = 1.0  # whoever cancels a task is not left waiting for the lease to need it
ENDS = [kind.stored_name for kind in (RenderCancelled, RenderCompleted, RenderFailed)]

TAKE: LiteralString = """-- Take a task's lease when nobody holds it.
INSERT INTO atelier_leases (task, consumer, expires_at)
VALUES (%(task)s, %(consumer)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (task) DO UPDATE SET consumer = excluded.consumer, expires_at = excluded.expires_at,
                                 progress = 0, stage = NULL
 WHERE atelier_leases.expires_at <= now()"""

RENEW: LiteralString = """-- Keep a lease; one that somebody else has taken is not ours to keep,
-- and one whose task has ended, as by cancelling, is nobody's.
UPDATE atelier_leases SET expires_at = now() + make_interval(secs => %(seconds)s),
                          progress = greatest(progress, %(progress)s),
                          stage = coalesce(%(stage)s, stage)
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

    def renew(self, task: UUID, stage: Stage | None = None, progress: float = 0.0) -> bool:
        """Whether the lease is still ours, for as long again; notes how far the work is."""
        return self._changed(RENEW, task, stage, progress)

    def release(self, task: UUID) -> None:
        """Let others have the task."""
        self._changed(RELEASE, task)

    def _changed(
        self, sql: LiteralString, task: UUID, stage: Stage | None = None, progress: float = 0.0
    ) -> bool:
        values = {
            "task": task,
            "consumer": self._consumer,
            "seconds": self.seconds,
            "stage": stage,
            "progress": progress,
            "ends": ENDS,
        }
        with borrowed(self._pool) as connection:
            return connection.execute(sql, values).rowcount == 1


class Heartbeat:
    """Renews a task's lease while its owner works, and with it notes the progress.

    It ends by itself when somebody else took the lease or the task has ended, as by cancelling.
    """

    def __init__(self, leases: Leases, task: UUID) -> None:
        self._leases = leases
        self._task = task
        self._done = threading.Event()
        self._news = threading.Event()
        self._stage: Stage | None = None
        self._progress = 0.0
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._news.set()
        self._thread.join()

    @property
    def beats(self) -> bool:
        """Whether the task is still its owner's, as far as is known."""
        return self._thread.is_alive()

    def tell(self, stage: Stage, progress: float) -> None:
        """Note what is being done, and how far the work is, from 0 to 1."""
        self._stage, self._progress = stage, progress
        self._news.set()

    def _beat(self) -> None:
        while True:
            if self._news.wait(min(BEAT_S, self._leases.seconds / 3)):
                self._news.clear()
                self._done.wait(TELL_EVERY_S)
            if self._done.is_set():
                return
            try:
                if not self._leases.renew(self._task, self._stage, self._progress):
                    return
            except Unavailable:
                continue  # the lease lasts three beats at least
