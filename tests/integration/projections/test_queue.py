import asyncio
import contextlib
import functools
import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from api.cli.queue.common import waiting
from infra.postgres import connect
from infra.process import pauses
from infra.process.pauses import LANES
from projections import tasks
from projections.queue import NEXT, NEXT_IN_ROUNDS, PROJECTION, depth, standing
from render_consumers.loop.leases import Leases
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    eventually,
    failed,
    hold,
    removed,
    requested,
    requeued,
    started,
)

WAITING = {
    "task": TASK,
    "account": ACCOUNT,
    "vip": False,
    "place": 2,
    "started": False,
    "attempt": 0,
    "retry_at": None,
    "rank": 1,
    "turn": 2,
}


@pytest.fixture
def queue(models):
    """The tasks that may be claimed now."""

    def asked(limit=100, max_wait=None, fair=False):
        models.catch_up(PROJECTION)
        with connect(models.url) as connection:
            statement = NEXT_IN_ROUNDS if fair else NEXT
            found = connection.execute(statement, {"limit": limit, "max_wait": max_wait})
            return [task for task, _ in found]

    return asked


# Rows.


def test_a_request_takes_its_place(given):
    given(requested(vip=True)).then(PROJECTION, WAITING | {"vip": True})


def test_a_claimed_task_keeps_its_place(given):
    given(requested(), started(1), started(2)).then(
        PROJECTION, WAITING | {"started": True, "attempt": 2, "rank": 0}
    )


def test_the_tasks_of_a_user_have_ranks_which_close_up(story, models):
    def ranks():
        models.catch_up(PROJECTION)
        rows = {row["task"]: (row["rank"], row["turn"]) for row in models.rows(PROJECTION)}
        return [rows.get(task) for task in asked]

    asked = [story.request() for _ in range(4)]
    vip = story.request(vip=True)
    assert ranks() == [(1, 2), (2, 2), (3, 2), (4, 2)]
    story.tell(asked[1], cancelled())
    claimed = story.tell(asked[0], started())
    story.tell(asked[0], requeued())
    asked += [story.request(), vip]
    assert ranks() == [(0, 2), None, (1, claimed), (2, claimed), (3, claimed), (1, 6)]


def test_a_task_that_was_given_back_waits_from_then_on(given, models):
    given(requested(), started(1), requeued(1, retry_after_seconds=4.5))
    given().then(PROJECTION, {"started": False, "place": 2})
    (row,) = models.rows(PROJECTION)
    backoff = row["retry_at"] - models.story.store.load(TASK)[-1].recorded_at
    assert backoff.total_seconds() == 4.5


@pytest.mark.parametrize("end", [completed(), failed(), cancelled()])
def test_an_ended_task_leaves(given, end):
    given(requested(), started(), end, removed()).then(PROJECTION)


# Order.


def test_vip_tasks_come_first_and_each_lane_is_first_in_first_out(story, queue):
    plain, vip, plain_too, vip_too = (story.request(vip=n % 2 == 1) for n in range(4))
    assert queue() == [vip, vip_too, plain, plain_too]
    assert queue(3) == [vip, vip_too, plain]


def test_a_task_that_was_given_back_keeps_its_place(story, queue):
    first, second = story.request(), story.request()
    story.tell(first, started(), requeued(), started(2), requeued(2))
    assert queue() == [first, second]


def test_a_task_is_hidden_until_it_may_be_tried_again(story, queue, models):
    first, second = story.request(), story.request()
    story.tell(first, started(), requeued(retry_after_seconds=3600.0))
    assert queue() == [second]
    with connect(models.url) as connection:
        connection.execute("UPDATE atelier_queue_g1 SET retry_at = now()")
    assert queue() == [first, second]


def test_a_leased_task_is_hidden_until_its_lease_ends(story, queue, pool):
    first, second = story.request(), story.request()
    leases = Leases(pool, "consumer-1", 30.0)
    hold(leases, first)
    story.tell(first, started())
    assert queue() == [second]
    leases.release(first)
    assert queue() == [first, second]


def test_a_task_whose_lease_has_run_out_can_be_claimed(story, queue, pool):
    first = story.request()
    story.tell(first, started())
    hold(Leases(pool, "consumer-1", 0.0), first)
    assert queue() == [first]


def made_older(models, tasks, seconds):
    """The tasks have waited for so long."""
    with connect(models.url) as connection:
        connection.execute(
            "UPDATE atelier_queue_g1 SET requested_at = requested_at - make_interval(secs => %s)"
            " WHERE task = ANY(%s)",
            [seconds, tasks],
        )


