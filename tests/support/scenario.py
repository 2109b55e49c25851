"""given / when / then for decisions, stories for a real log, and examples of all that happens."""

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from psycopg import sql

from commands import HANDLERS, Command
from domain.account import AccountErased, AccountRegistered, AvatarFile, AvatarUploaded
from domain.errors import AtelierError
from domain.events import Event, NewEvent
from domain.fit import GarmentFit, GirthFit
from domain.garment import GarmentDetails
from domain.measurements import Measurements
from domain.picture import ApparelDetails, ImageOptions, UserDetails, VideoOptions
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
    UpscaleRequested,
    VideoRequested,
    WebhookRequested,
)
from infra.log.event_store import EventStore
from infra.log.keys import KeyRing
from infra.postgres import Pool, connect, open_pool
from projections import PROJECTIONS
from projections.generations import make

MASTER_KEY = secrets.token_bytes(32)
HASH_KEY = secrets.token_bytes(32)
ACCOUNT = UUID("11111111-1111-1111-1111-111111111111")
TASK = UUID("22222222-2222-2222-2222-222222222222")
OLDER = "33/gallery/33333333-3333-3333-3333-333333333333"  # what a task made before


# Decisions.


class Decision(NamedTuple):
    """What became of a command."""

    events: list[Event]
    refusal: AtelierError | None = None

    def then(self, *events: Event) -> None:
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert self.events == list(events)

    def then_nothing(self) -> None:
        self.then()

    def then_refused(self, error: type[AtelierError]) -> None:
        assert type(self.refusal) is error, f"not refused but decided: {self.events}"


class History(NamedTuple):
    """What has happened to one aggregate."""

    events: tuple[Event, ...]

    def when(self, command: Command) -> Decision:
        handler = HANDLERS[type(command)]
        state = handler.initial
        for event in self.events:
            state = handler.evolve(state, event)
        try:
            return Decision(list(handler.decide(command, state)))
        except AtelierError as refusal:
            return Decision([], refusal)


def given(*events: Event) -> History:
    return History(events)


# Stories in a real log.


class Story:
    """Tells a log what happens, and counts the versions."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self._versions: Counter[UUID] = Counter()

    def tell(self, aggregate: UUID, *events: Event, account: UUID | None = ACCOUNT) -> int:
        """Append the events as one save, and give the position of the last."""
        saved = [
            enveloped(event, aggregate, self._versions[aggregate] + n, account=account)
            for n, event in enumerate(events, start=1)
        ]
        position = self.store.append(saved)
        self._versions[aggregate] += len(saved)
        return position

    def register(self, account: UUID = ACCOUNT, **changes: Any) -> int:
        """Open an account under an address of its own."""
        email = {"email": f"{account}@example.org"}
        return self.tell(account, registered(**email | changes), account=account)

    def request(self, account: UUID = ACCOUNT, **changes: Any) -> UUID:
        """Ask for a render, and give its task."""
        task = uuid4()
        self.tell(task, requested(**changes), account=account)
        return task


def enveloped(
    event: Event, aggregate: UUID, version: int = 1, *, account: UUID | None = ACCOUNT
) -> NewEvent:
    return NewEvent(
        event=event,
        event_id=uuid4(),
        aggregate_id=aggregate,
        version=version,
        actor="test",
        account=account,
        correlation_id=uuid4(),
    )


@contextlib.contextmanager
def opened_pool(url: str, size: int = 4) -> Iterator[Pool]:
    """A pool that is closed again."""
    pool = open_pool(url, size)
    try:
        yield pool
    finally:
        pool.close()


def make_store(pool: Pool) -> EventStore:
    """A store as another process has it: same secrets, a key ring that remembers nothing."""
    return EventStore(pool, KeyRing(pool, MASTER_KEY), HASH_KEY)


def lose_key(*stores: EventStore, account: UUID = ACCOUNT) -> None:
    """Delete an account's key as an erasure does, but without its event; the stores hear of it."""
    with connect(stores[0]._recorder.url) as connection:
        connection.execute("DELETE FROM atelier_keys WHERE account = %s", [account])
    for store in stores:
        store.keys.forget(account)


def make_read_models(url: str) -> None:
    """Make the tables of all read models."""
    with connect(url) as connection:
        for projection in PROJECTIONS:
            make(connection, projection)


def restore_older_backup(url: str, position: int) -> None:
    """What a backup that ended at a position makes of log and read models when it is restored."""
    with connect(url) as connection, connection.transaction():
        connection.execute("ALTER TABLE atelier_events DISABLE TRIGGER atelier_events_append_only")
        connection.execute("DELETE FROM atelier_events WHERE position > %s", [position])
        connection.execute("ALTER TABLE atelier_events ENABLE TRIGGER atelier_events_append_only")
        for table in ("head", "projections", "followers"):
            statement = sql.SQL("UPDATE {} SET position = least(position, %s)")
            connection.execute(statement.format(sql.Identifier(f"atelier_{table}")), [position])


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for what must come; the time is a safety net, not a promise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def eventually_refused(error: type[Exception], act: Callable[[], object]) -> None:
    """Act until it is refused so: what was killed may answer for a moment."""

    def refused() -> bool:
        with contextlib.suppress(error):
            act()
            return False
        return True

    eventually(refused)


# Examples.


def registered(**changes: Any) -> AccountRegistered:
    example: dict[str, Any] = {
        "number": 33,
        "email": "ada@example.org",
        "full_name": "Ada Lovelace",
        "date_of_birth": -4868208000,
        "ethnicity": "British",
        "gender": "Female",
    }
    return AccountRegistered(**example | changes)


