"""How fast read models catch up, and how soon a live event is visible.

Ours is the runner as the projector has it, decoding included, on real tables. The peer is the stock
`ProjectionRunner` of `eventsourcing`, which writes one row for each event. The limit is Postgres
alone: an INSERT … SELECT of the log's rows into a table with a primary key.
"""

import contextlib
import functools
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from domain.events import NewEvent
from infra.embedded import EmbeddedPostgres
from infra.log.event_store import EventStore
from infra.log.keys import KeyRing
from infra.log.migrate import migrate
from infra.postgres import Listener, connect, open_pool
from infra.process.processes import name_connections
from infra.settings import Settings
from projections import PROJECTIONS
from projections.generations import generations, make, switch
from projections.main import connect_to_apply, log_opener
from projections.rebuild import Rebuild
from projections.runner import Runner, tune_garbage_collection
from tests.bench.report import Figure, median, report
from tests.support.scenario import (
    HASH_KEY,
    MASTER_KEY,
    completed,
    enveloped,
    registered,
    requested,
    source,
    started,
    thumbnail,
)

RUNS = 3
EVENTS = int(os.environ.get("BENCH_EVENTS", "120000"))
STOCK_EVENTS = 3_000
MILLION = int(os.environ.get("BENCH_MILLION", "1000000"))
READS_S = 10.0
READ_EVERY_S = 0.005
LIVE_EVENTS_S = 1_000
LIVE_S = 10.0
SAVE = 999  # events, three to a task

LIMIT = """
INSERT INTO bench_limit SELECT aggregate_id, account, position, type, state FROM atelier_events"""


HEAD = "SELECT position FROM atelier_head"
MULTIPLY = """-- As many tasks again, of the same people.
WITH head AS (UPDATE atelier_head SET position = position + %(count)s RETURNING position)
INSERT INTO atelier_events
SELECT head.position - %(count)s + e.position - %(skip)s, gen_random_uuid(), type,
       md5(aggregate_id::text || head.position)::uuid, aggregate_version, clock_timestamp(), actor,
       account, correlation_id, causation_id, state
  FROM head, atelier_events e
 WHERE e.position > %(skip)s AND e.position <= %(skip)s + %(count)s"""
NEWEST = """
SELECT task, name, (SELECT t.garment FROM atelier_tasks t WHERE t.task = g.task)
  FROM atelier_gallery g WHERE account = %s ORDER BY last_modified DESC, position DESC LIMIT 10"""
SIZES = """
SELECT pg_total_relation_size('atelier_events'),
       (SELECT sum(pg_total_relation_size(format('atelier_%s_g%s', projection, generation)))
          FROM atelier_projections WHERE live)::bigint"""


def main() -> None:
    """Measure catching up, a rebuild, and live lag; print all with their ratios."""
    tune_garbage_collection()  # as the projector's process does
    name_connections("bench")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = EmbeddedPostgres(folder)
        postgres.start()
        stack.callback(postgres.stop)
        migrate(postgres.url)
        pool = stack.enter_context(open_pool(postgres.url, 4))
        store = EventStore(pool, KeyRing(pool, MASTER_KEY), HASH_KEY)
        people = _fill(store, EVENTS)
        with connect(postgres.url, statement_timeout=0) as connection:
            connection.execute("ANALYZE atelier_events")
            for projection in PROJECTIONS:
                make(connection, projection)
        stock = median([_stock(postgres.url) for _ in range(RUNS)])
        limit = median([_limit(postgres.url) for _ in range(RUNS)])
        figures = _catching_up(postgres.url, store, stock, limit)
        figures += _rebuilt(postgres.url, store, people)
        figures += _live(postgres.url, store, people)
    report("projections", figures)


