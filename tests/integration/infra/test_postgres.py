import asyncio

import pytest

from infra import postgres as module
from infra.postgres import CHANNEL, AsyncListener, connect, make_async_pool, open_pool
from tests.support.scenario import eventually

SOON_S = 20.0  # a safety net, not a promise


def ring(url):
    with connect(url) as connection:
        connection.execute(f"NOTIFY {CHANNEL}")


def listening(url):
    with connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        ).fetchone()
    assert row is not None
    return row[0]


async def eventually_listening(url, listener):
    """The first ring comes when the listener has begun to listen."""
    await asyncio.wait_for(listener.next().wait(), SOON_S)
    assert listening(url) == 1


@pytest.fixture
def run(postgres_url):
    """Run a story with a listener in a loop of its own."""

    def ran(story):
        async def told():
            listener = AsyncListener(postgres_url)
            try:
                await story(listener)
            finally:
                await listener.close()

        asyncio.run(told())

    return ran


def test_a_bell_that_nobody_asked_does_not_listen(run, postgres_url):
    async def story(_bell):
        await asyncio.sleep(0.1)
        assert listening(postgres_url) == 0

    run(story)


def test_all_who_wait_hear_the_next_ring_over_one_connection(run, postgres_url):
    async def story(listener):
        await eventually_listening(postgres_url, listener)
        waiting = [asyncio.create_task(listener.next().wait()) for _ in range(50)]
        ring(postgres_url)
        await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)
        assert listening(postgres_url) == 1

    run(story)


def test_a_ring_between_taking_and_waiting_is_heard(run, postgres_url):
    async def story(listener):
        await eventually_listening(postgres_url, listener)
        taken = listener.next()
        ring(postgres_url)
        await asyncio.wait_for(listener.next().wait(), SOON_S)
        assert taken.is_set()
        assert not listener.next().is_set()

    run(story)


def test_a_bell_rings_again_after_postgres_was_away(run, postgres, postgres_url, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.05)

    async def story(listener):
        await eventually_listening(postgres_url, listener)
        again = listener.next()
        postgres.kill()
        postgres.restart()
        await asyncio.wait_for(again.wait(), SOON_S)  # it listens again
        taken = listener.next()
        ring(postgres_url)
        await asyncio.wait_for(taken.wait(), SOON_S)

    run(story)


def test_a_closed_bell_lets_go_of_its_connection(run, postgres_url):
    async def story(listener):
        await eventually_listening(postgres_url, listener)

    run(story)
    eventually(lambda: listening(postgres_url) == 0)


def test_a_bell_that_has_ended_wakes_whoever_waits_and_lets_nobody_wait_again(run, postgres_url):
    async def story(listener):
        await eventually_listening(postgres_url, listener)
        waiting = [asyncio.create_task(listener.next().wait()) for _ in range(3)]
        listener.end()
        await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)
        ring(postgres_url)
        assert listener.next().is_set()

    run(story)


# Connections of a pool, which Postgres may have ended meanwhile.

WHO = "SELECT pg_backend_pid()"


def end(url, backend):
    """End a connection as a restart of Postgres would, and return when it is gone."""
    with connect(url) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", backend)
        gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"
        eventually(lambda: connection.execute(gone, backend).fetchone() == (True,))


def test_a_pool_hands_no_connection_out_that_has_ended(postgres_url):
    pool = open_pool(postgres_url, 1)
    try:
        with pool.connection() as connection:
            backend = connection.execute(WHO).fetchone()
        with pool.connection() as connection:
            assert connection.execute(WHO).fetchone() == backend
        end(postgres_url, backend)
        with pool.connection() as connection:
            assert connection.execute(WHO).fetchone() != backend
    finally:
        pool.close()


def test_a_pool_of_an_event_loop_hands_none_out_either(postgres_url):
    async def told():
        async with make_async_pool(postgres_url, 1) as pool:
            async with pool.connection() as connection:
                backend = await (await connection.execute(WHO)).fetchone()
            await asyncio.to_thread(end, postgres_url, backend)
            async with pool.connection() as connection:
                assert await (await connection.execute(WHO)).fetchone() != backend

    asyncio.run(told())


def test_an_idle_connection_has_heard_nothing_so_it_costs_no_round_trip(postgres_url):
    with connect(postgres_url) as connection:
        connection.execute(WHO)
        assert not module._has_heard(connection.fileno())
