"""Relays as processes, a log to append to, and the events topic as a reader sees it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import UUID, uuid4

import psycopg
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from infra.kafka.clients import make_admin, make_consumer, reachable
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS, TICKETS_TOPIC, partition_of
from infra.log.recorder import LogRecorder, StoredEnvelope, StoredRecord
from infra.postgres import connect, open_pool
from infra.process.processes import Lifeline
from infra.settings import Settings
from tests.support.servers import SERVERS, Server

PATIENCE_S = 90.0  # three nodes of Kafka on a busy machine
SETTLE_S = 1.0  # how long a reader goes on looking for what should not come

# The embedded broker shows records of aborted transactions to read_committed readers, so on it a
# record may come twice when a relay dies inside a transaction; readers know it by its id.
SHOWS_ABORTED = SERVERS == "embedded"


class Broker(Protocol):
    """What a reader needs to know of a broker."""

    @property
    def url(self) -> str: ...


class Seen(NamedTuple):
    """A record as a reader sees it."""

    partition: int
    key: str
    value: bytes
    headers: dict[str, str]

    @property
    def position(self) -> int:
        return int(self.headers["atelier_position"])


class Log:
    """The event log, appended to as a command would."""

    def __init__(self, url: str) -> None:
        self._pool = open_pool(url, 1)
        self.recorder = LogRecorder(self._pool)
        self.url = url

    def append(
        self,
        count: int = 1,
        *,
        aggregate: UUID | None = None,
        version: int = 1,
        kind: str = "render.started.v1",
        account: UUID | None = None,
    ) -> list[UUID]:
        """Append events in one save, of one aggregate or of as many as there are events."""
        events = [
            StoredEnvelope(
                originator_id=aggregate or uuid4(),
                originator_version=version + number if aggregate else version,
                topic=kind,
                state=b'{"attempt":1,"consumer":"\xc3\xa9"}',
                event_id=uuid4(),
                actor="somebody",
                account=account,
                correlation_id=uuid4(),
                causation_id=uuid4() if account else None,
            )
            for number in range(count)
        ]
        self.recorder.insert_events(events)
        with connect(self.url) as connection:
            connection.execute("NOTIFY atelier_events")
        return [event.event_id for event in events]

    def stored(self) -> list[StoredRecord]:
        return list(self.recorder.select_notifications(1, 1_000_000))

    def execute(self, statement: Any) -> None:
        with connect(self.url) as connection:
            connection.execute(statement)

    def start_anew(self) -> None:
        """Append as a process does that has seen nothing of the log yet."""
        self.recorder = LogRecorder(self._pool)

    def close(self) -> None:
        self._pool.close()


class Relays:
    """Relay processes of one test, with what they wrote to stderr."""

    def __init__(self, log: Log, bootstrap: str, folder: Path) -> None:
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ATELIER_DATA": str(folder / "data"),
            "ATELIER_LOG": "text",
            "ATELIER_POSTGRES_URL": log.url,
            "ATELIER_KAFKA_BOOTSTRAP": bootstrap,
        }
        self._lifeline = Lifeline()
        self._output = folder / "relays.log"
        self._output.touch()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with self._output.open("ab") as output:
            relay = self._lifeline.spawn(
                [sys.executable, "-m", "api", "relay"], environ=self._environ, output=output
            )
        self._started.append(relay)
        return relay

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `atelier relay` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "api", "relay", *words],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def written(self) -> str:
        return self._output.read_text()

    def close(self) -> None:
        for relay in self._started:
            relay.kill()
            relay.wait()
        self._lifeline.close()


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


def read(kafka: Broker, topic: str, enough: Callable[[list[Seen]], bool]) -> list[Seen]:
    """Read a topic from its beginning until it is enough and nothing more has come for a while."""
    settings = Settings(kafka_bootstrap=kafka.url)
    eventually(lambda: _has(settings, topic), f"{topic} is there")
    consumer = make_consumer(settings)
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    consumer.seek_to_beginning()
    seen: list[Seen] = []
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not enough(seen):
            assert time.monotonic() < deadline, f"only {len(seen)} records came"
            seen += _poll(consumer)
        quiet = time.monotonic() + SETTLE_S
        while time.monotonic() < quiet:
            seen += _poll(consumer)
    finally:
        consumer.close()
    return seen


def _has(settings: Settings, topic: str) -> bool:
    if not reachable(settings, 1.0):
        return False
    admin = make_admin(settings)
    try:
        return topic in admin.list_topics()
    finally:
        admin.close()


def _poll(consumer: Any) -> list[Seen]:
    return [
        Seen(
            record.partition,
            record.key.decode(),
            record.value,
            {name: value.decode() for name, value in record.headers},
        )
        for batch in consumer.poll(timeout_ms=100, max_records=5_000).values()
        for record in batch
    ]


def events(kafka: Broker, log: Log) -> list[Seen]:
    """What is on the events topic of this log, once all that it holds has come."""
    wanted = {str(event.event_id) for event in log.stored()}
    seen = read(kafka, EVENTS_TOPIC, lambda seen: wanted <= {s.headers.get("ce_id") for s in seen})
    return [each for each in seen if "ce_id" in each.headers]


def tickets(kafka: Server, count: int) -> list[dict[str, Any]]:
    seen = read(kafka, TICKETS_TOPIC, lambda seen: len(seen) >= count)
    return [json.loads(each.value) for each in seen]


def assert_complete(seen: Sequence[Seen], log: Log, *, exactly: bool = True) -> None:
    """Every event of the log once, in its partition and there in the log's order."""
    stored = log.stored()
    if exactly:
        doubled = len(seen) - len({each.headers["ce_id"] for each in seen})
        assert doubled == 0, f"{doubled} of {len(stored)} came twice"
    first: dict[str, Seen] = {}
    for each in seen:
        first.setdefault(each.headers["ce_id"], each)
    assert first.keys() == {str(event.event_id) for event in stored}
    for partition in range(PARTITIONS):
        there = [each.position for each in first.values() if each.partition == partition]
        assert there == [e.id for e in stored if partition_of(e.originator_id) == partition]


def lose_topics(kafka: Server) -> None:
    """Have the broker come back without what it held: the embedded one keeps nothing anyway."""
    if SERVERS == "embedded":
        kafka.kill()
        kafka.restart()
        return
    admin = make_admin(Settings(kafka_bootstrap=kafka.url))
    try:
        admin.delete_topics([EVENTS_TOPIC, TICKETS_TOPIC])
    finally:
        admin.close()


def configure(kafka: Broker, name: str, value: str) -> None:
    """Change a setting of the events topic; real Kafka only."""
    admin = make_admin(Settings(kafka_bootstrap=kafka.url))
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, EVENTS_TOPIC, {name: value})])
    finally:
        admin.close()


class appending:
    """Appends small saves in the background, as commands do, while the block runs."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: Exception | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        assert self._failure is None

    def _run(self) -> None:
        aggregate, version = uuid4(), 1
        try:
            while not self._done.wait(0.01):
                self._log.append(2, aggregate=aggregate, version=version)
                self._log.append(8)
                version += 2
        except psycopg.Error as failure:
            self._failure = failure
