"""What has become of my tasks?"""

import re
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from domain.account import AccountErased
from domain.events import Recorded
from domain.render import (
    ImageToVideoRequested,
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderFileRemoved,
    RenderRequested,
    RenderRequeued,
    RenderStarted,
    Requested,
    UpscaleRequested,
    VideoRequested,
)
from projections.gallery import FILES_PER_EVENT, ITEM
from projections.model import KNOWN, Projection, Statement
from projections.reading import Answer, Question, Reader

NEWEST_ENDED = 100
ENDED = ("SUCCESS", "FAILED")
OF_GALLERY = re.compile(r"\d+/gallery/(?P<task>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})[._]")
REST = 1  # in a cursor's place of a file: the unfinished tasks have been listed already

TABLES: LiteralString = """
CREATE TABLE {table} (
    task          uuid PRIMARY KEY,
    account       uuid NOT NULL,
    place         bigint NOT NULL,
    vip           boolean NOT NULL,
    status        text NOT NULL,
    attempt       integer NOT NULL DEFAULT 0,
    engine        text,
    error_code    text,
    error_message text,
    files         jsonb NOT NULL DEFAULT '[]',
    ignored       jsonb NOT NULL DEFAULT '[]',
    garment       text
);
CREATE INDEX ON {table} (account, place DESC)"""

INSERT: LiteralString = """-- A task enters; its place is the position of its request, for ever.
-- What is made of another task's file shows the garment of that task.
INSERT INTO {table} (task, account, place, vip, status, garment)
SELECT %(task)s, %(account)s, %(place)s, %(vip)s, 'PENDING',
       coalesce(%(garment)s, (SELECT s.garment FROM {table} s WHERE s.task = %(source)s::uuid))
 WHERE {known}""".replace("{known}", KNOWN)

STATUS: LiteralString = """-- A task is claimed or given back.
UPDATE {table} SET status = %(status)s, attempt = %(attempt)s WHERE task = %(task)s"""

COMPLETED: LiteralString = """-- A task has its files.
UPDATE {table} SET status = 'SUCCESS', engine = %(engine)s, files = %(files)s,
                   ignored = %(ignored)s WHERE task = %(task)s"""

FAILED: LiteralString = """-- A task has ended without a result.
UPDATE {table} SET status = 'FAILED', error_code = %(code)s, error_message = %(message)s
 WHERE task = %(task)s"""

REMOVED: LiteralString = """-- Some of a task's files are gone.
UPDATE {table} SET files = (SELECT coalesce(jsonb_agg(f), '[]') FROM jsonb_array_elements(files) f
                             WHERE f ->> 'key' <> ALL(%(keys)s)) WHERE task = %(task)s"""

ERASED: LiteralString = """-- Whoever is erased leaves no tasks behind.
DELETE FROM {table} WHERE account = %(account)s"""


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task as `/generate/{task_id}` shows it; ``position`` is 0 unless it is pending."""

    task: UUID
    status: str
    vip: bool
    attempt: int
    position: int
    progress: float
    engine: str | None
    error_code: str | None
    error_message: str | None
    files: list[dict[str, Any]]
    ignored: list[str]


class ListedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as `/get_tasks` lists it; ``requested_at`` in Unix seconds."""

    task: UUID
    status: str
    place: int
    requested_at: int


def apply(recorded: Recorded) -> list[Statement]:
    """How an event changes the tasks."""
    event, task = recorded.event, {"task": recorded.aggregate_id}
    match event:
        case Requested():
            entry = {"account": recorded.account, "place": recorded.position, "vip": event.vip}
            return [Statement(INSERT, task | entry | _shown(event))]
        case RenderStarted():
            return [Statement(STATUS, task | {"status": "STARTED", "attempt": event.attempt})]
        case RenderRequeued():
            return [Statement(STATUS, task | {"status": "PENDING", "attempt": event.attempt})]
        case RenderCompleted():
            files, ignored = msgspec.to_builtins(event.files), list(event.ignored)
            result = {"engine": event.engine, "files": Jsonb(files), "ignored": Jsonb(ignored)}
            return [Statement(COMPLETED, task | result)]
        case RenderFailed():
            return [Statement(FAILED, task | {"code": event.code, "message": event.message})]
        case RenderCancelled():
            end = {"code": "cancelled", "message": "the task was cancelled"}
            return [Statement(FAILED, task | end)]
        case RenderFileRemoved():
            return [Statement(REMOVED, task | {"keys": list(event.keys)})]
        case AccountErased():
            return [Statement(ERASED, {"account": recorded.account})]
        case _:
            return []


def _shown(request: Requested) -> dict[str, str | None]:
    """The garment that a task shows: as the catalogue has it, else as it was asked for."""
    match request:
        case RenderRequested() | VideoRequested():
            asked, found = request.apparel_details.item_id.strip(), request.garment
            return {"garment": found.name if found else asked or None, "source": None}
        case UpscaleRequested() | ImageToVideoRequested():
            source = OF_GALLERY.match(request.source_key)
            return {"garment": None, "source": source["task"] if source else None}
        case _:
            return {"garment": None, "source": None}


PROJECTION = Projection(
    name="tasks",
    tables=TABLES,
    uses=(
        Requested,
        RenderStarted,
        RenderRequeued,
        RenderCompleted,
        RenderFailed,
        RenderCancelled,
        RenderFileRemoved,
        AccountErased,
    ),
    apply=apply,
)

