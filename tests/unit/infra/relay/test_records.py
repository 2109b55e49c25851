"""What is encoded here is decoded by the library, as any reader would."""

import json
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from infra.kafka.topics import EVENTS_TOPIC, TICKETS_TOPIC, partition_of, source_of
from infra.relay.producer import MAGIC, records_of
from infra.relay.records import BATCH_BYTES, Batch, Ready, pack_events, pack_tickets

AGGREGATE = "8f14e45f-ceea-467f-a3c1-d7e4f5b6a789"
SOURCE = source_of(UUID("00000000-0000-4000-8000-000000000009"))


def ready(**changes: Any) -> Ready:
    example: dict[str, Any] = {
        "position": 41,
        "recorded_ms": 1_772_361_000_000,
        "event_id": "00000000-0000-4000-8000-000000000001",
        "type": "render.requested.v1",
        "aggregate_id": AGGREGATE,
        "version": 3,
        "recorded_at": "2026-03-01T10:30:00.000005Z",
        "actor": "account:é",
        "account": "00000000-0000-4000-8000-000000000002",
        "correlation_id": "00000000-0000-4000-8000-000000000003",
        "causation_id": "00000000-0000-4000-8000-000000000004",
        "state": '{"not":"decoded",  "é":1}',
    }
    return Ready(**example | changes)


def decoded(batch: Batch) -> list[Any]:
    """The records of a batch, and what its head says of them, as a reader finds them."""
    built = records_of(batch, DefaultRecordBatch.CODEC_LZ4)
    built.close()
    (found,) = MemoryRecords(built.buffer())
    assert found.validate_crc()
    return list(found)


def test_an_event_becomes_a_cloud_event_in_binary_mode_with_its_stored_bytes() -> None:
    (batch,) = pack_events([ready()], SOURCE)

    assert (batch.topic, batch.partition) == (EVENTS_TOPIC, partition_of(AGGREGATE))
    (record,) = decoded(batch)
    assert record.key == AGGREGATE.encode()
    assert record.value == '{"not":"decoded",  "é":1}'.encode()
    assert record.timestamp == 1_772_361_000_000
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"00000000-0000-4000-8000-000000000001",
        "ce_type": b"render.requested.v1",
        "ce_source": b"urn:uuid:00000000-0000-4000-8000-000000000009",
        "ce_subject": AGGREGATE.encode(),
        "ce_time": b"2026-03-01T10:30:00.000005Z",
        "content-type": b"application/json",
        "atelier_position": b"41",
        "atelier_version": b"3",
        "atelier_account": b"00000000-0000-4000-8000-000000000002",
        "atelier_actor": "account:é".encode(),
        "atelier_correlation": b"00000000-0000-4000-8000-000000000003",
        "atelier_causation": b"00000000-0000-4000-8000-000000000004",
    }


def test_an_event_of_nobody_and_from_nothing_lacks_those_headers() -> None:
    (batch,) = pack_events([ready(account=None, causation_id=None)], SOURCE)

    (record,) = decoded(batch)
    names = [name for name, _ in record.headers]
    assert "atelier_account" not in names
    assert "atelier_causation" not in names
    assert len(names) == 11


def test_a_ticket_names_the_task_and_the_position_of_its_event() -> None:
    (batch,) = pack_tickets([ready()])

    assert (batch.topic, batch.partition) == (TICKETS_TOPIC, partition_of(AGGREGATE))
    (record,) = decoded(batch)
    assert json.loads(record.value) == {"task_id": AGGREGATE, "position": 41}
    assert record.headers == [("content-type", b"application/json")]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),  # which aggregate
            st.integers(0, 2**40),  # when
            st.text(max_size=300),  # by whom
            st.sampled_from([0, 1, 63, 64, 8_191, 8_192, 60_000, 262_144]),  # bytes
        ),
        max_size=12,
    )
)
def test_whatever_is_in_them_events_are_read_as_they_were_in_their_order(
    some: list[tuple[int, int, str, int]],
) -> None:
    rows = [
        ready(
            position=number,
            recorded_ms=when,
            aggregate_id=str(UUID(int=aggregate)),
            actor=actor,
            state="é" * (size // 2) + "x" * (size % 2),
        )
        for number, (aggregate, when, actor, size) in enumerate(some, 1)
    ]

    batches = pack_events(rows, SOURCE)

    read = [record for batch in batches for record in decoded(batch)]
    by_key: dict[str, list[Any]] = {}
    for record in read:
        by_key.setdefault(record.key.decode(), []).append(record)
    for key, records in by_key.items():
        mine = [row for row in rows if row.aggregate_id == key]
        assert [record.value.decode() for record in records] == [row.state for row in mine]
        assert [record.timestamp for record in records] == [row.recorded_ms for row in mine]
        actors = [dict(record.headers).get("atelier_actor", b"").decode() for record in records]
        assert actors == [row.actor for row in mine]
    assert len(read) == len(rows)
    assert all(b.size == 1 or len(b.records) < BATCH_BYTES + 10_000 for b in batches)


def test_a_batch_is_byte_for_byte_what_the_library_would_have_built() -> None:
    rows = [ready(position=n, recorded_ms=n * 1_000) for n in range(1, 200)]
    (batch,) = pack_events(rows, SOURCE)
    theirs = MemoryRecordsBuilder(MAGIC, DefaultRecordBatch.CODEC_LZ4, 10**6)
    for record in decoded(batch):
        theirs.append(record.timestamp, record.key, record.value, record.headers)

    ours = records_of(batch, DefaultRecordBatch.CODEC_LZ4)

    for built in (ours, theirs):
        built.set_producer_state(7, 1, 40, True)
        built.close()
    assert ours.buffer() == theirs.buffer()
