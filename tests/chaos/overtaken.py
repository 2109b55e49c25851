"""A consumer that is frozen between staging and publishing, and goes on when all is over."""

import os
import signal
import time
from typing import Final, TypeVar
from uuid import UUID

from domain.events import Event
from domain.render import RenderCompleted, RenderStarted, Requested
from infra.log.event_store import EventStore
from infra.media.store import MediaStore
from tests.support.atelier import Person, expect
from tests.support.scenario import eventually

TRIES: Final = 5
OVERTAKEN_S: Final = 90.0  # until the lease has run out and another one has rendered the task
GONE_S: Final = 30.0  # until the cleaner has removed the files
AFTERMATH_S: Final = 5.0  # what the late one may do

E = TypeVar("E", bound=Event)


def overtake(person: Person, store: EventStore, media: MediaStore, accepted: set[str]) -> list[str]:
    """Have a consumer overtaken: its task is finished and the picture removed before it goes on.

    Gives what should not be: that it publishes the picture again, be it for a moment. The tasks
    that it took are `accepted`. Raises `AssertionError` when no consumer was met at that moment.
    """
    for _ in range(TRIES):
        task = Task(UUID(person.post("/generate", {})["task_id"]), store, media)
        accepted.add(str(task.id))
        eventually(task.staged, OVERTAKEN_S)
        consumer = task.consumer()
        os.kill(consumer, signal.SIGSTOP)
        try:
            if task.completed() or task.published():
                continue  # frozen too late
            eventually(task.completed, OVERTAKEN_S)
            removal = f"/remove_gallery_file/{task.id}.jpg"
            expect(person.client.delete(removal, headers=person.headers))
            eventually(task.removed, GONE_S)
        finally:
            thawed = _thaw(consumer)
        if not thawed:
            continue  # overtaking it took so long that it was ended, since it was silent
        if task.comes_back():
            return [f"task {task.id} was published again after its removal"]
        return []
    raise AssertionError("no consumer could be frozen between staging and publishing")


def _thaw(process: int) -> bool:
    """Let it go on; False when it is gone."""
    try:
        os.kill(process, signal.SIGCONT)
    except ProcessLookupError:
        return False
    return True


class Task:
    """A task as log and media store know it."""

    def __init__(self, task: UUID, store: EventStore, media: MediaStore) -> None:
        self.id = task
        self._store = store
        self._media = media

    def staged(self) -> bool:
        """Whether an attempt has files."""
        return any(self._media.list(f"staging/{self.id}/"))

    def published(self) -> bool:
        """Whether its person has files of it."""
        [request] = self._events(Requested)
        return any(self._media.list(f"{request.account_number}/gallery/{self.id}"))

    def removed(self) -> bool:
        """Whether they are gone."""
        return not self.published()

    def comes_back(self) -> bool:
        """Whether they are there again at any moment of the aftermath."""
        deadline = time.monotonic() + AFTERMATH_S
        while time.monotonic() < deadline:
            if self.published():
                return True
        return False

    def completed(self) -> bool:
        """Whether it has its result."""
        return bool(self._events(RenderCompleted))

    def consumer(self) -> int:
        """The process of its newest attempt, whose id stands in the consumer's name."""
        return int(self._events(RenderStarted)[-1].consumer.split("-")[-2])

    def _events(self, kind: type[E]) -> list[E]:
        events = [recorded.event for recorded in self._store.load(self.id)]
        return [event for event in events if isinstance(event, kind)]
