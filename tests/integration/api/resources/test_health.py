import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from litestar.testing import TestClient

from api.app import create_app
from infra.access.tokens import Tokens
from infra.postgres import connect
from infra.process import pauses
from infra.process.pauses import LANES
from infra.settings import Settings
from tests.integration.api.conftest import PERSON, Client, new_email
from tests.support.scenario import restore_older_backup
from tests.support.servers import MediaServer, Server

Connection = psycopg.Connection[tuple[Any, ...]]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_server_with_all_its_stores_is_ready(alone: Client):
    assert alone.get("/health/live").json() == {"status": "live"}
    answer = alone.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "postgres": "ok", "kafka": "ok", "media": "ok"}


def test_without_kafka_and_media_a_server_is_ready_all_the_same(
    alone: Client, kafka: Server, media_server: MediaServer
):
    kafka.kill()
    media_server.server.kill()
    answer = alone.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "postgres": "ok",
        "kafka": "degraded",
        "media": "degraded",
    }
    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200


def test_a_queue_that_is_paused_is_no_reason_to_send_anybody_away(
    alone: Client, migrated: Settings
):
    ada = alone.joined_by(new_email())
    with connect(migrated.postgres_url) as connection:
        pauses.pause(connection, LANES, by="ada@host", reason="new drivers")
    answer = alone.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert ada.post("/generate", {"apparel_details": {"color": "Red"}}).status_code == 200


def test_without_read_models_a_server_is_not_ready(settings: Settings):
    with TestClient(create_app(settings)) as http:
        answer = http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["postgres"] == "not migrated"


def test_a_server_starts_and_lives_without_any_store(settings: Settings):
    away = msgspec.structs.replace(
        settings,
        postgres_url="postgresql://nobody@127.0.0.1:1/nothing",
        kafka_bootstrap="127.0.0.1:1",
        s3_url="http://127.0.0.1:1",
    )
    with TestClient(create_app(away)) as http:
        assert http.get("/health/live").status_code == 200
        answer = http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "postgres": "down",
        "kafka": "degraded",
        "media": "degraded",
    }


def test_a_postgres_that_says_nothing_holds_nobody_up(settings: Settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        hanging = msgspec.structs.replace(settings, postgres_url=url)
        with TestClient(create_app(hanging)) as http:
            token = Tokens(settings.jwt_key).issue(uuid4())
            for path in ("/get_tasks", "/health/ready"):
                answer = http.get(path, headers={"Authorization": token})
                assert answer.status_code == 503
            assert http.post("/login", json={"email": "a@b"}).status_code == 503


@pytest.mark.timeout(60)
def test_without_postgres_requests_are_refused_for_now_and_work_again_after(
    alone: Client, postgres: Server
):
    postgres.kill()
    refused = alone.post("/register", PERSON | {"email": new_email()})
    assert refused.status_code == 503
    assert refused.json()["code"] == "unavailable"
    assert int(refused.headers["Retry-After"]) > 0
    assert alone.get("/health/ready").json()["postgres"] == "down"
    postgres.restart()
    until(lambda: alone.post("/register", PERSON | {"email": new_email()}).status_code == 200)
    assert alone.get("/health/ready").status_code == 200


@pytest.fixture
def database(migrated: Settings) -> Iterator[Connection]:
    """The superuser's connection to the database of the server."""
    with connect(migrated.postgres_url) as connection:
        yield connection


def end_sessions(database: Connection) -> None:
    """New sessions begin with the database's settings of now."""
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_while_postgres_is_read_only_nothing_is_ready_and_all_works_soon_after(
    alone: Client, migrated: Settings, database: Connection
):
    alone = alone.joined_by(new_email())
    name = database.info.dbname
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    end_sessions(database)
    for _ in range(20):  # as many as the pools have connections, and more
        refused = alone.post("/register", PERSON | {"email": new_email()})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert alone.get("/get_avatar").status_code in (404, 503)
    answer = alone.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["postgres"] == "takes no changes"

    database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    until(lambda: alone.get("/health/ready").status_code == 200)
    for _ in range(5):
        assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200


REFUSE = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'it cannot be stored' USING ERRCODE = '{0}'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON atelier_events FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE FUNCTION refuse_too() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'it cannot be stored' USING ERRCODE = '{0}'; END $$;
CREATE EVENT TRIGGER refuse_too ON ddl_command_start WHEN TAG IN ('CREATE TABLE AS')
    EXECUTE FUNCTION refuse_too()"""
RELENT = "DROP EVENT TRIGGER refuse_too; DROP TRIGGER refuse ON atelier_events"


def test_on_a_full_disk_a_server_is_not_ready_until_there_is_room(
    alone: Client, database: Connection
):
    database.execute(REFUSE.format("disk_full"))
    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 503
    answer = alone.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["postgres"] == "takes no changes"

    database.execute(RELENT)
    assert alone.get("/health/ready").status_code == 200
    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200


def test_a_damaged_postgres_is_away_and_its_connections_are_given_up(
    alone: Client, database: Connection
):
    def sessions() -> set[int]:
        rows = database.execute("SELECT pid FROM pg_stat_activity WHERE query LIKE '%append%'")
        return {pid for (pid,) in rows} - {database.info.backend_pid}

    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200
    before = sessions()
    database.execute(REFUSE.format("data_corrupted"))
    refused = alone.post("/register", PERSON | {"email": new_email()})
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    database.execute(RELENT)
    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200
    assert before
    assert not before & sessions()


def test_after_an_older_backup_was_restored_a_server_takes_no_changes(
    alone: Client, migrated: Settings
):
    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200
    assert alone.post("/register", PERSON | {"email": new_email()}).status_code == 200
    restore_older_backup(migrated.postgres_url, 1)
    refused = alone.post("/register", PERSON | {"email": new_email()})
    assert (refused.status_code, refused.json()["code"]) == (503, "history_replaced")
    answer = alone.get("/health/ready")
    assert (answer.status_code, answer.json()["postgres"]) == (503, "takes no changes")
    with TestClient(create_app(migrated)) as http:  # started anew
        assert http.get("/health/ready").status_code == 200
