"""The store in an event loop: what is asked at the same moment shares a statement."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from eventsourcing.persistence import MapperDeserialisationError

from domain.errors import AccountErased, EmailTaken, VersionConflict
from infra.log.async_event_store import AsyncEventStore
from infra.postgres import connect
from tests.support.scenario import (
    ACCOUNT,
    Story,
    enveloped,
    make_store,
    opened_pool,
    registered,
    requested,
    started,
)

MANY = 100


class Counting:
    """A real store that notes how many histories each statement asked for."""

    def __init__(self, store):
        self._store = store
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def load_many(self, aggregate_ids):
        self.asked.append(len(aggregate_ids))
        return self._store.load_many(aggregate_ids)


@pytest.fixture
def counting(postgres_url):
    with opened_pool(postgres_url) as pool:
        yield Counting(make_store(pool))


@pytest.fixture
def story(counting):
    told = Story(counting)
    told.register()
    return told


@pytest.fixture
def store(counting):
    with ThreadPoolExecutor(4) as threads:
        made = AsyncEventStore(counting, threads)
        yield made
        made.close()


def together(*asked):
    async def answers():
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(answers())


def test_many_histories_come_with_few_statements_each_to_its_asker(store, story, counting):
    tasks = [story.request() for _ in range(MANY)]
    histories = together(*(store.load(task) for task in tasks))
    assert [history[0].aggregate_id for history in histories] == tasks
    assert sum(counting.asked) == MANY
    assert len(counting.asked) < MANY / 10


def test_the_same_history_is_fetched_once_for_all_who_ask(store, story, counting):
    task = story.request()
    first, *others = together(*(store.load(task) for _ in range(MANY)))
    assert all(other == first for other in others)
    assert len(first) == 1
    assert counting.asked == [1]


def test_a_history_that_cannot_be_read_fails_its_own_asker_alone(store, story, postgres_url):
    good, bad = story.request(), story.request()
    with connect(postgres_url) as connection:
        connection.execute("ALTER TABLE atelier_events DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE atelier_events SET state = 'no json' WHERE aggregate_id = %s", [bad]
        )
    one, other = together(store.load(good), store.load(bad))
    assert len(one) == 1
    assert isinstance(other, MapperDeserialisationError)


def test_an_asker_who_gives_up_leaves_the_others_their_answers(store, story):
    tasks = [story.request() for _ in range(4)]

    async def asked():
        asks = [asyncio.ensure_future(store.load(task)) for task in tasks]
        await asyncio.sleep(0)
        asks[0].cancel()
        return await asyncio.gather(*asks, return_exceptions=True)

    gone, *answered = asyncio.run(asked())
    assert isinstance(gone, asyncio.CancelledError)
    assert [history[0].aggregate_id for history in answered] == tasks[1:]


def test_what_was_appended_is_in_the_next_history(store, story):
    task = story.request()

    async def acted():
        before = await store.load(task)
        position = await store.append([enveloped(started(), task, 2)])
        return before, position, await store.load(task)

    before, position, after = asyncio.run(acted())
    assert [each.event for each in after] == [before[0].event, started()]
    assert after[-1].position == position


def test_an_account_is_opened_with_a_key_of_its_own(store, counting):
    account = uuid4()
    opening = enveloped(registered(email="new@example.org"), account, account=account)
    assert together(store.append([opening])) == [1]
    assert counting.load(account)[0].event == opening.event


def test_refusals_are_those_of_the_blocking_store(store, story):
    task = story.request()
    taken = enveloped(registered(email=f"{ACCOUNT}@example.org"), uuid4())
    conflict = enveloped(started(), task, 1)
    nobody = enveloped(requested(), uuid4(), account=uuid4())
    refusals = together(*(store.append([each]) for each in (taken, conflict, nobody)))
    assert [type(each) for each in refusals] == [EmailTaken, VersionConflict, AccountErased]
