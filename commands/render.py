"""What may happen to a render."""

import msgspec

from commands.handling import Command, Outcome
from domain.errors import IdempotencyKeyReused, NotClaimable, NotFound, StaleAttempt, TaskEnded
from domain.events import Event
from domain.fit import GarmentFit
from domain.garment import WornGarment
from domain.picture import ApparelDetails, ImageOptions, RenderMode, UserDetails, VideoOptions
from domain.render import (
    MAX_ATTEMPTS,
    FailureCode,
    ImageToVideoRequested,
    Kind,
    MediaFile,
    Render,
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
    WebhookRequested,
    initial,
)

BACKOFF_S = 1.0  # before the second attempt; twice as long before the third


# A task whose id was made just now.
NEW_TASK = Outcome(events=(), position=0, version=0, state=initial)


class Request(Command, frozen=True, kw_only=True):
    """Ask for a task; refused when the account then has over `limit` unfinished ones.

    `request_hash` tells what was asked under the key that the task's id is derived from;
    `webhook_url` is where the end of the task is to be told.
    """

    account_number: int
    vip: bool
    limit: int
    request_hash: str | None = None
    webhook_url: str | None = None


class RequestRender(Request, frozen=True, kw_only=True):
    """Ask for a picture; `garment` is what the catalogue says of it."""

    kind: Kind
    user_details: UserDetails
    apparel_details: ApparelDetails
    image_options: ImageOptions
    render_mode: RenderMode
    garment: WornGarment | None = None


class RequestVideo(Request, frozen=True, kw_only=True):
    """Ask for a video of the person turning around."""

    user_details: UserDetails
    apparel_details: ApparelDetails
    video_options: VideoOptions
    render_mode: RenderMode
    garment: WornGarment | None = None


class RequestUpscale(Request, frozen=True, kw_only=True):
    """Ask for a video that is there at twice its size."""

    source_key: str


class RequestImageToVideo(Request, frozen=True, kw_only=True):
    """Ask for a picture that is there to move."""

    source_key: str
    video_options: VideoOptions


REQUESTS: dict[type[Request], type[Requested]] = {
    RequestRender: RenderRequested,
    RequestVideo: VideoRequested,
    RequestUpscale: UpscaleRequested,
    RequestImageToVideo: ImageToVideoRequested,
}


class StartRender(Command, frozen=True, kw_only=True):
    """Claim a task, holding its lease: so whoever started it before has let go."""

    consumer: str


class RequeueRender(Command, frozen=True, kw_only=True):
    """Give a task back that failed through no fault of its own: the attempt does not count."""

    attempt: int
    reason: str
    retry_after_seconds: float


class FailAttempt(Command, frozen=True, kw_only=True):
    """Report an attempt that failed by the task's own fault: the last one fails the task.

    So does one that is ``final``, since another would end the same way.
    """

    attempt: int
    code: FailureCode
    message: str
    final: bool = False


class RetryRender(Command, frozen=True, kw_only=True):
    """Let a task that backs off be claimed at once; what it lacked is there again."""


class CompleteRender(Command, frozen=True, kw_only=True):
    """Publish the files of an attempt, which lie in the media store already."""

    attempt: int
    engine: str
    files: tuple[MediaFile, ...]
    ignored: tuple[str, ...]
    measured: dict[str, float]
    fit: tuple[GarmentFit, ...] = ()
    silhouette: float | None = None


class CancelRender(Command, frozen=True, kw_only=True):
    """Give a task up, whether it waits or is being rendered."""


class RemoveFile(Command, frozen=True, kw_only=True):
    """Take a file out of the gallery."""

    name: str


def request(command: Request, state: Render) -> list[Event]:
    """A task is requested once, and never anew as something else."""
    if state.request:
        if command.request_hash != state.request.request_hash:
            raise IdempotencyKeyReused("this Idempotency-Key was sent before with another body")
        return []
    events: list[Event] = [msgspec.convert(command, REQUESTS[type(command)], from_attributes=True)]
    if command.webhook_url:
        events.append(WebhookRequested(url=command.webhook_url))
    return events


