"""Which task is next?"""

from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import replace

from domain.account import AccountErased
from domain.events import Recorded
from domain.render import (
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderRequeued,
    RenderStarted,
    Requested,
)
from projections.model import Projection
from projections.rows import Rows, Table

# How many wait in each stretch of 256 places, and of 256 turns in each round, is counted as rows
# come and go, so that nobody has to walk the queue to know how long it is. Zeros are removed with
# the last task of their stretch. Processes that fill segments of it count one after the other,
# since they would wait for each other's stretches.
# The lease of a task that has ended goes with its row, and not before: else it would be claimed
# once more by whoever reads the queue in between.
TABLE: LiteralString = """
CREATE TABLE {table} (
    task         uuid PRIMARY KEY,
    account      uuid NOT NULL,
    vip          boolean NOT NULL,
    place        bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    started      boolean NOT NULL,
    attempt      integer NOT NULL,
    retry_at     timestamptz,
    rank         integer NOT NULL,
    turn         bigint NOT NULL
);
CREATE INDEX ON {table} (vip DESC, place);
CREATE INDEX ON {table} (vip DESC, rank, turn);
CREATE INDEX ON {table} (account);
CREATE INDEX ON {table} (requested_at, place);
CREATE INDEX ON {table} (place) WHERE started;
CREATE TABLE {table}_blocks (
    vip     boolean NOT NULL,
    block   bigint NOT NULL,
    waiting integer NOT NULL,
    PRIMARY KEY (vip, block)
) WITH (fillfactor = 50);
CREATE TABLE {table}_rounds (
    vip     boolean NOT NULL,
    rank    integer NOT NULL,
    block   bigint NOT NULL,
    waiting integer NOT NULL,
    PRIMARY KEY (vip, rank, block)
) WITH (fillfactor = 50);
CREATE FUNCTION {table}_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(TG_RELID::integer, 0);
    IF TG_OP <> 'INSERT' THEN
        UPDATE {table}_blocks b SET waiting = b.waiting - gone.waiting
          FROM (SELECT vip, place / 256 AS block, count(*) AS waiting FROM before
                 WHERE NOT started GROUP BY 1, 2) gone
         WHERE (b.vip, b.block) = (gone.vip, gone.block);
        UPDATE {table}_rounds b SET waiting = b.waiting - gone.waiting
          FROM (SELECT vip, rank, turn / 256 AS block, count(*) AS waiting FROM before
                 WHERE NOT started GROUP BY 1, 2, 3) gone
         WHERE (b.vip, b.rank, b.block) = (gone.vip, gone.rank, gone.block);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {table}_blocks AS b
        SELECT vip, place / 256, count(*) FROM after WHERE NOT started GROUP BY 1, 2
            ON CONFLICT (vip, block) DO UPDATE SET waiting = b.waiting + EXCLUDED.waiting;
        INSERT INTO {table}_rounds AS b
        SELECT vip, rank, turn / 256, count(*) FROM after WHERE NOT started GROUP BY 1, 2, 3
            ON CONFLICT (vip, rank, block) DO UPDATE SET waiting = b.waiting + EXCLUDED.waiting;
    ELSE
        DELETE FROM atelier_leases l USING before WHERE l.task = before.task;
        DELETE FROM {table}_blocks b
         USING (SELECT DISTINCT vip, place / 256 AS block FROM before) gone
         WHERE (b.vip, b.block) = (gone.vip, gone.block) AND b.waiting = 0;
    END IF;
    IF TG_OP <> 'INSERT' THEN  -- what has another rank or turn leaves its stretch
        DELETE FROM {table}_rounds b
         USING (SELECT DISTINCT vip, rank, turn / 256 AS block FROM before) gone
         WHERE (b.vip, b.rank, b.block) = (gone.vip, gone.rank, gone.block) AND b.waiting = 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_new AFTER INSERT ON {table} REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION {table}_count();
CREATE TRIGGER count_changed AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION {table}_count();
CREATE TRIGGER count_gone AFTER DELETE ON {table} REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION {table}_count()"""


