"""Tasks that nobody wants any more: cancelled, or of somebody erased."""

import time

import pytest

from infra.postgres import connect
from render_consumers.loop.leases import Leases
from render_consumers.painting.painter import Stopped
from tests.support.engine import SmallEngine
from tests.support.scenario import (
    ACCOUNT,
    cancelled,
    completed,
    erased,
    eventually,
    failed,
    removed,
    source,
    started,
)
from tests.support.scenario import thumbnail as small


class Interrupted:
    """A media store in which something happens once the last file is published.

    Or `before` the first is: as when its consumer is frozen since it has renewed its lease.
    """

    def __init__(self, media, act, *, before=False):
        self._media = media
        self._act = act
        self._before = before

    def copy(self, source, target):
        if self._before and target.endswith(".jpg") and "_thumbnail" not in target:
            self._act()
        self._media.copy(source, target)
        if not self._before and target.endswith("_thumbnail.jpg"):
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


# Copied too late, over the files of another attempt.


@pytest.fixture
def overtaken(studio, begun):
    """Have the task's consumer sleep before it copies, until the events have happened."""

    def sleep_through(*events):
        plain = studio.media

        def happen():
            with connect(studio.url) as connection:
                connection.execute("UPDATE atelier_leases SET consumer = 'two'")
            studio.story.tell(begun, started(2, "two"), *events)

        studio.media = Interrupted(plain, happen, before=True)
        studio.consumer().work_through(studio.stop)
        return [found.key for found in plain.list("")]

    return sleep_through


def named(begun):
    return [f"33/gallery/{begun}.jpg", f"33/gallery/{begun}_thumbnail.jpg"]


def files(begun):
    picture, thumbnail = source(f"{begun}.jpg"), small(f"{begun}_thumbnail.jpg")
    return completed(2, files=(picture, thumbnail))


def test_what_was_copied_late_over_the_same_files_stays(begun, overtaken):
    assert overtaken(files(begun)) == named(begun)


def test_what_was_copied_late_does_not_bring_a_removed_file_back(begun, overtaken):
    assert overtaken(files(begun), removed(f"{begun}.jpg", *named(begun))) == []


@pytest.mark.parametrize("end", [failed(2), cancelled(2)], ids=["failed", "cancelled"])
def test_what_was_copied_late_for_a_task_without_a_result_is_taken_back(overtaken, end):
    assert overtaken(end) == []


def test_what_was_copied_while_another_attempt_is_at_work_is_left_to_that(begun, overtaken):
    assert overtaken() == named(begun)
