"""`atelier status`: how the whole system does, on one screen."""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from api import figures
from api.figures import CLEANER, PROCESSES, WEBHOOKS, Disk, Figures, Reader, Server, Webhooks
from domain.errors import AtelierError
from infra.log.migrate import Schema
from infra.process.pauses import Pause
from infra.process.processes import LOST_CONSUMER
from infra.settings import Settings
from infra.wording import ago, counted

LAG_S: Final = 10.0  # a reader that works is behind by far less
CLEANING_S: Final = 60.0  # files may be many
STILL_S: Final = 12.0  # a projector looks at the log each second, and after some errors in ten
DUE_S: Final = 60.0  # webhooks may be many
QUEUE_S: Final = 600.0
FREE_LEAST: Final = 0.05  # of a disk
WATCH_S: Final = 2.0

Verdict = Literal["ok", "behind", "low", "paused", "away", "wrong"]
COLOURS: Final = {
    "ok": "green",
    "behind": "yellow",
    "low": "yellow",
    "paused": "yellow",
    "away": "bold red",
    "wrong": "bold red",
}
SERVERS: Final = {"postgres": "Postgres", "kafka": "Kafka", "media": "media store"}
WORKERS: Final = {  # the others are the projector's
    "relay": "relay",
    CLEANER: "render-consumer",
    WEBHOOKS: "render-consumer",
}


class Unhealthy(AtelierError):
    """Something is behind or away."""

    code = "unhealthy"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the screen: what is looked at, in which figures, and the verdict."""

    name: str
    told: str
    verdict: Verdict
    figures: dict[str, Any]


def run(settings: Settings, arguments: argparse.Namespace) -> None:
    """Print how everything does; raises `Unhealthy`, for exit code 1, unless all of it is well."""
    settings.require("postgres_url")
    if arguments.watch:
        watch(settings, as_lines=arguments.json)
    checks = look(settings)
    if arguments.json:
        print(msgspec.json.format(as_json(checks), indent=2).decode())
    else:
        Console().print(screen(checks), highlight=False)
    bad = [f"{check.name} {check.verdict}" for check in checks if check.verdict != "ok"]
    if bad:
        raise Unhealthy(", ".join(bad))


def watch(settings: Settings, *, as_lines: bool) -> NoReturn:
    """Show it anew every two seconds until Ctrl-C: on a terminal in place, else one by one."""
    console = Console(highlight=False)
    in_place = console.is_terminal and not as_lines
    with Live(console=console, screen=True) if in_place else nullcontext() as live:
        while True:
            checks = look(settings)
            if as_lines:
                print(as_json(checks).decode(), flush=True)
            elif live is None:
                console.print(screen(checks), "")
            else:
                live.update(screen(checks), refresh=True)
            time.sleep(WATCH_S)


def look(settings: Settings) -> list[Check]:
    """Every check; within a few seconds, whatever is away."""
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(figures.servers, settings)
        try:
            found = figures.figures(settings)
        except AtelierError as error:
            lines = [_unknown(str(error))]
        else:
            lines = list(of_postgres(found))
        lines += map(of_server, asked.result())
        disk = figures.disk(settings)
        return [*lines, of_disk(disk)] if disk else lines


def as_json(checks: list[Check]) -> bytes:
    """The same for programs."""
    answer = {
        "verdict": "ok" if all(check.verdict == "ok" for check in checks) else "not ok",
        "checked_at": datetime.now(UTC),
        "checks": {
            check.name.replace(" ", "_").lower(): {"verdict": check.verdict, **check.figures}
            for check in checks
        },
    }
    return msgspec.json.encode(answer)


def screen(checks: list[Check]) -> RenderableType:
    """The same for people."""
    table = Table(box=None, show_header=False, pad_edge=False, expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for check in checks:
        verdict = Text(check.verdict, COLOURS[check.verdict])
        table.add_row(check.name, Text(check.told), verdict)
    troubles = [
        Text(f"{check.name}: {trouble}")
        for check in checks
        if (trouble := check.figures.get("trouble"))
    ]
    if all(check.verdict == "ok" for check in checks):
        told = f"All is well, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC."
    else:
        told = "docs/operations.md says what to do about what is not ok."
    title = Text(f"Log {checks[0].figures.get('log_id', 'unknown')}")
    return Group(title, table, Text(), *troubles, Text(told))


def _unknown(why: str) -> Check:
    return Check(name="log", told=why, verdict="away", figures={})


def of_postgres(found: Figures) -> Iterator[Check]:
    """What Postgres' figures say."""
    yield _log(found)
    order = sorted(found.readers, key=lambda each: (each.name != "relay", not each.is_model))
    for reader in order:
        check = of_reader(reader, found.processes)
        yield _webhooks(check, found.webhooks) if reader.name == WEBHOOKS else check
    yield _queue(found)
    yield _leases(found)
    yield _processes(found)
    yield _keys(found)
    yield _schema(found.schema)


def _log(found: Figures) -> Check:
    newest = "nothing yet"
    if found.recorded_at:
        age = (datetime.now(UTC) - found.recorded_at).total_seconds()
        newest = f"the newest {ago(age)} old"
    return Check(
        name="log",
        told=f"{counted(found.position, 'event')}, {newest}",
        verdict="ok",
        figures={
            "log_id": found.log_id,
            "position": found.position,
            "recorded_at": found.recorded_at,
        },
    )


