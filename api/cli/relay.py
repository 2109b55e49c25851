"""The commands `atelier relay check`, `heal` and `new-epoch`, and what they show."""

import argparse
import sys
from collections.abc import Iterator
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from api.cli.confirm import NotConfirmed
from domain.errors import AtelierError
from infra.kafka.topics import EVENTS_TOPIC
from infra.process.progress import Bar
from infra.relay.check import KINDS, Difference, Report, missing_from
from infra.relay.filling import DivergentHistory
from infra.relay.maintenance import TopicMaintenance, open_maintenance
from infra.settings import Settings
from infra.wording import counted

SHOWN_MOST: Final = 20

WORDS: Final = {
    "missing": "missing at a partition's end",
    "hole": "missing before the end",
    "doubled": "there twice",
    "misplaced": "in the wrong place",
    "unknown": "not in the log",
}


class TopicDiffers(AtelierError):
    """The events topic does not hold what the log holds."""

    code = "topic_differs"


def check(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compare topic and log; raises `TopicDiffers` when they differ."""
    with open_maintenance(settings) as maintenance:
        report = _compared(maintenance)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _show(report)
    if not report.same:
        raise TopicDiffers(f"the topic differs from the log: {_advice(report)}")


def heal(settings: Settings, arguments: argparse.Namespace) -> None:
    """Append what is missing, or make the topic anew; raises `TopicDiffers` if more is wrong."""
    with open_maintenance(settings) as maintenance:
        if arguments.recreate:
            _confirm(
                arguments.yes,
                f"This deletes the topic {EVENTS_TOPIC} and fills it again with the"
                f" {counted(maintenance.head(), 'event')} of the log. Its readers must start again"
                " from the beginning.",
            )
            with _bar("filling the topic") as bar:
                maintenance.recreate(bar.reach)
            print(
                f"The topic was recreated; it holds the log up to position {maintenance.head():,}."
            )
        else:
            _append(maintenance)


def new_epoch(settings: Settings, arguments: argparse.Namespace) -> None:
    """Give the log a new id and make the topic anew."""
    with open_maintenance(settings) as maintenance:
        _confirm(
            arguments.yes,
            f"This gives the log a new id and deletes the topic {EVENTS_TOPIC} with all that it"
            f" holds, also events that Postgres no longer has. The topic is then filled with the"
            f" {maintenance.head():,} events of the log. Its readers must start again from the"
            " beginning: see docs/restored-backup.md.",
        )
        with _bar("filling the topic") as bar:
            maintenance.new_epoch(bar.reach)
        print(f"A new epoch has begun: ce_source is {maintenance.source()}.")


def _append(maintenance: TopicMaintenance) -> None:
    report = _compared(maintenance)
    if report.count("unknown"):
        _show(report)
        raise DivergentHistory(f"nothing was appended: {_advice(report)}")
    if missing := missing_from(report.partitions):
        with _bar("appending") as bar:
            maintenance.heal(missing, bar.reach)
        print(f"{report.count('missing'):,} events were missing and have been appended.")
    else:
        print("No event is missing at a partition's end.")
    rest = [each for each in report.differences if each.kind != "missing"]
    if rest:
        _list(Console(), rest, sum(report.count(kind) for kind in KINDS[1:]))
        raise TopicDiffers(
            "the rest cannot be mended in place: `atelier relay heal --recreate` fills a new topic"
        )


def _compared(maintenance: TopicMaintenance) -> Report:
    with _bar("reading the topic") as bar:
        return maintenance.check(bar.reach)


def _bar(text: str) -> Bar:
    return Bar(text, 0, "records")


def _confirm(yes: bool, what: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(f"{what}\nConfirm with --yes.")
    Console().print(what, highlight=False)
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise NotConfirmed("nothing was done")


def _show(report: Report) -> None:
    console = Console()
    console.print(f"{EVENTS_TOPIC} against the log {report.log_id}", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("partition", "records", "first", "last", *KINDS):
        table.add_column(column, justify="right")
    for each in report.partitions:
        numbers = [getattr(each, name) for name in ("records", "first", "last", *KINDS)]
        shown = [f"{number:,}" if number else "·" for number in numbers]
        table.add_row(str(each.partition), *shown)
    console.print(table)
    for line in _summary(report):
        console.print(line, highlight=False)
    _list(console, report.differences, sum(report.count(kind) for kind in KINDS))


def _summary(report: Report) -> Iterator[str]:
    if report.same:
        yield f"They hold the same up to position {report.relayed:,}."
    for kind in KINDS:
        if report.count(kind):
            yield f"{report.count(kind):,} {WORDS[kind]}"
    if report.waiting:
        yield f"Waiting for the relay: {counted(report.waiting, 'newer event')}."
    if report.cut:
        yield f"Deleted by retention: the oldest {counted(report.cut, 'event')}."
    if report.others:
        yield f"Not from this log: {counted(report.others, 'record')}."


def _list(console: Console, differences: list[Difference], count: int) -> None:
    for each in differences[:SHOWN_MOST]:
        offset = "" if each.offset is None else f" offset {each.offset}"
        console.print(
            f"  {each.kind}: partition {each.partition}{offset} position {each.position}"
            f" event {each.event_id}",
            highlight=False,
            soft_wrap=True,
        )
    if count > SHOWN_MOST:
        console.print(f"  … and {count - SHOWN_MOST:,} more: see `atelier relay check --json`")


def _advice(report: Report) -> str:
    if report.count("unknown"):
        return (
            "it holds events that the log does not have. Was Postgres restored from an older"
            " backup? Then see docs/restored-backup.md"
        )
    if any(report.count(kind) for kind in KINDS[1:]):
        return "`atelier relay heal --recreate` makes the topic anew and fills it"
    return "`atelier relay heal` appends what is missing"
