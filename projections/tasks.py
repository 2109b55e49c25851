"""What has become of my tasks?"""

from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from domain.events import Recorded
from domain.render import (
    RenderCompleted,
    RenderFailed,
    RenderFileRemoved,
    RenderRequested,
    RenderRequeued,
    RenderStarted,
)
from projections.model import Projection, Statement
from projections.reading import Answer, Question, Reader

NEWEST_ENDED = 100

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
    ignored       jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX ON {table} (account, place DESC)"""

INSERT: LiteralString = """-- A task enters; its place is the position of its request, for ever.
INSERT INTO {table} (task, account, place, vip, status)
VALUES (%(task)s, %(account)s, %(place)s, %(vip)s, 'PENDING')"""

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


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task as `/generate/{task_id}` shows it; ``position`` is 0 unless it is pending."""

    task: UUID
    status: str
    vip: bool
    position: int
    engine: str | None
    error_code: str | None
    error_message: str | None
    files: list[dict[str, Any]]
    ignored: list[str]


class ListedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as `/get_tasks` lists it."""

    task: UUID
    status: str


def apply(recorded: Recorded) -> list[Statement]:
    """How an event changes the tasks."""
    event, task = recorded.event, {"task": recorded.aggregate_id}
    match event:
        case RenderRequested():
            entry = {"account": recorded.account, "place": recorded.position, "vip": event.vip}
            return [Statement(INSERT, task | entry)]
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
        case RenderFileRemoved():
            return [Statement(REMOVED, task | {"keys": list(event.keys)})]
        case _:
            return []


PROJECTION = Projection(name="tasks", tables=TABLES, apply=apply)

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
SELECT t.task, t.vip, t.engine, t.error_code, t.error_message, t.files, t.ignored,
       CASE WHEN t.status = 'STARTED' AND q.waiting THEN 'PENDING' ELSE t.status END AS status,
       CASE WHEN NOT coalesce(q.waiting, false) THEN 0
            ELSE 1 + (SELECT count(*) FROM {waiting} o
                       WHERE o.waiting AND (o.vip > t.vip OR (o.vip = t.vip AND o.place < t.place)))
       END AS position
  FROM atelier_tasks t LEFT JOIN {waiting} q ON q.task = t.task
 WHERE t.task = %(task)s AND t.account = %(account)s""".replace("{waiting}", WAITING),
)

TASKS = Question(
    models=("tasks",),
    row=ListedTask,
    sql="""-- Which tasks has this account, newest first?
SELECT t.task, CASE WHEN t.status = 'STARTED' AND NOT EXISTS (
                        SELECT FROM atelier_leases l WHERE l.task = t.task
                           AND l.expires_at > now())
                    THEN 'PENDING' ELSE t.status END AS status
  FROM (SELECT * FROM atelier_tasks
         WHERE account = %(account)s AND status IN ('PENDING', 'STARTED')
        UNION ALL
        (SELECT * FROM atelier_tasks
          WHERE account = %(account)s AND status IN ('SUCCESS', 'FAILED')
          ORDER BY place DESC LIMIT %(ended)s)) t
 ORDER BY t.place DESC""",
)


async def task(reader: Reader, account: UUID, task: UUID, *, seen: int = 0) -> Answer[TaskRow]:
    """One task of the account, or no row."""
    return await reader.ask(TASK, account, seen=seen, task=task)


async def tasks(reader: Reader, account: UUID, *, seen: int = 0) -> Answer[ListedTask]:
    """Every unfinished task of the account and its newest ended ones, newest first."""
    return await reader.ask(TASKS, account, seen=seen, ended=NEWEST_ENDED)
