"""Many callers, one writer: who shares a batch, who is refused, and what a crash leaves behind."""

import asyncio
import contextlib
import contextvars
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from domain.errors import OutcomeUnknown, Overloaded, Unavailable
from infra.log import appender as module
from infra.log.appender import DEADLINE, Appender, Save
from infra.log.watermark import Watermark
from infra.postgres import connect
from tests.support.scenario import ACCOUNT, eventually, opened_pool
from tests.support.writer import CALLERS, aggregate_of, save_of, write

BURST = 7  # twice as many are fewer than what a second writer begins with
SAVES_PER_CYCLE = 2_000


@pytest.fixture
def appender(postgres_url):
    with opened_pool(postgres_url, 2) as pool:
        made = Appender(pool, lambda: None, Watermark())
        yield made
        made.close(5)


@pytest.fixture
def database(postgres_url):
    with connect(postgres_url) as connection:
        yield connection


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2 * BURST) as pool:
        yield pool


@contextmanager
def held(url: str, appender: Appender) -> Iterator[None]:
    """While somebody else holds the log's lock, and a first save waits for it, others gather."""
    with (
        psycopg.connect(url) as connection,
        connect(url) as watching,  # inside a transaction the list of connections stays as it was
        ThreadPoolExecutor(1) as thread,
    ):
        connection.execute("SELECT FROM atelier_head FOR UPDATE")
        first = thread.submit(appender.append, save_of(-1))
        eventually(lambda: first.done() or waiting_for_the_lock(watching))
        assert not first.done(), first.result()
        yield
        connection.rollback()
        assert first.result().outcome == "appended"


def waiting_for_the_lock(connection):
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    ).fetchone()
    return row[0]


def numbers_stored(database):
    rows = database.execute("SELECT aggregate_id FROM atelier_events ORDER BY position").fetchall()
    return [aggregate for (aggregate,) in rows]


def transactions(database):
    """How many transactions wrote the log."""
    return database.execute("SELECT count(DISTINCT xmin::text) FROM atelier_events").fetchone()[0]


def entered(appender, count):
    """Wait until so many saves wait behind the first."""
    eventually(lambda: len(appender._waiting) >= count)


def test_callers_of_threads_and_of_event_loops_share_a_batch(
    postgres_url, appender, database, threads
):
    async def burst():
        saves = [appender.append_async(save_of(n)) for n in range(BURST, 2 * BURST)]
        return await asyncio.gather(*saves)

    with held(postgres_url, appender):
        loop = threads.submit(asyncio.run, burst())
        sync = [threads.submit(appender.append, save_of(n)) for n in range(BURST)]
        entered(appender, 2 * BURST)
    results = [each.result() for each in sync] + loop.result()
    assert {result.outcome for result in results} == {"appended"}
    assert sorted(result.last_position for result in results) == list(range(2, 2 * BURST + 2))
    assert transactions(database) == 2


def with_state(number, state):
    (event,) = save_of(number).events
    return Save([(*event[:-1], state)], [])


def test_each_fault_in_a_batch_fails_its_own_caller_alone(
    postgres_url, appender, database, threads
):
    appender.append(save_of(1))
    appender.append(save_of(2))
    conflict = Save([(uuid4(), *save_of(1).events[0][1:])], [])
    taken = Save(save_of(3).events, [("take", "test", "2", ACCOUNT, None)])
    again = save_of(2)
    bad = with_state(4, "not\0storable")
    good = save_of(5)
    with held(postgres_url, appender):
        sent = [threads.submit(appender.append, save) for save in (conflict, taken, again, good)]
        worse = threads.submit(appender.append, bad)
        entered(appender, 5)
    assert [each.result().outcome for each in sent] == [
        "version",
        "reserved",
        "stored",
        "appended",
    ]
    with pytest.raises(psycopg.DataError):
        worse.result()
    stored = numbers_stored(database)
    assert stored == [aggregate_of(n) for n in (1, 2, -1, 5)]


