"""given(events).then(rows) for read models, on a real database."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from psycopg.rows import dict_row

from domain.events import Event
from infra.postgres import Pool, borrowed_async, connect, make_async_pool
from infra.settings import Settings
from projections import PROJECTIONS, generations
from projections import main as projector
from projections.generations import Generation
from projections.model import Projection
from projections.reading import Reader
from projections.rebuild import Comparison, Rebuild
from projections.runner import Runner
from projections.segments import OpenLog
from tests.support.scenario import (
    HASH_KEY,
    MASTER_KEY,
    TASK,
    Story,
    completed,
    make_read_models,
    make_store,
    opened_pool,
    source,
    started,
    thumbnail,
)


class Models:
    """The read models of a log, which follow it only when told to."""

    def __init__(self, url: str, story: Story) -> None:
        self.url = url
        self.story = story

    def runner(self, projection: Projection) -> Runner:
        return Runner([projection], self.story.store.read_some)

    def catch_up(self, *projections: Projection) -> None:
        with connect(self.url) as connection:
            for projection in projections or PROJECTIONS:
                while self.runner(projection).catch_up(connection):
                    pass

    def rows(self, projection: Projection) -> list[dict[str, Any]]:
        return self.ask_database(f"SELECT * FROM {projection.view} AS row ORDER BY row")

    def position(self, projection: Projection) -> int:
        (row,) = self.ask_database(
            "SELECT position FROM atelier_projections WHERE live AND projection = %s",
            projection.name,
        )
        return int(row["position"])

    def parked(self, projection: Projection) -> list[int]:
        rows = self.ask_database(
            "SELECT position FROM atelier_parked WHERE projection = %s ORDER BY position",
            projection.name,
        )
        return [row["position"] for row in rows]

    def ask_database(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with connect(self.url) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return cursor.execute(query.encode(), values).fetchall()

    def ask(self, question: Any, *arguments: Any, **named: Any) -> Any:
        """Ask as the api does: `question` is a function of a read model that takes a Reader."""

        async def asked() -> Any:
            pool = make_async_pool(self.url, 2)
            async with pool:
                return await question(
                    Reader(functools.partial(borrowed_async, pool)), *arguments, **named
                )

        return asyncio.run(asked())


class Told:
    """A log in which something has happened to an aggregate."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def then(self, projection: Projection, *expected: dict[str, Any]) -> None:
        """The rows of the read model, in as much as the expected ones tell."""
        self._models.catch_up(projection)
        rows = self._models.rows(projection)
        assert len(rows) == len(expected)
        for row, wanted in zip(rows, expected, strict=True):
            assert {name: row[name] for name in wanted} == wanted
        newest = self._models.story.store.read(0, 500)[-1]
        assert self._models.position(projection) == newest.position


class Given:
    """given(events) tells them of one aggregate."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def __call__(self, *events: Event, aggregate: UUID = TASK) -> Told:
        for event in events:
            self._models.story.tell(aggregate, event)
        return Told(self._models)


@pytest.fixture
def pool(postgres_url: str) -> Iterator[Pool]:
    with opened_pool(postgres_url) as opened:
        yield opened


@pytest.fixture
def story(pool: Pool) -> Story:
    told = Story(make_store(pool))
    told.register()
    return told


@pytest.fixture
def models(postgres_url: str, story: Story) -> Models:
    make_read_models(postgres_url)
    return Models(postgres_url, story)


@pytest.fixture
def given(models: Models) -> Given:
    return Given(models)


# Generations.


@pytest.fixture
def connecting(models: Models) -> Callable[[], Any]:
    return functools.partial(connect, models.url)


@pytest.fixture
def open_log(models: Models) -> OpenLog:
    settings = Settings(postgres_url=models.url, master_key=MASTER_KEY, hash_key=HASH_KEY)
    return projector.log_opener(settings)


@pytest.fixture
def rebuild(open_log: OpenLog) -> Iterator[Callable[..., Rebuild]]:
    with contextlib.ExitStack() as stack:

        def begun(*projections: Projection) -> Rebuild:
            return stack.enter_context(Rebuild(projections, open_log))

        yield begun


def picture(story: Story) -> UUID:
    task = story.request()
    files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
    story.tell(task, started(), completed(files=files))
    return task


def filled(rebuilt: Rebuild, projection: Projection) -> Comparison:
    rebuilt.fill(lambda _at, _until: None)
    return rebuilt.compare(projection)


def served(models: Models, projection: Projection) -> int:
    (live,) = [each for each in found(models, projection) if each.live]
    return live.generation


def found(models: Models, projection: Projection) -> list[Generation]:
    with connect(models.url) as connection:
        return generations.generations(connection, [projection.name])
