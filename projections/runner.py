"""Follows the log and keeps read models: rows and positions in one transaction."""

import gc
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, LiteralString, NamedTuple
from uuid import UUID

import psycopg
import structlog

from domain.account import AccountErased
from domain.errors import AtelierError, HistoryReplaced, Unavailable, UnknownEvent
from domain.events import WHOLE, Recorded, Segment, Unreadable
from projections.event_reader import EventBatch, EventReader, ReadAhead
from projections.model import Projection
from projections.rows import Connection, Cursor, Key, Rows, ask_known

log = structlog.get_logger("atelier.projector")

BATCH = 4_000
RETRY_S = 1.0
BEAT_S = 1.0
GATHER_S = 0.012  # between two batches while the log grows; the first after a pause comes at once

TRACKS: LiteralString = """-- Which generations of our code are there, and where does each stand?
-- And which events are there, and where the newest of them stood the last time?
SELECT p.projection, p.generation, at.position,
       EXISTS (SELECT FROM atelier_parked k
                WHERE k.projection = p.projection AND k.generation = p.generation),
       (SELECT e.event_id FROM atelier_events e WHERE e.position = at.position),
       (SELECT e.event_id FROM atelier_events e WHERE e.position = %(seen)s)
  FROM atelier_projections p
       JOIN unnest(%(models)s::text[], %(fingerprints)s::text[]) AS ours (projection, fingerprint)
            USING (projection, fingerprint)
       JOIN {positions} at USING (projection, generation)
 WHERE p.state = %(state)s {of_segment}"""

ADVANCE: LiteralString = """-- Advance, unless another projector has: then this one lost its lock.
UPDATE {positions} at SET position = %(position)s
  FROM unnest(%(models)s::text[], %(generations)s::integer[], %(positions)s::bigint[])
       AS was (projection, generation, position)
 WHERE (at.projection, at.generation, at.position)
     = (was.projection, was.generation, was.position) {of_segment}
RETURNING 1"""

PARKED: LiteralString = """-- Which of these aggregates are parked?
SELECT DISTINCT aggregate_id FROM atelier_parked
 WHERE projection = %s AND generation = %s AND aggregate_id = ANY(%s)"""

PARK: LiteralString = """-- Set an event aside until somebody retries it.
INSERT INTO atelier_parked (projection, generation, position, aggregate_id, account,
                            event_id, error)
VALUES (%s, %s, %s, %s, %s, %s, %s)"""

FORGET: LiteralString = """-- What was set aside of somebody erased is of no use any more.
DELETE FROM atelier_parked WHERE projection = %s AND generation = %s AND account = %s"""

BEAT: LiteralString = """-- Who keeps these read models is about to look at the log.
INSERT INTO atelier_heartbeats SELECT unnest(%s::text[]), clock_timestamp()
    ON CONFLICT (projection) DO UPDATE SET beat_at = EXCLUDED.beat_at"""


class LostLock(AtelierError):
    """Another projector keeps this read model now."""

    code = "lost_lock"
    retriable = True


def is_events_fault(error: Exception) -> bool:
    """Whether other events would go on without this one, so that parking it helps.

    Postgres that is away, read-only or damaged, a missing table, and a process that is out of
    memory or files would fail the next event as well.
    """
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
    return not isinstance(error, AtelierError | OSError | MemoryError)


def tune_garbage_collection() -> None:
    """For a process that applies events: a batch makes many objects and no cycles.

    Looking for these as often as usual takes a quarter of the time.
    """
    gc.freeze()
    gc.set_threshold(50_000)


class Track(NamedTuple):
    """One generation of a read model, and where it stands: at the event of this id."""

    projection: Projection
    generation: int
    position: int
    parked: bool
    event_id: UUID | None

    @property
    def name(self) -> str:
        """That of its read model."""
        return self.projection.name

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.projection.table_of(self.generation)


