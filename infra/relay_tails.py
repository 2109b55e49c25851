"""Where the relay stands, read from Kafka itself: the newest record of ours in each partition."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from infra.event_store import StoredRecord
from infra.kafka import EVENTS_TOPIC, PARTITIONS, TICKETED, partition_of

WINDOW: Final = 256  # offsets read back at first; commit markers take offsets, too
POLL_MS: Final = 200
EMPTY_POLLS_MOST: Final = 50  # ten seconds without an answer


class Tail(NamedTuple):
    """The newest event of ours in a partition: its position in the log, and its id."""

    position: int
    event_id: UUID


Offsets = dict[TopicPartition, int]
Tails = dict[int, Tail]  # by partition; one that holds no event of ours is left out


def due(
    events: Iterable[StoredRecord], tails: Mapping[int, Tail], ticketed: int
) -> tuple[list[StoredRecord], list[StoredRecord]]:
    """Which of these events must go onto the events topic, and which need a ticket.

    Within a partition Kafka holds a beginning of what the log has for it, so what lies above the
    newest position there is missing, and nothing else. Tickets are due above `ticketed` only.
    """
    batch = list(events)
    missing = [e for e in batch if _missing(e, tails)]
    return missing, [e for e in batch if e.id > ticketed and e.topic in TICKETED]


def _missing(event: StoredRecord, tails: Mapping[int, Tail]) -> bool:
    tail = tails.get(partition_of(event.originator_id))
    return tail is None or event.id > tail.position


def read_tails(consumer: KafkaConsumer, source: str) -> Tails:
    """The newest record from `source` in each partition, however far back it lies.

    The consumer reads committed records and belongs to no group. The relay must hold the
    transactional id by now: taking it has ended whatever transaction was open.
    """
    partitions = [TopicPartition(EVENTS_TOPIC, number) for number in range(PARTITIONS)]
    first: Offsets = consumer.beginning_offsets(partitions)
    until: Offsets = consumer.end_offsets(partitions)
    tails: Tails = {}
    window = WINDOW
    while until:
        start = {each: max(first[each], end - window) for each, end in until.items()}
        for record in _records(consumer, start, until):
            _note(record, source, tails)
        until = {
            each: offset
            for each, offset in start.items()
            if each.partition not in tails and offset > first[each]
        }
        window *= 2
    return tails


def _records(consumer: KafkaConsumer, start: Offsets, until: Offsets) -> Iterator[Any]:
    """The records from `start` to `until`, and on until one more poll is empty."""
    consumer.assign(list(start))
    for partition, offset in start.items():
        consumer.seek(partition, offset)
    for _ in range(EMPTY_POLLS_MOST):
        while batches := consumer.poll(timeout_ms=POLL_MS, max_records=5_000):
            for batch in batches.values():
                yield from batch
        if _arrived(consumer, until):
            return
    raise KafkaTimeoutError(f"cannot read the end of {EVENTS_TOPIC}")


def _arrived(consumer: KafkaConsumer, until: Offsets) -> bool:
    # `end_offsets` can be too small (the embedded broker may give the last batch's first offset),
    # hence the empty poll; `highwater` is None until a partition's first answer has come, so a
    # broker that is merely slow is not taken for one that has nothing.
    return all(
        consumer.highwater(each) is not None and consumer.position(each) >= offset
        for each, offset in until.items()
    )


def _note(record: Any, source: str, tails: Tails) -> None:
    headers = {name: value or b"" for name, value in record.headers}
    if headers.get("ce_source") == source.encode():
        tail = Tail(int(headers["atelier_position"]), UUID(headers["ce_id"].decode()))
        tails[record.partition] = max(tail, tails.get(record.partition, tail))
