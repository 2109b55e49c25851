"""A studio: a log, its queue, a media store, and consumers with an engine of the tests' own."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import pytest
from PIL import Image

from domain.events import Event
from domain.render import MediaFile, RenderCompleted
from infra.media.store import MediaStore
from infra.postgres import Pool, answered, connect
from projections import queue
from projections.queue import Claimable
from projections.runner import Runner
from render_consumers.engines.job import Job, Product, Result
from render_consumers.loop.consumer import Consumer
from render_consumers.loop.leases import Leases
from tests.support.scenario import Story, garment_fit, make_read_models, make_store, opened_pool

LEASE_S = 30.0


class SmallEngine:
    """Makes a picture of 16 by 16 pixels, and lets a test step in while it renders."""

    def __init__(self, during: Callable[[UUID], object] = lambda task: None) -> None:
        self.during = during
        self.rendered: list[UUID] = []
        self.batches: list[int] = []

    def render(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Exception]]:
        self.batches.append(len(jobs))
        for job in jobs:
            yield job, self._outcome(job)

    def _outcome(self, job: Job) -> Result | Exception:
        task = job.task
        self.rendered.append(task)
        self.should_stop = job.should_stop
        self.told = job.told
        try:
            self.during(task)
        except Exception as error:
            return error
        folder = f"{job.request.account_number}/gallery"
        products = (
            _product(folder, f"{task}.jpg", "source", 16),
            _product(folder, f"{task}_thumbnail.jpg", "thumbnail", 8),
        )
        return Result("test", products, ("brand",), {"Height": 180.0}, (garment_fit(),))


def _product(folder: str, name: str, role: str, width: int) -> Product:
    buffer = io.BytesIO()
    Image.new("RGB", (width, width), "teal").save(buffer, "JPEG")
    data = buffer.getvalue()
    file = MediaFile(
        name=name,
        key=f"{folder}/{name}",
        role="source" if role == "source" else "thumbnail",
        content_type="image/jpeg",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Product(file, data)


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
            self._next_tasks,
            batch,
        )

    def leases(self, name: str, seconds: float = LEASE_S) -> Leases:
        return Leases(self.pool, name, seconds)

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

    def _next_tasks(self, limit: int) -> list[Claimable]:
        """The queue, followed up to now."""
        with answered(), self._projecting, self.pool.connection() as connection:
            runner = Runner([queue.PROJECTION], self.story.store.read_some)
            while runner.catch_up(connection):
                pass
            return queue.claimable(connection, limit=limit, max_wait=None)


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