# A started task whose lease has run out is pending again: somebody will claim it anew.
WAITING: LiteralString = """(
    SELECT u.task, u.vip, u.place, NOT u.started OR NOT EXISTS (
               SELECT FROM atelier_leases l WHERE l.task = u.task AND l.expires_at > now()
           ) AS waiting
      FROM atelier_queue u)"""

TASK = Question(
    models=("tasks", "queue"),
    row=TaskRow,
    sql="""-- What has become of one task, and how many will be claimed before it?
SELECT t.task, t.vip, t.attempt, t.engine, t.error_code, t.error_message, t.files, t.ignored,
       CASE WHEN t.status = 'STARTED' AND q.waiting THEN 'PENDING' ELSE t.status END AS status,
       CASE WHEN NOT coalesce(q.waiting, false) THEN 0
            ELSE 1 + (SELECT count(*) FROM {waiting} o
                       WHERE o.waiting AND (o.vip > t.vip OR (o.vip = t.vip AND o.place < t.place)))
       END AS position,
       CASE WHEN t.status = 'SUCCESS' THEN 1
            WHEN t.status = 'STARTED' AND NOT q.waiting
            THEN coalesce((SELECT l.progress FROM atelier_leases l WHERE l.task = t.task), 0)
            ELSE 0
       END AS progress
  FROM atelier_tasks t LEFT JOIN {waiting} q ON q.task = t.task
 WHERE t.task = %(task)s AND t.account = %(account)s""".replace("{waiting}", WAITING),
    types={"task": "uuid"},
)

# A task's request is where its place tells.
LISTED: LiteralString = """(
    SELECT t.task, t.place, floor(extract(epoch FROM e.recorded_at))::bigint AS requested_at,
           CASE WHEN t.status = 'STARTED' AND NOT EXISTS (
                         SELECT FROM atelier_leases l
                          WHERE l.task = t.task AND l.expires_at > now())
                THEN 'PENDING' ELSE t.status END AS status
      FROM atelier_tasks t JOIN atelier_events e ON e.position = t.place
     WHERE t.account = %(account)s)"""

OVERVIEW = Question(
    models=("tasks",),
    row=ListedTask,
    sql="""-- Which tasks has this account, newest first: all unfinished ones and the newest ended?
SELECT task, place, requested_at, status
  FROM (SELECT * FROM {listed} u WHERE u.status IN ('PENDING', 'STARTED')
        UNION ALL
        (SELECT * FROM {listed} d WHERE d.status IN ('SUCCESS', 'FAILED')
          ORDER BY place DESC LIMIT %(ended)s)) all_of_them
 ORDER BY place DESC""".replace("{listed}", LISTED),
)

PAGE = Question(
    models=("tasks",),
    row=ListedTask,
    sql="""-- Which tasks come after the cursor, newest first?
SELECT task, place, requested_at, status
  FROM {listed} page
 WHERE (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s::text[]))
   AND requested_at < coalesce(%(second)s, 9223372036854775807)
   AND place < coalesce(%(place)s, 9223372036854775807)
 ORDER BY place DESC
 LIMIT %(limit)s""".replace("{listed}", LISTED),
)


async def task(reader: Reader, account: UUID, task: UUID, *, seen: int = 0) -> Answer[TaskRow]:
    """One task of the account, or no row."""
    return await reader.ask(TASK, account, seen=seen, task=task)


async def overview(reader: Reader, account: UUID, *, seen: int = 0) -> Answer[ListedTask]:
    """Every unfinished task and the newest ended ones, and one ended more when there are more."""
    return await reader.ask(OVERVIEW, account, seen=seen, ended=NEWEST_ENDED + 1)


async def page(
    reader: Reader,
    account: UUID,
    *,
    status: str | None,
    limit: int,
    cursor: int | None,
    seen: int = 0,
) -> Answer[ListedTask]:
    """Up to `limit` tasks after the cursor, and one more when there are more."""
    by_item = cursor is not None and cursor >= ITEM
    statuses = [status] if status else list(ENDED) if of_the_rest(cursor) else None
    return await reader.ask(
        PAGE,
        account,
        seen=seen,
        statuses=statuses,
        second=None if by_item else cursor,
        place=(cursor - ITEM) // FILES_PER_EVENT if by_item and cursor else None,
        limit=limit + 1,
    )


def of_the_rest(cursor: int | None) -> bool:
    """Whether the cursor goes on after an overview, which has had every unfinished task."""
    return cursor is not None and cursor >= ITEM and (cursor - ITEM) % FILES_PER_EVENT == REST


def next_cursor(rows: list[ListedTask], limit: int, *, rest: bool = False) -> int | None:
    """Where the next page starts, by the gallery's rule: a second, or an item inside one."""
    if len(rows) <= limit:
        return None
    last, following = rows[limit - 1], rows[limit]
    if not rest and following.requested_at < last.requested_at:
        return last.requested_at
    return ITEM + last.place * FILES_PER_EVENT + (REST if rest else 0)


def shortened(rows: list[ListedTask]) -> tuple[list[ListedTask], int | None]:
    """An overview without its one ended task too many, and where the rest of these starts."""
    ended = [row for row in rows if row.status in ENDED]
    kept = [row for row in rows if row not in ended[NEWEST_ENDED:]]
    return kept, next_cursor(ended, NEWEST_ENDED, rest=True)
