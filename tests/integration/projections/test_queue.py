import pytest

from infra.postgres import connect
from projections.queue import PROJECTION, claimable, standing
from render_consumers.loop.leases import Leases
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    failed,
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

    def asked(limit=100):
        models.catch_up(PROJECTION)
        with connect(models.url) as connection:
            found = claimable(connection, limit=limit)
        assert all(one.account == ACCOUNT for one in found)
        return [one.task for one in found]

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
    leases.take(first)
    story.tell(first, started())
    assert queue() == [second]
    leases.release(first)
    assert queue() == [first, second]


def test_a_task_whose_lease_has_run_out_can_be_claimed(story, queue, pool):
    first = story.request()
    story.tell(first, started())
    Leases(pool, "consumer-1", 0.0).take(first)
    assert queue() == [first]


def test_the_standing_is_how_far_the_queue_has_come(story, queue, models):
    story.request()
    with connect(models.url) as connection:
        assert standing(connection) == 0
        queue()
        assert standing(connection) == 2