DROP: LiteralString = """
DROP FUNCTION IF EXISTS {table}_count() CASCADE;
DROP TABLE IF EXISTS {table}, {table}_blocks, {table}_rounds"""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: a task that has not ended, to be claimed from ``retry_at`` on.

    ``rank`` counts the tasks of its user in its lane that no consumer has claimed yet, from 1; it
    waits for its turn since the position ``turn``. By both of them a lane is served in rounds, one
    task of each user in turn. What was claimed before has had its turn, and goes first: it has rank
    0, and its own place for a turn.
    """

    task: UUID
    account: UUID
    vip: bool
    place: int
    requested_at: datetime
    started: bool = False
    attempt: int = 0
    retry_at: datetime | None = None
    rank: int
    turn: int


# A started task whose lease has run out is pending again: somebody will claim it anew.
HELD: LiteralString = """EXISTS (
           SELECT FROM atelier_leases l WHERE l.task = q.task AND l.expires_at > now())"""

# The newest place of those that have waited for so long that nobody overtakes them any more.
AGED: LiteralString = """coalesce((
           SELECT a.place FROM atelier_queue a
            WHERE a.requested_at <= now() - make_interval(secs => %(max_wait)s)
            ORDER BY a.requested_at DESC, a.place DESC LIMIT 1), 0)"""

# How many tasks of a lane wait before a place.
WAITING: LiteralString = """(
           (SELECT coalesce(sum(b.waiting), 0) FROM atelier_queue_blocks b
             WHERE b.vip = {vip} AND b.block < {before} / 256)
           + (SELECT count(*) FROM atelier_queue w
               WHERE w.vip = {vip} AND w.place >= {before} / 256 * 256 AND w.place < {before}
                 AND NOT w.started))"""

# Whether the other lane is paused and that of the task `q` is not, so that none of it is claimed
# before the task.
ALONE: LiteralString = """(
           SELECT array_agg(p.lane) FROM atelier_pauses p
           ) IS NOT DISTINCT FROM ARRAY[CASE WHEN q.vip THEN 'normal' ELSE 'vip' END]"""

# How many will be claimed before the task `q` of the queue.
AHEAD: LiteralString = (
    """(
    SELECT {waiting_vip} + {waiting_normal}
           + (SELECT count(*) FROM atelier_queue q
               WHERE q.started AND q.place < CASE WHEN q.vip THEN bound.vip ELSE bound.normal END
                 AND NOT {held})
      FROM (SELECT CASE WHEN q.vip OR q.place <= aged.place AND NOT {alone} THEN q.place
                        WHEN {alone} THEN 0 ELSE 9223372036854775807 END AS vip,
                   CASE WHEN NOT q.vip OR q.place <= aged.place AND NOT {alone} THEN q.place
                        WHEN {alone} THEN 0 ELSE aged.place + 1 END AS normal
              FROM (SELECT {aged} AS place) aged) bound)""".replace(
        "{waiting_vip}", WAITING.replace("{vip}", "true").replace("{before}", "bound.vip")
    )
    .replace(
        "{waiting_normal}", WAITING.replace("{vip}", "false").replace("{before}", "bound.normal")
    )
    .replace("{alone}", ALONE)
    .replace("{held}", HELD)
    .replace("{aged}", AGED)
)

# The same where each lane is served in rounds. First, how many of its lane go before the task `q`.
FORMER: LiteralString = """(
           (SELECT coalesce(sum(b.waiting), 0) FROM atelier_queue_rounds b
             WHERE b.vip = q.vip AND (b.rank, b.block) < (q.rank, q.turn / 256))
           + (SELECT count(*) FROM atelier_queue w
               WHERE w.vip = q.vip AND w.rank = q.rank AND w.turn >= q.turn / 256 * 256
                 AND w.turn < q.turn AND NOT w.started)
           + (SELECT count(*) FROM atelier_queue s
               WHERE s.started AND s.vip = q.vip AND (s.rank, s.turn) < (q.rank, q.turn)
                 AND NOT {held}))""".replace("{held}", HELD.replace("q.", "s."))

# How many tasks of a lane wait, up to a place.
UP_TO: LiteralString = """({waiting}
           + (SELECT count(*) FROM atelier_queue q
               WHERE q.started AND q.vip = {vip} AND q.place < {before} AND NOT {held}))""".replace(
    "{waiting}", WAITING
).replace("{held}", HELD)

# How many tasks of the normal lane go before the other lane: as many as have waited for too long.
AGED_TASKS: LiteralString = """(
           SELECT {up_to} FROM (SELECT {aged} AS place) aged)""".replace(
    "{up_to}", UP_TO.replace("{vip}", "false").replace("{before}", "(aged.place + 1)")
).replace("{aged}", AGED)

# OFFSET 0 has Postgres count once, and not wherever the count is named.
AHEAD_IN_ROUNDS: LiteralString = (
    """(
    SELECT own.ahead + CASE WHEN {alone} THEN 0
                            WHEN q.vip THEN aged.tasks
                            WHEN own.ahead < aged.tasks THEN 0
                            ELSE {all_vip} END
      FROM (SELECT {former} AS ahead OFFSET 0) own,
           (SELECT {aged_tasks} AS tasks OFFSET 0) aged)""".replace(
        "{all_vip}",
        UP_TO.replace("{vip}", "true").replace("{before}", "9223372036854775807"),
    )
    .replace("{former}", FORMER)
    .replace("{aged_tasks}", AGED_TASKS)
    .replace("{alone}", ALONE)
)

FIRST: LiteralString = """-- Which tasks may be claimed now, first in the queue first?
-- Pending ones, and those that were started and left; of a lane that is paused none.
SELECT first.task, first.account
  FROM (SELECT {aged}) aged
       CROSS JOIN (SELECT * FROM (VALUES (true), (false)) AS lanes (vip)
                    WHERE NOT EXISTS (SELECT FROM atelier_pauses
                                       WHERE (lane = 'vip') = lanes.vip)) lane
       CROSS JOIN LATERAL (
           SELECT q.task, q.account, q.vip, q.place, q.rank, q.turn FROM atelier_queue q
            WHERE q.vip = lane.vip AND (q.retry_at IS NULL OR q.retry_at <= now())
              AND NOT {held}
            ORDER BY {in_lane} LIMIT %(limit)s) first
 ORDER BY {order}
 LIMIT %(limit)s""".replace("{held}", HELD)

NEXT: LiteralString = (
    FIRST.replace("{aged}", f"{AGED} AS place")
    .replace("{in_lane}", "q.place")
    .replace(
        "{order}",
        "first.place > aged.place, first.place > aged.place AND NOT first.vip, first.place",
    )
)

NEXT_IN_ROUNDS: LiteralString = (
    FIRST.replace("{aged}", f"{AGED_TASKS} AS tasks OFFSET 0")
    .replace("{in_lane}", "q.rank, q.turn")
    .replace(
        "{order}",
        "first.vip OR aged.tasks = 0 OR {former} >= aged.tasks, NOT first.vip,"
        " first.rank, first.turn",
    )
    .replace("{former}", FORMER.replace("q.", "first."))
)

STANDING: LiteralString = """-- How far has the queue followed the log?
SELECT position FROM atelier_projections WHERE projection = 'queue' AND live"""

DEPTH: LiteralString = """-- How many tasks wait, how many are rendered, how long waits the first?
-- One that backs off waits for something else than a consumer.
WITH begun AS (SELECT q.vip, q.requested_at, {held} AS held FROM atelier_queue q WHERE q.started),
     counted AS (SELECT vip, sum(waiting) AS waiting FROM atelier_queue_blocks GROUP BY vip)
