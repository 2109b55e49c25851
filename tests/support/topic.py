"""Reading the events topic as an analyst would."""

import time
from collections.abc import Callable

from kafka.structs import TopicPartition

from infra.kafka.clients import make_consumer
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS
from infra.settings import Settings


def read_events(
    settings: Settings, enough: Callable[[list[dict[str, str]]], bool]
) -> list[dict[str, str]]:
    """The headers of every record from the beginning, until there are enough or 20 s are over."""
    records = read_records(settings, lambda found: enough([headers for headers, *_ in found]))
    return [headers for headers, *_ in records]


def read_records(
    settings: Settings, enough: Callable[[list[tuple[dict[str, str], bytes, bytes]]], bool]
) -> list[tuple[dict[str, str], bytes, bytes]]:
    """Headers, key and value of each of them."""
    consumer = make_consumer(settings)
    partitions = [TopicPartition(EVENTS_TOPIC, n) for n in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    found: list[tuple[dict[str, str], bytes, bytes]] = []
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline and not enough(found):
            for records in consumer.poll(timeout_ms=200).values():
                found += [({k: v.decode() for k, v in r.headers}, r.key, r.value) for r in records]
    finally:
        consumer.close()
    return found
