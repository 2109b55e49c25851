"""Generations that several processes fill, each its segment of the accounts."""

import contextlib
import functools
import multiprocessing
import time
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import Unavailable
from domain.events import Segment
from domain.garment import GarmentListed
from projections import PROJECTIONS, accounts, segments, tasks
from projections.rebuild import Rebuild
from projections.runner import Runner
from tests.integration.projections.conftest import filled, found
from tests.support.scenario import (
    completed,
    eventually,
    garment_details,
    registered,
    requested,
    requeued,
    source,
    started,
    thumbnail,
)


@pytest.fixture
def by_segments(monkeypatch):
    monkeypatch.setattr("projections.rebuild.LARGE", 0)
    monkeypatch.setattr("projections.segments.processes", lambda: 3)


def people(story, count) -> None:
    """So many accounts, each with a picture; and the same number of garments."""
    for _ in range(count):
        account = uuid4()
        task = uuid4()
        files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
        story.tell(account, registered(email=f"{account}@example.org"), account=account)
        story.tell(task, requested(), started(), completed(files=files), account=account)
        story.tell(uuid4(), GarmentListed(details=garment_details(name=f"{account}")), account=None)


def queue_up(story, count) -> None:
    """So many accounts with tasks that wait, in both lanes, of which some were claimed before."""
    accounts = [uuid4() for _ in range(count)]
    for account in accounts:
        story.tell(account, registered(email=f"{account}@example.org"), account=account)
    for n in range(3):
        for account in accounts:
            task, _vip = story.request(account), story.request(account, vip=True)
            if n == 1:
                story.tell(task, started(), requeued(), account=account)


def test_several_processes_fill_what_one_would(models, story, rebuild, by_segments):
    people(story, 20)
    queue_up(story, 10)
    models.catch_up()
    told: list[tuple[int, int]] = []
    new = rebuild(*PROJECTIONS)
    new.fill(lambda at, until: told.append((at, until)))
    for projection in PROJECTIONS:
        comparison = new.compare(projection)
        assert (comparison.differing, comparison.position) == (0, story.store.head()[1])
    assert len(told) > 10
    assert told == sorted(told)


def test_a_killed_rebuild_is_gone_on_with_where_each_segment_was(
    models, story, rebuild, open_log, by_segments, connecting
):
    people(story, 20)
    models.catch_up()
    first = rebuild(tasks.PROJECTION)
    with open_log() as log, connecting() as connection:
        segments._split(connection, [tasks.PROJECTION], first.generations)
        for number in (0, 2):  # one has come further than the others
            runner = Runner(
                [tasks.PROJECTION], log.read, state="building", segment=Segment(number, 3)
            )
            while runner.catch_up(connection, until=30 + 10 * number):
                pass
    again = rebuild(tasks.PROJECTION, accounts.PROJECTION)  # one that was begun, one that was not
    assert again.generations["tasks"] == first.generations["tasks"]
    again.fill(lambda _at, _until: None)
    assert [again.compare(each).differing for each in (tasks.PROJECTION, accounts.PROJECTION)] == [
        0,
        0,
    ]


def test_segments_meet_where_the_first_of_them_has_come_to(
    models, story, rebuild, open_log, by_segments, connecting
):
    """Though the generation that serves is another one by now, which is behind."""
    people(story, 20)
    models.catch_up()
    new = rebuild(tasks.PROJECTION)
    with open_log() as log, connecting() as connection:
        segments._split(connection, [tasks.PROJECTION], new.generations)
        runner = Runner([tasks.PROJECTION], log.read, state="building", segment=Segment(1, 3))
        runner.catch_up(connection, until=60)
        connection.execute("UPDATE atelier_projections SET position = 20 WHERE live")
    new.fill(lambda _at, _until: None)
    (filled,) = [each for each in found(models, tasks.PROJECTION) if not each.live]
    assert filled.position == 60


def test_a_process_that_fails_says_why_and_what_to_do(
    models, story, rebuild, by_segments, connecting
):
    people(story, 5)
    models.catch_up()
    new = rebuild(tasks.PROJECTION)
    with connecting() as connection:
        connection.execute(f"ALTER TABLE atelier_tasks_g{new.generations['tasks']} RENAME TO x")
    with pytest.raises(Unavailable, match="does not exist: call it again"):
        new.fill(lambda _at, _until: None)


@contextlib.contextmanager
def slow_log(open_log):
    """A log of which each process gets three events at a time, and waits for them."""

    def read(after, limit, *what, **how):
        time.sleep(0.2)
        return log.read(after, min(3, limit), *what, **how)

    with open_log() as log:
        yield log._replace(read=read)


def rebuild_slowly(open_log):
    """What a process does that will be killed."""
    segments.processes = lambda: 3
    slow = functools.partial(slow_log, open_log)
    with Rebuild([tasks.PROJECTION], slow) as new, new._connect() as connection:
        segments.fill(slow, connection, [tasks.PROJECTION], new.generations, 10**6, print)


def test_when_a_rebuild_is_killed_its_processes_end_too(
    models, story, rebuild, open_log, by_segments
):
    people(story, 20)
    models.catch_up()
    parent = multiprocessing.get_context("spawn").Process(target=rebuild_slowly, args=(open_log,))
    parent.start()
    moved = "SELECT count(*) FROM atelier_projection_segments WHERE position > 0"
    eventually(lambda: models.ask_database(moved) == [{"count": 3}])
    workers = children(parent.pid)
    assert len(workers) >= 3
    parent.kill()
    parent.join()
    eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert filled(rebuild(tasks.PROJECTION), tasks.PROJECTION).differing == 0


def children(process: int | None) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
