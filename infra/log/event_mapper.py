"""Turns events into rows of the log and back, behind the mapper's interface of `eventsourcing`."""

from typing import Any
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from eventsourcing.persistence import (
    JSONTranscoder,
    Mapper,
    MapperDeserialisationError,
    StoredEvent,
)

from domain.catalogue import CATALOGUE
from domain.errors import StateTooLarge, UnknownEvent
from domain.events import Event, NewEvent, Recorded, Unreadable
from infra.log.keys import KeyRing
from infra.log.recorder import Row, StoredEnvelope, StoredRecord, stored_record

STATE_LIMIT_BYTES = 262_144  # the table refuses more, too
PERSONAL = "personal"


class EventMapper(Mapper[UUID]):
    """Turns enveloped events into rows and back; personal fields are sealed on the way in."""

    def __init__(self, keys: KeyRing) -> None:
        super().__init__(JSONTranscoder())
        self._keys = keys

    # The library asks for its own event classes; ours are msgspec structs, for which its
    # stock mapper raises TypeError, so the narrower types are the point.
    def to_stored_event(self, domain_event: NewEvent) -> StoredEnvelope:  # type: ignore[override]
        """The row of a new event. Raises `StateTooLarge` over 256 KiB."""
        event = domain_event.event
        state = msgspec.json.encode(self._sealed(domain_event))
        if len(state) > STATE_LIMIT_BYTES:
            raise StateTooLarge(f"{event.stored_name} is larger than {STATE_LIMIT_BYTES} bytes")
        return StoredEnvelope(
            originator_id=domain_event.aggregate_id,
            originator_version=domain_event.version,
            topic=event.stored_name,
            state=state,
            event_id=domain_event.event_id,
            actor=domain_event.actor,
            account=domain_event.account,
            correlation_id=domain_event.correlation_id,
            causation_id=domain_event.causation_id,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:  # type: ignore[override]
        """The event of a row; personal fields of an erased account are None.

        Raises `UnknownEvent` for a type that this build does not know.
        """
        assert isinstance(stored_event, StoredRecord)
        return self._enveloped(stored_event, self._opened(stored_event, personal=True))

    def readable(self, stored: StoredRecord, *, personal: bool = True) -> Recorded:
        """The event of a row, or `Unreadable` in its envelope; personal fields only if asked."""
        try:
            return self._enveloped(stored, self._opened(stored, personal=personal))
        except MapperDeserialisationError as error:
            return self._enveloped(stored, Unreadable(kind=stored.topic, error=str(error)))

    def recorded(self, row: Row, *, personal: bool) -> Recorded:
        """The same from a row of `ROWS`, in the shortest time."""
        position, aggregate_id, version, topic, state, event_id, recorded_at, actor, *ids = row
        kind = CATALOGUE[topic]
        if kind.personal and personal:
            return self.readable(stored_record(row))
        try:
            event = _DECODERS[kind].decode(f"{state[:-1]}{_NO_PERSONAL[kind]}}}")
        except (ValueError, TypeError) as error:
            told = f"position {position} ({topic}) cannot be decoded: {error!r}"
            event = Unreadable(kind=topic, error=told)
        return Recorded(
            event=event,
            event_id=event_id,
            aggregate_id=aggregate_id,
            version=version,
            actor=actor,
            account=ids[0],
            correlation_id=ids[1],
            causation_id=ids[2],
            position=position,
            recorded_at=recorded_at,
        )

    def members(
        self, kind: type[Event], stored: StoredRecord, *, personal: bool = True
    ) -> dict[str, Any]:
        """What the row's state holds; without `personal`, what is sealed in it is None."""
        members: dict[str, Any] = msgspec.json.decode(stored.state)
        if kind.personal:
            sealed, nothing = members.pop(PERSONAL), dict.fromkeys(kind.personal)
            members |= self._private(kind, stored, sealed) if personal else nothing
        return members

    def _sealed(self, new: NewEvent) -> dict[str, Any]:
        members: dict[str, Any] = msgspec.to_builtins(new.event)
        if new.event.personal:
            assert new.account is not None, "personal fields belong to an account"
            private = {name: members.pop(name) for name in new.event.personal}
            bound_to = _bound_to(new.event.stored_name, new.aggregate_id, new.version)
            members[PERSONAL] = self._keys.seal(new.account, msgspec.json.encode(private), bound_to)
        return members

    def _enveloped(self, stored: StoredRecord, event: Event) -> Recorded:
        assert isinstance(stored.originator_id, UUID)
        return Recorded(
            event=event,
            event_id=stored.event_id,
            aggregate_id=stored.originator_id,
            version=stored.originator_version,
            actor=stored.actor,
            account=stored.account,
            correlation_id=stored.correlation_id,
            causation_id=stored.causation_id,
            position=stored.id,
            recorded_at=stored.recorded_at,
        )

    def _opened(self, stored: StoredRecord, *, personal: bool) -> Event:
        kind = CATALOGUE.get(stored.topic)
        if kind is None:
            raise unknown(stored.id, stored.topic)
        try:
            return msgspec.convert(self.members(kind, stored, personal=personal), kind)
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            raise MapperDeserialisationError(
                f"position {stored.id} ({stored.topic}) cannot be decoded: {error!r}"
            ) from error

    def _private(self, kind: type[Event], stored: StoredRecord, sealed: str) -> dict[str, Any]:
        assert stored.account is not None
        bound_to = _bound_to(stored.topic, stored.originator_id, stored.originator_version)
        plain = self._keys.open(stored.account, sealed, bound_to)
        return dict.fromkeys(kind.personal) if plain is None else msgspec.json.decode(plain)


_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in CATALOGUE.values()}
# What makes a stored state one whose personal fields are None; what is sealed is passed over.
_NO_PERSONAL = {
    kind: "".join(f',"{name}":null' for name in kind.personal) for kind in CATALOGUE.values()
}


def unknown(position: int, kind: str) -> UnknownEvent:
    """Word of an event that a newer build has stored."""
    return UnknownEvent(
        f"position {position} holds {kind}, which this build does not know:"
        " upgrade it before you go on"
    )


def _bound_to(stored_name: str, aggregate_id: UUID | str, version: int) -> bytes:
    return f"{stored_name}:{aggregate_id}:{version}".encode()