class Runner:
    """Keeps read models over one connection: one transaction for all that a batch changes."""

    def __init__(
        self,
        projections: Sequence[Projection],
        read: EventReader,
        applied: Callable[[str, int, float], object] = lambda name, events, seconds: None,
        state: Literal["ready", "building"] = "ready",
        segment: Segment | None = None,
    ) -> None:
        """`applied` hears of each batch of a read model: how many events, in how many seconds.

        It keeps the generations that are in this state, and made by the code of this build; of
        those that are filled by several processes, one segment.
        """
        self._projections = {each.name: each for each in projections}
        self._state = state
        self._segment = segment
        self._read = ReadAhead(read)
        self._applied = applied
        self._last: list[Track] = []
        self._waits = False
        self._beat_at = 0.0

    def run(
        self,
        connect: Callable[[], Connection],
        ours: Callable[[], Collection[str]],
        wait: Callable[[], object],
        stop: threading.Event,
    ) -> None:
        """Follow the log until `stop`, or until it is another one.

        `ours` names the read models that nobody else keeps just now. A fault of Postgres or of the
        log is waited out.
        """
        while not stop.is_set():
            self._read.forget()
            try:
                with connect() as connection:
                    self._follow(connection, ours, wait, stop)
            except HistoryReplaced as error:
                log.error("stopped", why=str(error))
                return
            except LostLock as error:  # or its generation, which somebody has dropped
                self._tell_once(error)
            except UnknownEvent as error:
                log.error("stopped: upgrade this build", why=str(error))
                stop.wait(10 * RETRY_S)
            except (psycopg.Error, AtelierError) as error:
                self._tell_once(error)
                stop.wait(RETRY_S)

    def _follow(
        self,
        connection: Connection,
        ours: Callable[[], Collection[str]],
        wait: Callable[[], object],
        stop: threading.Event,
    ) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            names = ours()
            self._beat(connection, names)
            applied = self.catch_up(connection, names) if names else 0
            if not applied:
                self._waits = False
                wait()
            elif applied < BATCH:  # the log grows all the time: let something gather
                stop.wait(max(0.0, begun + GATHER_S - time.monotonic()))

    def _beat(self, connection: Connection, names: Collection[str]) -> None:
        """Tell that we are alive; what hangs after this, or never gets here, is told by its age."""
        if time.monotonic() - self._beat_at >= BEAT_S:
            connection.execute(BEAT, [sorted(names)])
            self._beat_at = time.monotonic()

    def _tell_once(self, error: Exception) -> None:
        if not self._waits:
            log.warning("waiting", why=str(error).partition("\n")[0])
        self._waits = True

    def catch_up(
        self,
        connection: Connection,
        names: Collection[str] | None = None,
        *,
        until: int | None = None,
    ) -> int:
        """Apply one batch of what the read models of these names lack; gives how many events.

        It goes no further than `until`.

        Those that stand at the same position share it. Where one cannot go on, the others do; its
        error is raised when there is nothing else to do. Raises `HistoryReplaced` when the log has
        gone back since the last batch.
        """
        together: dict[int, list[Track]] = {}
        for track in self._tracks(connection, names):
            together.setdefault(track.position, []).append(track)
        applied, errors = 0, []
        for position, tracks in sorted(together.items()):
            try:
                most = BATCH if until is None else min(BATCH, until - position)
                applied += self._catch_up_from(connection, position, most, tracks)
            except (psycopg.Error, AtelierError) as error:
                errors.append(error)
        if errors and not applied:
            raise errors[0]
        for each in errors:
            self._tell_once(each)
        return applied

    def _catch_up_from(
        self, connection: Connection, position: int, most: int, tracks: list[Track]
    ) -> int:
        if most <= 0:
            return 0
        types = frozenset[str]().union(*(track.projection.types for track in tracks))
        personal = frozenset[str]().union(
            *(track.projection.types for track in tracks if track.projection.personal)
        )
        batch = self._read(position, most, types, personal=personal, segment=self._segment or WHOLE)
        if batch.position == position:
            return 0
        began = time.perf_counter()
        self._apply(connection, tracks, batch)
        seconds = time.perf_counter() - began
        for track in tracks:
            self._applied(track.name, batch.position - position, seconds)
        return batch.position - position

    def _tracks(self, connection: Connection, names: Collection[str] | None) -> list[Track]:
        wanted = [self._projections[name] for name in names or self._projections]
        # One that stands beyond the log, as after a restore, has no event to know the log by.
        seen = [track for track in self._last if track.event_id]
        newest = max(seen, key=lambda track: track.position, default=None)
        values = {
            "models": [each.name for each in wanted],
            "fingerprints": [each.fingerprint() for each in wanted],
            "state": self._state,
            "seen": newest.position if newest else 0,
        }
        rows = self._execute(connection, TRACKS, values).fetchall()
        if not rows:
            raise Unavailable("no read models of this build are there: run `atelier migrate`")
        # A read model alone may have gone back: a crash of Postgres takes what was not flushed.
        if newest and newest.event_id and newest.event_id != rows[0][-1]:
            raise HistoryReplaced(newest.position, newest.event_id)
        self._last = [Track(self._projections[name], *standing) for name, *standing, _ in rows]
        return self._last

    def _apply(self, connection: Connection, tracks: list[Track], batch: EventBatch) -> None:
        try:
            with connection.pipeline():
                self._transact(connection, tracks, batch, self._fold)
        except Exception as error:
            if len(tracks) > 1 and not isinstance(error, LostLock):
                self._apply_each(connection, tracks, batch)
            elif isinstance(error, psycopg.Error) and is_events_fault(error):
                self._transact(connection, tracks, batch, self._fold_by_halves)
            else:
                raise

    def _apply_each(self, connection: Connection, tracks: list[Track], batch: EventBatch) -> None:
        """What stops one read model must not stop the others."""
        errors = []
        for track in tracks:
            try:
                self._apply(connection, [track], batch)
            except (psycopg.Error, AtelierError) as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _transact(
        self,
        connection: Connection,
        tracks: list[Track],
        batch: EventBatch,
        fold: Callable[[Connection, list[Track], Sequence[Recorded]], None],
    ) -> None:
        with connection.transaction():
            if batch.events:
                fold(connection, tracks, batch.events)
            self._advance(connection, tracks, batch.position)

    def _advance(self, connection: Connection, tracks: list[Track], position: int) -> None:
        values = {
            "position": position,
            "models": [track.name for track in tracks],
            "generations": [track.generation for track in tracks],
            "positions": [track.position for track in tracks],
        }
        moved = self._execute(connection, ADVANCE, values)
        if len(moved.fetchall()) < len(tracks):
            raise LostLock("another projector keeps a read model now")

    def _execute(
        self, connection: Connection, text: LiteralString, values: dict[str, Any]
    ) -> Cursor:
        """A statement about positions: of whole generations, or of the segment that is filled."""
        if self._segment is None:
            table, condition = "atelier_projections", ""
        else:
            table = "atelier_projection_segments"
            condition = "AND at.segment = %(segment)s"
            values["segment"] = self._segment.number
        sql = text.replace("{positions}", table).replace("{of_segment}", condition)
        return connection.execute(sql, values, prepare=True)

    def _fold(
        self, connection: Connection, tracks: list[Track], events: Sequence[Recorded]
    ) -> None:
        # All are asked before any answer is waited for.
        known = ask_known(connection, events)
        asked = [_Asked(connection, track, events) for track in _counted_last(tracks)]
        accounts = known()
        for each in asked:
            self._fold_track(connection, each, accounts)

    def _fold_track(self, connection: Connection, asked: "_Asked", known: set[UUID]) -> None:
        track, rows = asked.track, asked.rows(known)
        aside = _parked_among(connection, track, asked.events) if track.parked else set()
        fold = track.projection.fold
        for recorded in asked.events:
            if track.parked and isinstance(recorded.event, AccountErased):
                connection.execute(FORGET, [track.name, track.generation, recorded.account])
                aside = _parked_among(connection, track, asked.events)
            if aside and recorded.aggregate_id in aside:
                _park(connection, track, recorded, None)
                continue
            try:
                if isinstance(recorded.event, Unreadable):
                    raise ValueError(recorded.event.error)
                fold(rows, recorded)
            except Exception as error:
                if not is_events_fault(error):
                    raise
                rows.undo()
                _park(connection, track, recorded, error)
                aside.add(recorded.aggregate_id)
            else:
                rows.keep()
        rows.write(connection, track.table)

    def _fold_by_halves(
        self, connection: Connection, tracks: list[Track], events: Sequence[Recorded]
    ) -> None:
        """Find the event whose rows Postgres refuses, and park it, so that the rest goes on."""
        [track] = tracks
        # What was parked a moment ago counts for what comes after it.
        track = track._replace(parked=True)
        try:
            with connection.transaction():
                self._fold(connection, [track], events)
        except psycopg.Error as error:
            if not is_events_fault(error):
                raise
            if len(events) == 1:
                return _park(connection, track, events[0], error)
            middle = len(events) // 2
            self._fold_by_halves(connection, [track], events[:middle])
            self._fold_by_halves(connection, [track], events[middle:])


