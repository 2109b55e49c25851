"""Videos: of a person turning around, of a picture that moves, and at twice the size."""

import base64
import binascii
import contextlib
import hashlib
import re
from typing import Annotated, Any, Final, TypedDict
from urllib.parse import unquote, urlsplit
from uuid import UUID

import msgspec
from litestar import Response, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody

from api.edge import limits, origin, webhooks
from api.edge.auth import SignedIn
from api.edge.errors import OF_TASK, documented
from api.edge.idempotency import Order, Ordered
from api.edge.wire import Check, Opaque, StrictRequest
from api.resources.gallery import TASK_OF
from api.resources.render import TaskCreated, task_created
from api.services import Provided, Services
from commands import Origin, Outcome, execute, execute_async
from commands.render import NEW_TASK, RequestImageToVideo, RequestUpscale, RequestVideo
from domain import render
from domain.account import Account
from domain.errors import AtelierError, NotFound, Unavailable
from domain.events import fold
from domain.picture import ApparelDetails, RenderMode, TaskOptions, UserDetails, VideoOptions
from infra.media.images import upright

LARGEST_IMAGE: Final = 10_000_000  # bytes, before base64 makes four of three
LARGEST_REST: Final = 64 * 1024  # bytes of everything else
LARGEST_BODY: Final = LARGEST_IMAGE * 4 // 3 + LARGEST_REST
LONGEST_URL: Final = 4_096
DATA_URI: Final = re.compile(  # RFC 2397: the media type and its parameters may be left out
    r"""\s*data:([\w.+-]+/[\w.+-]+)?(;[\w.+*-]+=("[^"]*"|[^;,"]*))*;base64,""", re.IGNORECASE
)
OWN_MEDIA: Final = re.compile(r"(?:.*/)?(?P<key>\d+/(?:gallery|avatar)/(?P<name>[^/]+))")
UPSCALED: Final = "_upscale.mp4"


def _own_key(address: str) -> str | None:
    """The key that the address's path ends in; its host and signature say nothing.

    None for what is no such address.
    """
    if len(address) > LONGEST_URL or DATA_URI.match(address):
        return None
    try:
        path = unquote(urlsplit(address.strip()).path)
    except ValueError:
        return None
    found = OWN_MEDIA.fullmatch(path)
    return found["key"] if found else None


def _decoded(image: str) -> bytes:
    """The bytes of base64, which may be wrapped or in a data URI; none when it is not base64."""
    start = DATA_URI.match(image)
    try:
        return base64.b64decode(
            "".join(image[start.end() if start else 0 :].split()), validate=True
        )
    except (binascii.Error, ValueError):
        return b""


def _is_video(address: str) -> bool:
    return (_own_key(address) or "").endswith(".mp4")


def _is_small(address: str) -> bool:
    return not (_own_key(address) or "").endswith(UPSCALED)


def _is_picture(image: str) -> bool:
    key = _own_key(image)
    return bool(_decoded(image)) if key is None else key.endswith((".jpg", ".png"))


VideoUrl = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=LONGEST_URL,
        description="the source_url of a video of your own gallery; it may have expired",
    ),
    Check(_is_video, "the source_url of a video in your gallery"),
    Check(_is_small, "a video that has not been upscaled yet"),
]
Picture = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        description="a picture as base64 or as a data URI, or the address of one of your own",
    ),
    Opaque,
    Check(_is_picture, "base64, a data URI, or the address of a picture of your own"),
]


class VideoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who shall turn around in the video; what is left out has a default."""

    user_details: UserDetails = UserDetails()
    apparel_details: ApparelDetails = ApparelDetails()
    video_options: VideoOptions = VideoOptions()
    task_options: TaskOptions = TaskOptions()
    render_mode: RenderMode = "3D"


class UpscaleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which video shall be twice as large."""

    video_url: VideoUrl
    task_options: TaskOptions = TaskOptions()


class ImageToVideoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which picture shall move."""

    image: Picture
    video_options: VideoOptions = VideoOptions()
    task_options: TaskOptions = TaskOptions()


class Asked(TypedDict):
    """What every request for a task has."""

    aggregate_id: UUID
    account: UUID
    account_number: int
    request_hash: str | None
    vip: bool
    limit: int
    webhook_url: str | None


async def large_bodies(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Count a request as an upload when it brings more than an address."""
    length = connection.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit() and int(length) <= LARGEST_REST):
        await limits.uploads(connection, handler)


@post(
    "/generate_video",
    status_code=200,
    tags=["Generate"],
    request_class=StrictRequest,
    responses=documented(*OF_TASK),
)
async def generate_video(
    data: JSONBody[VideoRequest], request: SignedIn, services: Provided, order: Ordered
) -> Response[TaskCreated]:
    """Ask for a picture, and for a video of the person turning once around."""
    asked = _request_video(order, request.user, data, services, origin.of(request))
    return await task_created(order, services.in_time(asked))


