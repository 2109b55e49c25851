"""The servers that the other tests stand on: each test finds them fresh and running."""

import psycopg
import pytest

from infra.kafka.clients import make_admin
from infra.kafka.topics import EVENTS_TOPIC, ensure_topics, topic_id
from infra.postgres import connect
from infra.settings import Settings
from tests.support.servers import Server


def test_a_killed_postgres_comes_back_at_its_address_with_its_data(
    postgres: Server, postgres_url: str
):
    with connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        connect(postgres_url)
    postgres.restart()

    with connect(postgres_url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)


def test_each_database_is_a_log_of_its_own(postgres_url: str, template: str):
    with (
        connect(postgres_url) as ours,
        connect(postgres_url.replace(_name(postgres_url), template)) as other,
    ):
        query = "SELECT log_id FROM atelier_head"
        assert ours.execute(query).fetchone() != other.execute(query).fetchone()


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_broker_has_no_topic_when_a_test_begins(kafka: Server, time: str):
    admin = make_admin(Settings(kafka_bootstrap=kafka.url))

    assert topic_id(admin, EVENTS_TOPIC) is None
    ensure_topics(admin)
    assert topic_id(admin, EVENTS_TOPIC)
    admin.close()


def test_a_killed_broker_comes_back_at_its_address(kafka: Server):
    address = kafka.url
    kafka.kill()
    kafka.restart()

    assert kafka.url == address
    admin = make_admin(Settings(kafka_bootstrap=address))
    ensure_topics(admin)
    admin.close()
