"""Where the relay stands, read from Kafka itself: the newest record of ours in each partition."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS, TICKETED, partition_of
from infra.relay.records import Ready

WINDOW: Final = 256  # offsets read back at first; commit markers take offsets, too
POLL_MS: Final = 200
EMPTY_POLLS_MOST: Final = 50  # ten seconds without an answer


class TopicRecord(NamedTuple):
    """A record that claims to be an event of our log, as a reader finds it."""

    partition: int
    offset: int
    position: int
    event_id: UUID
    key: str


class Tail(NamedTuple):
    """The newest event of ours in a partition: its position in the log, and its id."""

    position: int
    event_id: UUID


Offsets = dict[TopicPartition, int]
Tails = dict[int, Tail]  # by partition; one that holds no event of ours is left out


class Ends(NamedTuple):
    """The tails, the records among which they were found, and the partitions cut at the front.

    Retention, or somebody, has deleted what those held first. ``others`` are the sources of events
    of other logs, or of other epochs of this one, that were found besides.
    """

    tails: Tails
    held: list[TopicRecord]
    cut: frozenset[int]
    others: frozenset[str]


def due(
    events: Iterable[Ready], reached: Mapping[int, int], ticketed: int
) -> tuple[list[Ready], list[Ready]]:
    """Which of these events must go onto the events topic, and which need a ticket.

    Within a partition Kafka holds a beginning of what the log has for it, so what lies above the
    position that is reached there is missing, and nothing else. Tickets are due above `ticketed`.
    """
    batch = list(events)
    missing = [e for e in batch if e.position > reached.get(partition_of(e.aggregate_id), 0)]
    return missing, [e for e in batch if e.position > ticketed and e.type in TICKETED]


def read_ends(consumer: KafkaConsumer, source: str, poll_ms: int = POLL_MS) -> Ends:
    """The newest record from `source` in each partition, however far back it lies.

    The consumer reads committed records and belongs to no group. The relay must hold the
    transactional id by now: taking it has ended whatever transaction was open.
    """
    partitions = all_partitions()
    first: Offsets = consumer.beginning_offsets(partitions)
    until: Offsets = consumer.end_offsets(partitions)
    tails: Tails = {}
    held: list[TopicRecord] = []
    others: set[str] = set()
    window = WINDOW
    while until:
        start = {each: max(first[each], end - window) for each, end in until.items()}
        for record in _records(consumer, start, until, poll_ms):
            if ours := held_in(record, source):
                held.append(ours)
                tail = Tail(ours.position, ours.event_id)
                tails[ours.partition] = max(tail, tails.get(ours.partition, tail))
            elif theirs := other_source(record):
                others.add(theirs)
        until = {
            each: offset
            for each, offset in start.items()
            if each.partition not in tails and offset > first[each]
        }
        window *= 2
    cut = frozenset(each.partition for each, at in first.items() if at > 0)
    return Ends(tails, held, cut, frozenset(others))


def all_partitions() -> list[TopicPartition]:
    """The partitions of the events topic."""
    return [TopicPartition(EVENTS_TOPIC, number) for number in range(PARTITIONS)]


def held_in(record: Any, source: str) -> TopicRecord | None:
    """What a record says about itself; None for one that is not from `source`.

    One that names it and is otherwise not as we write them comes with position 0, which no event
    has.
    """
    headers = {name: value or b"" for name, value in record.headers}
    if headers.get("ce_source") != source.encode():
        return None
    try:
        position, event_id = int(headers["atelier_position"]), UUID(headers["ce_id"].decode())
        key = record.key.decode()
    except (KeyError, ValueError, AttributeError):
        position, event_id, key = 0, UUID(int=0), ""
    return TopicRecord(record.partition, record.offset, position, event_id, key)


def other_source(record: Any) -> str | None:
    """The log that a record is from, if it is an event of another one than ours."""
    headers = dict(record.headers)
    if "atelier_position" not in headers or not headers.get("ce_source"):
        return None
    return str(headers["ce_source"].decode(errors="replace"))


def _records(
    consumer: KafkaConsumer, start: Offsets, until: Offsets, poll_ms: int
) -> Iterator[Any]:
    """The records from `start` to `until`, and on until one more poll is empty."""
    consumer.assign(list(start))
    for partition, offset in start.items():
        consumer.seek(partition, offset)
    for _ in range(EMPTY_POLLS_MOST):
        while batches := consumer.poll(timeout_ms=poll_ms, max_records=5_000):
            for batch in batches.values():
                yield from batch
        if arrived(consumer, until):
            return
    raise KafkaTimeoutError(f"cannot read the end of {EVENTS_TOPIC}")


def arrived(consumer: KafkaConsumer, until: Offsets) -> bool:
    """Whether a consumer has read up to these offsets."""
    # `end_offsets` can be too small (the embedded broker may give the last batch's first offset),
    # hence the empty poll; `highwater` is None until a partition's first answer has come, so a
    # broker that is merely slow is not taken for one that has nothing.
    return all(
        consumer.highwater(each) is not None and consumer.position(each) >= offset
        for each, offset in until.items()
    )
