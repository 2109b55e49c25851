"""The commands `atelier events …`: each opens what it needs, and prints."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from infra.analysis import arguments, arrow, lines, reading, show, topic
from infra.analysis.access import Access
from infra.analysis.arguments import BadArgument
from infra.analysis.export import OPEN, SEALED, Export
from infra.analysis.manifest import ExportSpec, Manifest
from infra.analysis.selection import END, Selection
from infra.log.recorder import StoredRecord
from infra.postgres import Listener
from infra.process.progress import Bar
from infra.settings import Settings
from infra.wording import counted

Printer = Callable[[StoredRecord, lines.Place | None], None]


def tail(settings: Settings, given: argparse.Namespace) -> None:
    """Print the newest events, and each new one until somebody ends it."""
    with Access(settings) as access:
        selection, printing = arguments.filters(access, given), _printer(access, given)
        if given.kafka:
            begin = given.first and arguments.place(given.first, "--from")
            window = topic.Window(
                begin=begin, partition=given.partition, only_new=begin is None, follow=True
            )
            _print_topic(settings, window, selection, printing)
        else:
            _check_kafka_only(given)
            _follow_log(access, selection, printing, given)


def replay(settings: Settings, given: argparse.Namespace) -> None:
    """Print a span of the events that are there now."""
    if given.limit is not None and given.limit < 1:
        raise BadArgument(f"--limit {given.limit} leaves nothing to print: it is 1 or more")
    with Access(settings) as access:
        selection, printing = arguments.filters(access, given), _printer(access, given)
        if given.kafka:
            begin, end = arguments.places(given.first, given.last)
            window = topic.Window(begin=begin, end=end, partition=given.partition)
            _print_topic(settings, window, selection, printing, given.limit)
        else:
            _check_kafka_only(given)
            first, last = arguments.span(access.log, given)
            found = reading.stored(access.log, selection.between(first, last))
            for event in itertools.islice(found, given.limit):
                printing(event, None)
    sys.stdout.flush()  # here, where somebody takes care that the reader may be gone


def count(settings: Settings, given: argparse.Namespace) -> None:
    """Print how many events of each type there are."""
    with Access(settings) as access:
        first, last = arguments.span(access.log, given)
        selection = arguments.filters(access, given).between(first, last)
        counts = access.rows(reading.COUNTED.format(selection.condition()))
    if given.json:
        print(msgspec.json.encode(dict(counts)).decode())
    else:
        for name, events in [*counts, ("in all", sum(events for _, events in counts))]:
            print(f"{events:>12,}  {name}")
    sys.stdout.flush()


def show_aggregate(settings: Settings, given: argparse.Namespace) -> None:
    """Print an aggregate's state and events."""
    aggregate = arguments.identifier(given.id, "AGGREGATE")
    with Access(settings) as access:
        last = arguments.last_position(access.log, given.at, "--at", inclusive=True)
        mapper, decrypter = (
            access.mapper(decrypt=given.decrypt),
            access.decrypter(decrypt=given.decrypt),
        )
        shown = show.aggregate_at(access.log, mapper, aggregate, last)
        events = [decrypter.open(event) for event in shown.events] if decrypter else shown.events
    if given.json:
        show.print_json(shown, events)
    else:
        show.print_text(shown, events, sealed=not given.decrypt)
    sys.stdout.flush()


def export(settings: Settings, given: argparse.Namespace) -> None:
    """Write a span of the events into a folder of files."""
    if given.typed and given.format == "jsonl":
        raise BadArgument(
            "--typed makes Parquet or CSV files: leave out --format jsonl, or --typed"
        )
    settings.require("postgres_url")
    with Access(settings) as access, arrow.open_arrow(settings.postgres_url) as log:
        selection = arguments.filters(access, given)
        log_id, head = access.log.head()
        first, last = arguments.span(access.log, given)
        last = min(last, head)
        spec = ExportSpec(
            log_id=log_id,
            first=first,
            types=selection.types,
            aggregate=selection.aggregate,
            account=selection.account,
            format=given.format,
            typed=given.typed,
            personal=OPEN if given.decrypt else SEALED,
        )
        decrypter = access.decrypter(decrypt=given.decrypt)
        with Bar("Exporting", max(0, last - first + 1), "positions") as bar:
            made = Export(Path(given.folder), log, spec, last, decrypter).run(bar.advance)
    _tell_made(made, given.folder)


def _tell_made(made: Manifest, folder: str) -> None:
    files = sum(len(block.files) for block in made.blocks)
    unreadable = [position for block in made.blocks for position in block.unreadable]
    print(
        f"{counted(made.events, 'event')} of positions {made.spec.first:,} to {made.last:,}"
        f" in {counted(files, 'file')} in {folder}",
        file=sys.stderr,
    )
    if unreadable:
        shown = ", ".join(map(str, unreadable[:10]))
        print(
            f"{len(unreadable):,} of them are not as their type says, so their members are null:"
            f" positions {shown}{'…' if len(unreadable) > 10 else ''}",
            file=sys.stderr,
        )


def _printer(access: Access, given: argparse.Namespace) -> Printer:
    printing: Printer = lines.print_json if given.json else lines.print_text
    decrypter = access.decrypter(decrypt=given.decrypt)
    if decrypter is None:
        return printing
    return lambda event, place: printing(decrypter.open(event), place)


def _follow_log(
    access: Access, selection: Selection, printing: Printer, given: argparse.Namespace
) -> None:
    if given.first is None:
        first = access.log.head()[1] + 1 - given.newest
    else:
        first = arguments.first_position(access.log, given.first)
    with contextlib.closing(Listener(access.settings.postgres_url)) as listener:

        def wait() -> None:
            sys.stdout.flush()
            listener.wait()

        for event in reading.follow(access.log, selection.between(first, END), wait, _tell_away):
            printing(event, None)


def _tell_away() -> None:
    print("atelier events tail: waiting for Postgres", file=sys.stderr, flush=True)


def _print_topic(
    settings: Settings,
    window: topic.Window,
    selection: Selection,
    printing: Printer,
    limit: int | None = None,
) -> None:
    for event, place in itertools.islice(topic.read(settings, window, selection), limit):
        printing(event, place)
        if window.follow:
            sys.stdout.flush()


def _check_kafka_only(given: argparse.Namespace) -> None:
    if given.partition is not None:
        raise BadArgument("--partition belongs to --kafka: the log in Postgres has none")