def of_reader(reader: Reader, processes: dict[str, int]) -> Check:
    """How one reader of the log does."""
    patience = CLEANING_S if reader.name == CLEANER else LAG_S
    late = reader.waiting_seconds > patience
    told = f"{counted(reader.lag, 'event')} behind" if reader.lag else "up to date"
    if reader.lag:
        told += f" ({ago(reader.waiting_seconds)})"
    if reader.parked:
        told += f", {reader.parked:,} parked"
    if not reader.led:
        worker = WORKERS.get(reader.name, "projector")
        stand_by = processes.get(worker, 0)
        told += f"; nobody does it, {stand_by} could" if stand_by else f"; no {worker} runs"
    verdict: Verdict = "away" if not reader.led else "behind" if late or reader.parked else "ok"
    if reader.led and reader.still_seconds > STILL_S:
        told += f"; its projector has stood still for {ago(reader.still_seconds)}"
        verdict = "away"
    if reader.trouble:
        told, verdict = "stopped, see below", "wrong"
    return Check(
        name=f"read model {reader.name}" if reader.is_model else reader.name.replace("_", " "),
        told=told,
        verdict=verdict,
        figures=_plain(reader, "name"),
    )


def _webhooks(follows: Check, webhooks: Webhooks) -> Check:
    """What has not been sent, unless the sender does not even follow the log."""
    told, verdict = follows.told, follows.verdict
    if verdict == "ok" and (webhooks.pending or webhooks.given_up):
        told = f"{webhooks.pending:,} to be sent, {webhooks.given_up:,} given up"
    if verdict == "ok" and webhooks.due_seconds > DUE_S:
        told, verdict = f"{told}; due for {ago(webhooks.due_seconds)}", "behind"
    return Check(
        name=follows.name,
        told=told,
        verdict=verdict,
        figures=follows.figures | _plain(webhooks),
    )


def _queue(found: Figures) -> Check:
    queue = found.queue
    pending = queue.pending_vip + queue.pending_normal
    oldest = f" ({ago(queue.oldest_seconds)})" if pending else ""
    told = (
        f"{queue.started:,} started; {queue.pending_vip:,} vip and"
        f" {queue.pending_normal:,} normal wait{oldest}"
    )
    late = pending > 0 and queue.oldest_seconds > QUEUE_S
    verdict: Verdict = "behind" if late else "ok"
    if found.paused:
        told, verdict = f"{pending:,} wait; {_paused(found.paused)}", "paused"
    more = {"paused": found.paused}
    return Check(name="queue", told=told, verdict=verdict, figures=_plain(queue) | more)


def _paused(pauses: list[Pause]) -> str:
    """Who has done it, and when; `atelier queue list` has room for why."""
    first = min(pauses, key=lambda each: each.since)
    what = "" if len(pauses) > 1 else f"{first.lane} "
    age = (datetime.now(UTC) - first.since).total_seconds()
    return f"{what}paused for {ago(age)} by {first.by}"


def _leases(found: Figures) -> Check:
    leases = found.leases
    told = f"{leases.held:,} held"
    if leases.held:
        told += f", the oldest for {ago(leases.oldest_seconds)}"
    if leases.run_out:
        told += f"; {leases.run_out:,} run out"
    return Check(
        name="leases",
        told=told,
        verdict="behind" if leases.run_out else "ok",
        figures=_plain(leases),
    )


def _processes(found: Figures) -> Check:
    """Relay and projector are missed by their own lines, the others by none but this."""
    ours = {name: found.processes.get(name, 0) for name in PROCESSES}
    missing = [f"no {name} runs" for name in ("api", "render-consumer") if not ours[name]]
    told = ", ".join(f"{name} {count}" for name, count in ours.items())
    lost = found.processes.get(LOST_CONSUMER, 0)
    without_device = [f"{counted(lost, 'render-consumer')} without a device"] if lost else []
    return Check(
        name="processes",
        told="; ".join([told, *missing, *without_device]),
        verdict="away" if missing else "wrong" if lost else "ok",
        figures=ours | {LOST_CONSUMER: lost},
    )


def _keys(found: Figures) -> Check:
    wrong = " and ".join(found.wrong_keys)
    return Check(
        name="keys",
        told=f"{wrong}: not what this database was filled with" if wrong else "those of this log",
        verdict="wrong" if wrong else "ok",
        figures={"wrong": found.wrong_keys},
    )


def _schema(schema: Schema) -> Check:
    told, verdict = _compared(schema)
    told = f"migration {schema.version}, {told}"
    return Check(name="schema", told=told, verdict=verdict, figures=schema._asdict())


def _compared(schema: Schema) -> tuple[str, Verdict]:
    if schema.unknown:
        return "of a newer build than this one: upgrade this one", "wrong"
    if schema.pending:
        return f"{len(schema.pending)} to come: run `atelier migrate`", "behind"
    return "up to date", "ok"


def of_server(server: Server) -> Check:
    """What a server's answer says."""
    told = f"answered in {1000 * server.seconds:.0f} ms"
    if server.trouble:
        told = "unavailable, see below"
    return Check(
        name=SERVERS[server.name],
        told=f"{server.version}, {told}" if server.version else told,
        verdict="ok" if server.answers else "away",
        figures={"answers": server.answers} | _plain(server, "name"),
    )


def of_disk(disk: Disk) -> Check:
    """Whether there is room for more; Postgres stops at the end of it."""
    return Check(
        name="disk",
        told=f"{_gigabytes(disk.free)} of {_gigabytes(disk.size)} GB free in {disk.folder}",
        verdict="low" if disk.free < FREE_LEAST * disk.size else "ok",
        figures=_plain(disk),
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f}"


def _plain(figures: msgspec.Struct, *without: str) -> dict[str, Any]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(figures).items()
        if name not in without
    }
