import secrets
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from urllib.parse import urlsplit

import pytest

from domain.errors import Unavailable
from infra.log.migrate import migrate
from infra.postgres import connect

SCRIPTS = sorted(
    script.name
    for script in (resources.files("infra.log") / "migrations").iterdir()
    if script.name.endswith(".sql")
)


@pytest.fixture
def bare_url(postgres):
    """A database that nobody has migrated."""
    postgres.restart()
    name = f"bare_{secrets.token_hex(6)}"
    with connect(postgres.url, statement_timeout=0) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield urlsplit(postgres.url)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_no_two_migrations_have_the_same_number():
    assert len({int(name.partition("_")[0]) for name in SCRIPTS}) == len(SCRIPTS)


def test_an_empty_database_gets_every_migration_in_its_order(bare_url):
    assert migrate(bare_url) == SCRIPTS


def test_a_migrated_database_gets_none(bare_url):
    migrate(bare_url)
    assert migrate(bare_url) == []


def test_of_many_at_once_one_migrates(bare_url):
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(migrate, [bare_url] * 6))
    assert sorted(done) == [[]] * 5 + [SCRIPTS]


def test_a_log_keeps_its_id_and_its_events_when_it_is_migrated_again(bare_url):
    migrate(bare_url)
    with connect(bare_url) as connection:
        before = connection.execute("SELECT log_id FROM atelier_head").fetchone()
        migrate(bare_url)
        assert connection.execute("SELECT log_id FROM atelier_head").fetchall() == [before]


def test_every_log_has_an_id_of_its_own(bare_url, postgres_url):
    migrate(bare_url)
    ids = set()
    for url in (bare_url, postgres_url):
        with connect(url) as connection:
            ids |= set(connection.execute("SELECT log_id FROM atelier_head"))
    assert len(ids) == 2


def test_a_postgres_that_is_away_is_told(tmp_path):
    with pytest.raises(Unavailable):
        migrate(f"postgresql:///atelier?host={tmp_path}")
