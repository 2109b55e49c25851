"""Avatars: the picture by which a person is shown."""

import hashlib
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import Operation

from api.edge import limits, origin, uploads
from api.edge.auth import SignedIn
from api.edge.errors import OF_COMMAND, OF_READ, OF_TOKEN, documented
from api.edge.positions import Seen, shown, written
from api.services import Provided, Services
from commands import Origin, Outcome, execute
from commands.account import UploadAvatar
from domain.account import AvatarFile
from domain.errors import NotFound
from infra.media.images import Avatar, make_avatar
from infra.media.store import MediaStore
from projections import accounts

LARGEST_FILE: Final = 10_000_000  # bytes
LARGEST_BODY: Final = LARGEST_FILE + 10_000  # the rest is what a multipart form adds


class AvatarUrls(msgspec.Struct, frozen=True, kw_only=True):
    """Where the picture and a small one of it are; the addresses expire."""

    avatar_url: str
    avatar_thumbnail_url: str


@dataclass
class TakesPicture(Operation):
    """The description of a body that Litestar knows nothing of."""

    def __post_init__(self) -> None:
        """Describe it."""
        kinds = ("image/jpeg", "image/png", "image/webp", "image/heic")
        self.request_body = uploads.described(*kinds)


@get(
    "/get_avatar",
    tags=["Account"],
    responses=documented(*OF_TOKEN, *OF_READ, "not_found"),
)
async def get_avatar(request: SignedIn, services: Provided, seen: Seen) -> Response[AvatarUrls]:
    """Where the person's avatar is."""
    answer = await services.in_time(accounts.avatar(services.reader, request.user, seen=seen))
    if not answer.rows:
        raise NotFound("you have no avatar yet")
    row = answer.rows[0]
    return shown(_urls(services.media, row.avatar_key, row.avatar_thumbnail_key), answer)


@post(
    "/upload_avatar",
    status_code=200,
    tags=["Account"],
    guards=[limits.uploads],
    operation_class=TakesPicture,
    request_max_body_size=LARGEST_BODY,
    responses=documented(
        *OF_TOKEN,
        "malformed",
        "too_large",
        "image_too_large",
        "unsupported_media_type",
        "damaged_image",
        "too_many_requests",
        *OF_COMMAND,
    ),
)
async def upload_avatar(request: SignedIn, services: Provided) -> Response[AvatarUrls]:
    """Show the person by another picture."""
    account = await services.in_thread(services.account, request.user)
    avatar = await services.in_thread(make_avatar, await uploads.read(request))
    command = _command(request.user, account.number, avatar)
    outcome = await services.in_thread(_store, command, avatar, services, origin.of(request))
    picture, thumbnail = outcome.state.avatar
    return written(_urls(services.media, picture.key, thumbnail.key), outcome)


def _command(account: UUID, number: int, avatar: Avatar) -> UploadAvatar:
    name = f"{number}/avatar/avatar_{time.time_ns() // 1_000_000}"
    return UploadAvatar(
        aggregate_id=account,
        account=account,
        picture=_file(f"{name}.png", "image/png", avatar.picture),
        thumbnail=_file(f"{name}_thumbnail.jpg", "image/jpeg", avatar.thumbnail),
    )


def _file(key: str, content_type: str, data: bytes) -> AvatarFile:
    sha256 = hashlib.sha256(data).hexdigest()
    return AvatarFile(key=key, content_type=content_type, size=len(data), sha256=sha256)


def _store(command: UploadAvatar, avatar: Avatar, services: Services, by: Origin) -> Outcome:
    """First the files, then the event: what an event names is there."""
    services.media.put(command.picture.key, avatar.picture, command.picture.content_type)
    services.media.put(command.thumbnail.key, avatar.thumbnail, command.thumbnail.content_type)
    return execute(command, services.store, by)


def _urls(media: MediaStore, picture: str, thumbnail: str) -> AvatarUrls:
    return AvatarUrls(avatar_url=media.url(picture), avatar_thumbnail_url=media.url(thumbnail))


PRIVATE: Final = [get_avatar, upload_avatar]