def test_when_too_many_wait_the_next_is_refused_and_nothing_else_is_lost(
    postgres_url, appender, database, threads, monkeypatch
):
    monkeypatch.setattr(module, "MOST_WAITING", BURST)
    with held(postgres_url, appender):
        sent = [threads.submit(appender.append, save_of(n)) for n in range(BURST)]
        entered(appender, BURST)
        with pytest.raises(Overloaded):
            appender.append(save_of(BURST))
    assert {each.result().outcome for each in sent} == {"appended"}
    assert set(numbers_stored(database)) == {aggregate_of(n) for n in range(-1, BURST)}
    assert appender.append(save_of(BURST)).outcome == "appended"


def append_within(seconds, appender, save):
    """As a thread that has so long until its caller has been answered."""
    DEADLINE.set(time.monotonic() + seconds)
    return appender.append(save)


async def append_async_within(seconds, appender, save):
    DEADLINE.set(time.monotonic() + seconds)
    return await appender.append_async(save)


CALLS = {
    "thread": append_within,
    "event loop": lambda *arguments: asyncio.run(append_async_within(*arguments)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_save_that_was_still_waiting_at_its_deadline_is_never_written(
    postgres_url, appender, database, threads, monkeypatch, call
):
    monkeypatch.setattr(module, "STUCK_S", 60.0)
    with held(postgres_url, appender):
        late = threads.submit(call, 0.2, appender, save_of(1))
        with pytest.raises(Unavailable):
            late.result(10)
    assert appender.append(save_of(2)).outcome == "appended"
    assert numbers_stored(database) == [aggregate_of(-1), aggregate_of(2)]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_of_a_save_that_was_on_its_way_at_its_deadline_nobody_says_that_it_was_not_stored(
    postgres_url, appender, database, threads, call
):
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT FROM atelier_head FOR UPDATE")
        late = threads.submit(call, 0.5, appender, save_of(1))
        with pytest.raises(OutcomeUnknown):
            late.result(10)
        other.rollback()
    assert appender.append(save_of(1)).outcome in ("stored", "version")
    assert numbers_stored(database) == [aggregate_of(1)]


def test_after_its_deadline_a_save_is_not_even_begun(appender, database):
    with pytest.raises(Unavailable):
        contextvars.copy_context().run(append_within, -0.1, appender, save_of(1))
    assert numbers_stored(database) == []


def test_a_writer_that_gets_no_answer_lets_the_other_write_whatever_waits(
    appender, database, threads, monkeypatch
):
    stuck, go_on = threading.Event(), threading.Event()
    call = appender._call

    def first_hangs(arguments):
        if not stuck.is_set():
            stuck.set()
            go_on.wait(30)
        return call(arguments)

    monkeypatch.setattr(appender, "_call", first_hangs)
    first = threads.submit(appender.append, save_of(1))
    assert stuck.wait(10)
    assert appender.append(save_of(2)).outcome == "appended"
    assert not first.done()
    go_on.set()
    assert first.result(10).outcome == "appended"
    assert numbers_stored(database) == [aggregate_of(2), aggregate_of(1)]


def test_what_a_caller_gave_up_is_stored_once_also_when_it_is_sent_again(
    postgres_url, appender, database
):
    async def impatient():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await appender.append_async(save_of(1))

    with held(postgres_url, appender):
        asyncio.run(impatient())
    assert appender.append(save_of(1)).outcome == "stored"
    assert numbers_stored(database) == [aggregate_of(-1), aggregate_of(1)]


def test_an_event_loop_that_is_gone_stops_nobody(postgres_url, appender):
    async def left_behind():
        task = asyncio.ensure_future(appender.append_async(save_of(1)))
        await asyncio.sleep(0)
        task.cancel()

    with held(postgres_url, appender):
        asyncio.run(left_behind())
    assert appender.append(save_of(2)).outcome == "appended"


def test_closing_writes_what_waits_and_takes_nothing_more(
    postgres_url, appender, database, threads
):
    with held(postgres_url, appender):
        sent = [threads.submit(appender.append, save_of(n)) for n in range(BURST)]
        entered(appender, BURST)
        assert not appender.close(0.05)
        with pytest.raises(Unavailable):
            appender.append(save_of(BURST))
    assert appender.close(10)
    assert {each.result().outcome for each in sent} == {"appended"}
    assert len(numbers_stored(database)) == BURST + 1


def test_a_reservation_that_a_batch_takes_and_gives_back_is_free(
    postgres_url, appender, database, threads
):
    kept, left = save_of(1), Save(save_of(2).events, [("release", "test", "1", ACCOUNT, None)])
    with held(postgres_url, appender):
        sent = []
        for n, save in enumerate((kept, left), start=1):
            sent.append(threads.submit(appender.append, save))
            entered(appender, n)
    assert [each.result().outcome for each in sent] == ["appended"] * 2
    held_now = database.execute("SELECT key FROM atelier_reservations").fetchall()
    assert held_now == [("-1",)]


def test_a_reservation_passes_from_one_save_of_a_batch_to_the_next(
    postgres_url, appender, database, threads
):
    appender.append(save_of(1))
    new = uuid4()
    left = Save(save_of(2).events, [("release", "test", "1", ACCOUNT, None)])
    taken = Save(save_of(3).events, [("take", "test", "1", new, None)])
    with held(postgres_url, appender):
        sent = []
        for n, save in enumerate((left, taken), start=1):
            sent.append(threads.submit(appender.append, save))
            entered(appender, n)
    assert [each.result().outcome for each in sent] == ["appended"] * 2
    owner = database.execute("SELECT owner FROM atelier_reservations WHERE key = '1'").fetchone()
    assert owner == (new,)


# Kills: the writer's process, or its connections, at any moment.

SPAWNED = multiprocessing.get_context("forkserver")


@pytest.mark.parametrize("cycles", [12, pytest.param(100, marks=pytest.mark.long)])
def test_whatever_is_killed_whenever_nothing_is_lost_and_nothing_stored_twice(
    postgres_url, database, cycles
):
    SPAWNED.set_forkserver_preload(["tests.support.writer"])
    acknowledged: set[int] = set()
    sent: set[int] = set()
    for cycle in range(cycles):
        sent |= set(range(cycle * SAVES_PER_CYCLE, (cycle + 1) * SAVES_PER_CYCLE))
        with_one_writer_killed(postgres_url, database, sent, acknowledged, cycle)
    written_to_the_end(postgres_url, sorted(sent - acknowledged), acknowledged)
    stored = numbers_stored(database)
    assert acknowledged == sent
    assert sorted(stored) == sorted(aggregate_of(n) for n in sent)
    positions = database.execute(
        "SELECT min(position), max(position), count(*) FROM atelier_events"
    )
    assert positions.fetchone() == (1, len(sent), len(sent))
    assert database.execute("SELECT position FROM atelier_head").fetchone() == (len(sent),)


def with_one_writer_killed(url, database, sent, acknowledged, cycle):
    """Let a writer go on, kill it (or now and then its connections) at a random moment."""
    heard, said = SPAWNED.Pipe(duplex=False)
    writer = SPAWNED.Process(target=write, args=(url, sorted(sent - acknowledged), said))
    writer.start()
    said.close()
    for _ in range(random.randrange(1, SAVES_PER_CYCLE // 2)):
        acknowledged.add(heard.recv())
    if cycle % 3 == 2:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for _ in range(CALLERS):
            acknowledged.add(heard.recv())
    writer.kill()
    writer.join()
    with contextlib.suppress(EOFError):
        while True:  # what it had said before it was killed
            acknowledged.add(heard.recv())


def written_to_the_end(url, numbers, acknowledged):
    heard, said = SPAWNED.Pipe(duplex=False)
    told = threading.Thread(target=write, args=(url, numbers, said))
    told.start()
    for _ in numbers:
        acknowledged.add(heard.recv())
    told.join()


# Alone.


def test_who_is_alone_writes_without_a_change_of_threads(appender, database):
    assert [appender.append(save_of(n)).outcome for n in range(3)] == ["appended"] * 3
    assert numbers_stored(database) == [aggregate_of(n) for n in range(3)]
    assert appender._threads == []


def test_what_comes_while_one_is_alone_is_written_after_it(appender, postgres_url, threads):
    with held(postgres_url, appender):
        assert appender._threads == []  # the first writes by itself
        others = [threads.submit(appender.append, save_of(n)) for n in range(BURST)]
        eventually(lambda: len(appender._waiting) == BURST)
    assert [other.result(5).outcome for other in others] == ["appended"] * BURST


def test_closing_waits_for_whoever_writes_alone(appender, postgres_url, threads):
    with held(postgres_url, appender):
        assert not appender.close(0.1)
    assert appender.close(5)
