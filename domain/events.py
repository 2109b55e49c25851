"""The base of all events, the envelope that the log keeps around each, and folding."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import ClassVar, Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

State = TypeVar("State")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in the past tense, immutable once stored.

    ``stored_name`` is what the log and Kafka call it, for ever; it carries the version.
    ``personal`` names the fields that are stored encrypted under the account's key. Such a
    field reads as None once the account is erased, so its type must allow None.
    """

    stored_name: ClassVar[str]
    personal: ClassVar[tuple[str, ...]] = ()


class Unreadable(Event, frozen=True, kw_only=True):
    """Stands for a stored event whose state cannot be decoded; readers set it aside."""

    stored_name = "unreadable"

    kind: str  # the stored name of what it stands for
    error: str


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its envelope, on its way into the log."""

    event: Event
    event_id: UUID
    aggregate_id: UUID
    version: int
    actor: str
    account: UUID | None
    correlation_id: UUID
    causation_id: UUID | None = None


class Recorded(NewEvent, frozen=True, kw_only=True):
    """An event as the log holds it; ``position`` is its place in the global order."""

    position: int
    recorded_at: datetime


class Segment(NamedTuple):
    """One of ``of`` parts of the log, by a hash of the account, or of the aggregate without one."""

    number: int  # from 0
    of: int


WHOLE: Final = Segment(0, 1)


def fold(
    evolve: Callable[[State, Event], State], initial: State, history: Iterable[Recorded]
) -> State:
    """Replay an aggregate's history into its state."""
    state = initial
    for recorded in history:
        state = evolve(state, recorded.event)
    return state
