"""How the runner reads the log: the events that its read models use, and a batch ahead."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from domain.events import WHOLE, Recorded, Segment


class EventBatch(Protocol):
    """The events that a read model uses of a part of the log, and where that part ends."""

    @property
    def events(self) -> list[Recorded]:
        """In the log's order."""

    @property
    def position(self) -> int:
        """Of the part's last event, used or not."""


class EventReader(Protocol):
    """Reads some types of the events after a position, as `EventStore.read_some` does."""

    def __call__(
        self,
        after: int,
        limit: int,
        types: Collection[str],
        *,
        personal: Collection[str],
        segment: Segment = WHOLE,
    ) -> EventBatch:
        """What follows."""


class ReadAhead:
    """An `EventReader` over another one: after a full batch it reads the next in a thread.

    While Postgres stores the rows of one batch, Python decodes the events of the other.
    """

    def __init__(self, read: EventReader) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, "read ahead")
        self._next: tuple[Any, Future[EventBatch]] | None = None

    def __call__(self, after: int, limit: int, *types: Any, **how: Any) -> EventBatch:
        """What follows, read already if that is what was expected to be asked for."""
        asked, self._next = self._next, None
        if asked and asked[0] == (after, limit, types, how):
            batch = asked[1].result()
        else:
            batch = self._read(after, limit, *types, **how)
        if batch.position - after == limit:
            following = (batch.position, limit, types, how)
            read = self._thread.submit(self._read, batch.position, limit, *types, **how)
            self._next = following, read
        return batch

    def forget(self) -> None:
        """What was read may not be what the log holds: it may be another one by now."""
        self._next = None
