"""Whoever fills new generations rests while commits take longer than usual."""

import time

import pytest

import projections.governor
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


@pytest.fixture
def api(postgres_url):
    with connect(postgres_url) as connection:
        connection.execute("SET application_name = 'atelier api somewhere-1'")
        yield connection


def test_it_rests_while_commits_are_slow_and_no_longer(server, api):
    governor = Governor(server)
    api.execute("SELECT 1")
    server.delay = 2 * governor._bearable
    rests = [governor.rest() for _ in range(RECENT)]
    assert rests == sorted(rests)
    assert rests[-1] == MOST
    server.delay = 0.0
    for _ in range(3 * RECENT):
        last = governor.rest()
    assert last == 0.0


@pytest.mark.parametrize("name", ["atelier relay somewhere-1", "atelier api somewhere-1"])
def test_while_nobody_is_served_it_rests_for_nobody(server, api, name, monkeypatch):
    monkeypatch.setattr(projections.governor, "AWAY_S", 0.5)
    api.execute(f"SET application_name = '{name}'")
    if "api" in name:
        time.sleep(1.0)  # they have gone away
    governor = Governor(server)
    server.delay = 2 * governor._bearable
    assert [governor.rest() for _ in range(5)] == [0.0] * 5


def test_a_server_that_is_always_slow_is_no_reason_to_rest(server):
    server.delay = 0.02
    governor = Governor(server)
    assert [governor.rest() for _ in range(5)] == [0.0] * 5
