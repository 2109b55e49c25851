"""Deletes from the media store what events say is gone, and sweeps what attempts left behind."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, LiteralString, Protocol
from uuid import UUID

import structlog

from commands import Origin, execute
from commands.ports import EventStore
from commands.render import CancelRender
from domain import render
from domain.account import AccountErased, AvatarUploaded
from domain.errors import AtelierError, HistoryReplaced, TaskEnded
from domain.events import Recorded, fold
from domain.render import (
    ImageToVideoRequested,
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderFileRemoved,
    Requested,
)
from infra.media.store import StoredObject
from infra.postgres import Pool, borrowed

log = structlog.get_logger("atelier.cleaner")

# Stored for ever: it names the row that says how far the cleaner has come.
NAME = "media_cleaner"
BATCH = 500
RETRY_S = 2.0
SWEEP_EVERY_S = 3_600.0
SWEPT_DAYS = 7  # for so long what comes late for somebody erased is looked for
ENDS = [kind.stored_name for kind in (RenderCancelled, RenderCompleted, RenderFailed)]

STAGED = re.compile(r"staging/(?P<task>[0-9a-f-]{36})/(?P<attempt>\d+)/.")

FROM_NOW: LiteralString = """-- A follower with side effects starts from now, not from the origin.
INSERT INTO atelier_followers (follower, position)
SELECT %s, position FROM atelier_head ON CONFLICT DO NOTHING"""

STANDING: LiteralString = """-- How far has the follower come?
SELECT position FROM atelier_followers WHERE follower = %s"""

ADVANCE: LiteralString = """-- What lies up to here has been deleted.
UPDATE atelier_followers SET position = %s WHERE follower = %s"""

UNFINISHED: LiteralString = """-- Which tasks of an account have not ended?
SELECT r.aggregate_id FROM atelier_events r
 WHERE r.account = %(account)s AND r.aggregate_version = 1 AND r.type LIKE 'render.%%'
   AND NOT EXISTS (SELECT FROM atelier_events e
                    WHERE e.aggregate_id = r.aggregate_id AND e.type = ANY(%(ends)s))"""

LIVES: LiteralString = """-- Does the account exist, and has not been erased?
SELECT EXISTS (SELECT FROM atelier_keys WHERE account = %s)"""

ERASED_OF_LATE: LiteralString = """-- Who has been erased in the last days?
SELECT (state::json ->> 'number')::integer FROM atelier_events
 WHERE type = 'account.erased.v1' AND recorded_at > now() - make_interval(days => %s)"""


class Log(EventStore, Protocol):
    """The events, by position as well as by aggregate."""

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Up to `limit` events after a position."""

    def check_history(self) -> None:
        """Raise `HistoryReplaced` when the log does not hold the newest event that was seen."""


class Media(Protocol):
    """The store that is kept clean."""

    def delete(self, key: str) -> None:
        """Remove an object; it may be gone already."""

    def list(self, prefix: str) -> Iterable[StoredObject]:
        """The objects below a prefix."""


class Leader(Protocol):
    """The lock that lets one cleaner at a time work."""

    def acquire(self, stop: threading.Event) -> bool:
        """Wait until the lock is ours; False when `stop` is set first."""

    def held(self) -> bool:
        """Whether it still is."""


class Cleaner:
    """Follows the log; an event counts as done only when its objects are gone."""

    def __init__(self, pool: Pool, events: Log, media: Media) -> None:
        self._pool = pool
        self._events = events
        self._media = media

    def run(self, leader: Leader, wait: Callable[[], object], stop: threading.Event) -> None:
        """Clean until `stop`, or until the log is another one; who is away is waited for."""
        swept = 0.0
        while not stop.is_set() and leader.acquire(stop):
            try:
                if not swept or time.monotonic() - swept > SWEEP_EVERY_S:
                    self.sweep()
                    swept = time.monotonic()
                while not stop.is_set() and leader.held() and self.catch_up():
                    pass
                wait()
            except HistoryReplaced as error:
                log.error("stopped", why=str(error))
                return
            except AtelierError as error:
                log.info("waiting", why=error.code)
                stop.wait(RETRY_S)

    def catch_up(self) -> int:
        """Delete what the next batch of events names, and give the number of events.

        Raises `HistoryReplaced` when the log does not hold what was read of it before.
        """
        self._events.check_history()
        with borrowed(self._pool) as connection:
            connection.execute(FROM_NOW, [NAME])
            row = connection.execute(STANDING, [NAME]).fetchone()
        assert row is not None
        batch = self._events.read(row[0], BATCH)
        for recorded in batch:
            self._cancel(recorded)
            for key in (*self._gone(recorded), *self._used(recorded)):
                self._media.delete(key)
        if batch:
            with borrowed(self._pool) as connection:
                connection.execute(ADVANCE, [batch[-1].position, NAME])
        return len(batch)

    def _cancel(self, recorded: Recorded) -> None:
        """Whoever is erased waits for nothing more; a request may just have slipped in."""
        match recorded.event:
            case AccountErased():
                tasks = self._ask(UNFINISHED, {"account": recorded.account, "ends": ENDS})
            case Requested() if not self._lives(recorded.account):
                tasks = [(recorded.aggregate_id,)]
            case _:
                return
        by = Origin(
            actor=NAME, correlation_id=recorded.correlation_id, causation_id=recorded.event_id
        )
        for (task,) in tasks:
            with contextlib.suppress(TaskEnded):
                command = CancelRender(aggregate_id=task, account=recorded.account)
                execute(command, self._events, by)

    def _lives(self, account: UUID | None) -> bool:
        ((lives,),) = self._ask(LIVES, [account])
        return bool(lives)

    def _ask(self, query: LiteralString, values: Any) -> list[tuple[Any, ...]]:
        with borrowed(self._pool) as connection:
            return connection.execute(query, values).fetchall()

    def _gone(self, recorded: Recorded) -> Iterable[str]:
        """What nobody needs since the event."""
        match recorded.event:
            case RenderFileRemoved(keys=keys):
                return keys
            case AccountErased(number=number):
                return [found.key for found in self._media.list(f"{number}/")]
            case AvatarUploaded() as new if not self._lives(recorded.account):
                return new.picture.key, new.thumbnail.key, *new.replaced
            case AvatarUploaded(replaced=keys):
                return keys
            case RenderCompleted(files=files) if not self._lives(recorded.account):
                return [file.key for file in files]
            case RenderCancelled():
                return [
                    staged.key for staged in self._media.list(f"staging/{recorded.aggregate_id}/")
                ]
            case _:
                return ()

    def _used(self, recorded: Recorded) -> Iterable[str]:
        """What a client sent along with a request that has ended now."""
        if not isinstance(recorded.event, RenderCompleted | RenderFailed | RenderCancelled):
            return ()
        history = self._events.load(recorded.aggregate_id)
        match fold(render.evolve, render.initial, history).request:
            case ImageToVideoRequested(source_key=key) if f"/{render.UPLOADS}/" in key:
                return [key]
            case _:
                return ()

    def sweep(self) -> None:
        """Delete staged files of attempts that are over, and what came late for the erased."""
        for (number,) in self._ask(ERASED_OF_LATE, [SWEPT_DAYS]):
            for late in list(self._media.list(f"{number}/")):
                self._media.delete(late.key)
        for staged in list(self._media.list("staging/")):
            if (found := STAGED.match(staged.key)) is None:
                continue  # not ours
            task, attempt = UUID(found["task"]), int(found["attempt"])
            state = fold(render.evolve, render.initial, self._events.load(task))
            if state.status != "started" or state.attempt != attempt:
                self._media.delete(staged.key)
