"""Tasks: where they stand, waiting for what comes, cancelling, and all of them."""

import asyncio
import contextlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, get_args
from uuid import UUID

import msgspec
from litestar import Response, delete, get
from litestar.params import PathParameter, QueryParameter

from api.edge import origin
from api.edge.auth import SignedIn
from api.edge.errors import OF_COMMAND, OF_READ, OF_TOKEN, documented, one_of
from api.edge.positions import Seen, shown, written
from api.resources.account import Message
from api.resources.gallery import LARGEST_CURSOR, Pagination
from api.services import Provided, Services
from commands import Origin, Outcome, execute
from commands.render import CancelRender
from domain import render
from domain.errors import NotFound
from domain.fit import GarmentFit
from domain.render import FailureCode, Stage
from infra.media.store import MediaStore
from projections import tasks
from projections.reading import Answer
from projections.tasks import TaskFile, TaskRow

LONGEST_WAIT_S: Final = 60.0
LOOK_S: Final = 1.0  # notices may get lost, and a task's progress gives none
CALM_S: Final = 0.2  # between two looks, however often the log grows
PAGE: Final = 10


class TaskState(StrEnum):
    """PENDING waits, STARTED is being rendered, SUCCESS has its files, FAILED ended without any."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class Lane(StrEnum):
    """Which lane of the queue a task is in; what is `vip` is claimed first."""

    VIP = "vip"
    NORMAL = "normal"


TaskId = Annotated[str, PathParameter(description="The task_id that asking for the task gave")]
Wait = Annotated[
    float,
    QueryParameter(
        ge=0,
        le=LONGEST_WAIT_S,
        description="Hold the answer for up to so many seconds, until status or position change",
    ),
]
ByStatus = Annotated[
    TaskState | None,
    QueryParameter(description="Only tasks that are so"),
]
Limit = Annotated[
    int | None,
    QueryParameter(ge=1, le=100, description=f"How many tasks at most, {PAGE} when left out"),
]
Cursor = Annotated[
    int | None,
    QueryParameter(ge=0, le=LARGEST_CURSOR, description="The next_cursor of the page before"),
]


class TaskError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task failed."""

    code: Annotated[str, one_of(get_args(FailureCode))]
    message: str


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands.

    ``position`` is 0 while it is processed and after its end, else its place in the queue.
    ``progress`` goes from 0 to 1, and ``stage`` tells what is being done while it is processed.
    ``eta_seconds`` is an estimate from the tasks that finished
    last, of its kind if there are any, and 0 after the end. ``ignored`` names the options that
    could not be drawn as asked, ``fit`` tells how the clothes fit the body that was drawn.
    """

    status: TaskState
    type: Lane
    position: int
    progress: float
    stage: Stage | None
    eta_seconds: float
    error: TaskError | None
    files: list[TaskFile]
    ignored: list[str]
    fit: list[GarmentFit]
    engine: str | None


class ListedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the list; ``requested_at`` in Unix seconds."""

    taskid: UUID
    status: TaskState
    requested_at: int


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """The account's tasks, newest first."""

    tasks: list[ListedTask]
    pagination: Pagination


@get(
    "/generate/{task_id:str}",
    tags=["Generate"],
    responses=documented(*OF_TOKEN, *OF_READ, "not_found", "invalid"),
)
async def get_task(
    task_id: TaskId,
    request: SignedIn,
    services: Provided,
    seen: Seen,
    wait: Wait = 0,
) -> Response[TaskStatus]:
    """Ask what has become of a task, at once or when its status or position has changed."""
    watch = Watch(as_task(task_id), request.user, services)
    answer = await (watch.changed(seen, wait) if wait else watch.look(seen))
    return shown(await watch.status(answer.rows[0]), answer)


@delete(
    "/generate/{task_id:str}",
    status_code=200,
    tags=["Generate"],
    responses=documented(*OF_TOKEN, "not_found", "task_ended", *OF_COMMAND),
)
async def cancel_task(task_id: TaskId, request: SignedIn, services: Provided) -> Response[Message]:
    """Cancel a task: it fails with the code `cancelled`. Cancelling it again changes nothing."""
    await services.account_number(request.user)  # an erased account has nothing any more
    outcome = await services.in_thread(
        _cancel, as_task(task_id), request.user, services, origin.of(request)
    )
    return written(Message(message="The task has been cancelled."), outcome)


