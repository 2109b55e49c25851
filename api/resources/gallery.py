"""The gallery: finished pictures, and taking them out again."""

import re
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar import Response, delete, get
from litestar.params import PathParameter, QueryParameter

from api.edge import origin
from api.edge.auth import SignedIn
from api.edge.errors import OF_COMMAND, OF_READ, OF_TOKEN, documented
from api.edge.positions import Seen, shown, written
from api.resources.account import Message
from api.services import Provided, Services
from commands import Origin, Outcome, execute
from commands.render import RemoveFile
from domain.errors import NotFound
from infra.media.store import MediaStore
from projections import gallery
from projections.gallery import GalleryRow

LARGEST_CURSOR: Final = 2**53  # what every JSON reader can hold
TASK_OF: Final = re.compile(r"(?P<task>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[._]")

FileName = Annotated[
    str, PathParameter(description="The last part of the path in the file's source_url")
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many files at most")]
Cursor = Annotated[
    int | None,
    QueryParameter(ge=0, le=LARGEST_CURSOR, description="The next_cursor of the page before"),
]


class GalleryFile(msgspec.Struct, frozen=True, kw_only=True):
    """A picture or video; ``last_modified`` in Unix seconds.

    ``name`` is that of the garment: the catalogue's where it has it, else as it was asked for, null
    where there is none. A video of a person comes with a picture of the same ``task_id``.
    """

    source_url: str
    thumbnail_url: str
    last_modified: int
    name: str | None
    task_id: UUID
    kind: Literal["image", "video"]


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next page starts; ``next_cursor`` is null on the last one."""

    limit: int
    next_cursor: int | None
    has_next: bool


class Gallery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the gallery, newest first."""

    gallery_urls: list[GalleryFile]
    pagination: Pagination


@get(
    "/get_gallery",
    tags=["Gallery"],
    responses=documented(*OF_TOKEN, *OF_READ, "invalid"),
)
async def get_gallery(
    request: SignedIn,
    services: Provided,
    seen: Seen,
    limit: Limit = 10,
    cursor: Cursor = None,
) -> Response[Gallery]:
    """List the newest files, or those after the cursor."""
    question = gallery.page(services.reader, request.user, limit=limit, cursor=cursor, seen=seen)
    answer = await services.in_time(question)
    following = gallery.next_cursor(answer.rows, limit)
    page = Gallery(
        gallery_urls=[_file(row, services.media) for row in answer.rows[:limit]],
        pagination=Pagination(limit=limit, next_cursor=following, has_next=following is not None),
    )
    return shown(page, answer)


@delete(
    "/remove_gallery_file/{file_name:str}",
    status_code=200,
    tags=["Gallery"],
    responses=documented(*OF_TOKEN, "not_found", *OF_COMMAND),
)
async def remove_gallery_file(
    file_name: FileName, request: SignedIn, services: Provided
) -> Response[Message]:
    """Take a file out of the gallery."""
    await services.account_number(request.user)  # an erased account has nothing any more
    outcome = await services.in_thread(
        _remove, file_name, request.user, services, origin.of(request)
    )
    return written(Message(message="The file has been removed."), outcome)


def _remove(file_name: str, account: UUID, services: Services, by: Origin) -> Outcome:
    named = TASK_OF.match(file_name)
    history = services.store.load(UUID(named["task"])) if named else []
    if not history or history[0].account != account:
        raise NotFound("there is no such file in your gallery")
    command = RemoveFile(aggregate_id=history[0].aggregate_id, account=account, name=file_name)
    return execute(command, services.store, by)


def _file(row: GalleryRow, media: MediaStore) -> GalleryFile:
    return GalleryFile(
        source_url=media.url(row.source_key),
        thumbnail_url=media.url(row.thumbnail_key),
        last_modified=row.last_modified,
        name=row.garment,
        task_id=row.task,
        kind="video" if row.source_key.endswith(".mp4") else "image",
    )


PRIVATE: Final = [get_gallery, remove_gallery_file]
