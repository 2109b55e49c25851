"""Load, decide, append; once more when another writer was first."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from commands.ports import AsyncEventStore, BulkStore, EventStore
from domain.errors import VersionConflict
from domain.events import Event, NewEvent, Recorded, fold
from domain.ids import new_id

MAX_TRIES = 20

Result = TypeVar("Result")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to happen to one aggregate; `account` is whose data it touches."""

    aggregate_id: UUID
    account: UUID | None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a command, and what led to it."""

    actor: str
    correlation_id: UUID
    causation_id: UUID | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to: its new events (none when nothing changed) and where the log stands.

    ``position`` and ``version`` are those of the aggregate's newest event, ``state`` is what the
    aggregate now is.
    """

    events: tuple[Event, ...]
    position: int
    version: int
    state: Any


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """What several commands led to: the new events of each, and the newest position of them all."""

    events: tuple[tuple[Event, ...], ...]
    position: int


class Handler(msgspec.Struct, frozen=True):
    """How a command is decided: a pure `decide` over the state that `evolve` folds."""

    decide: Callable[[Any, Any], Sequence[Event]]
    evolve: Callable[[Any, Event], Any]
    initial: Any


async def handle(
    handler: Handler,
    command: Command,
    store: AsyncEventStore,
    origin: Origin,
    *,
    known: Outcome | None = None,
) -> Outcome:
    """Carry a command out. Raises what `decide` and the store raise; then nothing has happened.

    `known` is what the aggregate was when it was last seen: it spares loading it, and when somebody
    else has been there since, nothing is lost but a try.
    """
    for n in range(MAX_TRIES):
        before = (known if n == 0 else None) or await _seen(handler, command, store)
        decided = tuple(handler.decide(command, before.state))
        if not decided:
            return msgspec.structs.replace(before, events=())
        try:
            position = await store.append(_enveloped(decided, command, origin, before.version))
        except VersionConflict:
            continue
        state = before.state
        for event in decided:
            state = handler.evolve(state, event)
        version = before.version + len(decided)
        return Outcome(events=decided, position=position, version=version, state=state)
    raise VersionConflict("the aggregate is too busy; try again in a moment")


async def _seen(handler: Handler, command: Command, store: AsyncEventStore) -> Outcome:
    """What the log says of an aggregate, as of a command that has changed nothing."""
    history = await store.load(command.aggregate_id)
    newest = history[-1] if history else None
    return Outcome(
        events=(),
        position=newest.position if newest else 0,
        version=newest.version if newest else 0,
        state=fold(handler.evolve, handler.initial, history),
    )


class BlockingStore:
    """A blocking store for `handle`: nothing that it is asked has to be waited for."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def load(self, aggregate_id: UUID) -> list[Recorded]:
        """An aggregate's history, oldest first."""
        return self._store.load(aggregate_id)

    async def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save and give the position of the last."""
        return self._store.append(events)


def run_sync(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that waits for nothing, without an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise RuntimeError("a coroutine that should wait for nothing does")


def handle_all(
    handler: Handler, commands: Sequence[Command], store: BulkStore, origin: Origin
) -> Outcomes:
    """Carry out commands to different aggregates: all of them by one save, or none."""
    for _ in range(MAX_TRIES):
        histories = store.load_many([command.aggregate_id for command in commands])
        decided = [_decided(handler, each, histories[each.aggregate_id]) for each in commands]
        new = [
            enveloped
            for command, events in zip(commands, decided, strict=True)
            for enveloped in _enveloped(
                events, command, origin, _version(histories[command.aggregate_id])
            )
        ]
        newest = (history[-1].position for history in histories.values() if history)
        try:
            position = store.append(new) if new else max(newest, default=0)
        except VersionConflict:
            continue
        return Outcomes(events=tuple(decided), position=position)
    raise VersionConflict("the aggregates are too busy; try again in a moment")


def preview_all(
    handler: Handler, commands: Sequence[Command], store: BulkStore
) -> list[tuple[Event, ...]]:
    """The events that each command would lead to now; nothing happens."""
    histories = store.load_many([command.aggregate_id for command in commands])
    return [_decided(handler, each, histories[each.aggregate_id]) for each in commands]


def _decided(handler: Handler, command: Command, history: Sequence[Recorded]) -> tuple[Event, ...]:
    return tuple(handler.decide(command, fold(handler.evolve, handler.initial, history)))


def _version(history: Sequence[Recorded]) -> int:
    return history[-1].version if history else 0


def _enveloped(
    events: Sequence[Event], command: Command, origin: Origin, version: int
) -> list[NewEvent]:
    return [
        NewEvent(
            event=event,
            event_id=new_id(),
            aggregate_id=command.aggregate_id,
            version=version + n,
            actor=origin.actor,
            account=command.account,
            correlation_id=origin.correlation_id,
            causation_id=origin.causation_id,
        )
        for n, event in enumerate(events, start=1)
    ]
