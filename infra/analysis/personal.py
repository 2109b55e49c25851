"""Personal members: opened for those who hold the keys, sealed for everybody else."""

import dataclasses

import msgspec
from cryptography.exceptions import InvalidTag

from domain.catalogue import CATALOGUE
from domain.events import Event
from infra.log.event_mapper import EventMapper, unknown
from infra.log.keys import KeyRing
from infra.log.recorder import StoredRecord


class NoKeys(KeyRing):
    """The ring of those who hold no keys: what is personal reads as None."""

    def __init__(self) -> None:
        pass  # needs neither a pool nor a master key

    def open(self, *_: object) -> None:
        """Nothing."""


class Decrypter:
    """Opens the personal members of events that stay in their stored form."""

    def __init__(self, keys: KeyRing) -> None:
        self._mapper = EventMapper(keys)

    def open(self, stored: StoredRecord) -> StoredRecord:
        """The event with its personal members in the open; those of somebody erased are null.

        Raises `UnknownEvent` for a type that this build does not know.
        """
        kind = CATALOGUE.get(stored.topic)
        if kind is None:
            raise unknown(stored.id, stored.topic)
        if not kind.personal:
            return stored
        return dataclasses.replace(stored, state=self._opened(kind, stored))

    def _opened(self, kind: type[Event], stored: StoredRecord) -> bytes:
        try:
            return msgspec.json.encode(self._mapper.members(kind, stored))
        except (InvalidTag, ValueError, KeyError, TypeError):
            return stored.state  # it cannot be read, so it is handed on as it is
