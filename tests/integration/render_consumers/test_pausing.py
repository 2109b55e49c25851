"""What the process of a consumer adds to it: the settings' order, pausing, and looking again."""

import threading
import time
from collections.abc import Iterator
from typing import LiteralString
from uuid import uuid4

import pytest

from infra.postgres import Pool, connect
from infra.process import pauses
from infra.process.pauses import LANES
from infra.settings import Settings
from projections import queue
from projections.runner import Runner
from render_consumers import main
from render_consumers.loop.leases import Leases
from render_consumers.main import WakeSignal
from tests.integration.render_consumers.conftest import Studio
from tests.support.scenario import ACCOUNT, eventually


class Subscription:
    """Tickets that would come, if there were any."""

    def __init__(self) -> None:
        self.listening = threading.Event()
        self.listening.set()


@pytest.fixture
def running(studio: Studio, pool: Pool) -> Iterator[WakeSignal]:
    """A consumer at work, with all its queue shown, and what wakes it."""
    wake = WakeSignal()
    consumer = studio.consumer()
    consumer._leases = Leases(pool, "one", 30.0)  # the queue stays as it is
    arguments = (consumer, pool, Subscription(), wake, studio.stop)
    thread = threading.Thread(target=main._consume, args=arguments)
    thread.start()
    yield wake
    main._end(studio.stop, threading.Event(), wake)
    thread.join()


def project(studio: Studio) -> None:
    runner = Runner([queue.PROJECTION], studio.story.store.read_some)
    with connect(studio.url) as connection:
        while runner.catch_up(connection):
            pass


def pause(studio: Studio, *lanes: str) -> None:
    with connect(studio.url) as connection:
        assert pauses.pause(connection, lanes, by="ada", reason="test") == list(lanes)


def resume(studio: Studio, *lanes: str) -> None:
    with connect(studio.url) as connection:
        pauses.resume(connection, lanes)


def next_tasks(studio: Studio, limit: int = 5) -> list:
    with connect(studio.url) as connection:
        return [task for task, _ in connection.execute(queue.NEXT, values(limit))]


def values(limit: int) -> dict[str, int | None]:
    return {"limit": limit, "max_wait": None}


def test_from_a_paused_lane_nothing_is_claimed(studio: Studio):
    normal, vip, vip_too = (studio.story.request(vip=vip) for vip in (False, True, True))
    project(studio)
    assert next_tasks(studio) == [vip, vip_too, normal]
    assert next_tasks(studio, 2) == [vip, vip_too]
    pause(studio, "vip")
    assert next_tasks(studio, 1) == [normal]
    pause(studio, "normal")
    assert next_tasks(studio) == []
    resume(studio, "vip")
    assert next_tasks(studio) == [vip, vip_too]
    resume(studio, "normal")
    assert next_tasks(studio) == [vip, vip_too, normal]


def test_a_setting_has_the_users_served_in_turn(studio: Studio):
    eve = uuid4()
    studio.story.register(eve)
    ada, ada_too, eves = (studio.story.request(who) for who in (ACCOUNT, ACCOUNT, eve))
    project(studio)
    settings = Settings(queue_fair=True)
    claimed = [main._leases(studio.pool, f"{n}", settings).claim() for n in range(4)]
    assert [each and each.task for each in claimed] == [ada, eves, ada_too, None]


def test_who_pauses_a_lane_again_does_not_hide_who_has_paused_it_before(studio: Studio):
    pause(studio, "vip")
    with connect(studio.url) as connection:
        assert pauses.pause(connection, LANES, by="eve", reason="other") == ["normal"]
        assert [(each.lane, each.by) for each in pauses.paused(connection)] == [
            ("vip", "ada"),
            ("normal", "eve"),
        ]
        assert sorted(pauses.resume(connection, LANES)) == ["normal", "vip"]
        assert pauses.resume(connection, LANES) == []


@pytest.mark.parametrize("statement", [queue.NEXT, queue.NEXT_IN_ROUNDS], ids=["NEXT", "ROUNDS"])
@pytest.mark.parametrize("lanes", [(), ("vip",), LANES])
def test_a_paused_lane_is_not_walked_however_full_it_is(
    studio: Studio, lanes: tuple[str, ...], statement: LiteralString
):
    normal = studio.story.request()
    project(studio)
    with connect(studio.url, statement_timeout=0) as connection:
        connection.execute(
            "INSERT INTO atelier_queue SELECT gen_random_uuid(), gen_random_uuid(), true, n, now(),"
            " false, 0, NULL, 1, n FROM generate_series(1, 10000) n"
        )
        connection.execute("ANALYZE atelier_queue_g1")
    pause(studio, *lanes)
    with connect(studio.url) as connection:
        explain: LiteralString = "EXPLAIN (ANALYZE, FORMAT JSON) "
        explained = connection.execute(explain + statement, values(5))
        [[[told]]] = explained
    assert told["Plan"]["Shared Hit Blocks"] + told["Plan"]["Shared Read Blocks"] < 50
    found = next_tasks(studio)
    assert found == [normal] if lanes == ("vip",) else len(found) == (0 if lanes else 5)


def test_a_pause_lets_what_is_under_way_end_and_a_resumption_is_noticed_within_a_second(
    studio: Studio, running: WakeSignal
):
    pause(studio, *LANES)
    task = studio.story.request()
    project(studio)
    running.tell(0)  # its ticket
    time.sleep(main.LOOK_OFTEN_EVERY_S)
    assert studio.kinds(task) == ["requested"]
    resume(studio, *LANES)
    began = time.monotonic()
    eventually(lambda: studio.kinds(task)[-1] == "completed")
    assert time.monotonic() - began < main.LOOK_EVERY_S / 2
