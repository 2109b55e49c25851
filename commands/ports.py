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
