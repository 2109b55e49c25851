"""What has become of my tasks?"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.account import AccountErased
from domain.events import Event, Recorded
from domain.render import (
    ImageToVideoRequested,
    MediaFile,
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
from projections.model import Projection, seconds
from projections.queue import AHEAD, HELD
from projections.reading import Answer, Question, Reader
from projections.rows import Key, Rows, Table

NEWEST_ENDED = 100
ENDED = ("SUCCESS", "FAILED")
OF_GALLERY = re.compile(r"\d+/gallery/(?P<task>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})[._]")
REST = 1  # in a cursor's place of a file: the unfinished tasks have been listed already

TABLE: LiteralString = """
CREATE TABLE {table} (
    task          uuid PRIMARY KEY,
    account       uuid NOT NULL,
    place         bigint NOT NULL,
    vip           boolean NOT NULL,
    status        text NOT NULL,
    attempt       integer NOT NULL,
    engine        text,
    error_code    text,
    error_message text,
    files         jsonb NOT NULL,
    ignored       jsonb NOT NULL,
    garment       text,
    requested_at  bigint NOT NULL
);
CREATE INDEX ON {table} (account, status, requested_at DESC, place DESC)"""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table; ``place`` is the position of its request, for ever.

    ``requested_at`` is when that was recorded, in Unix seconds.
    """

    task: UUID
    account: UUID
    place: int
    requested_at: int
    vip: bool
    status: str = "PENDING"
    attempt: int = 0
    engine: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    files: list[MediaFile] = []
    ignored: list[str] = []
    garment: str | None = None


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task as `/generate/{task_id}` shows it; ``position`` is 0 unless it is pending.

    ``progress`` and ``stage`` are told by the consumer that holds its lease.
    """

    task: UUID
    status: str
    vip: bool
    attempt: int
    position: int
    progress: float
    stage: str | None
    engine: str | None
    error_code: str | None
    error_message: str | None
    files: list[MediaFile]
    ignored: list[str]


class TaskFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a task made; ``size`` in bytes."""

    url: str
    thumbnail_url: str | None
    name: str
    content_type: str
    size: int
    sha256: str


class ListedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as `/get_tasks` lists it; ``requested_at`` in Unix seconds."""

    task: UUID
    status: str
    place: int
    requested_at: int


def fold(rows: Rows[Task], recorded: Recorded) -> None:
    """How an event changes the tasks."""
    event, task = recorded.event, recorded.aggregate_id
    match event:
        case Requested():
            if rows.knows(recorded.account):
                rows.put(_requested(rows, recorded, event))
        case AccountErased():
            rows.forget(recorded.account)
        case _:
            if row := rows.get(task):
                rows.put(replace(row, **_changes(row, event)))


def of_history(history: Sequence[Recorded]) -> Task:
    """The row of one task by its own events alone, which do not tell what it shows."""
    first = history[0]
    assert isinstance(first.event, Requested)
    assert first.account is not None
    row = Task(
        task=first.aggregate_id,
        account=first.account,
        place=first.position,
        requested_at=seconds(first.recorded_at),
        vip=first.event.vip,
    )
    for recorded in history[1:]:
        row = replace(row, **_changes(row, recorded.event))
    return row


def needs(event: Event) -> Iterable[Key]:
    """The task whose file another one is made of."""
    source = _source(event)
    return (source,) if source else ()


def _requested(rows: Rows[Task], recorded: Recorded, request: Requested) -> Task:
    assert recorded.account is not None
    return Task(
        task=recorded.aggregate_id,
        account=recorded.account,
        place=recorded.position,
        requested_at=seconds(recorded.recorded_at),
        vip=request.vip,
        garment=_garment(rows, request),
    )


def _garment(rows: Rows[Task], request: Requested) -> str | None:
    """What a task shows: the catalogue's name of a garment, else the one that was asked for.

    What is made of another task's file shows the garment of that task.
    """
    if isinstance(request, RenderRequested | VideoRequested):
        asked, found = request.apparel_details.item_id.strip(), request.garment
        return found.name if found else asked or None
    source = _source(request)
    origin = rows.get(source) if source else None
    return origin.garment if origin else None


def _source(event: Event) -> UUID | None:
    if isinstance(event, UpscaleRequested | ImageToVideoRequested):
        found = OF_GALLERY.match(event.source_key)
        return UUID(found["task"]) if found else None
    return None


def _changes(row: Task, event: Event) -> dict[str, Any]:
    match event:
        case RenderStarted():
            return {"status": "STARTED", "attempt": event.attempt}
        case RenderRequeued():
            return {"status": "PENDING", "attempt": event.attempt}
        case RenderCompleted():
            result = {"engine": event.engine, "files": list(event.files)}
            return {"status": "SUCCESS", "ignored": list(event.ignored), **result}
        case RenderFailed():
            error = {"error_code": event.code, "error_message": event.message}
            return {"status": "FAILED", **error}
        case RenderCancelled():
            error = {"error_code": "cancelled", "error_message": "the task was cancelled"}
            return {"status": "FAILED", **error}
        case RenderFileRemoved():
            return {"files": [file for file in row.files if file.key not in event.keys]}
        case _:
            return {}


PROJECTION = Projection(
    name="tasks",
    table=Table(row=Task, key=("task",), sql=TABLE),
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
    fold=fold,
    needs=needs,
)

TASK = Question(
    models=("tasks", "queue"),
    row=TaskRow,
    sql="""-- What has become of one task, and how many will be claimed before it?
