"""What the commands need from outside."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domain.events import NewEvent, Recorded


class EventStore(Protocol):
    """Where histories come from and new events go."""

    def load(self, aggregate_id: UUID) -> list[Recorded]:
        """An aggregate's history, oldest first."""

    def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save and give the position of the last."""


class AsyncEventStore(Protocol):
    """The same for an event loop."""

    async def load(self, aggregate_id: UUID) -> list[Recorded]:
        """An aggregate's history, oldest first."""

    async def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save and give the position of the last."""


class BulkStore(Protocol):
    """The same for many aggregates at once."""

    def load_many(self, aggregate_ids: Sequence[UUID]) -> dict[UUID, list[Recorded]]:
        """The histories of several aggregates, empty ones included."""

    def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save and give the position of the last."""
