"""The peer of `relay`: a bare kafka-python producer that has everything ready in memory.

`python -m tests.bench.peer_relay POSTGRES_URL BOOTSTRAP EVENTS transactions|none|lone` prints what
it measured as JSON.
"""

import contextlib
import json
import secrets
import sys
import time
from typing import Any, Final

from kafka import KafkaProducer, TopicPartition
from kafka.record.memory_records import MemoryRecords

from infra.kafka.clients import client_options, make_admin, make_consumer
from infra.kafka.topics import PARTITIONS, source_of
from infra.postgres import open_pool
from infra.relay.log import RelayLog
from infra.relay.producer import records_of
from infra.relay.records import BATCH_BYTES, pack_events
from infra.relay.session import RETRY_BACKOFF_MS
from infra.settings import Settings
from tests.bench.report import median

LZ4: Final = 3
LONE: Final = 60
LINGER_MS: Final = 5  # so that batches fill, as ours are full; it measured better than 0 and 1,000

Record = dict[str, Any]  # what `send` takes


def main(postgres_url: str, bootstrap: str, events: str, kind: str) -> None:
    """Send the newest events to a topic of its own."""
    settings = Settings(kafka_bootstrap=bootstrap)
    topic = f"peer-{secrets.token_hex(4)}"
    with contextlib.closing(make_admin(settings)) as admin:
        admin.create_topics({topic: {"num_partitions": PARTITIONS}}, wait_for_metadata=True)
    transactions = _ready(postgres_url, int(events) if kind != "lone" else LONE, topic)
    producer = _producer(settings, kind != "none")
    answer = _lone(settings, producer, transactions) if kind == "lone" else {}
    if kind != "lone":
        send = _committed if kind == "transactions" else _flushed
        send(producer, [transactions[0][:1]])  # it has met every server now
        busy, began = time.process_time(), time.perf_counter()
        send(producer, transactions)
        answer["seconds"] = time.perf_counter() - began
        answer["cpu_seconds"] = time.process_time() - busy
    producer.close()
    print(json.dumps(answer))


def _ready(postgres_url: str, events: int, topic: str) -> list[list[Record]]:
    """The records of each transaction that the relay would make."""
    with open_pool(postgres_url, 1) as pool:
        log = RelayLog(pool)
        log_id, head = log.head()
        after, transactions = head - events, []
        while rows := log.ready(after)[1]:
            after = rows[-1].position
            batches = pack_events(rows, source_of(log_id))
            transactions.append([record for each in batches for record in _records(each, topic)])
    return transactions


def _records(batch: Any, topic: str) -> list[Record]:
    built = records_of(batch, 0)
    built.close()
    return [
        {
            "topic": topic,
            "partition": batch.partition,
            "key": bytes(record.key),
            "value": bytes(record.value),
            "headers": record.headers,
            "timestamp_ms": record.timestamp,
        }
        for found in MemoryRecords(built.buffer())
        for record in found
    ]


def _producer(settings: Settings, transactional: bool) -> KafkaProducer:
    producer = KafkaProducer(
        **client_options(settings),
        transactional_id=f"peer-{secrets.token_hex(4)}" if transactional else None,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        batch_size=BATCH_BYTES,
        linger_ms=LINGER_MS,
        compression_type="lz4",
        acks="all",
        enable_idempotence=True,
    )
    if transactional:
        producer.init_transactions()
    return producer


def _committed(producer: KafkaProducer, transactions: list[list[Record]]) -> None:
    for records in transactions:
        producer.begin_transaction()
        for record in records:
            producer.send(**record)
        producer.commit_transaction()


def _flushed(producer: KafkaProducer, transactions: list[list[Record]]) -> None:
    for records in transactions:
        for record in records:
            producer.send(**record)
        producer.flush()


def _lone(
    settings: Settings, producer: KafkaProducer, transactions: list[list[Record]]
) -> dict[str, float]:
    """From the call of `send` until a reader has the record, one transaction each."""
    records = [record for each in transactions for record in each]
    consumer = make_consumer(settings)
    partitions = [TopicPartition(records[0]["topic"], number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    consumer.poll(timeout_ms=1_000)
    times = []
    for record in records:
        time.sleep(0.1)
        began = time.perf_counter()
        _committed(producer, [[record]])
        while not consumer.poll(timeout_ms=1_000):
            pass
        times.append((time.perf_counter() - began) * 1e3)
    consumer.close()
    return {"median_ms": median(times)}


if __name__ == "__main__":
    main(*sys.argv[1:])
