"""A studio: a log, its queue, a media store, and consumers with an engine of the tests' own."""

import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from domain.events import Event
from domain.render import RenderCompleted
from infra.media.store import MediaStore
from infra.postgres import Pool, answered, connect
from projections import queue
from projections.runner import Runner
from render_consumers.loop.consumer import Consumer
from render_consumers.loop.leases import Leased, Leases
from tests.support.engine import SmallEngine
from tests.support.scenario import Story, make_read_models, make_store, opened_pool

LEASE_S = 30.0


class FollowingLeases(Leases):
    """Leases that have the queue follow the log before each claim, as no projector runs."""

    def __init__(
        self, pool: Pool, consumer: str, seconds: float, project: Callable[[], None]
    ) -> None:
        super().__init__(pool, consumer, seconds)
        self._project = project

    def claim(self) -> Leased | None:
        self._project()
        return super().claim()


class Studio:
    """Everything that consumers work on."""

    def __init__(self, url: str, pool: Pool, story: Story, media: MediaStore) -> None:
        self.url = url
        self.pool = pool
        self.story = story
        self.media = media
        self.stop = threading.Event()
        self._projecting = threading.Lock()

    def consumer(
        self,
        engine: SmallEngine | None = None,
        *,
        name: str = "one",
        seconds: float = LEASE_S,
        batch: int = 1,
    ) -> Consumer:
        return Consumer(
            name,
            self.story.store,
            self.leases(name, seconds),
            self.media,
            engine or SmallEngine(),
            batch,
        )

    def leases(self, name: str, seconds: float = LEASE_S) -> Leases:
        return FollowingLeases(self.pool, name, seconds, self.project)

    def lease_count(self) -> int:
        with connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM atelier_leases").fetchone()
        assert row is not None
        return int(row[0])

    def lose_leases(self, task: UUID | None = None) -> None:
        """All leases, or the one of a task."""
        with connect(self.url) as connection:
            connection.execute("DELETE FROM atelier_leases WHERE task = coalesce(%s, task)", [task])

    def history(self, task: UUID) -> list[Event]:
        return [recorded.event for recorded in self.story.store.load(task)]

    def kinds(self, task: UUID) -> list[str]:
        return [event.stored_name.split(".")[1] for event in self.history(task)]

    def completion(self, task: UUID) -> RenderCompleted:
        (event,) = [e for e in self.history(task) if isinstance(e, RenderCompleted)]
        return event

    def keys(self, prefix: str = "") -> list[str]:
        return [found.key for found in self.media.list(prefix)]

    def project(self) -> None:
        """Have the queue follow the log up to now."""
        with answered(), self._projecting, self.pool.connection() as connection:
            runner = Runner([queue.PROJECTION], self.story.store.read_some)
            while runner.catch_up(connection):
                pass


@pytest.fixture
def pool(postgres_url: str) -> Iterator[Pool]:
    with opened_pool(postgres_url, 8) as opened:
        yield opened


@pytest.fixture
def story(pool: Pool) -> Story:
    told = Story(make_store(pool))
    told.register()
    return told


@pytest.fixture
def studio(postgres_url: str, pool: Pool, story: Story, media: MediaStore) -> Studio:
    make_read_models(postgres_url)
    return Studio(postgres_url, pool, story, media)
