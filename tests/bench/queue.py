"""Tasks a second through the queue, and what a long queue costs those who look at it.

Ours is a consumer as it runs, with an engine that draws nothing and a store that keeps nothing:
claim, lease, start and end as events, projector beside it. The limit is a loop of SELECT … FOR
UPDATE SKIP LOCKED over a table, the peer is procrastinate; both on the same server. Each consumer
is a process of its own.
"""

import logging
import math
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import structlog

from infra.access.tokens import Tokens
from infra.log.event_store import open_store, store_for_a_while
from infra.postgres import connect
from infra.settings import Settings
from projections import queue
from render_consumers.engines.job import Job, Product, Result
from render_consumers.loop.consumer import Consumer
from render_consumers.loop.leases import Leases, open_lease_pool
from tests.bench.report import Figure, median, report
from tests.bench.serving import Case, projecting, served, wrk
from tests.support.atelier import Atelier, Outside, Person
from tests.support.scenario import enveloped, eventually, registered, requested, source, thumbnail

RUNS = 3
CONSUMERS = (1, 2, 4, 8)
TASKS = int(
    os.environ.get("BENCH_TASKS", "400")
)  # through ours and procrastinate; the loop: 5 times
PEOPLE = 10_000  # of whom none has more than ten tasks in the long queue, as by default
SAVE = 500  # events
SHORT, LONG = 100, 100_000
CLAIMS = 300
LONE = 20  # tasks by themselves

JOBS = """
DROP TABLE IF EXISTS bench_jobs;
CREATE TABLE bench_jobs (n bigint PRIMARY KEY, done boolean NOT NULL DEFAULT false);
CREATE INDEX ON bench_jobs (n) WHERE NOT done;
INSERT INTO bench_jobs SELECT n FROM generate_series(1, {count}) AS n"""

STARTED = """
SELECT extract(epoch FROM s.recorded_at - r.recorded_at)::float8
  FROM atelier_events r JOIN atelier_events s USING (aggregate_id)
 WHERE r.type = 'render.requested.v1' AND s.type = 'render.started.v1'"""

Work = Callable[[dict[str, str]], Iterator[None]]


def main() -> None:
    """Measure all sides three times in turn, then a short and a long queue."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environ = stack.enter_context(projecting(folder, "bench-queue"))
        settings = Settings.load(environ)
        people = _people(settings)
        figures = [_through(settings, environ, people, number) for number in CONSUMERS]
        figures += _depth(settings, environ, people, folder)
    figures.append(_latency())
    report("queue", figures)


def _people(settings: Settings) -> list[UUID]:
    people = [uuid4() for _ in range(PEOPLE)]
    with store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key) as store:
        for n in range(0, PEOPLE, SAVE):
            store.append(
                [
                    enveloped(registered(email=f"{one}@example.org"), one, account=one)
                    for one in people[n : n + SAVE]
                ]
            )
    return people


# Through the queue.


def _through(
    settings: Settings, environ: dict[str, str], people: list[UUID], consumers: int
) -> Figure:
    ours, loop, peer = [], [], []
    for _ in range(RUNS):
        _ask(settings, people, TASKS)
        ours.append(TASKS / _seconds(consume, environ, consumers))
        with connect(settings.postgres_url) as connection:
            connection.execute(JOBS.format(count=5 * TASKS).encode())
        loop.append(5 * TASKS / _seconds(take, environ, consumers))
        _defer(environ, TASKS)
        peer.append(TASKS / _seconds(procrastinate, environ, consumers))
    return Figure(
        name=f"{consumers}",
        unit="tasks/s",
        ours=median(ours),
        peer=median(peer),
        limit=median(loop),
    )


def _seconds(work: Work, environ: dict[str, str], consumers: int) -> float:
    """From the start of so many processes, which are ready, until the last has nothing to do."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    arguments = (work, environ, ready, go)
    workers = [context.Process(target=_run, args=arguments) for _ in range(consumers)]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert ready.acquire(timeout=60)
    began = time.perf_counter()
    go.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return time.perf_counter() - began


def _run(work: Any, environ: dict[str, str], ready: Any, go: Any) -> None:
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    for _ in work(environ):  # what is before its one yield gets ready
        ready.release()
        go.wait()


def _ask(settings: Settings, people: list[UUID], count: int) -> list[tuple[UUID, UUID]]:
    """So many tasks, each of the next account, seen by the queue."""
    asked = [(people[n % PEOPLE], uuid4()) for n in range(count)]
    with store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key) as store:
        for n in range(0, count, SAVE):
            store.append(
                [
                    enveloped(requested(), task, 1, account=account)
                    for account, task in asked[n : n + SAVE]
                ]
            )
        position = store.head()[1]
    with connect(settings.postgres_url) as connection:
        eventually(lambda: queue.standing(connection) >= position, seconds=300)
    return asked


class NoMedia:
    """Keeps nothing."""

    def ensure_bucket(self) -> None:
        """It is there."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Keep nothing."""

    def copy(self, source: str, target: str) -> None:
        """Copy nothing."""

    def delete(self, key: str) -> None:
        """Remove nothing."""

    def reachable(self, timeout: float) -> bool:
        """Always."""
        return True


