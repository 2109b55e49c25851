import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from rich.console import Console

from api.cli import status
from api.figures import Disk, Figures, Leases, Reader, Server, Webhooks
from infra.log.migrate import Schema
from infra.process.pauses import Pause
from projections.queue import Depth

MODELS = ("accounts", "gallery", "queue", "tasks", "wardrobe")
PROCESSES = {"api": 2, "relay": 1, "projector": 1, "render-consumer": 12}


def reader(name: str, **changes: Any) -> Reader:
    usual = {"position": 1, "lag": 0, "waiting_seconds": 0.0, "parked": 0, "led": True}
    return Reader(name=name, **{**usual, **changes})


def figures(*readers: Reader, **changes: Any) -> Figures:
    usual = {
        "log_id": UUID("11111111-1111-1111-1111-111111111111"),
        "position": 1,
        "recorded_at": datetime.now(UTC),
        "queue": Depth(pending_vip=0, pending_normal=0, started=0, oldest_seconds=0.0),
        "paused": [],
        "leases": Leases(held=0, run_out=0, oldest_seconds=0.0),
        "webhooks": Webhooks(pending=0, given_up=0, due_seconds=0.0),
        "processes": PROCESSES,
        "wrong_keys": [],
        "schema": Schema("0010", [], []),
    }
    return Figures(readers=list(readers), **{**usual, **changes})


def pause(lane: str) -> Pause:
    since = datetime.now(UTC) - timedelta(minutes=5)
    return Pause(lane=lane, since=since, by="ada@host", reason="new drivers")


def check(found: Figures, name: str) -> status.Check:
    (one,) = [each for each in status.of_postgres(found) if each.name == name]
    return one


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, "ok"),
        ({"lag": 1_000_000, "waiting_seconds": 1.0}, "ok"),  # a burst that it is at work on
        ({"lag": 1, "waiting_seconds": 60.0}, "behind"),
        ({"parked": 1}, "behind"),
        ({"led": False}, "away"),
        ({"still_seconds": 11.0}, "ok"),
        ({"still_seconds": 13.0}, "away"),
    ],
    ids=["up to date", "busy", "late", "parked", "not led", "slow", "stuck"],
)
def test_a_reader_of_the_log_is_judged(given: dict[str, Any], verdict: str):
    assert check(figures(reader("accounts", **given)), "read model accounts").verdict == verdict


def test_who_does_not_lead_is_told_apart_from_who_does_not_run():
    stuck = check(figures(reader("relay", led=False)), "relay")
    assert stuck.told == "up to date; nobody does it, 1 could"
    gone = check(figures(reader("relay", led=False), processes={}), "relay")
    assert gone.told == "up to date; no relay runs"


def test_deleting_many_files_may_take_its_time():
    slow = reader("media_cleaner", lag=3, waiting_seconds=30.0)
    assert check(figures(slow), "media cleaner").verdict == "ok"


def test_webhooks_that_wait_for_their_receivers_are_told_of_and_no_fault_of_ours():
    webhooks = check(figures(reader("webhooks")), "webhooks")
    assert (webhooks.verdict, webhooks.told) == ("ok", "up to date")
    waiting = Webhooks(pending=3, given_up=1, due_seconds=0.0)
    webhooks = check(figures(reader("webhooks"), webhooks=waiting), "webhooks")
    assert (webhooks.verdict, webhooks.told) == ("ok", "3 to be sent, 1 given up")
    assert webhooks.figures["pending"] == 3


def test_webhooks_that_nobody_sends_are_behind_or_nobody_s():
    due = Webhooks(pending=3, given_up=0, due_seconds=61.0)
    webhooks = check(figures(reader("webhooks"), webhooks=due), "webhooks")
    assert webhooks.verdict == "behind"
    assert webhooks.told.endswith("; due for 61 s")
    webhooks = check(figures(reader("webhooks", led=False), processes={}), "webhooks")
    assert (webhooks.verdict, webhooks.told) == ("away", "up to date; no render-consumer runs")


@pytest.mark.parametrize(
    ("oldest", "verdict"), [(599.0, "ok"), (601.0, "behind")], ids=["busy", "too long"]
)
def test_a_queue_is_behind_when_its_first_task_waits_too_long(oldest: float, verdict: str):
    depth = Depth(pending_vip=1, pending_normal=2_000, started=3, oldest_seconds=oldest)
    queue = check(figures(queue=depth), "queue")
    assert queue.verdict == verdict
    assert queue.told == "3 started; 1 vip and 2,000 normal wait (10 min)"


def test_who_has_paused_the_queue_is_told_and_all_is_not_well():
    paused = check(figures(paused=[pause("vip")]), "queue")
    assert paused.verdict == "paused"
    assert paused.told == "0 wait; vip paused for 5 min by ada@host"
    assert paused.figures["paused"][0].reason == "new drivers"
    both = check(figures(paused=[pause("vip"), pause("normal")]), "queue")
    assert both.told == "0 wait; paused for 5 min by ada@host"


