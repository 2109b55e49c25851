"""What happens to a task, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from api.edge.auth import SignedIn
from api.edge.errors import OF_READ, OF_TOKEN, Refused, Violation, documented
from api.edge.positions import LARGEST, Seen, shown
from api.resources.tasks import (
    Lane,
    TaskError,
    TaskId,
    TaskState,
    Watch,
    as_task,
    ended,
    lane,
)
from api.services import Provided, Services
from domain.errors import AccountErased, AtelierError
from domain.events import Event
from domain.fit import GarmentFit
from domain.render import (
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderRequeued,
    RenderStarted,
    Requested,
    Stage,
)
from projections.tasks import TaskFile, TaskRow

RESUME: Final = "Last-Event-ID"
BEAT_S: Final = 15.0  # what is silent for longer, proxies take for dead
LONGEST_S: Final = 900.0  # then the client comes again, with a token that still holds
RETRY_MS: Final = 1_000

STATUSES: Final[dict[type[Event], TaskState]] = {
    RenderStarted: TaskState.STARTED,
    RenderRequeued: TaskState.PENDING,
    RenderCompleted: TaskState.SUCCESS,
    RenderFailed: TaskState.FAILED,
    RenderCancelled: TaskState.FAILED,
}


class TaskChange(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands; what is past has null as its position, progress, stage and estimate."""

    status: TaskState
    type: Lane
    position: int | None
    progress: float | None
    stage: Stage | None
    eta_seconds: float | None
    error: TaskError | None
    files: list[TaskFile]
    ignored: list[str]
    fit: list[GarmentFit]
    engine: str | None


class StreamToken(msgspec.Struct, frozen=True, kw_only=True):
    """What opens the stream of one task, and nothing else, until ``expires_at`` in Unix seconds."""

    stream_token: str
    expires_at: int


@post(
    "/generate/{task_id:str}/stream_token",
    status_code=200,
    tags=["Generate"],
    responses=documented(*OF_TOKEN, *OF_READ, "not_found"),
)
async def give_stream_token(
    task_id: TaskId, request: SignedIn, services: Provided, seen: Seen
) -> Response[StreamToken]:
    """Get a token for the address of a task's stream, where no header can be sent.

    It opens `/generate/{task_id}/events?stream_token=…` for five minutes, as often as need be, and
    nothing else. A stream that is open by then goes on.
    """
    task = as_task(task_id)
    answer = await Watch(task, request.user, services).look(seen)
    token, expires = services.tokens.issue_for_stream(request.user, task)
    return shown(StreamToken(stream_token=token, expires_at=expires), answer)


@get(
    "/generate/{task_id:str}/events",
    tags=["Generate"],
    responses=documented(*OF_TOKEN, *OF_READ, "not_found")
    | {
        200: ResponseSpec(
            TaskChange,
            media_type="text/event-stream",
            description="Events `status`, whose id is their position in the log, and `progress`"
            " between them, without an id; the data of both is this, as JSON.",
            generate_examples=False,
        ),
        204: ResponseSpec(
            None, description="The task has ended, and the client knows: do not come again"
        ),
    },
)
async def task_events(
    task_id: TaskId,
    request: SignedIn,
    services: Provided,
    seen: Seen,
    resume: Annotated[
        str | None,
        HeaderParameter(
            name=RESUME,
            description="Go on after the event with this id",
            schema_extra={"pattern": "^[0-9]{1,18}$"},
        ),
    ] = None,
) -> Response[None] | ServerSentEvent:
    """Stream what happens to a task until it ends: first where it stands, or what was missed.

    Server-sent events, as a browser's EventSource reads them:

        event: status
        id: 1234
        data: {"status": "STARTED", "type": "vip", "position": 0, …}

    A stream that breaks off is resumed with `Last-Event-ID`, the id of the last event that came.
    Where no header can be sent, as by EventSource, the token of
    `POST /generate/{task_id}/stream_token` comes in the address as `stream_token`.
    """
    after = _position(resume)
    stream = _Stream(as_task(task_id), request.user, services)
    missed = await stream.begin(max(seen, after or 0), after)
    if not missed and stream.over:
        return Response(None, status_code=204)
    return ServerSentEvent(stream.messages(missed), headers={"Cache-Control": "no-store"})


