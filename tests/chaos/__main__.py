"""Bring everything up, order pictures, let chance kill and freeze, and see what is left of it."""

import os
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from domain.events import Recorded
from infra.log.event_store import EventStore, store_for_a_while
from infra.media.store import MediaStore
from infra.postgres import connect
from projections import queue
from tests.chaos.faults import VICTIMS, Faults
from tests.chaos.load import Load
from tests.chaos.overtaken import overtake
from tests.chaos.verdict import Verdict, ends, judged
from tests.support.atelier import ROOT, Atelier, Person, outside_servers, planted
from tests.support.flapping import with_flapping_media
from tests.support.servers import SERVERS
from tests.support.topic import read_events

# The machines' clocks differ; what is staged takes a while, so that a run meets consumers then.
FAULTS = {
    "PLANTED_CLOCKS": "api=-300 relay=+300 projector=-300 render-consumer=+300",
    "PLANTED_SLOWNESS": "0.4",
    "ANNY_CACHE_DIR": os.environ.get("ANNY_CACHE_DIR") or str(ROOT / ".atelier" / "anny"),
}
BEHIND = "render-consumer=-300"
PEOPLE = 4
OVERTAKEN = 2  # one that was the cleaner, too, may find its staged files swept and do no harm
HEALED_S = 60.0  # without a new event while tasks wait: then they are stuck
LOOK_S = 0.5


def main() -> int:
    """Run once; the exit code is 1 when anything was lost, doubled or stuck."""
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    seconds = float(os.environ.get("CHAOS_SECONDS") or 600)
    plant = os.environ.get("CHAOS_PLANT") or "nothing"
    print(f"CHAOS_SEED={seed}, {seconds:.0f} s on {SERVERS} servers, planted: {plant}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outside = stack.enter_context(outside_servers(folder))
        outside, way = stack.enter_context(with_flapping_media(outside, folder))
        atelier = Atelier(folder / "data", planted(outside, **FAULTS, CHAOS_PLANT=plant))
        stack.callback(atelier.stop)
        atelier.start()
        stack.enter_context(atelier.another("render-consumer", PLANTED_CLOCKS=BEHIND))
        settings = atelier.settings()
        keys = (settings.master_key, settings.hash_key)
        store = stack.enter_context(store_for_a_while(settings.postgres_url, *keys))
        client = stack.enter_context(atelier.client())
        media = MediaStore(settings)

        load = Load(client, PEOPLE, seed)
        doubled = []
        for _ in range(OVERTAKEN):
            doubled += overtake(Person(client), store, media, load.accepted)
        faults = Faults(atelier, way, random.Random(seed))
        load.start()
        faults.go_on(seconds)
        load.stop()
        _wait_until_ended(store)
        unwell = _wait_until_well(atelier)

        published = {found.key for found in media.list("") if "/gallery/" in found.key}
        verdict = judged(_log(store), load.accepted, published, media.get)
        verdict.doubled.extend(doubled)
        verdict.stuck.extend(unwell)
        _judge_readers(atelier, load, store, verdict)
    _print(seed, load, faults, verdict)
    return 1 if verdict.lost or verdict.doubled or verdict.stuck else 0


def _log(store: EventStore) -> list[Recorded]:
    events: list[Recorded] = []
    while batch := store.read(events[-1].position if events else 0, 5_000):
        events += batch
    return events


def _wait_until_ended(store: EventStore) -> None:
    """Until all tasks have ended, or nothing has happened for a while."""
    seen, at = 0, time.monotonic()
    while time.monotonic() - at < HEALED_S:
        events = _log(store)
        if all(ends(events).values()):
            return
        if len(events) > seen:
            seen, at = len(events), time.monotonic()
        time.sleep(LOOK_S)


def _wait_until_well(atelier: Atelier) -> list[str]:
    """What `atelier status` has to say when it does not become well."""
    deadline = time.monotonic() + HEALED_S
    while (told := atelier.command("status")).returncode:
        if time.monotonic() > deadline:
            return [f"atelier status: {told.stdout}{told.stderr}"]
        time.sleep(LOOK_S)
    return []


def _judge_readers(atelier: Atelier, load: Load, store: EventStore, verdict: Verdict) -> None:
    """Read models, places in the queue and Kafka against the log."""
    verified = atelier.command("projections", "verify", "--all")
    if verified.returncode:
        verdict.stuck.append(f"read models differ from the log: {verified.stdout}{verified.stderr}")
    for task, person in load.living.items():
        shown = person.get(f"/generate/{task}")
        if shown["status"] not in ("SUCCESS", "FAILED") or shown["position"]:
            verdict.stuck.append(f"task {task} is shown as {shown}")
    with connect(atelier.settings().postgres_url) as connection:
        depth = queue.depth(connection)
    if depth.pending_vip or depth.pending_normal or depth.started:
        verdict.stuck.append(f"the queue is not empty: {depth}")
    positions = [event.position for event in _log(store)]
    on_kafka = _positions_on_kafka(atelier, len(positions))
    for position in positions:
        if not on_kafka[position]:
            verdict.lost.append(f"Kafka lacks the event at {position}")
        # The embedded broker shows what was aborted as well.
        if on_kafka[position] > 1 and "kafka" in atelier.outside.running:
            verdict.doubled.append(f"Kafka has the event at {position} more than once")


def _positions_on_kafka(atelier: Atelier, wanted: int) -> Counter[int]:
    def positions(events: list[dict[str, str]]) -> Counter[int]:
        return Counter(int(event["atelier_position"]) for event in events)

    events = read_events(atelier.settings(), lambda seen: len(positions(seen)) >= wanted)
    return positions(events)


def _print(seed: str, load: Load, faults: Faults, verdict: Verdict) -> None:
    table = Table(title=f"chaos, CHAOS_SEED={seed}")
    table.add_column("")
    table.add_column("", justify="right")
    counts = {
        "accepted": len(load.accepted),
        **{how: verdict.ended[how] for how in ("succeeded", "failed", "cancelled")},
        "accounts erased": load.erased,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "stuck": len(verdict.stuck),
        **{f"{each} killed": faults.kills[each] for each in dict.fromkeys(VICTIMS)},
        **{f"{each} frozen": faults.freezes[each] for each in dict.fromkeys(VICTIMS)},
        "broker emptied": faults.emptied,
        "media store failed every other call": faults.flapped,
        "calls of it that failed": faults.way.failed,
    }
    for name, count in counts.items():
        table.add_row(name, str(count))
    console = Console()
    console.print(table)
    for kind in ("lost", "doubled", "stuck"):
        for what in getattr(verdict, kind):
            console.print(f"{kind}: {what}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
