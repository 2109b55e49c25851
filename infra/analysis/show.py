"""One aggregate as it was at some point: its state and the events that had led to it."""

import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from rich.text import Text

from domain.catalogue import AGGREGATES, CATALOGUE
from domain.errors import NotFound
from domain.events import fold
from infra.analysis import lines
from infra.analysis.reading import stored
from infra.analysis.selection import Selection
from infra.log.event_mapper import EventMapper
from infra.log.event_store import EventLog
from infra.log.recorder import StoredRecord
from infra.wording import counted


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate at a point of the log; ``events`` are in their stored form."""

    kind: str
    state: Any
    events: tuple[StoredRecord, ...]


def aggregate_at(log: EventLog, mapper: EventMapper, aggregate: UUID, last: int) -> Shown:
    """The aggregate as it was when `last` was the log's newest position.

    Raises `NotFound` when it had no event by then, and `UnknownEvent` where a build that knows
    more events is needed to fold them.
    """
    events = tuple(stored(log, Selection(aggregate=aggregate, last=last)))
    if not events:
        raise NotFound(
            f"there is no event of {aggregate} up to position {min(last, log.head()[1])}"
        )
    history = [mapper.readable(event) for event in events]
    kind = events[0].topic.partition(".")[0]
    initial, evolve = AGGREGATES[kind]
    state = fold(evolve, initial, history)
    return Shown(kind=kind, state=msgspec.to_builtins(state), events=events)


def print_json(shown: Shown, events: Sequence[StoredRecord]) -> None:
    """One JSON object; `events` are those of `shown`, perhaps opened."""
    newest = shown.events[-1]
    document = {
        "aggregate_id": newest.originator_id,
        "kind": shown.kind,
        "version": newest.originator_version,
        "position": newest.id,
        "recorded_at": newest.recorded_at,
        "state": shown.state,
        "events": [lines.envelope(event) | {"state": lines.raw(event.state)} for event in events],
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")


def print_text(shown: Shown, events: Sequence[StoredRecord], *, sealed: bool) -> None:
    """The state member by member, then the events; what is sealed says so."""
    newest = shown.events[-1]
    title = Text(f"{shown.kind} {newest.originator_id}", "bold")
    when = lines.moment(newest.recorded_at)
    lines.show_line(
        title.append(f"  version {newest.originator_version}, {when}", "not bold default")
    )
    hidden = _personal(shown.kind) if sealed else set()
    members = _members(shown.state, hidden)
    width = max(len(name) for name, _ in members)
    for name, value in members:
        dim = "dim" if value == lines.SEALED else ""
        lines.show_line(Text.assemble(f"  {name:<{width}}  ", (value, dim)))
    lines.show_line(Text(counted(len(events), "event"), "bold"))
    for event in events:
        lines.print_text(event)


def _personal(kind: str) -> set[str]:
    """The names that the aggregate's events declare personal."""
    events = (event for name, event in CATALOGUE.items() if name.startswith(f"{kind}."))
    return {name for event in events for name in event.personal}


def _members(value: Any, hidden: set[str], prefix: str = "") -> list[tuple[str, str]]:
    """The members of a state with their paths, one a line; lists stay whole."""
    found: list[tuple[str, str]] = []
    for name, member in value.items():
        if isinstance(member, dict) and member:
            found += _members(member, hidden, f"{prefix}{name}.")
        elif member is None and name in hidden:
            found.append((prefix + name, lines.SEALED))
        else:
            found.append((prefix + name, lines.short(member)))
    return found
