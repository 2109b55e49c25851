"""What a read model is: a table that its own file makes, and how each event changes it."""

import hashlib
import inspect
from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Any, LiteralString

import msgspec

from domain.catalogue import CATALOGUE
from domain.events import Event, Recorded


class Statement(msgspec.Struct, frozen=True):
    """One change of rows: SQL that names its table ``{table}``, and its parameters."""

    sql: LiteralString
    parameters: dict[str, Any]


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """A read model; ``name`` is stored in the registry for ever.

    ``tables`` is the SQL that makes a generation's table and indexes. ``apply`` gives the changes
    that an event leads to. The model has no use for other types than ``uses``: it passes over them,
    and for personal fields only if it says so: otherwise it gets None for them.
    """

    name: LiteralString
    tables: LiteralString
    uses: tuple[type[Event], ...]
    personal: bool = False
    apply: Callable[[Recorded], list[Statement]]

    @property
    def view(self) -> str:
        """What queries read."""
        return f"atelier_{self.name}"

    def table(self, generation: int) -> str:
        """The table of one generation."""
        return f"atelier_{self.name}_g{generation}"

    @property
    def types(self) -> frozenset[str]:
        """The stored names of the events that it uses, those of subclasses too."""
        return frozenset(name for name, kind in CATALOGUE.items() if issubclass(kind, self.uses))

    def fingerprint(self) -> str:
        """Changes with the code that makes the rows, so that stale rows can be told."""
        module = inspect.getmodule(self.apply)
        assert isinstance(module, ModuleType)
        return hashlib.sha256(inspect.getsource(module).encode()).hexdigest()[:16]


def seconds(moment: datetime) -> int:
    """Whole Unix seconds."""
    return int(moment.timestamp())
