"""Renders: asking for a picture, and what has become of it."""

from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from api import origin
from api.auth import SignedIn
from api.errors import documented
from api.positions import Seen, shown, written
from api.services import Provided, Services
from api.wire import StrictRequest
from commands import Origin, Outcome, carry_out
from commands.render import RequestRender
from domain.errors import NotFound
from domain.picture import ApparelDetails, ImageOptions, RenderMode, TaskOptions, UserDetails
from infra.media import MediaStore
from projections import tasks
from projections.tasks import TaskRow


class PictureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the picture shall show; what is left out has a default."""

    user_details: UserDetails = UserDetails()
    apparel_details: ApparelDetails = ApparelDetails()
    image_options: ImageOptions = ImageOptions()
    task_options: TaskOptions = TaskOptions()
    render_mode: RenderMode = "3D"


class TaskCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The task that will make the picture."""

    task_id: UUID


class TaskError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task failed."""

    code: str
    message: str


class TaskFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a task made; ``size`` in bytes."""

    url: str
    thumbnail_url: str | None
    name: str
    content_type: str
    size: int
    sha256: str


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands.

    ``position`` is 0 while it is processed and after its end, else its place in the queue.
    ``ignored`` names the options that could not be drawn as asked.
    """

    status: str
    type: str
    position: int
    error: TaskError | None
    files: list[TaskFile]
    ignored: list[str]
    engine: str | None


class ListedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the list."""

    taskid: UUID
    status: str


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """The account's tasks, newest first."""

    tasks: list[ListedTask]


@post(
    "/generate",
    status_code=200,
    tags=["Generate"],
    request_class=StrictRequest,
    responses=documented(400, 401, 413, 415, 422, 429, 503),
)
async def generate(
    data: JSONBody[PictureRequest],
    request: SignedIn,
    services: Provided,
) -> Response[TaskCreated]:
    """Ask for a picture."""
    task = uuid4()
    outcome = await services.in_thread(
        _request_picture, task, request.user, data, services, origin.of(request)
    )
    return written(TaskCreated(task_id=task), outcome)


@get(
    "/generate/{task_id:str}",
    tags=["Generate"],
    responses=documented(400, 401, 404, 503),
)
async def get_task(
    task_id: FromPath[str],
    request: SignedIn,
    services: Provided,
    seen: Seen,
) -> Response[TaskStatus]:
    """Ask what has become of a task."""
    question = tasks.task(services.reader, request.user, _task_id(task_id), seen=seen)
    answer = await services.in_time(question)
    if not answer.rows:
        raise NotFound("you have no such task")
    return shown(_status(answer.rows[0], services.media), answer)


@get(
    "/get_tasks",
    tags=["Task"],
    responses=documented(400, 401, 503),
)
async def get_tasks(request: SignedIn, services: Provided, seen: Seen) -> Response[TaskList]:
    """List every unfinished task and the newest 100 ended ones."""
    answer = await services.in_time(tasks.tasks(services.reader, request.user, seen=seen))
    listed = [ListedTask(taskid=row.task, status=row.status) for row in answer.rows]
    return shown(TaskList(tasks=listed), answer)


def _request_picture(
    task: UUID, account: UUID, data: PictureRequest, services: Services, by: Origin
) -> Outcome:
    most = services.settings.task_limit
    command = RequestRender(
        aggregate_id=task,
        account=account,
        kind="image",
        account_number=services.account(account).number,
        user_details=data.user_details,
        apparel_details=data.apparel_details,
        image_options=data.image_options,
        render_mode=data.render_mode,
        vip=data.task_options.vip,
        limit=min(data.task_options.limit or most, most),
    )
    return carry_out(command, services.store, by)


def _task_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("you have no such task") from error


def _status(row: TaskRow, media: MediaStore) -> TaskStatus:
    error = None
    if row.error_code is not None:
        error = TaskError(code=row.error_code, message=row.error_message or "")
    return TaskStatus(
        status=row.status,
        type="vip" if row.vip else "normal",
        position=row.position,
        error=error,
        files=_files(row.files, media),
        ignored=row.ignored,
        engine=row.engine,
    )


def _files(files: list[dict[str, Any]], media: MediaStore) -> list[TaskFile]:
    thumbnails = [media.url(file["key"]) for file in files if file["role"] == "thumbnail"]
    return [
        TaskFile(
            url=media.url(file["key"]),
            thumbnail_url=thumbnails[0] if thumbnails else None,
            name=file["name"],
            content_type=file["content_type"],
            size=file["size"],
            sha256=file["sha256"],
        )
        for file in files
        if file["role"] == "source"
    ]


PRIVATE: Final = [generate, get_task, get_tasks]