class NoEngine:
    """Draws nothing, and sets `enough` after so many tasks."""

    def __init__(self, count: float = math.inf) -> None:
        self.enough = threading.Event()
        self._left = count

    def render(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Exception]]:
        """Files of a few bytes."""
        for job in jobs:
            self._left -= 1
            if self._left <= 0:
                self.enough.set()
            files = (source(f"{job.task}.jpg"), thumbnail(f"{job.task}_thumbnail.jpg"))
            yield job, Result("none", tuple(Product(file, b"") for file in files), (), {})


def consume(environ: dict[str, str]) -> Iterator[None]:
    """Ours, until nothing is left to claim."""
    yield from _consumed(environ, NoEngine())


def consume_some(environ: dict[str, str]) -> Iterator[None]:
    """The same for some tasks."""
    yield from _consumed(environ, NoEngine(CLAIMS))


def _consumed(environ: dict[str, str], engine: NoEngine) -> Iterator[None]:
    settings = Settings.load(environ)
    store = open_store(settings.postgres_url, settings.master_key, settings.hash_key, connections=2)
    with open_lease_pool(settings.postgres_url) as pool:
        name = str(uuid4())
        consumer = Consumer(name, store, Leases(pool, name, 30.0), NoMedia(), engine, batch=1)
        yield
        consumer.work_through(engine.enough)


def take(environ: dict[str, str]) -> Iterator[None]:
    """The loop."""
    with connect(environ["ATELIER_POSTGRES_URL"], autocommit=False) as connection:
        yield
        while True:
            row = connection.execute(
                "SELECT n FROM bench_jobs WHERE NOT done ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED"
            ).fetchone()
            if row is None:
                return
            connection.execute("UPDATE bench_jobs SET done = true WHERE n = %s", row)
            connection.commit()


def procrastinate(environ: dict[str, str]) -> Iterator[None]:
    """The peer."""
    from procrastinate import PsycopgConnector

    app = _peer(PsycopgConnector(conninfo=environ["ATELIER_POSTGRES_URL"]))
    yield
    app.run_worker(wait=False, concurrency=1, install_signal_handlers=False, listen_notify=False)


def _peer(connector: Any) -> Any:
    from procrastinate import App

    app = App(connector=connector)

    @app.task(name="nothing")
    def nothing() -> None:
        pass

    return app


def _defer(environ: dict[str, str], count: int) -> None:
    from procrastinate import SyncPsycopgConnector

    url = environ["ATELIER_POSTGRES_URL"]
    with connect(url) as connection:
        made = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
    with _peer(SyncPsycopgConnector(conninfo=url)).open() as app:
        if made == (None,):
            app.schema_manager.apply_schema()
        app.tasks["nothing"].batch_defer(*({} for _ in range(count)))


# A short queue and a long one.


def _depth(
    settings: Settings, environ: dict[str, str], people: list[UUID], folder: Path
) -> list[Figure]:
    tokens = Tokens(settings.jwt_key)
    rates: dict[int, float] = {}
    claims: dict[int, float] = {}
    with served(environ, "-m", "api", "api") as address:
        waiting: list[tuple[UUID, UUID]] = []
        for depth in (SHORT, LONG):
            waiting += _ask(settings, people, depth - len(waiting))
            with connect(settings.postgres_url, statement_timeout=0) as connection:
                connection.execute("VACUUM ANALYZE")
            last = [f"GET /generate/{task} {tokens.issue(owner)}" for owner, task in waiting[-64:]]
            case = Case(f"GET /generate/{{id}}, {depth} waiting", last)
            rates[depth] = median([wrk(case, address, folder).per_second for _ in range(RUNS)])
        _ask(settings, people, RUNS * CLAIMS)
        claims[LONG] = _claimed(environ)
    return [
        Figure(
            name="depth: GET of the last that waits, 100,000 against 100",
            unit="requests/s",
            ours=rates[LONG],
            limit=rates[SHORT],
        ),
        Figure(name="depth: claims, 100,000 waiting", unit="tasks/s", ours=claims[LONG]),
    ]


def _claimed(environ: dict[str, str]) -> float:
    return median([CLAIMS / _seconds(consume_some, environ, 1) for _ in range(RUNS)])


# From the request to the start, on a whole Atelier that has nothing else to do.


def _latency() -> Figure:
    took = []
    with tempfile.TemporaryDirectory() as folder:
        atelier = Atelier(Path(folder) / "data", Outside({}, {}))
        atelier.start()
        with atelier.client() as client:
            person = Person(client)
            for _ in range(LONE):
                task = person.post("/generate", {})["task_id"]
                assert person.wait_for(task, 300)["status"] == "SUCCESS"
                time.sleep(random.uniform(0.5, 1.5))
        settings = Settings.load({"ATELIER_DATA": str(atelier.data)})
        with connect(settings.postgres_url) as connection:
            took = [1000 * seconds for (seconds,) in connection.execute(STARTED)]
        atelier.stop()
    return Figure(
        name="latency: request to start, median", unit="ms", ours=median(took), limit=60.0
    )


if __name__ == "__main__":
    main()
