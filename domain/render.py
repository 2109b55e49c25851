"""The render: one task from its request to its files."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from domain.events import Event
from domain.fit import GarmentFit
from domain.garment import WornGarment
from domain.picture import ApparelDetails, ImageOptions, RenderMode, UserDetails, VideoOptions

MAX_ATTEMPTS = 3
UPLOADS = "uploads"  # the folder of what clients send along with a request, until the task ends

Kind = Literal["image"]
Status = Literal["unknown", "pending", "started", "completed", "failed", "cancelled"]
# Why a task has failed, as its owner is told; docs/errors.md says what each means.
FailureCode = Literal[
    "attempts_exhausted",
    "cancelled",
    "refused_by_engine",
    "render_error",
    "source_damaged",
    "source_gone",
    "unsupported",
]
# What is being done for a task that is rendered.
Stage = Literal["dressing", "drawing", "encoding", "uploading"]


class MediaFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a finished render; ``key`` is its name in the media store, ``size`` in bytes."""

    name: str
    key: str
    role: Literal["source", "thumbnail"]
    content_type: str
    size: int
    sha256: str


# Events. Their stored names are stored for ever.


class Requested(Event, frozen=True, kw_only=True):
    """What every request has: whose folder, which lane, how many unfinished tasks are allowed.

    ``request_hash`` is a keyed hash of what the client sent under an ``Idempotency-Key``.
    """

    account_number: int
    vip: bool
    limit: int
    request_hash: str | None = None


class RenderRequested(Requested, frozen=True, kw_only=True):
    """A client asked for a picture; ``garment`` is what the catalogue said of it."""

    stored_name = "render.requested.v1"
    personal = ("user_details",)

    kind: Kind
    user_details: UserDetails | None
    apparel_details: ApparelDetails
    image_options: ImageOptions
    render_mode: RenderMode
    garment: WornGarment | None = None


class VideoRequested(Requested, frozen=True, kw_only=True):
    """A client asked for a video of the person turning once around."""

    stored_name = "render.video_requested.v1"
    personal = ("user_details", "video_options")

    user_details: UserDetails | None
    apparel_details: ApparelDetails
    video_options: VideoOptions | None
    render_mode: RenderMode
    garment: WornGarment | None = None


class UpscaleRequested(Requested, frozen=True, kw_only=True):
    """A client asked for one of its videos at twice the size; ``source_key`` is that video's."""

    stored_name = "render.upscale_requested.v1"

    source_key: str


class ImageToVideoRequested(Requested, frozen=True, kw_only=True):
    """A client asked to see a picture move; it lies in the media store as ``source_key``."""

    stored_name = "render.image_to_video_requested.v1"
    personal = ("video_options",)

    source_key: str
    video_options: VideoOptions | None


class WebhookRequested(Event, frozen=True, kw_only=True):
    """The client wants to be told at this address how the task ends."""

    stored_name = "render.webhook_requested.v1"
    personal = ("url",)

    url: str | None


class RenderStarted(Event, frozen=True, kw_only=True):
    """A consumer claimed the task; ``attempt`` counts the claims and fences older ones off."""

    stored_name = "render.started.v1"

    attempt: int
    consumer: str


class RenderRequeued(Event, frozen=True, kw_only=True):
    """An attempt ended without a result; it counts against the task only when ``counted``.

    Once more for the same attempt, as ``retried``: an operator has cut its backoff short.
    """

    stored_name = "render.requeued.v1"

    attempt: int
    reason: str
    counted: bool
    retry_after_seconds: float


class RenderCompleted(Event, frozen=True, kw_only=True):
    """The files are published; ``ignored`` names the options that the engine did not apply.

    ``measured`` is what the drawn body measures, in centimetres, and ``fit`` how its clothes fit.
    ``silhouette`` is how far a remote engine's picture kept the outline, from 0 to 1: the area that
    its outline and ours have in common, over the area of both.
    """

    stored_name = "render.completed.v1"
    personal = ("measured", "fit")

    attempt: int
    engine: str
    files: tuple[MediaFile, ...]
    ignored: tuple[str, ...]
    measured: dict[str, float] | None
    fit: tuple[GarmentFit, ...] | None = None
    silhouette: float | None = None


class RenderFailed(Event, frozen=True, kw_only=True):
    """The task has ended without a result."""

    stored_name = "render.failed.v1"

    attempt: int
    code: str  # a `FailureCode`, of this build or another
    message: str


class RenderCancelled(Event, frozen=True, kw_only=True):
    """The user no longer wants the result; ``attempt`` is the one that was under way, if any."""

    stored_name = "render.cancelled.v1"

    attempt: int


class RenderFileRemoved(Event, frozen=True, kw_only=True):
    """The user removed a file from the gallery; ``keys`` are what the media store shall delete."""

    stored_name = "render.file_removed.v1"

    name: str
    keys: tuple[str, ...]


EVENTS: tuple[type[Event], ...] = (
    RenderRequested,
    VideoRequested,
    UpscaleRequested,
    ImageToVideoRequested,
    WebhookRequested,
    RenderStarted,
    RenderRequeued,
    RenderCompleted,
    RenderFailed,
    RenderCancelled,
    RenderFileRemoved,
)


# State.


class Render(msgspec.Struct, frozen=True, kw_only=True):
    """A render as its events have made it; ``spent`` counts the attempts that count against it.

    ``backs_off`` tells that it was given back to be claimed later.
    """

    status: Status = "unknown"
    request: Requested | None = None
    webhook_url: str | None = None
    attempt: int = 0
    spent: int = 0
    backs_off: bool = False
    files: tuple[MediaFile, ...] = ()


initial = Render()


def evolve(state: Render, event: Event) -> Render:
    """Apply one event to the render."""
    replace = msgspec.structs.replace
    match event:
        case Requested():
            return replace(state, status="pending", request=event)
        case WebhookRequested():
            return replace(state, webhook_url=event.url)
        case RenderStarted():
            begun = replace(state, status="started", attempt=event.attempt, backs_off=False)
            return replace(begun, spent=state.spent + 1)
        case RenderRequeued():
            later = event.retry_after_seconds > 0
            spent = state.spent - (not event.counted)
            return replace(state, status="pending", spent=spent, backs_off=later)
        case RenderCompleted():
            return replace(state, status="completed", files=event.files)
        case RenderFailed():
            return replace(state, status="failed")
        case RenderCancelled():
            return replace(state, status="cancelled")
        case RenderFileRemoved():
            return replace(state, files=tuple(f for f in state.files if f.key not in event.keys))
        case _:
            return state


def fit_of(history: Iterable[Event]) -> Sequence[GarmentFit]:
    """How the clothes of a completed task fit; nothing once its account is erased."""
    completed = (event for event in history if isinstance(event, RenderCompleted))
    return next((event.fit for event in completed if event.fit), ())
