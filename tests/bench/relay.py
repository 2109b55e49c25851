"""Events a second from Postgres onto Kafka, and how soon a lone event is there.

Ours is the relay as it runs, reading included. The peer is a bare kafka-python producer with the
same transactions, batches, compression, keys, headers and values, all of them ready in memory; the
limit is the same one without transactions. The broker is the embedded one, or that of the folder
which ATELIER_TEST_SERVERS names.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from kafka.structs import TopicPartition

from infra.embedded import EmbeddedPostgres
from infra.kafka.clients import make_consumer
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS
from infra.log.migrate import migrate
from infra.postgres import connect
from infra.settings import Settings
from tests.bench import peer_relay
from tests.bench.report import Figure, median, report
from tests.support.relaying import Log
from tests.support.scenario import eventually
from tests.support.servers import SERVERS, start_kafka

RUNS = 3
EVENTS = int(os.environ.get("BENCH_EVENTS", "60000"))
LONE = 60  # events by themselves
IDLE_S = 10.0
TARGET = 0.8 if SERVERS == "embedded" else 0.9

FILL = """-- Events of the size that the prototypes were measured with, three to an aggregate.
WITH head AS (UPDATE atelier_head SET position = position + %(count)s RETURNING position)
INSERT INTO atelier_events (position, event_id, type, aggregate_id, aggregate_version,
                            recorded_at, actor, account, correlation_id, causation_id, state)
SELECT head.position - %(count)s + n, gen_random_uuid(), 'render.started.v1',
       md5(head.position || '-' || n / 3)::uuid, n %% 3 + 1, clock_timestamp(),
       'account:' || gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
       rpad('{"attempt":1,"consumer":"' || gen_random_uuid() || '","note":"', 512, md5(n::text))
       || '"}'
  FROM head, generate_series(1, %(count)s) AS n"""


class Filled(NamedTuple):
    """One run: how fast, and how much of a core each event took."""

    per_second: float
    cpu_us: float


def main() -> None:
    """Measure both sides three times in turn."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        migrate(postgres.url)
        broker = start_kafka(folder / "kafka")
        stack.callback(broker.stop)
        log = Log(postgres.url)
        stack.callback(log.close)
        relay = stack.enter_context(_relay(postgres.url, broker.url))
        log.append()
        _reach(log, 1)
        _fill(log, relay)  # the first one warms everything up
        ours: list[Filled] = []
        peer: list[Filled] = []
        bare: list[Filled] = []
        for _ in range(RUNS):
            ours.append(_fill(log, relay))
            peer.append(_peer(log, broker.url, "transactions"))
            bare.append(_peer(log, broker.url, "none"))
        lone = _lone(log, broker.url)
        idle = _idle(relay)
        lone_peer = float(_ask_peer(log, broker.url, "lone")["median_ms"])
    name = "relay" if SERVERS == "embedded" else "relay-apache"
    report(
        name,
        [
            Figure(
                name=f"catch up (≥ {TARGET} of peer)",
                unit="events/s",
                ours=median([each.per_second for each in ours]),
                peer=median([each.per_second for each in peer]),
                limit=median([each.per_second for each in bare]),
            ),
            Figure(
                name="its process's CPU time",
                unit="µs/event",
                ours=median([each.cpu_us for each in ours]),
                peer=median([each.cpu_us for each in peer]),
                limit=median([each.cpu_us for each in bare]),
            ),
            Figure(
                name="a lone event to its reader",
                unit="ms",
                ours=lone,
                peer=lone_peer,
                limit=20.0,
            ),
            Figure(name="CPU of an idle relay", unit="% of 1", ours=idle),
        ],
    )


def _fill(log: Log, relay: psutil.Process) -> Filled:
    """Commit many events at once, and wait until the relay has noted the last."""
    with connect(log.url, statement_timeout=0) as connection:
        connection.execute(FILL, {"count": EVENTS})
        busy, began = _cpu(relay), time.perf_counter()
        connection.execute("NOTIFY atelier_events")
        _, head = log.recorder.head()
        _reach(log, head)
        seconds = time.perf_counter() - began
    return Filled(EVENTS / seconds, (_cpu(relay) - busy) / EVENTS * 1e6)


def _reach(log: Log, position: int) -> None:
    with connect(log.url) as connection:
        query = "SELECT max(position) FROM atelier_relay WHERE topic = %s"
        eventually(lambda: connection.execute(query, [EVENTS_TOPIC]).fetchone() == (position,), 120)


def _peer(log: Log, bootstrap: str, kind: str) -> Filled:
    answer = _ask_peer(log, bootstrap, kind)
    return Filled(EVENTS / answer["seconds"], answer["cpu_seconds"] / EVENTS * 1e6)


def _ask_peer(log: Log, bootstrap: str, kind: str) -> dict[str, float]:
    command = [sys.executable, "-m", peer_relay.__name__, log.url, bootstrap, str(EVENTS), kind]
    answer: dict[str, float] = json.loads(subprocess.check_output(command))
    return answer


def _lone(log: Log, bootstrap: str) -> float:
    """From the moment that an append has returned until a reader has the event."""
    consumer = make_consumer(Settings(kafka_bootstrap=bootstrap))
    partitions = [TopicPartition(EVENTS_TOPIC, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_end(*partitions)
    while consumer.poll(timeout_ms=500):
        pass
    times = []
    for _ in range(LONE):
        time.sleep(random.uniform(0.05, 0.25))
        log.append()
        began = time.perf_counter()
        while not consumer.poll(timeout_ms=1_000):
            pass
        times.append((time.perf_counter() - began) * 1e3)
    consumer.close()
    return median(times)


def _idle(relay: psutil.Process) -> float:
    busy = _cpu(relay)
    time.sleep(IDLE_S)
    return (_cpu(relay) - busy) / IDLE_S * 100


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def _relay(postgres_url: str, bootstrap: str) -> Iterator[psutil.Process]:
    environ = os.environ | {
        "ATELIER_POSTGRES_URL": postgres_url,
        "ATELIER_KAFKA_BOOTSTRAP": bootstrap,
        "ATELIER_LOG": "text",
    }
    process = subprocess.Popen([sys.executable, "-m", "api", "relay"], env=environ)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
