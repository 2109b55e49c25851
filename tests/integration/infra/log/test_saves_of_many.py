"""Many aggregates at once: loaded by one query, stored by one save."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from commands import Origin, execute_all, preview
from commands.garment import ListGarment
from domain.errors import VersionConflict
from domain.garment import GarmentListed, GarmentRevised, garment_id
from tests.support.scenario import Story, garment_details, make_store, opened_pool

BY = Origin(actor="test", correlation_id=UUID(int=7))
NAMES = ("Hat", "Coat", "Shoe")
IDS = [garment_id("BrandA", name) for name in NAMES]


@pytest.fixture
def store(postgres_url):
    with opened_pool(postgres_url) as pool:
        yield make_store(pool)


@pytest.fixture
def story(store):
    return Story(store)


def commands(**changes):
    details = [garment_details(name=name, **changes) for name in NAMES]
    return [
        ListGarment(aggregate_id=garment, account=None, details=each)
        for garment, each in zip(IDS, details, strict=True)
    ]


class Overtaken:
    """A store in which somebody else revises the coat meanwhile, a number of times."""

    def __init__(self, store, times):
        self._story = Story(store)
        self._store = store
        self.left = times

    def load_many(self, aggregate_ids):
        histories = self._store.load_many(aggregate_ids)
        if self.left:
            self.left -= 1
            coat = garment_details(name="Coat", sizes=(f"{self.left}",))
            self._story.tell(IDS[1], GarmentRevised(details=coat), account=None)
        return histories

    def append(self, events):
        return self._store.append(events)


def test_histories_come_by_aggregate_and_version(store, story):
    story.tell(IDS[0], GarmentListed(details=garment_details()), account=None)
    story.tell(IDS[1], GarmentListed(details=garment_details()), account=None)
    story.tell(IDS[0], GarmentRevised(details=garment_details(sizes=())), account=None)
    nobody = uuid4()
    found = store.load_many([*IDS[:2], nobody])
    assert {each: [r.version for r in found[each]] for each in found} == {
        IDS[0]: [1, 2],
        IDS[1]: [1],
        nobody: [],
    }
    assert found[IDS[0]] == store.load(IDS[0])


def test_all_are_stored_and_the_newest_position_is_told(store):
    outcomes = execute_all(commands(), store, BY)
    assert [type(events[0]) for events in outcomes.events] == [GarmentListed] * 3
    assert outcomes.position == 3
    assert [store.load(each)[0].position for each in IDS] == [1, 2, 3]
    assert store.load(IDS[0])[0].account is None


def test_what_is_unchanged_adds_nothing_and_the_position_is_the_newest_of_theirs(store):
    execute_all(commands(), store, BY)
    again = execute_all(commands(), store, BY)
    assert (again.events, again.position) == (((), (), ()), 3)


def test_what_would_happen_does_not_happen(store):
    (listed, *_) = preview(commands(), store)
    assert type(listed[0]) is GarmentListed
    assert store.load_many(IDS) == {each: [] for each in IDS}


def test_when_one_was_overtaken_all_are_decided_anew(store):
    outcomes = execute_all(commands(sizes=("L",)), Overtaken(store, 3), BY)
    assert [type(events[0]) for events in outcomes.events] == [
        GarmentListed,
        GarmentRevised,
        GarmentListed,
    ]
    assert [len(store.load(each)) for each in IDS] == [1, 4, 1]


def test_when_one_is_always_overtaken_nothing_is_stored(store):
    with pytest.raises(VersionConflict):
        execute_all(commands(), Overtaken(store, 1_000), BY)
    assert store.load(IDS[0]) == store.load(IDS[2]) == []


def test_the_same_at_the_same_time_is_stored_once(store):
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: execute_all(commands(), store, BY), range(4)))
    assert sorted(sum(map(len, each.events)) for each in done) == [0, 0, 0, 3]
    assert [len(store.load(each)) for each in IDS] == [1, 1, 1]