class _Asked:
    """The rows that a read model needs for a batch, which Postgres has been asked for."""

    def __init__(self, connection: Connection, track: Track, events: Sequence[Recorded]) -> None:
        self.track = track
        self.events = track.projection.of_use(events)
        needed, self._new = _keys(track.projection, self.events)
        accounts = {recorded.account for recorded in self.events if recorded.account}
        self._rows: Rows[Any] = Rows(track.projection.table)
        self._rows.ask(connection, track.table, needed, accounts)

    def rows(self, known: set[UUID]) -> Rows[Any]:
        """Wait for them; these accounts are known."""
        self._rows.take(self._new, known)
        return self._rows


def _counted_last(tracks: list[Track]) -> list[Track]:
    """What is counted beside its rows is locked until the commit, so it is written last."""
    return sorted(tracks, key=lambda track: bool(track.projection.table.beside))


def _keys(projection: Projection, events: Sequence[Recorded]) -> tuple[set[Key], set[Key]]:
    """The keys of the rows that the events need, and those of rows that cannot be there yet."""
    needed: set[Key] = set()
    new: set[Key] = set()
    if projection.reads:
        for recorded in events:
            if recorded.version == 1:
                new.add(recorded.aggregate_id)
            elif recorded.aggregate_id not in new:
                needed.add(recorded.aggregate_id)
    if projection.needs:
        for recorded in events:
            needed.update(projection.needs(recorded.event))
    return needed - new, new


def _parked_among(connection: Connection, track: Track, events: Sequence[Recorded]) -> set[UUID]:
    aggregates = list({recorded.aggregate_id for recorded in events})
    rows = connection.execute(PARKED, [track.name, track.generation, aggregates])
    return {aggregate for (aggregate,) in rows}


def _park(
    connection: Connection, track: Track, recorded: Recorded, error: Exception | None
) -> None:
    # The error's type and place, not its text, which may quote personal data.
    why = type(error).__name__ if error else None
    told = why or "after a parked event"
    log.error("parked", model=track.name, position=recorded.position, why=told)
    envelope = [recorded.position, recorded.aggregate_id, recorded.account, recorded.event_id]
    connection.execute(PARK, [track.name, track.generation, *envelope, why])
