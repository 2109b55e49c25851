"""Reading the events topic as an analyst would."""

import time
from collections.abc import Callable

from kafka.structs import TopicPartition

from infra.kafka import EVENTS_TOPIC, PARTITIONS, make_consumer
from infra.settings import Settings


def read_events(
    settings: Settings, enough: Callable[[list[dict[str, str]]], bool]
) -> list[dict[str, str]]:
    """The headers of every record from the beginning, until there are enough or 20 s are over."""
    consumer = make_consumer(settings)
    partitions = [TopicPartition(EVENTS_TOPIC, n) for n in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    events: list[dict[str, str]] = []
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline and not enough(events):
            for records in consumer.poll(timeout_ms=200).values():
                events += [{k: v.decode() for k, v in r.headers} for r in records]
    finally:
        consumer.close()
    return events
