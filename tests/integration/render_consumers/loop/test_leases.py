import pytest

from render_consumers.loop.leases import Leases
from tests.support.scenario import TASK, cancelled, completed, failed, hold, requested, started


@pytest.fixture
def one(pool):
    return Leases(pool, "one", 30.0)


@pytest.fixture
def two(pool):
    return Leases(pool, "two", 30.0)


def test_a_lease_is_one_consumers(one, two):
    assert hold(one, TASK)
    assert not hold(two, TASK)
    assert not two.renew(TASK)
    assert one.renew(TASK)


def test_a_lease_that_is_held_is_not_taken_again_even_by_its_holder(one):
    assert hold(one, TASK)
    assert not hold(one, TASK)


def test_a_lease_that_has_run_out_can_be_taken(pool, two):
    short = Leases(pool, "one", 0.0)
    assert hold(short, TASK)
    assert hold(two, TASK)
    assert not short.renew(TASK)


def test_a_lease_that_has_run_out_is_renewed_if_nobody_took_it(pool, two):
    hold(Leases(pool, "one", 0.0), TASK)
    assert Leases(pool, "one", 30.0).renew(TASK)
    assert not hold(two, TASK)


def test_a_released_lease_can_be_taken(one, two):
    hold(one, TASK)
    one.release(TASK)
    assert not one.renew(TASK)
    assert hold(two, TASK)


def test_nobody_releases_the_lease_of_another(one, two):
    hold(one, TASK)
    two.release(TASK)
    assert one.renew(TASK)


@pytest.mark.parametrize("end", [cancelled(), completed(), failed()])
def test_a_lease_of_a_task_that_has_ended_is_not_renewed(one, story, end):
    story.tell(TASK, requested(), started())
    hold(one, TASK)
    assert one.renew(TASK)
    story.tell(TASK, end)
    assert not one.renew(TASK)


def test_progress_only_grows_until_somebody_else_starts_anew(pool, one, two):
    def noted():
        with pool.connection() as connection:
            return connection.execute("SELECT stage, progress FROM atelier_leases").fetchone()

    hold(one, TASK)
    assert noted() == (None, 0)
    one.renew(TASK, "drawing", 0.5)
    one.renew(TASK)
    assert noted() == ("drawing", 0.5)
    Leases(pool, "one", 0.0).renew(TASK, "encoding", 0.75)
    hold(two, TASK)
    assert noted() == (None, 0)
