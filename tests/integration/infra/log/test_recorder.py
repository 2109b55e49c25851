"""The log as its function, its table and its readers have it."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from domain.errors import HistoryReplaced
from infra.log.event_mapper import STATE_LIMIT_BYTES
from infra.log.event_store import EventLog
from infra.log.recorder import LogRecorder
from infra.postgres import connect
from tests.support.batches import Row, Wanted, append
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    Story,
    enveloped,
    make_store,
    opened_pool,
    requested,
    restore_older_backup,
    started,
)


@pytest.fixture
def pool(postgres_url):
    with opened_pool(postgres_url, 8) as opened:
        yield opened


@pytest.fixture
def store(pool):
    made = make_store(pool)
    made.keys.create(ACCOUNT)
    return made


@pytest.fixture
def story(store):
    return Story(store)


@pytest.fixture
def log(pool):
    return EventLog(pool)


@pytest.fixture
def database(postgres_url):
    with connect(postgres_url) as connection:
        yield connection


def test_one_aggregate_is_read_by_version_either_way(story, pool):
    story.tell(TASK, requested(), started(1), started(2), started(3))
    story.request()
    recorder = LogRecorder(pool)

    def versions(**bounds):
        return [row.originator_version for row in recorder.select_events(TASK, **bounds)]

    assert versions() == [1, 2, 3, 4]
    assert versions(gt=1, lte=3) == [2, 3]
    assert versions(desc=True, limit=2) == [4, 3]


def test_the_log_is_read_by_type_and_up_to_a_position(story, pool):
    for _ in range(3):
        story.tell(uuid4(), requested(), started())
    recorder = LogRecorder(pool)
    only = recorder.select_notifications(1, 500, topics=["render.started.v1"])
    assert [row.id for row in only] == [2, 4, 6]
    assert [row.id for row in recorder.select_notifications(2, 500, stop=4)] == [2, 3, 4]
    assert recorder.max_notification_id() == 6


def test_a_subscription_delivers_what_is_there_and_what_comes(story, pool):
    first = story.request()
    with LogRecorder(pool).subscribe() as subscription:
        assert next(subscription).originator_id == first
        coming = threading.Timer(0.2, story.request)
        coming.start()
        assert next(subscription).id == 2
        coming.join()


# The function itself, with batches of many saves.


def test_a_batch_without_a_fault_has_one_answer(database, log):
    rows = [Row(save, uuid4(), 1) for save in (1, 2, 3)]
    assert append(database, rows)[0] == {0: ("appended", 3)}
    assert [row.originator_id for row in log.read_stored(0, 500)] == [r.aggregate for r in rows]


def test_in_a_batch_each_fault_rejects_its_own_save(database, log):
    taken, known = uuid4(), uuid4()
    a, b, c, d, e, f = (uuid4() for _ in range(6))
    append(
        database,
        [Row(1, taken, 1), Row(2, known, 1, event_id=known)],
        [Wanted(1, "take", "email", taken, "hidden")],
    )
    answers, reasons = append(
        database,
        [
            Row(1, a, 1),
            Row(2, taken, 1),  # that version is there
            Row(3, b, 1),
            Row(3, b, 2),
            Row(4, c, 1),  # takes what is taken
            Row(5, known, 1, event_id=known),  # stored before
            Row(6, d, 1),
            Row(6, d, 0),  # no such version
            Row(7, e, 1),  # one too many
            Row(8, f, 1, state="x" * (STATE_LIMIT_BYTES + 1)),
            Row(9, f, 1),
        ],
        [
            Wanted(4, "take", "email", c, "hidden"),
            Wanted(7, "take", "unfinished_task", e, "task"),
            Wanted(7, "at_most", "unfinished_task", e, limit=0),
            Wanted(9, "take", "email", f, "another"),
        ],
    )
    assert answers == {
        1: ("appended", 3),
        2: ("version", None),
        3: ("appended", 5),
        4: ("reserved", None),
        5: ("stored", 2),
        6: ("refused", None),
        7: ("limit", None),
        8: ("refused", None),
        9: ("appended", 6),
    }
    assert "atelier_events_state_size" in reasons[8]
    assert "unfinished_task" in reasons[7]
    stored = log.read_stored(2, 500)
    assert [row.originator_id for row in stored] == [a, b, b, f]
    assert [row.id for row in stored] == [3, 4, 5, 6]
    reserved = database.execute("SELECT key, owner FROM atelier_reservations ORDER BY key")
    assert reserved.fetchall() == [("another", f), ("hidden", taken)]
    assert append(database, [Row(1, a, 2)])[0] == {0: ("appended", 7)}


def test_saves_of_a_batch_that_want_the_same_are_served_in_their_order(database, log):
    a, b, event_id = uuid4(), uuid4(), uuid4()
    rows = [
        Row(1, a, 1),
        Row(2, a, 1),
        Row(3, b, 1, event_id=event_id),
        Row(4, b, 1, event_id=event_id),
        Row(5, b, 2),
    ]
    answers, _ = append(database, rows)
    assert answers == {
        1: ("appended", 1),
        2: ("version", None),
        3: ("appended", 2),
        4: ("stored", 2),
        5: ("appended", 3),
    }
    assert log.head()[1] == 3


def test_a_batch_in_which_every_save_is_at_fault_leaves_no_trace(database, log):
    append(database, [Row(1, TASK, 1)])
    answers, _ = append(database, [Row(1, TASK, 1), Row(2, TASK, 1)])
    assert answers == {1: ("version", None), 2: ("version", None)}
    assert log.head()[1] == 1


def test_a_released_place_is_there_for_a_save_of_the_same_batch(database):
    one, other = uuid4(), uuid4()
    append(database, [Row(1, one, 1)], [Wanted(1, "take", "s", ACCOUNT, "one")])
    guards = [
        Wanted(1, "release", "s", ACCOUNT, "one"),
        Wanted(2, "take", "s", ACCOUNT, "other"),
        Wanted(2, "at_most", "s", ACCOUNT, limit=1),
    ]
    answers, _ = append(database, [Row(1, one, 2), Row(2, other, 1)], guards)
    assert answers == {0: ("appended", 3)}


def test_nobody_releases_what_another_owns(database):
    append(database, [Row(1, uuid4(), 1)], [Wanted(1, "take", "s", ACCOUNT, "one")])
    append(database, [Row(1, uuid4(), 1)], [Wanted(1, "release", "s", uuid4(), "one")])
    (count,) = database.execute("SELECT count(*) FROM atelier_reservations").fetchone()
    assert count == 1


# Many writers and one who follows.

WRITERS = 32


def followed(write, read):
    """What a reader saw that tailed a log by position while many wrote: all it was given, in order.

    `write` is called by each of the writers with its number, `read` with the last position seen.
    """
    seen: list[int] = []
    written = threading.Event()

    def follow():
        while True:
            last_look = written.is_set()
            found = read(seen[-1] if seen else 0)
            seen.extend(found)
            if last_look and not found:
                return

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        reader = threads.submit(follow)
        try:
            list(threads.map(write, range(WRITERS)))
        finally:
            written.set()
        reader.result()
    return seen


def test_a_tailing_reader_misses_nothing_under_many_writers(postgres, postgres_url, log):
    saves = 40
    positions: dict[int, list[int]] = {}
    with (
        opened_pool(postgres_url, 12) as one,
        opened_pool(postgres_url, 12) as another,
        psycopg.connect(postgres_url) as slow_here,
        psycopg.connect(postgres.url) as slow_elsewhere,
    ):
        for slow in (slow_here, slow_elsewhere):  # hold a transaction id open all the while
            slow.execute("CREATE TABLE elsewhere (n int)")
        stores = [make_store(one), make_store(another)]

        def write(number):
            store = stores[number % len(stores)]
            positions[number] = [
                store.append([enveloped(started(), uuid4()) for _ in range(1 + n % 3)])
                for n in range(saves)
            ]

        seen = followed(write, lambda last: [row.id for row in log.read_stored(last, 500)])
        for slow in (slow_here, slow_elsewhere):
            slow.rollback()
    total = WRITERS * sum(1 + n % 3 for n in range(saves))
    assert seen == list(range(1, total + 1))
    assert all(mine == sorted(mine) for mine in positions.values())
    assert len({position for mine in positions.values() for position in mine}) == WRITERS * saves


def test_the_same_reader_misses_events_of_a_log_without_our_lock(postgres_url, database):
    """The control: the test above can fail."""
    database.execute("CREATE TABLE unlocked (position bigserial PRIMARY KEY, n int)")

    def write(number):
        with psycopg.connect(postgres_url) as connection:
            for n in range(20):
                connection.execute("INSERT INTO unlocked (n) VALUES (%s)", [n])
                time.sleep(random.random() / 100)
                connection.commit()

    def read(last):
        rows = database.execute(
            "SELECT position FROM unlocked WHERE position > %s ORDER BY position", [last]
        )
        return [position for (position,) in rows]

    seen = followed(write, read)
    assert len(seen) < WRITERS * 20


def test_who_has_seen_an_event_that_the_log_lost_appends_nothing_any_more(
    story, store, pool, postgres_url
):
    for n in range(1, 6):
        story.tell(uuid4(), started(n))
    reader, idle = make_store(pool), make_store(pool)
    reader.read(0, 10)
    story.store.check_history()

    restore_older_backup(postgres_url, 3)  # and one that had seen nothing takes 4 to 7
    Story(idle).tell(TASK, *(started(n) for n in range(1, 5)))
    for knows_better in (store, reader):
        with pytest.raises(HistoryReplaced, match="at position 5, where it was seen"):
            Story(knows_better).tell(uuid4(), started())
        with pytest.raises(HistoryReplaced):
            knows_better.check_history()
        with pytest.raises(HistoryReplaced):
            knows_better.takes_events()
    assert idle.head()[1] == 7
    idle.check_history()


def test_who_follows_the_log_notices_that_it_was_restored(story, pool, postgres_url):
    story.tell(TASK, started(1), started(2), started(3))
    with LogRecorder(pool).subscribe() as subscription:
        assert [next(subscription).id for _ in range(3)] == [1, 2, 3]
        restore_older_backup(postgres_url, 1)
        with pytest.raises(HistoryReplaced):
            next(subscription)
