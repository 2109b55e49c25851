"""`atelier queue list` and `consumers`: who waits, and who renders."""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from api.cli.queue import common
from api.cli.queue.common import Lease, Live, Waiting, as_json, clock, opened, since
from infra.analysis.arguments import BadArgument
from infra.process import pauses
from infra.process.pauses import Pause
from infra.settings import Settings
from infra.wording import ago, counted
from projections import queue
from projections.queue import Depth


def show_queue(settings: Settings, given: argparse.Namespace) -> None:
    """List what waits, in the order in which it will be claimed, and what is being rendered."""
    if given.limit < 1:
        raise BadArgument(f"--limit {given.limit} leaves nothing to list: it is 1 or more")
    with opened(settings) as connection:
        depth, behind = queue.depth(connection), common.behind(connection)
        paused = pauses.paused(connection)
        waiting = common.waiting(
            connection,
            max_wait=settings.queue_max_wait,
            fair=settings.queue_fair,
            lane=given.lane,
            limit=given.limit,
        )
        rendered = [lease for lease in common.leases(connection) if lease.held]
    if given.json:
        totals = {"totals": depth, "paused": paused, "behind_events": behind}
        print(as_json(totals | {"waiting": waiting, "rendered": rendered}))
        return
    console = Console(highlight=False, markup=False)
    console.print(_totals_told(depth), *(pause.told for pause in paused), sep="\n")
    if behind:
        console.print(f"The queue lacks {counted(behind, 'newer event')}: see `atelier status`.")
    if waiting:
        console.print("", _waiting_shown(waiting, paused), sep="\n")
        if more := _count(depth, given.lane) - len(waiting):
            console.print(f"… and {counted(max(0, more), 'task')} more: see --limit")
    if rendered:
        console.print("", _rendered_shown(rendered), sep="\n")


def show_consumers(settings: Settings, given: argparse.Namespace) -> None:
    """List the consumers that are connected, and the leases that others hold."""
    with opened(settings) as connection:
        live = common.live(connection)
        held = [lease for lease in common.leases(connection) if lease.held]
    orphaned = [lease for lease in held if not any(each.holds(lease) for each in live)]
    if given.json:
        print(
            as_json({"consumers": [_described(each, held) for each in live], "orphaned": orphaned})
        )
        return
    for each in live:
        print(f"{each.name}  since {ago(since(each.since))}, seen {ago(since(each.seen))} ago")
        for line in map(_lease_told, filter(each.holds, held)):
            print(line)
        if not any(each.holds(lease) for lease in held):
            print("  renders nothing")
    if not live:
        print("No render consumer is connected: start one with `atelier render-consumer`.")
    for lease in orphaned:
        print(f"{lease.consumer}  is not connected; its task is free when its lease ends")
        print(_lease_told(lease))


def _totals_told(depth: Depth) -> str:
    """How full the queue is, in a line."""
    waiting = depth.pending_vip + depth.pending_normal
    first = f", the first for {ago(depth.oldest_seconds)}" if waiting else ""
    return (
        f"{depth.pending_vip:,} vip and {depth.pending_normal:,} normal wait{first};"
        f" {depth.started:,} being rendered"
    )


def _count(depth: Depth, lane: str | None) -> int:
    counts = {"vip": depth.pending_vip, "normal": depth.pending_normal}
    return counts[lane] if lane else sum(counts.values())


def _table(*columns: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, is_number in columns:
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=name != columns[-1][0],
            overflow="fold",
        )
    return table


def _waiting_shown(waiting: Sequence[Waiting], paused: Sequence[Pause]) -> Table:
    columns = (("", True), ("lane", False), ("task that waits", False), ("user", True))
    table = _table(*columns, ("for", True), ("tries", True), ("why not yet", False))
    for each in waiting:
        table.add_row(
            f"{each.position:,}",
            each.lane,
            str(each.task),
            str(each.user),
            ago(since(each.requested_at)),
            str(each.attempt),
            _why_not_yet(each, paused),
        )
    return table


def _why_not_yet(task: Waiting, paused: Sequence[Pause]) -> str:
    if any(pause.lane == task.lane for pause in paused):
        return "paused"
    return f"to {clock(task.retry_at)}" if task.retry_at and task.backs_off else ""


def _rendered_shown(rendered: Sequence[Lease]) -> Table:
    columns = (("task being rendered", False), ("done", True), ("for", True), ("by", False))
    table = _table(*columns)
    for each in rendered:
        begun = ago(since(each.started_at)) if each.started_at else ""
        table.add_row(str(each.task), f"{each.progress:.0%}", begun, each.process)
    return table


def _lease_told(lease: Lease) -> str:
    return f"  {lease.task}  {lease.progress:.0%} done, lease until {clock(lease.expires_at)} UTC"


def _described(consumer: Live, held: Sequence[Lease]) -> dict[str, object]:
    host, _, process = consumer.name.rpartition("-")
    return {
        "name": consumer.name,
        "host": host,
        "pid": int(process),
        "since": consumer.since,
        "seen": consumer.seen,
        "renders": [lease for lease in held if consumer.holds(lease)],
    }
