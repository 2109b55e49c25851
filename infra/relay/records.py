"""What the relay puts onto Kafka: events and tickets, encoded as the records of whole batches.

kafka-python encodes a record header by header in Python, which for our thirteen headers takes
longer than everything else that the relay does. Here a record's headers are one formatted string.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from infra.kafka.topics import EVENTS_TOPIC, TICKETS_TOPIC, partition_of

BATCH_BYTES: Final = 131_072  # of one partition, before compression; a larger event is sent alone


class Ready(NamedTuple):
    """A row of the log as the relay reads it: every member as Kafka shows it."""

    position: int
    recorded_ms: int
    event_id: str
    type: str
    aggregate_id: str
    version: int
    recorded_at: str  # RFC 3339 in UTC, with microseconds
    actor: str
    account: str | None
    correlation_id: str
    causation_id: str | None
    state: str


class Batch(NamedTuple):
    """Records of one partition, encoded, and what the head of a batch tells of them."""

    topic: str
    partition: int
    first_ms: int
    last_ms: int
    size: int  # in records
    records: bytes


def pack_events(rows: Iterable[Ready], source: str) -> list[Batch]:
    """Events as CloudEvents 1.0 in binary mode; the value is the stored JSON as it is."""
    packer = _Packer(EVENTS_TOPIC)
    common = [("ce_specversion", "1.0"), ("ce_source", source)]
    common.append(("content-type", "application/json"))
    fixed = b"".join(_header(name, value) for name, value in common)
    for row in rows:
        packer.add(row.aggregate_id, row.recorded_ms, row.state.encode(), _headers(row, fixed))
    return packer.batches()


def pack_tickets(rows: Iterable[Ready]) -> list[Batch]:
    """Wake-ups for the render consumers: which task, and the position of its event."""
    packer = _Packer(TICKETS_TOPIC)
    headers = _varint(1) + _header("content-type", "application/json")
    for row in rows:
        value = f'{{"task_id":"{row.aggregate_id}","position":{row.position}}}'
        packer.add(row.aggregate_id, row.recorded_ms, value.encode(), headers)
    return packer.batches()


class _Packer:
    """Encodes records, by partition, until a partition's batch is full."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._open: dict[int, _Open] = defaultdict(_Open)
        self._full: list[Batch] = []

    def add(self, key: str, ms: int, value: bytes, headers: bytes) -> None:
        partition = partition_of(key)
        batch = self._open[partition]
        if batch.size and batch.size + len(value) + len(headers) > BATCH_BYTES:
            self._full.append(self._closed(partition, batch))
            batch = self._open[partition] = _Open()
        batch.add(key.encode(), ms, value, headers)

    def batches(self) -> list[Batch]:
        """All of them; those of a partition in the order of what was added."""
        return self._full + [self._closed(*each) for each in self._open.items()]

    def _closed(self, partition: int, batch: "_Open") -> Batch:
        first, last = batch.times[0], max(batch.times)
        records = b"".join(batch.parts)
        return Batch(self._topic, partition, first, last, len(batch.times), records)


class _Open:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.times: list[int] = []
        self.size = 0

    def add(self, key: bytes, ms: int, value: bytes, headers: bytes) -> None:
        times = self.times
        delta = ms - times[0] if times else 0
        # attributes, time and offset as the difference to the batch's first, key, value, headers
        record = b"\x00%b%b%b%b%b%b%b" % (
            _varint(delta),
            _varint(len(times)),
            _varint(len(key)),
            key,
            _varint(len(value)),
            value,
            headers,
        )
        self.parts += (_varint(len(record)), record)
        self.size += len(record)
        times.append(ms)


def _headers(row: Ready, fixed: bytes) -> bytes:
    own = [
        ("ce_id", row.event_id),
        ("ce_type", row.type),
        ("ce_subject", row.aggregate_id),
        ("ce_time", row.recorded_at),
        ("atelier_position", str(row.position)),
        ("atelier_version", str(row.version)),
        ("atelier_actor", row.actor),
        ("atelier_correlation", row.correlation_id),
        ("atelier_account", row.account),
        ("atelier_causation", row.causation_id),
    ]
    headers = [_header(name, value) for name, value in own if value]
    return b"".join((_varint(3 + len(headers)), fixed, *headers))


def _header(name: str, value: str) -> bytes:
    encoded = value.encode()
    return b"%b%b%b%b" % (_varint(len(name)), name.encode(), _varint(len(encoded)), encoded)


def _varint(number: int) -> bytes:
    return _SMALL[number] if 0 <= number < len(_SMALL) else _encoded(number)


def _encoded(number: int) -> bytes:
    """A signed integer as Kafka writes it: zigzag, seven bits to a byte, the lowest first."""
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(0x80 | rest & 0x7F)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


_SMALL: Final[Sequence[bytes]] = [_encoded(number) for number in range(4_096)]