def _fill(store: EventStore, count: int) -> list[UUID]:
    """A log of tasks that were requested, started and completed, by a hundredth as many people."""
    chance = random.Random(1)
    people = [uuid4() for _ in range(max(10, count // 300))]
    for account in people:
        opened = registered(email=f"{account}@example.org")
        store.append([enveloped(opened, account, 1, account=account)])
    for _ in range(count // SAVE):
        store.append([each for _ in range(SAVE // 3) for each in _task(chance.choice(people))])
    return people


def _task(account: UUID) -> list[NewEvent]:
    task = uuid4()
    files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
    events = (requested(), started(), completed(files=files))
    return [enveloped(each, task, n, account=account) for n, each in enumerate(events, start=1)]


def _catching_up(url: str, store: EventStore, stock: float, limit: float) -> list[Figure]:
    figures = []
    groups = [[each] for each in PROJECTIONS if each.name != "wardrobe"] + [list(PROJECTIONS)]
    for group in groups:
        name = group[0].name if len(group) == 1 else "all read models"
        rates, cpu = zip(*(_caught_up(url, store, group) for _ in range(RUNS)), strict=True)
        rate = median(rates)
        figures += [
            Figure(name=f"catch up: {name}", unit="events/s", ours=rate, peer=stock, limit=limit),
            Figure(name=f"catch up: {name}", unit="CPU µs/event", ours=median(cpu)),
        ]
    return figures


def _caught_up(url: str, store: EventStore, group: list[Any]) -> tuple[float, float]:
    with connect(url, statement_timeout=0) as connection:
        for projection in group:
            (one,) = generations(connection, [projection.name])
            connection.execute(f"TRUNCATE {projection.table_of(one.generation)}".encode())
        connection.execute(
            "UPDATE atelier_projections SET position = 0 WHERE projection = ANY(%s)",
            [[projection.name for projection in group]],
        )
        runner = Runner(group, store.read_some)
        began, cpu, count = time.perf_counter(), time.process_time(), 0
        while applied := runner.catch_up(connection):
            count += applied
        seconds = time.perf_counter() - began
    return count / seconds, 1e6 * (time.process_time() - cpu) / count


def _limit(url: str) -> float:
    with connect(url, statement_timeout=0) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_limit")
        connection.execute(
            "CREATE TABLE bench_limit (aggregate uuid, account uuid, position bigint PRIMARY KEY,"
            " type text, state text)"
        )
        began = time.perf_counter()
        count = connection.execute(LIMIT).rowcount
        return count / (time.perf_counter() - began)


def _rebuilt(url: str, store: EventStore, people: list[UUID]) -> list[Figure]:
    """A million events into all read models, with the proof and the switch, while people read."""
    settings = Settings(postgres_url=url, master_key=MASTER_KEY, hash_key=HASH_KEY)
    usual = _reads(url, people, lambda: time.sleep(READS_S))
    with connect(url, statement_timeout=0) as connection:
        while (count := connection.execute(HEAD).fetchone()[0]) < MILLION:  # type: ignore[index]
            more = min(MILLION - count, EVENTS - 2 * len(people))
            connection.execute(MULTIPLY, {"skip": len(people), "count": more})
        connection.execute("ANALYZE atelier_events")
        runner = Runner(PROJECTIONS, store.read_some)
        while runner.catch_up(connection):
            pass
        before = _rebuild(settings)
        sizes = connection.execute(SIZES).fetchone()
    during = _reads(url, people, lambda: _rebuild(settings))
    assert sizes is not None
    return [
        Figure(name="rebuild of a million, proved", unit="s", ours=before, limit=20.0),
        Figure(name="reads while that goes on, p99", unit="ms", ours=during, limit=usual),
        Figure(name="the log of a million", unit="MB", ours=sizes[0] / 1e6),
        Figure(name="all read models of a million", unit="MB", ours=sizes[1] / 1e6),
    ]


def _rebuild(settings: Settings) -> float:
    began = time.perf_counter()
    url = settings.postgres_url
    with Rebuild(PROJECTIONS, log_opener(settings)) as new, connect(url) as connection:
        new.fill(lambda _at, _until: None)
        for projection in PROJECTIONS:
            comparison = new.compare(projection)
            assert comparison.differing == 0, comparison
            switch(connection, projection, comparison.generation)
    return time.perf_counter() - began


def _reads(url: str, people: list[UUID], meanwhile: Callable[[], object]) -> float:
    """The p99 of reading somebody's newest files, in ms, while something else goes on."""
    took: list[float] = []
    over = threading.Event()

    def read() -> None:
        with connect(url) as connection:
            connection.execute("SET application_name = 'atelier api bench'")
            while not over.wait(READ_EVERY_S):
                began = time.perf_counter()
                connection.execute(NEWEST, [random.choice(people)]).fetchall()
                took.append(1000 * (time.perf_counter() - began))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        meanwhile()
    finally:
        over.set()
        reader.join()
    return sorted(took)[len(took) * 99 // 100]


def _live(url: str, store: EventStore, people: list[UUID]) -> list[Figure]:
    """From the end of an append until its rows can be read, while a thousand a second come in."""
    stop = threading.Event()
    with _projecting(url, store, stop), connect(url) as connection:
        lags = []
        began = time.perf_counter()
        sent = 0
        while (elapsed := time.perf_counter() - began) < LIVE_S:
            due = int(elapsed * LIVE_EVENTS_S) - sent
            if due < 3:
                time.sleep(0.001)
                continue
            position = store.append(
                [each for _ in range(due // 3) for each in _task(random.choice(people))]
            )
            sent += due // 3 * 3
            appended = time.perf_counter()
            while not _visible(connection, position):
                pass
            lags.append(1000 * (time.perf_counter() - appended))
    lags.sort()
    return [
        Figure(name="live lag, median", unit="ms", ours=lags[len(lags) // 2], limit=10.0),
        Figure(name="live lag, p99", unit="ms", ours=lags[len(lags) * 99 // 100], limit=50.0),
    ]


def _visible(connection: Any, position: int) -> bool:
    ((at,),) = connection.execute("SELECT min(position) FROM atelier_projections WHERE live")
    return bool(at >= position)


@contextlib.contextmanager
def _projecting(url: str, store: EventStore, stop: threading.Event) -> Iterator[None]:
    listener = Listener(url)
    names = [projection.name for projection in PROJECTIONS]
    runner = Runner(PROJECTIONS, store.read_some)
    arguments = (functools.partial(connect_to_apply, url), lambda: names, listener.wait, stop)
    thread = threading.Thread(target=runner.run, args=arguments)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        listener.close()


# The peer.


class Task(Aggregate):
    """A task of the stock library."""

    @event("Requested")
    def __init__(self) -> None:
        self.status = "PENDING"

    @event("Started")
    def start(self) -> None:
        """It is being rendered."""
        self.status = "STARTED"


class Tasks(Application):
    """The stock application."""


class TaskView(PostgresTrackingRecorder):
    """A table with a row a task."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS bench_stock (task uuid PRIMARY KEY, status text)"
            ).format()
        )

    def store(self, task: UUID, status: str, tracking: Tracking) -> None:
        """The row and the position, in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO bench_stock VALUES (%s, %s)"
                " ON CONFLICT (task) DO UPDATE SET status = EXCLUDED.status",
                [task, status],
            )


class TaskProjection(Projection[TaskView]):
    """One row written an event."""

    name = "bench"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """A task is pending, then started."""
        status = "PENDING" if type(domain_event).__name__ == "Requested" else "STARTED"
        self.view.store(domain_event.originator_id, status, tracking)


def _stock(url: str) -> float:
    with connect(url) as connection:
        name = f"bench_{uuid4().hex[:8]}"
        connection.execute(f"CREATE SCHEMA {name}".encode())
        info = connection.info
        environ = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": info.dbname,
            "POSTGRES_HOST": info.host,
            "POSTGRES_PORT": str(info.port),
            "POSTGRES_USER": info.user,
            "POSTGRES_PASSWORD": info.password,
            "POSTGRES_SCHEMA": name,
        }
    application = Tasks(environ)
    for _ in range(STOCK_EVENTS // 2):
        task = Task()
        task.start()
        application.save(task)
    last = application.recorder.max_notification_id()
    assert last
    began = time.perf_counter()
    with ProjectionRunner(
        application_class=Tasks,
        projection_class=TaskProjection,
        view_class=TaskView,
        env=environ,
    ) as runner:
        runner.wait(last, timeout=120)
    rate = STOCK_EVENTS / (time.perf_counter() - began)
    application.close()
    return rate


if __name__ == "__main__":
    main()