SELECT t.task, t.vip, t.attempt, t.engine, t.error_code, t.error_message, t.files, t.ignored,
       CASE WHEN t.status = 'STARTED' AND q.waiting THEN 'PENDING' ELSE t.status END AS status,
       CASE WHEN q.waiting THEN 1 + {ahead} ELSE 0 END AS position,
       CASE WHEN t.status = 'SUCCESS' THEN 1
            WHEN t.status = 'STARTED' AND NOT q.waiting
            THEN coalesce((SELECT l.progress FROM atelier_leases l WHERE l.task = t.task), 0)
            ELSE 0
       END AS progress,
       CASE WHEN t.status = 'STARTED' AND NOT q.waiting
            THEN (SELECT l.stage FROM atelier_leases l WHERE l.task = t.task)
       END AS stage
  FROM atelier_tasks t LEFT JOIN LATERAL (
           SELECT q.vip, q.place, NOT q.started OR NOT {held} AS waiting
             FROM atelier_queue q WHERE q.task = t.task) q ON true
 WHERE t.task = %(task)s AND t.account = %(account)s""".replace("{ahead}", AHEAD).replace(
        "{held}", HELD
    ),
    types={"task": "uuid", "max_wait": "float8"},
)

# Each status has its part of the index, in the order of the pages. A task that is started, but
# that nobody holds any more, is shown as pending; few are started at a time.
SHOWN: LiteralString = """CASE WHEN t.status = 'STARTED' AND NOT EXISTS (
                SELECT FROM atelier_leases l WHERE l.task = t.task AND l.expires_at > now())
            THEN 'PENDING' ELSE t.status END AS status"""

OVERVIEW = Question(
    models=("tasks",),
    row=ListedTask,
    sql="""-- Which tasks has this account, newest first: all unfinished ones and the newest ended?
SELECT task, place, requested_at, status
  FROM (SELECT t.task, t.place, t.requested_at, {shown}
          FROM atelier_tasks t
         WHERE t.account = %(account)s AND t.status IN ('PENDING', 'STARTED')
        UNION ALL
        (SELECT e.*
           FROM unnest(ARRAY['SUCCESS', 'FAILED']) AS s (stored) CROSS JOIN LATERAL (
                SELECT t.task, t.place, t.requested_at, t.status
                  FROM atelier_tasks t WHERE t.account = %(account)s AND t.status = s.stored
                 ORDER BY t.requested_at DESC, t.place DESC LIMIT %(ended)s) e
          ORDER BY e.place DESC LIMIT %(ended)s)) all_of_them
 ORDER BY place DESC""".replace("{shown}", SHOWN),
)

# recorded_at never goes back, so (requested_at, place) orders as place does; no place is 0.
PAGE = Question(
    models=("tasks",),
    row=ListedTask,
    sql="""-- Which tasks come after the cursor, newest first?
SELECT page.*
  FROM unnest(ARRAY['PENDING', 'STARTED', 'SUCCESS', 'FAILED']) AS s (stored) CROSS JOIN LATERAL (
       SELECT listed.*
         FROM (SELECT t.task, t.place, t.requested_at, {shown}
                 FROM atelier_tasks t
                WHERE t.account = %(account)s AND t.status = s.stored
                  AND (t.requested_at, t.place) < (
                      coalesce(%(second)s, (SELECT floor(extract(epoch FROM e.recorded_at))::bigint
                                              FROM atelier_events e WHERE e.position = %(place)s),
                               9223372036854775807), coalesce(%(place)s, 0))) listed
        WHERE %(statuses)s::text[] IS NULL OR listed.status = ANY(%(statuses)s::text[])
        ORDER BY listed.requested_at DESC, listed.place DESC LIMIT %(limit)s) page
 WHERE %(statuses)s::text[] IS NULL OR s.stored = ANY('STARTED'::text || %(statuses)s::text[])
 ORDER BY page.place DESC
 LIMIT %(limit)s""".replace("{shown}", SHOWN),
)


def linked(files: Sequence[MediaFile], url: Callable[[str], str]) -> list[TaskFile]:
    """What clients are shown of a task's files; `url` makes a link of a key."""
    thumbnails = [url(file.key) for file in files if file.role == "thumbnail"]
    return [
        TaskFile(
            url=url(file.key),
            thumbnail_url=thumbnails[0] if thumbnails else None,
            name=file.name,
            content_type=file.content_type,
            size=file.size,
            sha256=file.sha256,
        )
        for file in files
        if file.role == "source"
    ]


async def task(
    reader: Reader, account: UUID, task: UUID, *, max_wait: float | None, seen: int = 0
) -> Answer[TaskRow]:
    """One task of the account, or no row; `max_wait` as `queue.claimable` has it."""
    return await reader.ask(TASK, account, seen=seen, task=task, max_wait=max_wait)


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