def start(command: StartRender, state: Render) -> list[Event]:
    """Whoever appends the claim first has it; a task that used up its attempts fails instead."""
    if state.status not in ("pending", "started"):
        raise NotClaimable(f"the task is {state.status}")
    if state.spent >= MAX_ATTEMPTS:
        return [_exhausted(state.attempt)]
    return [RenderStarted(attempt=state.attempt + 1, consumer=command.consumer)]


def requeue(command: RequeueRender, state: Render) -> list[Event]:
    """Only the current attempt can give its task back."""
    if _already_given_back(command.attempt, state):
        return []
    _check_current(command.attempt, state)
    return [
        RenderRequeued(
            attempt=command.attempt,
            reason=command.reason,
            counted=False,
            retry_after_seconds=command.retry_after_seconds,
        )
    ]


def fail_attempt(command: FailAttempt, state: Render) -> list[Event]:
    """Another try after a while, when there is one left and it may do better; else the end."""
    if _already_given_back(command.attempt, state):
        return []
    _check_current(command.attempt, state)
    if command.final or state.spent >= MAX_ATTEMPTS:
        return [RenderFailed(attempt=command.attempt, code=command.code, message=command.message)]
    return [
        RenderRequeued(
            attempt=command.attempt,
            reason=command.code,
            counted=True,
            retry_after_seconds=BACKOFF_S * 2.0 ** (state.spent - 1),
        )
    ]


def retry(_command: RetryRender, state: Render) -> list[Event]:
    """Only a backoff can be cut short; the attempts that are spent stay spent."""
    if state.status == "unknown":
        raise NotFound("there is no such task")
    if state.status not in ("pending", "started"):
        raise TaskEnded(f"the task has ended: it is {state.status}")
    if not state.backs_off:
        return []
    return [
        RenderRequeued(attempt=state.attempt, reason="retried", counted=True, retry_after_seconds=0)
    ]


def complete(command: CompleteRender, state: Render) -> list[Event]:
    """A task completes once, by its current attempt."""
    if state.status == "completed" and command.attempt == state.attempt:
        return []
    _check_current(command.attempt, state)
    return [
        RenderCompleted(
            attempt=command.attempt,
            engine=command.engine,
            files=command.files,
            ignored=command.ignored,
            measured=command.measured,
            fit=command.fit,
            silhouette=command.silhouette,
        )
    ]


def cancel(_command: CancelRender, state: Render) -> list[Event]:
    """What has not ended ends now; the attempt under way finds out when it renews its lease."""
    if state.status == "unknown":
        raise NotFound("you have no such task")
    if state.status == "cancelled":
        return []
    if state.status not in ("pending", "started"):
        raise TaskEnded(f"the task has ended: it is {state.status}")
    return [RenderCancelled(attempt=state.attempt)]


def remove_file(command: RemoveFile, state: Render) -> list[Event]:
    """The file leaves, and its thumbnail with it when no other file needs it."""
    sources = [f for f in state.files if f.role == "source"]
    gone = [f for f in sources if f.name == command.name]
    if not gone:
        raise NotFound(f"there is no file {command.name} in your gallery")
    if len(sources) == 1:
        gone = list(state.files)
    return [RenderFileRemoved(name=command.name, keys=tuple(f.key for f in gone))]


def _check_current(attempt: int, state: Render) -> None:
    if state.status != "started" or attempt != state.attempt:
        raise StaleAttempt(f"attempt {attempt} is over: the task is {state.status}")


def _already_given_back(attempt: int, state: Render) -> bool:
    return state.status == "pending" and attempt == state.attempt


def _exhausted(attempt: int) -> RenderFailed:
    code: FailureCode = "attempts_exhausted"
    return RenderFailed(
        attempt=attempt,
        code=code,
        message=f"the task was given up after {MAX_ATTEMPTS} attempts",
    )