@get(
    "/get_tasks",
    tags=["Task"],
    responses=documented(*OF_TOKEN, *OF_READ, "invalid"),
)
async def get_tasks(
    request: SignedIn,
    services: Provided,
    seen: Seen,
    status: ByStatus = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[TaskList]:
    """List tasks, newest first: every unfinished one and the newest 100 ended, or a page.

    With a status, a limit or a cursor the answer is a page like those of the gallery. A cursor
    that an answer without any of them gave leads on through older ended tasks.
    """
    account = request.user
    if status is None and limit is None and cursor is None:
        answer = await services.in_time(tasks.overview(services.reader, account, seen=seen))
        rows, following = tasks.shortened(answer.rows)
        limit = tasks.NEWEST_ENDED
    else:
        limit = limit or PAGE
        question = tasks.page(
            services.reader, account, status=status, limit=limit, cursor=cursor, seen=seen
        )
        answer = await services.in_time(question)
        rows = answer.rows[:limit]
        rest = status is None and tasks.of_the_rest(cursor)
        following = tasks.next_cursor(answer.rows, limit, rest=rest)
    listed = TaskList(
        tasks=[
            ListedTask(taskid=row.task, status=TaskState(row.status), requested_at=row.requested_at)
            for row in rows
        ],
        pagination=Pagination(limit=limit, next_cursor=following, has_next=following is not None),
    )
    return shown(listed, answer)


def as_task(text: str) -> UUID:
    """The id in a path; raises `NotFound` for what cannot be one."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("you have no such task") from error


class Watch:
    """Looks at one task of an account, again and again if need be."""

    def __init__(self, task: UUID, account: UUID, services: Services) -> None:
        self._task = task
        self._account = account
        self._services = services
        self._grown = asyncio.Event()
        self._looked = 0.0

    async def look(self, seen: int = 0) -> Answer[TaskRow]:
        """Where the task stands now; raises `NotFound` when the account has no such task."""
        max_wait = self._services.settings.queue_max_wait
        question = tasks.task(
            self._services.reader, self._account, self._task, max_wait=max_wait, seen=seen
        )
        answer = await self._services.in_time(question)
        if not answer.rows:
            raise NotFound("you have no such task")
        return answer

    async def watch(self, seen: int = 0) -> Answer[TaskRow]:
        """The same; what happens from now on wakes `watch_on`."""
        self._grown = self._services.listener.next()
        self._looked = asyncio.get_running_loop().time()
        return await self.look(seen)

    @property
    def over(self) -> bool:
        """Whether the server stops, so that nothing more is to be waited for."""
        return self._services.listener.over

    async def watch_on(self, seconds: float = LOOK_S) -> Answer[TaskRow]:
        """Where the task stands when the log has grown, or after so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._grown.wait(), seconds)
        calm = self._looked + CALM_S - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, calm))
        return await self.watch()

    async def changed(self, seen: int, seconds: float) -> Answer[TaskRow]:
        """Where the task stands once its status or position is another, or after so long."""
        end = asyncio.get_running_loop().time() + seconds
        first = answer = await self.watch(seen)
        while mark(answer.rows[0]) == mark(first.rows[0]) and not ended(answer.rows[0]):
            left = end - asyncio.get_running_loop().time()
            if left <= 0 or self.over:
                break
            answer = await self.watch_on(min(left, LOOK_S))
        return answer

    async def status(self, row: TaskRow) -> TaskStatus:
        """A row as the contract shows it."""
        eta = 0.0
        if not ended(row):
            asked = self._services.pace.eta(self._account, row.task, row.position, row.progress)
            eta = await self._services.in_time(asked)
        return _status(row, self._services.media, eta, await self._fit(row))

    async def _fit(self, row: TaskRow) -> Sequence[GarmentFit]:
        """How the clothes fit, out of the log: opening it for every row would slow rebuilds."""
        if row.status != TaskState.SUCCESS:
            return ()
        history = await self._services.in_time(self._services.async_store.load(row.task))
        return render.fit_of(each.event for each in history)


def mark(row: TaskRow) -> tuple[object, ...]:
    """What makes a change, beside the progress."""
    return row.status, row.attempt, row.position


def lane(row: TaskRow) -> Lane:
    """Which lane the task was asked for in."""
    return Lane.VIP if row.vip else Lane.NORMAL


def ended(row: TaskRow) -> bool:
    """Whether nothing more will happen to the task."""
    return row.status in tasks.ENDED


def _cancel(task: UUID, account: UUID, services: Services, by: Origin) -> Outcome:
    history = services.store.load(task)
    if not history or history[0].account != account:
        raise NotFound("you have no such task")
    return execute(CancelRender(aggregate_id=task, account=account), services.store, by)


def _status(row: TaskRow, media: MediaStore, eta: float, fit: Sequence[GarmentFit]) -> TaskStatus:
    error = None
    if row.error_code is not None:
        error = TaskError(code=row.error_code, message=row.error_message or "")
    return TaskStatus(
        status=TaskState(row.status),
        type=lane(row),
        position=row.position,
        progress=round(row.progress, 2),
        # One that only a newer consumer knows is none to us.
        stage=next((known for known in get_args(Stage) if known == row.stage), None),
        eta_seconds=eta,
        error=error,
        files=tasks.linked(row.files, media.url),
        ignored=row.ignored,
        fit=list(fit),
        engine=row.engine,
    )


PRIVATE: Final = [get_task, cancel_task, get_tasks]