def test_who_has_waited_too_long_is_overtaken_no_more(story, queue, models):
    plain, vip, plain_too, vip_too = (story.request(vip=n % 2 == 1) for n in range(4))
    assert queue(max_wait=60) == [vip, vip_too, plain, plain_too]
    made_older(models, [plain, vip], 61)
    assert queue(max_wait=60) == [plain, vip, vip_too, plain_too]
    assert queue(max_wait=600) == queue() == [vip, vip_too, plain, plain_too]


# Rounds.


def people(story, number):
    """So many more users."""
    accounts = [uuid4() for _ in range(number)]
    for account in accounts:
        story.register(account)
    return accounts


def test_users_are_served_in_turn(story, queue):
    (eve,) = people(story, 1)
    ada = [story.request() for _ in range(3)]
    eves = [story.request(eve), story.request(eve)]
    vip = story.request(vip=True)
    assert queue() == [vip, *ada, *eves]
    assert queue(fair=True) == [vip, ada[0], eves[0], ada[1], eves[1], ada[2]]
    story.tell(ada[0], started(), completed())
    (late,) = people(story, 1)
    lates = [story.request(late), story.request(late)]
    assert queue(fair=True) == [vip, eves[0], ada[1], lates[0], eves[1], ada[2], lates[1]]


def test_what_was_claimed_before_goes_first(story, queue):
    (eve,) = people(story, 1)
    ada = [story.request() for _ in range(2)]
    eves = [story.request(eve), story.request(eve)]
    story.tell(ada[0], started())
    story.tell(eves[0], started(), requeued(), account=eve)
    assert queue(fair=True) == [ada[0], eves[0], ada[1], eves[1]]


def test_as_many_as_have_waited_too_long_go_before_the_vip_lane(story, queue, models):
    (eve,) = people(story, 1)
    ada = [story.request() for _ in range(3)]
    vip, eves = story.request(vip=True), story.request(eve)
    assert queue(max_wait=60, fair=True) == [vip, ada[0], eves, ada[1], ada[2]]
    made_older(models, ada[:2], 61)
    assert queue(max_wait=60, fair=True) == [ada[0], eves, vip, ada[1], ada[2]]
    assert queue(max_wait=600, fair=True) == [vip, ada[0], eves, ada[1], ada[2]]


# Positions.


RULES = [{"max_wait": wait, "fair": fair} for wait in (None, 60) for fair in (False, True)]


@pytest.fixture
def busy(request, story, models, pool):
    """Tasks and whose they are, over several stretches of places, amid whatever may happen."""
    chance = random.Random(getattr(request, "param", 0))
    accounts = [ACCOUNT, *people(story, 4)]
    left, held = Leases(pool, "consumer-1", 0.0), Leases(pool, "consumer-2", 60.0)
    asked, running = {}, []
    for _ in range(5):
        for _ in range(40):
            account = chance.choice(accounts)
            asked[story.request(account, vip=chance.random() < 0.3)] = account
            if chance.random() < 0.5 and (free := [t for t in asked if t not in running]):
                task = chance.choice(free)
                tell = functools.partial(story.tell, task, account=asked[task])
                tell(started())
                end = chance.choice(["left", "held", "requeued", completed(), failed()])
                if end == "requeued":
                    tell(requeued())
                    continue
                hold(held if end == "held" else left, task)
                running.append(task)
                if not isinstance(end, str):
                    tell(end)
        models.catch_up(PROJECTION, tasks.PROJECTION)
    made_older(models, list(asked)[:100], 61)
    return asked


def shown(models, asked, **rules):
    """What clients see of each task."""

    async def ask_all(reader):
        asking = (tasks.task(reader, account, task, **rules) for task, account in asked.items())
        return [answer.rows[0] for answer in await asyncio.gather(*asking)]

    return dict(zip(asked, models.ask(ask_all), strict=True))


@pytest.mark.parametrize("busy", range(3), indirect=True)
def test_every_position_is_the_place_in_the_order_of_the_claims(models, queue, busy):
    orders = [queue(1_000, **rules) for rules in RULES]
    for rules, order in zip(RULES, orders, strict=True):
        agree(models, busy, order, rules)
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def agree(models, busy, order, rules):
    """What consumers claim, clients are shown and operators see."""
    assert len(order) > 50
    rows = shown(models, busy, **rules)
    assert {task: row.position for task, row in rows.items() if row.position} == {
        task: n for n, task in enumerate(order, start=1)
    }
    assert {rows[task].status for task in order} == {"PENDING"}
    with connect(models.url) as connection:
        full = depth(connection)
    assert full.pending_vip + full.pending_normal == len(order)
    assert full.started == sum(row.status == "STARTED" for row in rows.values()) > 0
    assert full.oldest_seconds > 60
    assert listed(models, **rules) == list(enumerate(order, start=1))


