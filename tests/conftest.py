"""Fixtures: servers for a session, and for each test a fresh part of them that is its own.

Nothing starts before a test asks for it, so the unit tests start nothing.
"""

import base64
import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import hypothesis
import pytest
from kafka.errors import UnknownTopicOrPartitionError
from psycopg import sql

from infra.kafka.clients import make_admin
from infra.log.migrate import migrate
from infra.media.store import MediaStore
from infra.postgres import connect
from infra.process.supervisor import PATIENT_THREADS
from infra.settings import Settings
from tests.support.servers import (
    SERVERS,
    MediaServer,
    Server,
    start_kafka,
    start_media,
    start_postgres,
)

TEMPLATE = "atelier_template"

# The body model is prepared once for all processes of the tests, and kept for the next time.
os.environ.setdefault("ANNY_CACHE_DIR", str(Path(__file__).parents[1] / ".atelier" / "anny"))

# As `atelier up` does it: threads that spin while they wait hold up the tests beside them.
os.environ |= PATIENT_THREADS

# The same examples each time and no time limits: a busy machine must not fail a test.
hypothesis.settings.register_profile(
    "atelier",
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("atelier")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a folder of servers, leave out what would only meet the same again as elsewhere."""
    if SERVERS in ("embedded", "containers"):
        return
    here = [item for item in items if _meets_outside_servers(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in here])
    items[:] = here


def _meets_outside_servers(item: pytest.Item) -> bool:
    if "acceptance" in item.path.parts:
        return item.get_closest_marker("anywhere") is None
    asked_for = getattr(item, "fixturenames", [])
    return not {"broker", "cluster", "media_server"}.isdisjoint(asked_for)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Postgres server; a test may kill it, the next one finds it running."""
    server = start_postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: Server) -> str:
    """The name of a migrated database that nobody is connected to."""
    with connect(postgres.url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(_url_of(postgres, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def postgres_url(postgres: Server, template: str) -> Iterator[str]:
    """A migrated database of the test's own, with a log id of its own."""
    with own_database(postgres, template) as url:
        yield url


@contextlib.contextmanager
def own_database(postgres: Server, template: str) -> Iterator[str]:
    """The same for as long as somebody wants it."""
    postgres.restart()
    name = f"test_{secrets.token_hex(6)}"
    database = sql.Identifier(name)
    with connect(postgres.url, statement_timeout=0) as connection:
        # Copied as files: through the write-ahead log it takes twice as long.
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(make.format(database, sql.Identifier(template)))
    with connect(_url_of(postgres, name)) as connection:
        connection.execute("UPDATE atelier_head SET log_id = gen_random_uuid()")
    yield _url_of(postgres, name)
    postgres.restart()
    with connect(postgres.url, statement_timeout=0) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


def _url_of(server: Server, database: str) -> str:
    return urlsplit(server.url)._replace(path=f"/{database}").geturl()


def _scope_of_broker(fixture_name: str, config: pytest.Config) -> Literal["function", "session"]:
    return "function" if SERVERS == "embedded" else "session"  # the embedded one starts in no time


@pytest.fixture(scope=_scope_of_broker)
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker that may hold the topics of earlier tests."""
    server = start_kafka(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture
def kafka(broker: Server) -> Server:
    """A broker without topics; a test may kill it."""
    broker.restart()
    _delete_topics(broker)
    return broker


def _delete_topics(broker: Server) -> None:
    admin = make_admin(Settings(kafka_bootstrap=broker.url))
    try:
        while ours := [topic for topic in admin.list_topics() if not topic.startswith("__")]:
            with contextlib.suppress(UnknownTopicOrPartitionError):  # gone, but still listed
                admin.delete_topics(ours)
            time.sleep(0.02)
    finally:
        admin.close()


@pytest.fixture(scope="session")
def media_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaServer]:
    """The S3 server; a test may kill it, the next one finds it running."""
    started = start_media(tmp_path_factory.mktemp("media"))
    yield started
    started.server.stop()


@pytest.fixture
def media_environ(media_server: MediaServer, tmp_path: Path) -> dict[str, str]:
    """The settings of the media store alone, as environment variables."""
    return {"ATELIER_DATA": str(tmp_path / "data"), **media_server.environ}


@pytest.fixture
def media(media_server: MediaServer, media_environ: dict[str, str]) -> MediaStore:
    """A media store with an empty bucket."""
    media_server.server.restart()
    store = MediaStore(Settings.load(media_environ))
    store.ensure_bucket()
    for found in list(store.list("")):
        store.delete(found.key)
    return store


@pytest.fixture
def environ(
    postgres_url: str, kafka: Server, media: MediaStore, media_environ: dict[str, str]
) -> dict[str, str]:
    """The environment of Atelier's processes: fresh stores, new secrets, a folder of its own."""
    return media_environ | {
        "ATELIER_POSTGRES_URL": postgres_url,
        "ATELIER_KAFKA_BOOTSTRAP": kafka.url,
        "ATELIER_MASTER_KEY": _random_key(),
        "ATELIER_HASH_KEY": _random_key(),
        "ATELIER_JWT_KEY": _random_key(),
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """The same, read."""
    return Settings.load(environ)


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
