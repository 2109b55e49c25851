"""Commands on a real log."""

from uuid import UUID

import pytest

from commands import Origin, execute
from commands.account import UpdateAccountInfo
from domain.account import AccountInfoUpdated
from domain.errors import (
    VersionConflict,
)
from infra.log.event_store import EventLog
from tests.support.batches import refusals_of
from tests.support.scenario import (
    ACCOUNT,
    Story,
    make_store,
    opened_pool,
    registered,
)

ORIGIN = Origin(actor="test", correlation_id=UUID(int=7))


@pytest.fixture
def store(postgres_url):
    with opened_pool(postgres_url, 8) as pool:
        made = make_store(pool)
        made.keys.create(ACCOUNT)
        yield made


@pytest.fixture
def story(store):
    return Story(store)


@pytest.fixture
def log(postgres_url):
    with opened_pool(postgres_url) as pool:
        yield EventLog(pool)


def update(**changes):
    return UpdateAccountInfo(aggregate_id=ACCOUNT, account=ACCOUNT, **changes)


def test_a_command_leads_to_events_a_position_and_a_state(story):
    story.tell(ACCOUNT, registered())
    outcome = execute(update(full_name="Ada King"), story.store, ORIGIN)
    assert outcome.events == (AccountInfoUpdated(full_name="Ada King"),)
    assert outcome.position == 2
    assert outcome.state.info.full_name == "Ada King"
    newest = story.store.load(ACCOUNT)[-1]
    assert (newest.event, newest.version) == (outcome.events[0], 2)
    assert (newest.actor, newest.correlation_id) == (ORIGIN.actor, ORIGIN.correlation_id)
    assert newest.account == ACCOUNT


def test_a_command_without_a_change_tells_where_its_aggregate_stands(story, log):
    story.tell(ACCOUNT, registered())
    story.request()
    outcome = execute(update(full_name="Ada Lovelace"), story.store, ORIGIN)
    assert (outcome.events, outcome.position) == ((), 1)
    assert log.head()[1] == 2


class Overtaken:
    """A store in which somebody else is always faster, up to a number of times."""

    def __init__(self, story, times):
        self._story = story
        self.left = times

    def load(self, aggregate_id):
        history = self._story.store.load(aggregate_id)
        if self.left:
            self.left -= 1
            self._story.tell(aggregate_id, AccountInfoUpdated(gender=f"number {self.left}"))
        return history

    def append(self, events):
        return self._story.store.append(events)


def test_a_command_that_was_overtaken_is_decided_anew(story):
    story.tell(ACCOUNT, registered())
    outcome = execute(update(full_name="Ada King"), Overtaken(story, 3), ORIGIN)
    assert outcome.position == 5
    assert outcome.state.info.full_name == "Ada King"
    assert outcome.state.info.gender == "number 0"


def test_a_command_that_is_always_overtaken_gives_up(story):
    story.tell(ACCOUNT, registered())
    with pytest.raises(VersionConflict):
        execute(update(full_name="Ada King"), Overtaken(story, 1_000), ORIGIN)
    assert all(recorded.event.full_name != "Ada King" for recorded in story.store.load(ACCOUNT))


def test_concurrent_commands_to_one_aggregate_all_take_effect(story):
    story.tell(ACCOUNT, registered())
    acts = [
        lambda n=n: execute(update(full_name=f"name {n}"), story.store, ORIGIN) for n in range(8)
    ]
    assert refusals_of(acts) == {None: 8}
    history = story.store.load(ACCOUNT)
    assert [recorded.version for recorded in history] == list(range(1, 10))
    assert {r.event.full_name for r in history[1:]} == {f"name {n}" for n in range(8)}
