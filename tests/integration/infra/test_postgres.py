import asyncio

import pytest

from infra import postgres as module
from infra.postgres import CHANNEL, Bell, connect
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


async def eventually_listening(url, bell):
    """The first ring comes when the bell has begun to listen."""
    await asyncio.wait_for(bell.next().wait(), SOON_S)
    assert listening(url) == 1


@pytest.fixture
def run(postgres_url):
    """Run a story with a bell in a loop of its own."""

    def ran(story):
        async def told():
            bell = Bell(postgres_url)
            try:
                await story(bell)
            finally:
                await bell.close()

        asyncio.run(told())

    return ran


def test_a_bell_that_nobody_asked_does_not_listen(run, postgres_url):
    async def story(_bell):
        await asyncio.sleep(0.1)
        assert listening(postgres_url) == 0

    run(story)


def test_all_who_wait_hear_the_next_ring_over_one_connection(run, postgres_url):
    async def story(bell):
        await eventually_listening(postgres_url, bell)
        waiting = [asyncio.create_task(bell.next().wait()) for _ in range(50)]
        ring(postgres_url)
        await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)
        assert listening(postgres_url) == 1

    run(story)


def test_a_ring_between_taking_and_waiting_is_heard(run, postgres_url):
    async def story(bell):
        await eventually_listening(postgres_url, bell)
        taken = bell.next()
        ring(postgres_url)
        await asyncio.wait_for(bell.next().wait(), SOON_S)
        assert taken.is_set()
        assert not bell.next().is_set()

    run(story)


def test_a_bell_rings_again_after_postgres_was_away(run, postgres, postgres_url, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.05)

    async def story(bell):
        await eventually_listening(postgres_url, bell)
        again = bell.next()
        postgres.kill()
        postgres.restart()
        await asyncio.wait_for(again.wait(), SOON_S)  # it listens again
        taken = bell.next()
        ring(postgres_url)
        await asyncio.wait_for(taken.wait(), SOON_S)

    run(story)


def test_a_closed_bell_lets_go_of_its_connection(run, postgres_url):
    async def story(bell):
        await eventually_listening(postgres_url, bell)

    run(story)
    eventually(lambda: listening(postgres_url) == 0)
