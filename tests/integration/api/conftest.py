"""The application on real servers, with and without a projector."""

import secrets
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from api.resources.tasks import Watch
from infra.log.event_store import EventStore
from infra.log.keys import KeyRing
from infra.media.store import MediaStore
from infra.postgres import open_pool
from infra.settings import Settings
from projections import main as projector
from tests.conftest import own_database
from tests.support.servers import Server

UNLIMITED = 1_000_000  # all tests come from one address

PERSON = {  # without an address
    "full_name": "Ada Example",
    "date_of_birth": 486518400,
    "ethnicity": "any",
    "gender": "Female",
}


class Client:
    """A REST client that is logged in as one person, or nobody."""

    def __init__(self, http: httpx.Client, token: str = "") -> None:
        self.http = http
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **headers: str):
        return self.http.get(path, headers=self.headers | headers)

    def post(self, path: str, body: Any, **headers: str):
        return self.http.post(path, json=body, headers=self.headers | headers)

    def delete(self, path: str):
        return self.http.delete(path, headers=self.headers)

    def joined_by(self, email: str) -> "Client":
        """Register a person and log in as them."""
        assert self.post("/register", PERSON | {"email": email}).status_code == 200
        token = self.post("/login", {"email": email}).json()["token"]
        return Client(self.http, token)


@pytest.fixture(scope="module")
def shared(postgres: Server, template: str) -> Iterator[Settings]:
    """A database for the tests of a module, which keep apart by their accounts.

    Kafka and the media store are away: what these tests ask needs neither.
    """
    with own_database(postgres, template) as url:
        settings = Settings(
            postgres_url=url,
            kafka_bootstrap="127.0.0.1:1",
            s3_url="http://127.0.0.1:1",
            s3_access_key="key",
            s3_secret_key="secret",
            master_key=secrets.token_bytes(32),
            hash_key=secrets.token_bytes(32),
            jwt_key=secrets.token_bytes(32),
            login_limit=UNLIMITED,
            register_limit=UNLIMITED,
            upload_limit=UNLIMITED,
        )
        projector.migrate(settings)
        yield settings


@pytest.fixture(scope="module")
def server(shared: Settings) -> Iterator[TestClient[Litestar]]:
    """A server and a projector."""
    stop = threading.Event()
    threads = projector.start(shared, stop)
    with TestClient(create_app(shared), raise_server_exceptions=False) as http:
        yield http
    stop.set()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def store(shared: Settings) -> Iterator[EventStore]:
    """The same log, for what render consumers would append."""
    pool = open_pool(shared.postgres_url, 1)
    yield EventStore(pool, KeyRing(pool, shared.master_key), shared.hash_key)
    pool.close()


class Held:
    """Tells of those who are held: each look that finds no news is followed by a wait."""

    def __init__(self) -> None:
        self._waits = threading.Semaphore(0)

    def another_waits(self, times: int = 1) -> None:
        """Return when so many more waits have begun."""
        for _ in range(times):
            assert self._waits.acquire(timeout=30)

    def has_looked_again(self) -> None:
        """Return when the only one who is held has looked, from now on, and waits again."""
        while self._waits.acquire(blocking=False):
            pass
        self.another_waits(2)  # the look before the first may have begun earlier

    def begin(self) -> None:
        """A wait begins."""
        self._waits.release()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hears of every wait for news of a task, and keeps it short."""
    told, watch_on = Held(), Watch.watch_on

    async def heard(watch: Watch, *_: float):
        told.begin()
        return await watch_on(watch, 0.1)

    monkeypatch.setattr(Watch, "watch_on", heard)
    return told


@pytest.fixture
def client(server: TestClient[Litestar]) -> Client:
    """Nobody yet."""
    return Client(server)


@pytest.fixture
def ada(client: Client) -> Client:
    """Ada, registered and logged in."""
    return client.joined_by(new_email())


@pytest.fixture
def eve(
    shared: Settings,
    server: TestClient[Litestar],
    media: MediaStore,
    media_environ: dict[str, str],
) -> Iterator[Client]:
    """Eve, on a server with a media store; `server` has the projector."""
    there = Settings.load(media_environ)
    names = ("s3_url", "s3_access_key", "s3_secret_key", "s3_region", "s3_bucket")
    settings = msgspec.structs.replace(shared, **{name: getattr(there, name) for name in names})
    with TestClient(create_app(settings), raise_server_exceptions=False) as http:
        yield Client(http).joined_by(new_email())


@pytest.fixture
def migrated(settings: Settings) -> Settings:
    """The settings of a system of the test's own."""
    projector.migrate(settings)
    return settings


@pytest.fixture
def alone(migrated: Settings) -> Iterator[Client]:
    """Nobody yet, on a server of the test's own, without a projector."""
    with TestClient(create_app(migrated), raise_server_exceptions=False) as http:
        yield Client(http)


def new_email() -> str:
    """An address that no other test uses."""
    return f"{secrets.token_hex(6)}@example.com"