@post(
    "/upscale",
    status_code=200,
    tags=["Generate"],
    request_class=StrictRequest,
    responses=documented(*OF_TASK, "not_found"),
)
async def upscale(
    data: JSONBody[UpscaleRequest], request: SignedIn, services: Provided, order: Ordered
) -> Response[TaskCreated]:
    """Ask for a video of the own gallery at twice its size."""
    asked = services.in_thread(
        _request_upscale, order, request.user, data, services, origin.of(request)
    )
    return await task_created(order, asked)


@post(
    "/image_to_video",
    status_code=200,
    tags=["Generate"],
    guards=[large_bodies],
    request_class=StrictRequest,
    request_max_body_size=LARGEST_BODY,
    responses=documented(
        *OF_TASK, "not_found", "image_too_large", "damaged_image", "too_many_requests"
    ),
)
async def image_to_video(
    data: JSONBody[ImageToVideoRequest], request: SignedIn, services: Provided, order: Ordered
) -> Response[TaskCreated]:
    """Ask for a video in which a picture moves gently."""
    asked = services.in_thread(
        _request_image_to_video, order, request.user, data, services, origin.of(request)
    )
    return await task_created(order, asked)


async def _request_video(
    order: Order, account: UUID, data: VideoRequest, services: Services, by: Origin
) -> Outcome:
    number = await services.account_number(account)
    vip = data.task_options.vip and await services.may_be_vip(account)
    command = RequestVideo(
        **_asked(order, account, number, data.task_options, services, vip=vip),
        user_details=data.user_details,
        apparel_details=data.apparel_details,
        video_options=data.video_options,
        render_mode=data.render_mode,
        garment=await services.worn(data.apparel_details),
    )
    known = NEW_TASK if order.is_new else None
    return await execute_async(command, services.async_store, by, known=known)


def _request_upscale(
    order: Order, account: UUID, data: UpscaleRequest, services: Services, by: Origin
) -> Outcome:
    person = services.account(account)
    command = RequestUpscale(
        **_asked_by(person, order, account, data.task_options, services),
        source_key=_checked(_own_key(data.video_url), order, account, person, services),
    )
    return execute(command, services.store, by)


def _request_image_to_video(
    order: Order, account: UUID, data: ImageToVideoRequest, services: Services, by: Origin
) -> Outcome:
    person = services.account(account)
    key = _own_key(data.image)
    if key is None:
        return _request_with_data(order, account, person, data, services, by)
    command = RequestImageToVideo(
        **_asked_by(person, order, account, data.task_options, services),
        source_key=_checked(key, order, account, person, services),
        video_options=data.video_options,
    )
    return execute(command, services.store, by)


def _request_with_data(
    order: Order,
    account: UUID,
    person: Account,
    data: ImageToVideoRequest,
    services: Services,
    by: Origin,
) -> Outcome:
    """First the bytes, then the event: what an event names is there."""
    picture = upright(_decoded(data.image))
    digest = hashlib.sha256(picture).hexdigest()[:16]
    key = f"{person.number}/{render.UPLOADS}/{order.task}_{digest}.png"
    command = RequestImageToVideo(
        **_asked_by(person, order, account, data.task_options, services),
        source_key=key,
        video_options=data.video_options,
    )
    if services.store.load(order.task):  # sent before: what it brought then is what counts
        return execute(command, services.store, by)
    services.media.put(key, picture, "image/png")
    return _carried_out_or_cleared(command, services, by)


def _carried_out_or_cleared(
    command: RequestImageToVideo, services: Services, by: Origin
) -> Outcome:
    try:
        return execute(command, services.store, by)
    except AtelierError as error:
        if not error.retriable:
            with contextlib.suppress(Unavailable):
                services.media.delete(command.source_key)
        raise


def _asked_by(
    person: Account, order: Order, account: UUID, options: TaskOptions, services: Services
) -> Asked:
    vip = options.vip and services.lets_in(person)
    return _asked(order, account, person.number, options, services, vip=vip)


def _asked(
    order: Order,
    account: UUID,
    number: int,
    options: TaskOptions,
    services: Services,
    *,
    vip: bool,
) -> Asked:
    most = services.settings.task_limit
    return Asked(
        aggregate_id=order.task,
        account=account,
        account_number=number,
        request_hash=order.request_hash,
        vip=vip,
        limit=min(options.limit or most, most),
        webhook_url=webhooks.allowed(options, services.settings),
    )


def _checked(
    key: str | None, order: Order, account: UUID, person: Account, services: Services
) -> str:
    """The key, if the log says that it is the account's; raises `NotFound`.

    A request that was sent before is no other one because its source has gone since.
    """
    if key and order.request_hash and services.store.load(order.task):
        return key
    named = TASK_OF.match(key.rsplit("/", 1)[-1]) if key else None
    history = services.store.load(UUID(named["task"])) if named else []
    own = {file.key for file in person.avatar[:1]}
    if history and history[0].account == account:
        files = fold(render.evolve, render.initial, history).files
        own |= {file.key for file in files if file.role == "source"}
    if key not in own:
        raise NotFound("you have no such file")
    return key


PRIVATE: Final = [generate_video, upscale, image_to_video]
