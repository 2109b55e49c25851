"""Events as lines: for people on a terminal, and as JSON for programs."""

import sys
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from infra.log.event_mapper import PERSONAL
from infra.log.recorder import StoredRecord

SEALED: Final = "sealed"
COLOURS: Final = {"account": "magenta", "render": "cyan", "garment": "yellow"}


class Place(NamedTuple):
    """Where an event lies on Kafka."""

    partition: int
    offset: int


def print_json(event: StoredRecord, place: Place | None = None) -> None:
    """One line, with the members of an exported JSON line, and the place on Kafka."""
    line = envelope(event) | {"state": raw(event.state)}
    if place:
        line |= {"kafka": place._asdict()}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")


def print_text(event: StoredRecord, place: Place | None = None) -> None:
    """Two lines, cut to the terminal's width; one whole line where there is no terminal."""
    tail = Text(f"{event.originator_id} v{event.originator_version}", "dim")
    tail.append("  " + told(event.state), "default not dim")
    show(head(event, place), tail)


def head(event: StoredRecord, place: Place | None) -> Text:
    """What an event's entry begins with: where it is, when it was, and its type."""
    line = Text.assemble(
        (f"{event.id:>8}", "bold"),
        f"  {moment(event.recorded_at)}  ",
        (event.topic, COLOURS.get(event.topic.partition(".")[0], "")),
    )
    if place:
        line.append(f"  {place.partition}@{place.offset}", "dim")
    return line


def show(head: Text, tail: Text) -> None:
    """The head of an entry, and its rest below it."""
    if sys.stdout.isatty():
        show_line(head)
        show_line(Text(" " * 10).append_text(tail))
    else:
        sys.stdout.write(f"{head.plain}  {tail.plain}\n")


def show_line(line: Text) -> None:
    """One line, cut to the terminal's width; whole where there is no terminal."""
    if not sys.stdout.isatty():
        sys.stdout.write(line.plain + "\n")
        return
    console = Console(highlight=False)
    line.truncate(console.width, overflow="ellipsis")
    with console.capture() as captured:
        console.print(line, no_wrap=True)
    sys.stdout.write(captured.get())  # not through rich, which turns a broken pipe into an exit


def envelope(event: StoredRecord) -> dict[str, Any]:
    """Everything but the state, named as the log's columns are."""
    return {
        "position": event.id,
        "event_id": event.event_id,
        "type": event.topic,
        "aggregate_id": event.originator_id,
        "aggregate_version": event.originator_version,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "account": event.account,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
    }


def moment(time: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def told(state: bytes) -> str:
    """The members of a state in a few words, the short ones first; what is sealed is only named."""
    try:
        members = msgspec.json.decode(state, type=dict[str, Any])
    except ValueError:
        return state.decode(errors="replace")
    members |= {PERSONAL: SEALED} if PERSONAL in members else {}
    given = [(name, value) for name, value in members.items() if value is not None]
    given.sort(key=lambda member: isinstance(member[1], dict | list))
    return " ".join(f"{name}={short(value)}" for name, value in given)


def short(value: object) -> str:
    """A value in a word: text as it is where that is clear, else JSON."""
    plain = isinstance(value, str) and value and value.isprintable() and " " not in value
    return str(value) if plain else msgspec.json.encode(value).decode()


def raw(state: bytes) -> object:
    """The state as it is, for an encoder of JSON; as text where it is no JSON."""
    try:
        msgspec.json.decode(state)
    except ValueError:
        return state.decode(errors="replace")
    return msgspec.Raw(state)
