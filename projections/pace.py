"""How long will it take?"""

import asyncio
from typing import LiteralString
from uuid import UUID

import msgspec

from domain.render import (
    ImageToVideoRequested,
    RenderCompleted,
    RenderRequested,
    RenderStarted,
    UpscaleRequested,
    VideoRequested,
)
from projections.reading import Question, Reader

PACE_FOR_S = 2.0
RECENT_EVENTS = 2_000  # among which the newest finished tasks are looked for
RECENT_TASKS = 100  # of all kinds, whose durations tell how long the next ones will take
# How many seconds a task takes on a CPU, until one of its kind has ended here.
GUESSES = {
    RenderRequested.stored_name: 5.0,
    VideoRequested.stored_name: 60.0,
    UpscaleRequested.stored_name: 5.0,
    ImageToVideoRequested.stored_name: 60.0,
}
MOST_WAITING = 200  # at the queue's head, whose kinds tell how long it takes to get there
REMEMBER_MOST = 10_000  # tasks' kinds


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of task: how long the newest took, and how many wait; ``rendering`` is of all."""

    kind: str
    mean_seconds: float | None
    waiting: int
    rendering: int


class TaskKind(msgspec.Struct, frozen=True, kw_only=True):
    """The kind of one task: the stored name of its request."""

    kind: str


PACE: LiteralString = """-- How long did the newest tasks of each kind take, and which kinds wait?
WITH done AS (
    SELECT * FROM (SELECT * FROM atelier_events ORDER BY position DESC LIMIT %(events)s) newest
     WHERE type = %(completed)s ORDER BY position DESC LIMIT %(tasks)s
), took AS (
    SELECT asked.type AS kind,
           avg(extract(epoch FROM done.recorded_at - begun.recorded_at))::float8 AS mean_seconds
      FROM done
           JOIN atelier_events asked
                ON asked.aggregate_id = done.aggregate_id AND asked.aggregate_version = 1
           JOIN LATERAL (SELECT b.recorded_at FROM atelier_events b
                          WHERE b.aggregate_id = done.aggregate_id AND b.type = %(started)s
                          ORDER BY b.aggregate_version DESC LIMIT 1) begun ON true
     GROUP BY asked.type
), queued AS (
    SELECT asked.type AS kind, count(*) AS waiting
      FROM (SELECT place FROM atelier_queue WHERE NOT started
             ORDER BY vip DESC, {order} LIMIT %(waiting)s) q
           JOIN atelier_events asked ON asked.position = q.place
     GROUP BY asked.type
)
SELECT kind, took.mean_seconds, coalesce(queued.waiting, 0) AS waiting,
       (SELECT count(*) FROM atelier_leases WHERE expires_at > now()) AS rendering
  FROM took FULL JOIN queued USING (kind)"""

# By whether each lane of the queue is served in rounds.
PACES = {
    fair: Question(models=("queue",), row=KindRow, sql=PACE.replace("{order}", order))
    for fair, order in ((False, "place"), (True, "rank, turn"))
}

KIND = Question(
    models=("queue",),
    row=TaskKind,
    sql="""-- Of what kind is the task?
SELECT e.type AS kind FROM atelier_events e
 WHERE e.aggregate_id = %(task)s AND e.aggregate_version = 1""",
    types={"task": "uuid"},
)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long a task of each kind takes and a waiting one on the average, in seconds."""

    by_kind: dict[str, float]
    waiting_seconds: float | None
    rendering: int

    def eta(self, kind: str, position: int, progress: float) -> float:
        """Seconds: the rest of a task being rendered; a waiting one's own and those ahead of it."""
        own = self.by_kind.get(kind) or self._guess(kind)
        if not position:
            return round(own * (1 - progress), 1)
        ahead = position / self.rendering if self.rendering else position - 1
        return round(own + ahead * (self.waiting_seconds or own), 1)

    def _guess(self, kind: str) -> float:
        """As much faster or slower than usual as the kinds that have been measured here."""
        usual = sum(GUESSES[known] for known in self.by_kind)
        measured = sum(self.by_kind.values())
        return GUESSES[kind] * (measured / usual if usual else 1.0)


class PaceMeter:
    """How fast the queue moves, the same for whoever asks; measured every few seconds.

    It remembers how long a kind took after tasks of other kinds have followed.
    """

    def __init__(self, reader: Reader, *, fair: bool = False) -> None:
        """Each lane of the queue is served in rounds where it is `fair`."""
        self._reader = reader
        self._question = PACES[fair]
        self._measuring = asyncio.Lock()
        self._measured_at = float("-inf")
        self._pace = Pace(by_kind={}, waiting_seconds=None, rendering=0)
        self._kinds: dict[UUID, str] = {}

    async def eta(self, account: UUID, task: UUID, position: int, progress: float) -> float:
        """Seconds until an unfinished task of the account has ended."""
        kind = self._kinds.get(task) or await self._kind(account, task)
        return (await self.now(account)).eta(kind, position, progress)

    async def now(self, account: UUID) -> Pace:
        """The pace, asked for by an account whose writes the answer waits for."""
        if self._is_fresh():
            return self._pace
        async with self._measuring:
            if not self._is_fresh():
                began = asyncio.get_running_loop().time()
                self._pace = await self._measured(account)
                self._measured_at = began
            return self._pace

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() - self._measured_at <= PACE_FOR_S

    async def _kind(self, account: UUID, task: UUID) -> str:
        answer = await self._reader.ask(KIND, account, task=task)
        if len(self._kinds) >= REMEMBER_MOST:
            self._kinds.clear()
        self._kinds[task] = answer.rows[0].kind
        return self._kinds[task]

    async def _measured(self, account: UUID) -> Pace:
        answer = await self._reader.ask(
            self._question,
            account,
            started=RenderStarted.stored_name,
            completed=RenderCompleted.stored_name,
            events=RECENT_EVENTS,
            tasks=RECENT_TASKS,
            waiting=MOST_WAITING,
        )
        fresh = {row.kind: row.mean_seconds for row in answer.rows if row.mean_seconds is not None}
        by_kind = self._pace.by_kind | fresh
        return Pace(
            by_kind=by_kind,
            waiting_seconds=_mean({row.kind: row.waiting for row in answer.rows}, by_kind),
            rendering=answer.rows[0].rendering if answer.rows else 0,
        )


def _mean(waiting: dict[str, int], by_kind: dict[str, float]) -> float | None:
    """What a waiting task takes on the average, as far as its kind is known."""
    known = {kind: number for kind, number in waiting.items() if number and kind in by_kind}
    if not known:
        return None
    return sum(by_kind[kind] * number for kind, number in known.items()) / sum(known.values())
