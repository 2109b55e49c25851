import socket
import time
from collections.abc import Callable
from uuid import uuid4

import msgspec
import pytest
from litestar.testing import TestClient

from api.app import create_app
from infra.access.tokens import Tokens
from infra.settings import Settings
from tests.integration.api.conftest import PERSON, Client, new_email
from tests.support.servers import MediaServer, Server


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
