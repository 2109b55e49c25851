import asyncio
import random

import pytest

from infra.postgres import connect
from projections import tasks
from projections.queue import NEXT, PROJECTION, depth, standing
from render_consumers.loop.leases import Leases
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
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
}


@pytest.fixture
def queue(models):
    """The tasks that may be claimed now."""

    def asked(limit=100, max_wait=None):
        models.catch_up(PROJECTION)
        with connect(models.url) as connection:
            values = {"limit": limit, "max_wait": max_wait}
            found = connection.execute(NEXT, values).fetchall()
        assert all(account == ACCOUNT for _, account in found)
        return [task for task, _ in found]

    return asked


# Rows.


def test_a_request_takes_its_place(given):
    given(requested(vip=True)).then(PROJECTION, WAITING | {"vip": True})


def test_a_claimed_task_keeps_its_place(given):
    given(requested(), started(1), started(2)).then(
        PROJECTION, WAITING | {"started": True, "attempt": 2}
    )


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


# Positions.


@pytest.mark.parametrize("max_wait", [None, 60])
@pytest.mark.parametrize("seed", range(3))
def test_every_position_is_the_place_in_the_order_of_the_claims(
    story, models, pool, queue, seed, max_wait
):
    """Over several stretches of places, amid whatever may happen to a task."""
    chance = random.Random(seed)
    left, held = Leases(pool, "consumer-1", 0.0), Leases(pool, "consumer-2", 60.0)
    asked, running = [], []
    for _ in range(5):
        for _ in range(40):
            asked.append(story.request(vip=chance.random() < 0.3))
            if chance.random() < 0.5 and (free := [t for t in asked if t not in running]):
                task = chance.choice(free)
                story.tell(task, started())
                end = chance.choice(["left", "held", "requeued", completed(), failed()])
                if end == "requeued":
                    story.tell(task, requeued())
                    continue
                hold(held if end == "held" else left, task)
                running.append(task)
                if not isinstance(end, str):
                    story.tell(task, end)
        models.catch_up(PROJECTION, tasks.PROJECTION)
    made_older(models, asked[:100], 61)
    order = queue(1_000, max_wait=max_wait)
    assert len(order) > 50

    async def ask_all(reader):
        asking = (tasks.task(reader, ACCOUNT, task, max_wait=max_wait) for task in asked)
        return [answer.rows[0] for answer in await asyncio.gather(*asking)]

    rows = dict(zip(asked, models.ask(ask_all), strict=True))
    assert {task: row.position for task, row in rows.items() if row.position} == {
        task: n for n, task in enumerate(order, start=1)
    }
    assert {rows[task].status for task in order} == {"PENDING"}
    with connect(models.url) as connection:
        waiting = depth(connection)
    assert waiting.pending_vip + waiting.pending_normal == len(order)
    assert waiting.started == sum(row.status == "STARTED" for row in rows.values()) > 0
    assert waiting.oldest_seconds > 60


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


def test_the_standing_is_how_far_the_queue_has_come(story, queue, models):
    story.request()
    with connect(models.url) as connection:
        assert standing(connection) == 0
        queue()
        assert standing(connection) == 2