def test_leases_that_have_run_out_tell_of_a_consumer_that_is_gone():
    leases = check(figures(leases=Leases(held=2, run_out=1, oldest_seconds=12.0)), "leases")
    assert (leases.verdict, leases.told) == (
        "behind",
        "2 held, the oldest for 12 s; 1 run out",
    )


@pytest.mark.parametrize("name", ["api", "render-consumer"])
def test_without_an_api_or_a_consumer_all_is_not_well(name: str):
    assert check(figures(), "processes").verdict == "ok"
    without = check(figures(processes=PROCESSES | {name: 0}), "processes")
    assert without.verdict == "away"
    assert f"no {name} runs" in without.told


def test_keys_of_another_log_are_named():
    assert check(figures(), "keys").verdict == "ok"
    wrong = check(figures(wrong_keys=["ATELIER_MASTER_KEY"]), "keys")
    assert wrong.verdict == "wrong"
    assert wrong.told.startswith("ATELIER_MASTER_KEY: not what")


@pytest.mark.parametrize(
    ("pending", "unknown", "verdict", "told"),
    [
        ([], [], "ok", "migration 0010, up to date"),
        (["0011_x.sql"], [], "behind", "migration 0010, 1 to come: run `atelier migrate`"),
        ([], ["0012_x.sql"], "wrong", "migration 0010, of a newer build than this one"),
    ],
)
def test_the_schema_is_told(pending: list[str], unknown: list[str], verdict: str, told: str):
    schema = check(figures(schema=Schema("0010", pending, unknown)), "schema")
    assert schema.verdict == verdict
    assert schema.told.startswith(told)


@pytest.mark.parametrize(("free", "verdict"), [(4, "low"), (6, "ok")])
def test_a_disk_that_is_nearly_full_is_told_of(free: int, verdict: str):
    disk = status.of_disk(Disk(folder=".atelier", free=free * 10**9, size=100 * 10**9))
    assert (disk.verdict, disk.told) == (verdict, f"{free}.0 of 100.0 GB free in .atelier")


def worst() -> list[status.Check]:
    """As much to tell as there can be."""
    late = {"lag": 12_345_678, "waiting_seconds": 864_000.0, "parked": 12_345}
    found = figures(
        *(reader(name, **late) for name in (*MODELS, "relay", "media_cleaner", "webhooks")),
        position=1_234_567_890,
        recorded_at=datetime.now(UTC) - timedelta(days=100),
        queue=Depth(pending_vip=12_345, pending_normal=1_234_567, started=999, oldest_seconds=9e5),
        paused=[pause("vip"), pause("normal")],
        leases=Leases(held=999, run_out=99, oldest_seconds=9e5),
        webhooks=Webhooks(pending=123_456, given_up=12_345, due_seconds=9e5),
    )
    postgres = Server(name="postgres", version="18.1", seconds=3.0)
    others = [Server(name=name, trouble="why", seconds=3.0) for name in ("kafka", "media")]
    servers = [postgres, *others]
    disk = status.of_disk(Disk(folder=".atelier", free=10**13, size=10**13))
    return [*status.of_postgres(found), *map(status.of_server, servers), disk]


def test_it_stays_on_a_screen_of_80_by_24_whatever_there_is_to_tell():
    screen = io.StringIO()
    Console(file=screen, width=80).print(status.screen(worst()))
    lines = screen.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name in ("read model wardrobe", "media cleaner", "Postgres", "media store"):
        assert any(line.startswith(name) for line in lines)


def test_what_stops_the_relay_is_told_below_the_table():
    why = "partition 3 holds event 7, which the log does not have"
    stopped = check(figures(reader("relay", trouble=why)), "relay")
    assert (stopped.told, stopped.verdict) == ("stopped, see below", "wrong")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(status.screen([stopped]))
    assert f"relay: {why}" in console.export_text()


def test_programs_are_told_the_same():
    told = msgspec.json.decode(status.as_json(worst()))
    assert told["verdict"] == "not ok"
    assert told["checks"]["relay"] == {
        "verdict": "behind",
        "position": 1,
        "lag": 12_345_678,
        "waiting_seconds": 864_000.0,
        "parked": 12_345,
        "led": True,
        "keeper": "",
        "still_seconds": 0.0,
        "trouble": "",
    }
    assert told["checks"]["queue"]["pending_vip"] == 12_345
    assert told["checks"]["kafka"] == {
        "verdict": "away",
        "answers": False,
        "seconds": 3.0,
        "version": "",
        "trouble": "why",
    }
    assert set(told["checks"]) >= {"log", "read_model_queue", "queue", "leases", "processes"}