SELECT coalesce((SELECT waiting FROM counted WHERE vip), 0)
       + (SELECT count(*) FROM begun WHERE vip AND NOT held),
       coalesce((SELECT waiting FROM counted WHERE NOT vip), 0)
       + (SELECT count(*) FROM begun WHERE NOT vip AND NOT held),
       (SELECT count(*) FROM begun WHERE held),
       coalesce(extract(epoch FROM clock_timestamp() - least(
           (SELECT q.requested_at FROM atelier_queue q WHERE q.vip AND NOT q.started
               AND (q.retry_at IS NULL OR q.retry_at <= now())
             ORDER BY q.place LIMIT 1),
           (SELECT q.requested_at FROM atelier_queue q WHERE NOT q.vip AND NOT q.started
               AND (q.retry_at IS NULL OR q.retry_at <= now())
             ORDER BY q.place LIMIT 1),
           (SELECT min(requested_at) FROM begun WHERE NOT held)))::float8, 0)""".replace(
    "{held}", HELD
)


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """How full the queue is; ``oldest_seconds`` is the wait of the first that may be claimed."""

    pending_vip: int
    pending_normal: int
    started: int
    oldest_seconds: float


def fold(rows: Rows[Place], recorded: Recorded) -> None:
    """How an event changes the queue."""
    event, task = recorded.event, recorded.aggregate_id
    match event:
        case Requested() if rows.knows(recorded.account):
            rows.put(_requested(rows, recorded, event))
        case RenderStarted() if row := rows.get(task):
            begun = replace(row, started=True, attempt=event.attempt, rank=0, turn=row.place)
            rows.put(begun)
            _move_up(rows, row, turn=recorded.position)
        case RenderRequeued() if row := rows.get(task):
            retry_at = recorded.recorded_at + timedelta(seconds=event.retry_after_seconds)
            rows.put(replace(row, started=False, retry_at=retry_at))
        case RenderCompleted() | RenderFailed() | RenderCancelled() if row := rows.get(task):
            rows.remove(task)
            _move_up(rows, row)
        case AccountErased():
            rows.forget(recorded.account)


def _requested(rows: Rows[Place], recorded: Recorded, request: Requested) -> Place:
    """It goes to the end of its user's line, which waits for its turn from the first one on."""
    assert recorded.account is not None
    line = [row for row in rows.of(recorded.account) if row.vip == request.vip and row.rank]
    last = max(line, key=attrgetter("rank"), default=None)
    return Place(
        task=recorded.aggregate_id,
        account=recorded.account,
        vip=request.vip,
        place=recorded.position,
        requested_at=recorded.recorded_at,
        rank=last.rank + 1 if last else 1,
        turn=last.turn if last else recorded.position,
    )


def _move_up(rows: Rows[Place], left: Place, turn: int | None = None) -> None:
    """Close the gap in a user's line; after a claim those behind it wait anew for their turn."""
    if left.rank:
        for row in rows.of(left.account):
            if row.vip == left.vip and row.rank > left.rank:
                rows.put(replace(row, rank=row.rank - 1, turn=turn or row.turn))


PROJECTION = Projection(
    name="queue",
    table=Table(
        row=Place, key=("task",), sql=TABLE, beside=("blocks", "rounds"), drop=DROP, by_account=True
    ),
    uses=(
        Requested,
        RenderStarted,
        RenderRequeued,
        RenderCompleted,
        RenderFailed,
        RenderCancelled,
        AccountErased,
    ),
    fold=fold,
)


def standing(connection: psycopg.Connection[Any]) -> int:
    """The position up to which the queue shows the log."""
    row = connection.execute(STANDING).fetchone()
    return int(row[0]) if row else 0


def depth(connection: psycopg.Connection[Any]) -> Depth:
    """How full the queue is."""
    ((vip, normal, started, oldest),) = connection.execute(DEPTH)
    return Depth(
        pending_vip=vip, pending_normal=normal, started=started, oldest_seconds=max(0.0, oldest)
    )
