"""Tasks that nobody wants any more: cancelled, or of somebody erased."""

import time

import pytest

from render_consumers.loop.leases import Leases
from render_consumers.painting.painter import Stopped
from tests.integration.render_consumers.conftest import SmallEngine
from tests.support.scenario import (
    ACCOUNT,
    cancelled,
    erased,
    eventually,
)


class Interrupted:
    """A media store in which something happens once the last file is published."""

    def __init__(self, media, act):
        self._media = media
        self._act = act

    def copy(self, source, target):
        self._media.copy(source, target)
        if target.endswith("_thumbnail.jpg"):
            self._act()

    def __getattr__(self, name):
        return getattr(self._media, name)


# Cancelling.


def cancel(studio, task):
    studio.story.tell(task, cancelled(1))


@pytest.fixture
def begun(studio):
    """A task whose claim the story has counted, so that it can tell what comes next."""
    task = studio.story.request()
    studio.story._versions[task] += 1
    return task


def test_a_cancelled_task_is_not_claimed(studio):
    task = studio.story.request()
    studio.project()
    cancel(studio, task)
    engine = SmallEngine()
    consumer = studio.consumer(engine)
    consumer._leases = Leases(studio.pool, "one", 30.0)  # the queue stays as it is
    consumer.work_through(studio.stop)
    studio.consumer(engine).work_through(studio.stop)
    assert engine.rendered == []
    assert studio.lease_count() == 0


def test_the_engine_is_told_to_stop_when_the_task_is_cancelled(studio, begun):
    def wait_for_word(_):
        cancel(studio, begun)
        eventually(engine.should_stop)
        raise Stopped

    engine = SmallEngine(wait_for_word)
    studio.consumer(engine, seconds=0.6).work_through(studio.stop)
    assert engine.rendered == [begun]
    assert studio.kinds(begun) == ["requested", "started", "cancelled"]
    assert studio.lease_count() == 0


def test_it_is_told_within_two_seconds_however_long_the_lease_is(studio, begun):
    told = []

    def wait_for_word(_):
        cancel(studio, begun)
        time.sleep(2.0)
        told.append(engine.should_stop())

    engine = SmallEngine(wait_for_word)
    studio.consumer(engine, seconds=3_000.0).work_through(studio.stop)
    assert told == [True]


def test_nothing_of_a_cancelled_task_is_published_or_stays_in_staging(studio, begun):
    studio.consumer(SmallEngine(lambda _: cancel(studio, begun))).work_through(studio.stop)
    assert studio.kinds(begun) == ["requested", "started", "cancelled"]
    assert studio.keys() == []


def test_what_was_published_just_before_it_was_cancelled_is_taken_back(studio, begun):
    plain = studio.media
    studio.media = Interrupted(plain, lambda: cancel(studio, begun))
    studio.consumer().work_through(studio.stop)
    assert studio.kinds(begun) == ["requested", "started", "cancelled"]
    assert [found.key for found in plain.list("")] == []


# Somebody erased.


def erase(studio):
    """As another process does, of which this one hears."""
    studio.story.tell(ACCOUNT, erased())
    studio.story.store.keys.forget(ACCOUNT)


def test_a_task_under_way_of_somebody_erased_is_given_up_and_leaves_no_file(studio, begun):
    studio.consumer(SmallEngine(lambda _: erase(studio))).work_through(studio.stop)
    assert studio.kinds(begun) == ["requested", "started", "cancelled"]
    assert studio.keys() == []
    assert studio.lease_count() == 0


def test_what_was_published_just_before_somebody_was_erased_is_taken_back(studio, begun):
    plain = studio.media
    studio.media = Interrupted(plain, lambda: erase(studio))
    studio.consumer().work_through(studio.stop)
    assert studio.kinds(begun) == ["requested", "started", "cancelled"]
    assert [found.key for found in plain.list("")] == []
