"""Whoever fills new generations rests while commits take longer than usual."""

import time

import pytest

from infra.postgres import connect
from projections.governor import MOST, RECENT, Governor


class Busy:
    """A real connection to a server that is busy now and then."""

    def __init__(self, connection):
        self._connection = connection
        self.delay = 0.0

    def execute(self, *statement):
        time.sleep(self.delay)
        return self._connection.execute(*statement)


@pytest.fixture
def server(postgres_url):
    with connect(postgres_url) as connection:
        yield Busy(connection)


def test_it_rests_while_commits_are_slow_and_no_longer(server):
    governor = Governor(server)
    server.delay = 2 * governor._bearable
    rests = [governor.rest() for _ in range(RECENT)]
    assert rests == sorted(rests)
    assert rests[-1] == MOST
    server.delay = 0.0
    for _ in range(3 * RECENT):
        last = governor.rest()
    assert last == 0.0


def test_a_server_that_is_always_slow_is_no_reason_to_rest(server):
    server.delay = 0.02
    governor = Governor(server)
    assert [governor.rest() for _ in range(5)] == [0.0] * 5
