"""Has the remote engine redraw what consumers ask of it: one process at a time does."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol
from uuid import uuid4

import msgspec
import structlog

from commands import Origin, execute
from commands.ports import EventStore
from commands.render import RetryRender
from domain.errors import AtelierError, NotFound, TaskEnded
from infra.kling.client import Barred, Kling, Later, NotFetched, Refused, RemoteTask
from infra.kling.illustrations import (
    Illustration,
    Illustrations,
    State,
    guide_key,
    made_key,
)
from infra.media import images
from infra.process.metrics import KLING, KLING_BARRED
from render_consumers.loop.cleaner import ENDS, Leader

log = structlog.get_logger("atelier.kling")

NAME: Final = "illustrator"
LOOK_S: Final = 1.0  # at the table
RETRY_S: Final = 2.0
BARRED_S: Final = 300.0  # nothing is sent for so long once the account is of no use
FIRST_POLL_S: Final = 2.0
LONGEST_POLL_S: Final = 30.0
FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 60.0
MOST_OF_A_REASON: Final = 200  # characters
# The guide says all of the person and the clothes; nothing that a client has written goes out.
PROMPT: Final = (
    "2D fashion illustration with clean ink outlines and soft cel shading of exactly the person in "
    "the image: the same body shape, proportions, pose, framing, hair, clothes and colours, on the "
    "same plain background"
)


class Media(Protocol):
    """The store where guides and results lie."""

    def get(self, key: str) -> bytes:
        """An object's bytes; raises `NotFound`."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object."""

    def delete(self, key: str) -> None:
        """Remove an object; it may be gone already."""


class Illustrator:
    """Submits what is wanted, looks how it stands, and takes what is made into our own store.

    Each step is written down before and after. One that was cut off between submit and record is
    submitted anew: the engine's list has nothing by which to tell whose task is whose.
    """

    def __init__(
        self, table: Illustrations, events: EventStore, media: Media, kling: Kling, slots: int
    ) -> None:
        self._table = table
        self._events = events
        self._media = media
        self._kling = kling
        self._slots = slots
        self._barred_until = 0.0

    def run(self, leader: Leader, wait: Callable[[float], object], stop: threading.Event) -> None:
        """Work until `stop`; who is away is waited for."""
        while not stop.is_set() and leader.acquire(stop):
            try:
                self.recover()
                while not stop.is_set() and leader.held():
                    self.work(stop)
                    wait(LOOK_S)
            except AtelierError as error:
                log.info("waiting", why=error.code)
                stop.wait(RETRY_S)
            finally:
                KLING_BARRED.set(0)  # whoever takes over finds out by itself

    def recover(self) -> None:
        """Submit anew what an earlier illustrator may or may not have submitted."""
        for task in self._table.cut_off():
            log.warning("submitted anew, so perhaps paid for twice", task=str(task))

    def work(self, stop: threading.Event) -> None:
        """See once to everything that is due."""
        for each in self._table.over(ENDS):
            self._forget(each)
        for each in self._table.due("made", "refused", "unusable"):
            self._wake(each)
        barred = time.monotonic() < self._barred_until
        KLING_BARRED.set(barred)
        if barred:
            return
        for each in self._table.due("submitted"):
            if not stop.is_set():
                self._tried(each, self._look)
        room = self._slots - self._table.under_way()
        for each in self._table.due("wanted", limit=max(0, room), waited=True):
            if not stop.is_set() and time.monotonic() >= self._barred_until:
                self._tried(each, self._submit)

    def _tried(self, each: Illustration, act: Callable[[Illustration], str]) -> None:
        """Act, and write down what became of it."""
        began = time.monotonic()
        try:
            outcome = act(each)
        except Later as error:
            delay = _growing(FIRST_RETRY_S, 2.0, each.tries, LONGEST_RETRY_S)
            log.warning("tried again later", task=str(each.task), why=str(error), seconds=delay)
            self._table.wait(each.task, each.state, delay)
            outcome = "retried"
        except Barred as error:
            self._bar(each, error)
            outcome = "barred"
        except Refused as error:
            log.warning("refused", task=str(each.task), why=str(error))
            self._settle(each, "refused", str(error))
            outcome = "refused"
        except AtelierError:
            raise  # a server of ours is away
        except Exception:
            log.exception("not illustrated", task=str(each.task))
            self._table.wait(each.task, each.state, LONGEST_RETRY_S)
            outcome = "failed"
        KLING.labels(outcome).observe(time.monotonic() - began)

    def _submit(self, each: Illustration) -> str:
        try:
            guide = self._media.get(guide_key(each.folder))
        except NotFound:
            self._settle(each, "unusable")
            return "unusable"
        self._table.wait(each.task, "submitting", 0)
        remote_id = self._kling.submit(guide, PROMPT)
        self._table.move(each.task, "submitted", delay=FIRST_POLL_S, remote_id=remote_id)
        log.info("submitted", task=str(each.task), remote=remote_id)
        return "submitted"

    def _look(self, each: Illustration) -> str:
        assert each.remote_id is not None
        remote = self._kling.look(each.remote_id)
        if remote.status == "succeed":
            return self._take(each, remote)
        if remote.status == "failed":
            why = "".join(c for c in remote.message if c.isprintable())[:MOST_OF_A_REASON]
            raise Refused(f"the engine could not make the picture: {why or 'it does not say why'}")
        self._table.wait(
            each.task, "submitted", _growing(FIRST_POLL_S, 1.5, each.tries, LONGEST_POLL_S)
        )
        return "waited"

    def _take(self, each: Illustration, remote: RemoteTask) -> str:
        """Copy a result at once: the engine's own goes away."""
        try:
            picture = images.upright(self._kling.fetch(remote.url))
        except (NotFetched, images.NotAnImage, images.ImageTooLarge, images.DamagedImage) as error:
            log.error("unusable", task=str(each.task), why=str(error))
            self._settle(each, "unusable")
            return "unusable"
        self._media.put(made_key(each.folder), picture, "image/png")
        self._settle(each, "made")
        return "made"

    def _settle(self, each: Illustration, state: State, reason: str = "") -> None:
        self._table.move(each.task, state, reason=reason)
        self._wake(msgspec.structs.replace(each, state=state, tries=0))

    def _bar(self, each: Illustration, error: Barred) -> None:
        """Send nothing for a while; what is wanted or under way stays so."""
        self._table.wait(each.task, each.state, 0)
        self._barred_until = time.monotonic() + BARRED_S
        KLING_BARRED.set(1)
        log.error("the engine takes nothing of ours: see to the account", why=str(error))

    def _wake(self, each: Illustration) -> None:
        """Have the task claimed. Its consumer may be about to give it back: so once more later."""
        self._table.wait(
            each.task, each.state, _growing(FIRST_POLL_S, 1.5, each.tries, LONGEST_POLL_S)
        )
        origin = Origin(actor=NAME, correlation_id=uuid4())
        command = RetryRender(aggregate_id=each.task, account=each.account)
        with contextlib.suppress(TaskEnded, NotFound):  # its row goes next
            execute(command, self._events, origin)

    def _forget(self, each: Illustration) -> None:
        self._media.delete(guide_key(each.folder))
        self._media.delete(made_key(each.folder))
        self._table.drop(each.task)


def _growing(first: float, factor: float, tries: int, longest: float) -> float:
    """Seconds until the next try."""
    return float(min(first * factor ** min(tries, 20), longest))