class _Stream:
    """The changes of one task, for one client; `told` is the newest that it has heard of."""

    def __init__(self, task: UUID, account: UUID, services: Services) -> None:
        self._task = task
        self._services = services
        self._watch = Watch(task, account, services)
        self._told = 0
        self._shown: tuple[object, ...] = ()
        self.over = False

    async def begin(self, seen: int, after: int | None) -> list[ServerSentEventMessage]:
        """What happened after a position; without one, where the task stands."""
        answer = await self._watch.watch(seen)
        row = answer.rows[0]
        self._told = after or 0
        messages = await self._changes(row, answer.position)
        self._shown = _live(row)
        self.over = ended(row)
        return messages if after is not None else messages[-1:]

    async def messages(
        self, missed: list[ServerSentEventMessage]
    ) -> AsyncIterator[ServerSentEventMessage]:
        """Everything until the task ends, and a sign of life now and then."""
        clock = asyncio.get_running_loop().time
        end, beat = clock() + LONGEST_S, clock() + BEAT_S
        yield ServerSentEventMessage(data=None, retry=RETRY_MS)
        for message in missed:
            yield message
        while not (self.over or self._watch.over) and clock() < end:
            for message in await self._news():
                beat = clock() + BEAT_S
                yield message
            if clock() > beat:
                beat = clock() + BEAT_S
                yield ServerSentEventMessage(data=None, comment="still here")

    async def _news(self) -> list[ServerSentEventMessage]:
        try:
            answer = await self._watch.watch_on()
            row = answer.rows[0]
            if _live(row) == self._shown:
                return []
            messages = []
            if _live(row)[:2] != self._shown[:2]:
                messages = await self._changes(row, answer.position)
            messages = messages or [await self._message("progress", row)]
            self._shown, self.over = _live(row), ended(row)
            return messages
        except AccountErased:
            self.over = True
            return []
        except AtelierError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(1)
            return []

    async def _changes(self, row: TaskRow, until: int) -> list[ServerSentEventMessage]:
        """The task's events up to a position of the log that the client has not been told of."""
        history = await self._services.in_thread(self._services.store.load, self._task)
        changes = [
            (each.position, status)
            for each in history
            if self._told < each.position <= until and (status := _status(each.event))
        ]
        if not changes:
            return []
        past = [_past(position, status, row) for position, status in changes[:-1]]
        newest = await self._message("status", row, changes[-1][0])
        self._told = changes[-1][0]
        return [*past, newest]

    async def _message(
        self, kind: str, row: TaskRow, position: int | None = None
    ) -> ServerSentEventMessage:
        change = msgspec.convert(await self._watch.status(row), TaskChange, from_attributes=True)
        return _message(kind, change, position)


def _live(row: TaskRow) -> tuple[object, ...]:
    return row.status, row.attempt, row.position, round(row.progress, 2)


def _past(position: int, status: TaskState, row: TaskRow) -> ServerSentEventMessage:
    change = TaskChange(
        status=status,
        type=lane(row),
        position=None,
        progress=None,
        stage=None,
        eta_seconds=None,
        error=None,
        files=[],
        ignored=[],
        fit=[],
        engine=None,
    )
    return _message("status", change, position)


def _message(kind: str, change: TaskChange, position: int | None) -> ServerSentEventMessage:
    data = msgspec.json.encode(change)
    return ServerSentEventMessage(data=data, event=kind, id=position)


def _status(event: Event) -> TaskState | None:
    return TaskState.PENDING if isinstance(event, Requested) else STATUSES.get(type(event))


def _position(text: str | None) -> int | None:
    if text is None or (len(text) < 20 and text.isascii() and text.isdigit()):
        return None if text is None else min(int(text), LARGEST)
    violation = Violation(field=RESUME, message="must be the id of an event, such as 1234")
    raise Refused(f"the header {RESUME} cannot be read", [violation])


PRIVATE: Final = [give_stream_token]
STREAMED: Final = [task_events]
