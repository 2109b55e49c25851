"""What a read model is: the rows of a table, and how each event folds into them."""

import ast
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString

import msgspec

from domain.catalogue import CATALOGUE
from domain.events import Event, Recorded, Unreadable
from projections.rows import Key, Rows, Table


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """A read model; ``name`` is stored in the registry for ever.

    ``fold`` changes rows as an event wants it. It may read the row whose key is the event's
    aggregate, unless ``reads`` says that it reads none, and those that ``needs`` names. The model
    has no use for other types than ``uses``: it passes over them, and for personal fields only if
    it says so: otherwise it gets None for them.
    """

    name: LiteralString
    table: Table[Any]
    uses: tuple[type[Event], ...]
    personal: bool = False
    fold: Callable[[Rows[Any], Recorded], None]
    reads: bool = True
    needs: Callable[[Event], Iterable[Key]] | None = None

    @property
    def view(self) -> str:
        """What queries read."""
        return f"atelier_{self.name}"

    def table_of(self, generation: int) -> str:
        """The name of one generation's table."""
        return f"atelier_{self.name}_g{generation}"

    @property
    def types(self) -> frozenset[str]:
        """The stored names of the events that it uses, those of subclasses too."""
        return _types(self.uses)

    def of_use(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Those of the events that it has a use for, be they readable or not."""
        kinds, types = _kinds(self.uses), self.types
        return [
            recorded
            for recorded in events
            if (kind := type(event := recorded.event)) in kinds
            or (kind is Unreadable and event.kind in types)  # type: ignore[attr-defined]
        ]

    def fingerprint(self) -> str:
        """Changes with the code that makes the rows, so that stale rows can be told.

        That is whatever ``fold``, ``needs`` and the table are made of in their own file; not its
        comments and queries, nor what is imported.
        """
        names = [each.__name__ for each in (self.fold, self.needs, self.table.row) if each]
        return _fingerprint(self.fold.__module__, frozenset(names), self.table.sql)


@functools.cache
def _fingerprint(module: str, names: frozenset[str], sql: str) -> str:
    parts = definitions(ast.parse(inspect.getsource(sys.modules[module])))
    made = sorted(reached(parts, set(names)))
    text = "\n".join([sql, *(ast.dump(parts[name]) for name in made)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _kinds(uses: tuple[type[Event], ...]) -> frozenset[type[Event]]:
    return frozenset(kind for kind in CATALOGUE.values() if issubclass(kind, uses))


@functools.cache
def _types(uses: tuple[type[Event], ...]) -> frozenset[str]:
    return frozenset(name for name, kind in CATALOGUE.items() if issubclass(kind, uses))


def seconds(moment: datetime) -> int:
    """Whole Unix seconds."""
    return int(moment.timestamp())


def definitions(module: ast.Module) -> dict[str, ast.stmt]:
    """The functions, classes and constants of a module by their names, without docstrings."""
    found: dict[str, ast.stmt] = {}
    for statement in module.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                if ast.get_docstring(statement) is not None:
                    statement.body = statement.body[1:]
                found[name] = statement
            case ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = statement
    return found


def reached(parts: dict[str, ast.stmt], names: set[str]) -> set[str]:
    """These names and whatever their definitions use, as far as it is defined beside them."""
    reached: set[str] = set()
    while names := {name for name in names if name in parts} - reached:
        reached |= names
        used = (node for name in names for node in ast.walk(parts[name]))
        names = {node.id for node in used if isinstance(node, ast.Name)}
    return reached
