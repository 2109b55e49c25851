import asyncio
import functools
from uuid import uuid4

import pytest

from domain.render import RenderRequested, VideoRequested
from infra.postgres import borrowed_async, make_async_pool
from projections import pace as module
from projections.pace import Pace, PaceMeter
from projections.reading import Reader
from render_consumers.loop.leases import Leases
from tests.support.scenario import (
    ACCOUNT,
    completed,
    hold,
    requested,
    requeued,
    started,
    video_requested,
)

PICTURE, VIDEO = RenderRequested.stored_name, VideoRequested.stored_name


@pytest.fixture
def leases(pool):
    return Leases(pool, "test", 30.0)


@pytest.fixture
def pace(models):
    def asked() -> Pace:
        models.catch_up()

        async def ask(reader, account):
            return await PaceMeter(reader).now(account)

        return models.ask(ask, ACCOUNT)

    return asked


def took(story, task) -> float:
    log = story.store.load(task)
    return (log[-1].recorded_at - log[-2].recorded_at).total_seconds()


def ask_for(story, event):
    task = uuid4()
    story.tell(task, event)
    return task


def test_a_kind_takes_as_long_as_its_newest_tasks_in_their_last_attempt(story, pace, leases):
    assert pace().by_kind == {}
    task = ask_for(story, requested())
    story.tell(task, started(1))
    story.tell(task, requeued(1))
    story.tell(task, started(2))
    hold(leases, task)
    hold(leases, uuid4())
    assert pace().by_kind == {}
    story.tell(task, completed(2))
    assert pace().by_kind == {PICTURE: pytest.approx(took(story, task), abs=1e-5)}
    assert pace().rendering == 1  # the other


def test_each_kind_has_a_pace_of_its_own(story, pace):
    tasks = [ask_for(story, event) for event in (requested(), video_requested())]
    for task in tasks:
        story.tell(task, started())
        story.tell(task, completed())
    for _ in range(3):
        ask_for(story, video_requested())
    ask_for(story, requested())
    still, film = (took(story, task) for task in tasks)
    measured = pace()
    assert measured.by_kind == pytest.approx({PICTURE: still, VIDEO: film}, abs=1e-5)
    assert measured.waiting_seconds == pytest.approx((3 * film + still) / 4, abs=1e-5)


def test_what_a_kind_took_is_remembered_while_others_follow(story, models, monkeypatch):
    monkeypatch.setattr(module, "PACE_FOR_S", 0.0)
    monkeypatch.setattr(module, "RECENT_TASKS", 1)

    def finish(event):
        task = ask_for(story, event)
        story.tell(task, started(), completed())
        models.catch_up()

    async def told() -> None:
        async with make_async_pool(models.url, 1) as pool:
            meter = PaceMeter(Reader(functools.partial(borrowed_async, pool)))
            await asyncio.to_thread(finish, video_requested())
            assert set((await meter.now(ACCOUNT)).by_kind) == {VIDEO}
            await asyncio.to_thread(finish, requested())
            assert set((await meter.now(ACCOUNT)).by_kind) == {VIDEO, PICTURE}

    asyncio.run(told())
