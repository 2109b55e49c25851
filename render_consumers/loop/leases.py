"""Leases: who works on which task until when, by Postgres' clock."""

import threading
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from domain.errors import Unavailable
from domain.render import RenderCancelled, RenderCompleted, RenderFailed, Stage
from infra.postgres import Pool, borrowed, open_pool
from projections.queue import NEXT, NEXT_IN_ROUNDS

CONNECTIONS = 2  # of the claims, and of the heartbeats
TELL_EVERY_S = 0.25  # at most: each telling of the progress renews the lease
BEAT_S = 1.0  # whoever cancels a task is not left waiting for the lease to need it
ENDS = [kind.stored_name for kind in (RenderCancelled, RenderCompleted, RenderFailed)]

IN_TURN: LiteralString = """-- One claims after another, so that each sees what those before took.
SELECT pg_advisory_xact_lock(hashtextextended('atelier.claims', 0))"""

CLAIM: LiteralString = """-- Take the lease of the task that is first in the queue.
WITH next AS MATERIALIZED (
{next}
), taken AS (
    INSERT INTO atelier_leases (task, consumer, expires_at)
    SELECT task, %(consumer)s, now() + make_interval(secs => %(seconds)s) FROM next
        ON CONFLICT (task) DO UPDATE SET consumer = excluded.consumer, progress = 0, stage = NULL,
                                         expires_at = excluded.expires_at
    RETURNING task
)
SELECT task, account FROM next JOIN taken USING (task)"""

# By whether each lane is served in rounds.
CLAIMS: Final[dict[bool, LiteralString]] = {
    fair: CLAIM.replace("{next}", following)
    for fair, following in ((False, NEXT), (True, NEXT_IN_ROUNDS))
}

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


class Leased(NamedTuple):
    """A task whose lease is ours."""

    task: UUID
    account: UUID


def open_lease_pool(url: str) -> Pool:
    """Connections for leases, which wait for no disk: a lost one has expired, which is safe."""
    return open_pool(url, CONNECTIONS, synchronous_commit="off")


class Leases:
    """The leases of one consumer, whose name no other process has; they last for `seconds`.

    Whoever has waited for `max_wait` seconds is overtaken by nobody. Where it is to be `fair`, each
    lane is served in rounds, one task of each user in turn; then as many tasks of the normal lane
    go before the other one as have waited for so long. Each method raises `Unavailable` when
    Postgres does not answer.
    """

    def __init__(
        self,
        pool: Pool,
        consumer: str,
        seconds: float,
        *,
        max_wait: float | None = None,
        fair: bool = False,
    ) -> None:
        self._pool = pool
        self._consumer = consumer
        self._max_wait = max_wait
        self._claim = CLAIMS[fair]
        self.seconds = seconds

    def claim(self) -> Leased | None:
        """Take the task that is first in the queue, as far as its rows know."""
        values = {
            "consumer": self._consumer,
            "seconds": self.seconds,
            "limit": 1,
            "max_wait": self._max_wait,
        }
        with borrowed(self._pool) as connection:
            with connection.pipeline():  # one transaction, sent at once: nobody is waited for
                connection.execute(IN_TURN)
                claimed = connection.execute(self._claim, values)
            row = claimed.fetchone()
        return Leased(*row) if row else None

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

    def start(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def stop(self) -> None:
        """Renew it no longer."""
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