def listed(models, **rules):
    """What operators see."""
    with connect(models.url) as connection:
        found = waiting(connection, limit=1_000, **rules)
    return [(each.position, each.task) for each in found]


def test_what_is_paused_keeps_its_place_and_is_ahead_of_nobody(models, queue, busy):
    for rules, lane in itertools.product(RULES, LANES):
        before = shown(models, busy, **rules)
        with pausing(models, lane):
            agree_but(models, busy, before, queue(1_000, **rules), lane, rules)
        with pausing(models, *LANES):
            assert shown(models, busy, **rules) == before


@contextlib.contextmanager
def pausing(models, *lanes):
    with connect(models.url) as connection:
        pauses.pause(connection, lanes, by="ada", reason="test")
        yield
        pauses.resume(connection, lanes)


def agree_but(models, busy, before, order, lane, rules):
    """What is paused, by what was shown before; the rest by the order of its claims."""
    after = shown(models, busy, **rules)
    places = {task: n for n, task in enumerate(order, start=1)}
    paused = [task for task, row in before.items() if row.vip == (lane == "vip")]
    assert len(order) > 20 < len(paused)
    assert {task: row.position for task, row in after.items() if task in places} == places
    assert [after[task].position for task in paused] == [before[task].position for task in paused]
    last = sorted((row.position, task) for task, row in after.items() if task in paused)
    told = [*enumerate(order, start=1), *((n, task) for n, task in last if n)]
    assert listed(models, **rules) == told


def test_a_task_that_backs_off_waits_for_no_consumer(story, models):
    task, fresh = story.request(), story.request()
    story.tell(task, started(), requeued(retry_after_seconds=3_600.0))
    models.catch_up(PROJECTION)
    made_older(models, [task], 3_000)
    with connect(models.url) as connection:
        waiting = depth(connection)
    assert waiting.pending_normal == 2
    assert waiting.oldest_seconds < 60
    made_older(models, [fresh], 3_000)
    with connect(models.url) as connection:
        assert depth(connection).oldest_seconds > 2_000


def test_nothing_is_counted_when_all_have_ended(story, models):
    for _ in range(3):
        story.tell(story.request(), started(), completed())
    late = story.request()
    models.catch_up(PROJECTION)
    story.tell(late, started(), failed())
    models.catch_up(PROJECTION)
    assert models.ask_database("SELECT * FROM atelier_queue_blocks") == []
    assert models.ask_database("SELECT * FROM atelier_queue_rounds") == []


COUNTED = """-- A task waits in this place.
INSERT INTO atelier_queue_g1
SELECT gen_random_uuid(), gen_random_uuid(), false, %(n)s, now(), false, 0, NULL, 1, %(n)s"""
WAITS = """-- Does somebody wait for a lock?
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'"""


def test_who_counts_in_the_stretches_of_another_waits_for_them(models):
    """As processes do that fill segments, each from one stretch to the other."""

    def count(first, second):
        with connect(models.url, lock_timeout=0) as connection, connection.transaction():
            connection.execute(COUNTED, {"n": first})
            begun.set()
            if first == 1:
                with connect(models.url) as other:
                    eventually(lambda: other.execute(WAITS).fetchone() == (1,))
            connection.execute(COUNTED, {"n": second})

    begun = threading.Event()
    with ThreadPoolExecutor() as threads:
        one = threads.submit(count, 1, 300)
        begun.wait(10)
        two = threads.submit(count, 301, 2)
        assert [one.result(30), two.result(30)] == [None, None]
    counted = models.ask_database("SELECT block, waiting FROM atelier_queue_blocks ORDER BY 1")
    assert [tuple(row.values()) for row in counted] == [(0, 2), (1, 2)]


def test_no_stretch_of_a_round_is_counted_that_has_nobody(models, busy):
    counted = models.ask_database("SELECT * FROM atelier_queue_rounds ORDER BY 1, 2, 3")
    assert counted == models.ask_database(
        "SELECT vip, rank, turn / 256 AS block, count(*) AS waiting FROM atelier_queue"
        " WHERE NOT started GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )


def test_the_standing_is_how_far_the_queue_has_come(story, queue, models):
    story.request()
    with connect(models.url) as connection:
        assert standing(connection) == 0
        queue()
        assert standing(connection) == 2