def avatar_uploaded(ms: int = 1738860389536, *, replaced: int | None = None) -> AvatarUploaded:
    """An avatar of that moment, in place of the one of another moment."""
    return AvatarUploaded(
        picture=_avatar_file(ms, ".png", "image/png", 12345, "9f" * 32),
        thumbnail=_avatar_file(ms, "_thumbnail.jpg", "image/jpeg", 1234, "8e" * 32),
        replaced=() if replaced is None else avatar_keys(replaced),
    )


def avatar_keys(ms: int) -> tuple[str, str]:
    return f"33/avatar/avatar_{ms}.png", f"33/avatar/avatar_{ms}_thumbnail.jpg"


def _avatar_file(ms: int, end: str, kind: str, size: int, sha256: str) -> AvatarFile:
    key = f"33/avatar/avatar_{ms}{end}"
    return AvatarFile(key=key, content_type=kind, size=size, sha256=sha256)


def erased(number: int = 33) -> AccountErased:
    return AccountErased(number=number)


def requested(**changes: Any) -> RenderRequested:
    example: dict[str, Any] = {
        "kind": "image",
        "account_number": 33,
        "user_details": UserDetails(real_world_measurements=Measurements(height=180)),
        "apparel_details": ApparelDetails(brand="gymshark", item_id="Hoodie", color="Red"),
        "image_options": ImageOptions(),
        "render_mode": "3D",
        "vip": False,
        "limit": 1_000,
    }
    return RenderRequested(**example | changes)


def video_requested(**changes: Any) -> VideoRequested:
    example: dict[str, Any] = {
        "account_number": 33,
        "user_details": UserDetails(real_world_measurements=Measurements(height=180)),
        "apparel_details": ApparelDetails(brand="gymshark", item_id="Hoodie", color="Red"),
        "video_options": VideoOptions(duration=2),
        "render_mode": "3D",
        "vip": False,
        "limit": 1_000,
    }
    return VideoRequested(**example | changes)


def upscale_requested(**changes: Any) -> UpscaleRequested:
    example: dict[str, Any] = {
        "account_number": 33,
        "source_key": OLDER + ".mp4",
        "vip": False,
        "limit": 1_000,
    }
    return UpscaleRequested(**example | changes)


def image_to_video_requested(**changes: Any) -> ImageToVideoRequested:
    example: dict[str, Any] = {
        "account_number": 33,
        "source_key": OLDER + ".jpg",
        "video_options": VideoOptions(duration=2),
        "vip": False,
        "limit": 1_000,
    }
    return ImageToVideoRequested(**example | changes)


def webhook_requested(url: str = "https://shop.example.com/atelier?order=7") -> WebhookRequested:
    return WebhookRequested(url=url)


def started(attempt: int = 1, consumer: str = "consumer-1") -> RenderStarted:
    return RenderStarted(attempt=attempt, consumer=consumer)


def requeued(attempt: int = 1, **changes: Any) -> RenderRequeued:
    example: dict[str, Any] = {"reason": "stopped", "counted": False, "retry_after_seconds": 0.0}
    return RenderRequeued(attempt=attempt, **example | changes)


def garment_fit(**changes: Any) -> GarmentFit:
    example: dict[str, Any] = {
        "piece": "top",
        "kind": "hoodie",
        "size": "L",
        "best_size": "M",
        "girths": (
            GirthFit(
                girth="bust", body=96.8, garment=118.5, ease=21.7, strain=0.0, verdict="loose"
            ),
        ),
    }
    return GarmentFit(**example | changes)


def completed(attempt: int = 1, **changes: Any) -> RenderCompleted:
    example: dict[str, Any] = {
        "engine": "test",
        "files": (source(), thumbnail()),
        "ignored": (),
        "measured": {},
        "fit": (),
    }
    return RenderCompleted(attempt=attempt, **example | changes)


def failed(attempt: int = 1, **changes: Any) -> RenderFailed:
    example: dict[str, Any] = {"code": "render_error", "message": "it could not be rendered"}
    return RenderFailed(attempt=attempt, **example | changes)


def cancelled(attempt: int = 1) -> RenderCancelled:
    return RenderCancelled(attempt=attempt)


def removed(name: str = f"{TASK}.jpg", *keys: str) -> RenderFileRemoved:
    return RenderFileRemoved(name=name, keys=keys or (f"33/gallery/{name}",))


def source(name: str = f"{TASK}.jpg") -> MediaFile:
    return _file(name, "source")


def thumbnail(name: str = f"{TASK}_thumbnail.jpg") -> MediaFile:
    return _file(name, "thumbnail")


def _file(name: str, role: Any) -> MediaFile:
    return MediaFile(
        name=name,
        key=f"33/gallery/{name}",
        role=role,
        content_type="image/jpeg",
        size=1234,
        sha256="9f" * 32,
    )


def garment_details(**changes: Any) -> GarmentDetails:
    example: dict[str, Any] = {
        "url": "https://example.com/1",
        "brand": "BrandA",
        "gender": "Male",
        "name": "Cloth1",
        "render_mode": "2D_Kling",
        "colors": ("Red", "Blue", "Green"),
        "colors_hex": ("#FF0000", "#0000FF", "#008000"),
        "sizes": ("S", "M", "L"),
    }
    return GarmentDetails(**example | changes)
