"""A log with a short story in it, for tests of what reads it; a conftest imports the fixtures."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest

from domain.account import AccountInfoUpdated
from domain.garment import GarmentListed
from infra.analysis.access import Access
from infra.log.event_store import EventLog, EventStore
from infra.postgres import connect
from infra.settings import Settings
from tests.conftest import own_database
from tests.support.scenario import (
    ACCOUNT,
    HASH_KEY,
    MASTER_KEY,
    TASK,
    Story,
    completed,
    garment_details,
    make_store,
    opened_pool,
    requested,
    started,
)
from tests.support.servers import Server

OTHER = UUID("44444444-4444-4444-4444-444444444444")
GARMENT = UUID("55555555-5555-5555-5555-555555555555")
BEA = UUID("66666666-6666-6666-6666-666666666666")


class SampleLog(NamedTuple):
    """A log with a short story in it, and the settings that lead to it."""

    settings: Settings
    store: EventStore
    story: Story
    log: EventLog
    access: Access

    def erase(self, account: UUID) -> None:
        """What erasing does to the past."""
        with connect(self.settings.postgres_url) as connection:
            connection.execute("DELETE FROM atelier_keys WHERE account = %s", [account])


@pytest.fixture(scope="module")
def sample(postgres: Server, template: str) -> Iterator[SampleLog]:
    """Nine events, which no test may add to: Ada's picture, a garment, and Bea, who awaits hers."""
    with own_database(postgres, template) as url, told(url) as made:
        yield made


@pytest.fixture
def own(postgres_url: str) -> Iterator[SampleLog]:
    """The same for a test that changes it."""
    with told(postgres_url) as made:
        yield made


@contextlib.contextmanager
def told(url: str) -> Iterator[SampleLog]:
    """The story in a log of one's own."""
    settings = Settings(postgres_url=url, master_key=MASTER_KEY, hash_key=HASH_KEY)
    with opened_pool(url) as pool, Access(settings) as access:
        store = make_store(pool)
        yield SampleLog(settings, store, _story(store), access.log, access)


def _story(store: EventStore) -> Story:
    story = Story(store)
    story.register(email="ada@example.org")
    story.tell(TASK, requested(), started(), completed(measured={"Height": 179.5}))
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    story.tell(GARMENT, GarmentListed(details=garment_details()), account=None)
    story.register(BEA, number=34, email="bea@example.org", full_name="Bea Bow")
    story.tell(OTHER, requested(), started(), account=BEA)
    return story


def happened(url: str, times: Mapping[int, datetime]) -> None:
    """Give events, by their positions, the times at which they were recorded."""
    with connect(url) as connection, connection.transaction():
        connection.execute("ALTER TABLE atelier_events DISABLE TRIGGER USER")
        for position, time in times.items():
            connection.execute(
                "UPDATE atelier_events SET recorded_at = %s WHERE position = %s", [time, position]
            )
        connection.execute("ALTER TABLE atelier_events ENABLE TRIGGER USER")


def log_again(url: str) -> None:
    """Give the log another id, as another one has."""
    with connect(url) as connection:
        connection.execute("UPDATE atelier_head SET log_id = %s", [uuid4()])
