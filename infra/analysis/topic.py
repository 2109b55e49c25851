"""The log out of Kafka, from given offsets or times: in no consumer group, without a commit."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from domain.errors import Unavailable
from infra.analysis.arguments import BadArgument
from infra.analysis.lines import Place
from infra.analysis.selection import Selection
from infra.kafka.clients import make_consumer, trouble
from infra.kafka.topics import EVENTS_TOPIC, partition_of
from infra.log.recorder import StoredRecord
from infra.settings import Settings

REACH_S: Final = 5.0
POLL_MS: Final = 200
EMPTY_POLLS_MOST: Final = 50  # ten seconds without an answer

Offsets = dict[TopicPartition, int]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the topic: from an offset or a time on, to an offset (included) or before a time.

    Offsets hold in every partition that is read: one, or all. Without ``begin`` that is the
    topic's beginning; ``only_new`` starts at its end instead.
    """

    begin: int | datetime | None = None
    end: int | datetime | None = None
    partition: int | None = None
    only_new: bool = False
    follow: bool = False


def read(
    settings: Settings, window: Window, selection: Selection
) -> Iterator[tuple[StoredRecord, Place]]:
    """The selected events, each aggregate's in order; without ``follow`` up to the present end.

    Raises `Unavailable` when Kafka does not answer or has no such topic, and `BadArgument` when the
    topic has no such partition.
    """
    settings.require("kafka_bootstrap")
    if why := trouble(settings, REACH_S):
        raise Unavailable("Kafka does not answer; try again in a moment", why)
    consumer = make_consumer(settings)
    try:
        yield from _Reading(consumer, window, selection).events()
    except KafkaError as error:
        raise Unavailable("the events cannot be read from Kafka", str(error)) from error
    finally:
        consumer.close()


class _Reading:
    """One way through the topic; a partition leaves it once its end is reached."""

    def __init__(self, consumer: KafkaConsumer, window: Window, selection: Selection) -> None:
        self._consumer = consumer
        self._window = window
        self._selection = selection
        self._seen: dict[tuple[int, bytes], int] = {}
        partitions = self._partitions()
        first: Offsets = consumer.beginning_offsets(partitions)
        ends: Offsets = consumer.end_offsets(partitions)
        self._start = {each: self._first(each, first[each], ends[each]) for each in partitions}
        self._open = {each: self._until(ends[each]) for each in partitions}

    def events(self) -> Iterator[tuple[StoredRecord, Place]]:
        self._consumer.assign(list(self._start))
        for partition, offset in self._start.items():
            self._consumer.seek(partition, offset)
        empty = 0
        while self._open:
            batches = self._consumer.poll(timeout_ms=POLL_MS)
            for partition, records in batches.items():
                for record in records:
                    yield from self._event(partition, record)
            empty = 0 if batches or self._window.follow else empty + 1
            if empty:
                self._close_what_has_ended()
            if empty > EMPTY_POLLS_MOST:
                raise Unavailable(f"Kafka does not tell the end of {EVENTS_TOPIC}")

    def _partitions(self) -> list[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(EVENTS_TOPIC)
        if not numbers:
            raise Unavailable(f"Kafka has no topic {EVENTS_TOPIC} yet: `atelier relay` makes it")
        only = self._window.partition
        if only is not None and only not in numbers:
            raise BadArgument(
                f"there is no partition {only}: {EVENTS_TOPIC} has {min(numbers)} to {max(numbers)}"
            )
        if only is not None:
            numbers &= {only}
        if self._selection.aggregate is not None:
            numbers &= {partition_of(self._selection.aggregate)}
        return [TopicPartition(EVENTS_TOPIC, number) for number in sorted(numbers)]

    def _first(self, partition: TopicPartition, beginning: int, end: int) -> int:
        begin = self._window.begin
        if isinstance(begin, datetime):
            milliseconds = int(begin.timestamp() * 1_000)  # a record has the time of its event
            found = self._consumer.offsets_for_times({partition: max(0, milliseconds)})[partition]
            return found.offset if found else end
        if begin is None:
            return end if self._window.only_new else beginning
        return max(begin, beginning)

    def _until(self, end: int) -> int:
        """The offset after the last one to read."""
        last = self._window.end
        return min(end, last + 1) if isinstance(last, int) else end

    def _event(
        self, partition: TopicPartition, record: Any
    ) -> Iterator[tuple[StoredRecord, Place]]:
        if partition not in self._open:
            return
        event = stored_of(record)
        if self._is_past_the_end(record.offset, event):
            del self._open[partition]
            self._consumer.pause(partition)
        elif event and self._is_wanted(event) and self._is_new(record, event):
            yield event, Place(record.partition, record.offset)

    def _is_past_the_end(self, offset: int, event: StoredRecord | None) -> bool:
        last = self._window.end
        if isinstance(last, datetime):
            return event is not None and event.recorded_at >= last
        return last is not None and offset > last

    def _is_wanted(self, event: StoredRecord) -> bool:
        begin = self._window.begin
        if isinstance(begin, datetime) and event.recorded_at < begin:
            return False
        return self._selection.has(event)

    def _is_new(self, record: Any, event: StoredRecord) -> bool:
        # The embedded broker shows records of aborted transactions, which then come once more.
        key = (record.partition, dict(record.headers)["ce_source"])
        if event.id <= self._seen.get(key, 0):
            return False
        self._seen[key] = event.id
        return True

    def _close_what_has_ended(self) -> None:
        # After an empty poll only: `end_offsets` may be too small on the embedded broker.
        for partition, until in list(self._open.items()):
            answered = self._consumer.highwater(partition) is not None
            if answered and self._consumer.position(partition) >= until:
                del self._open[partition]


def stored_of(record: Any) -> StoredRecord | None:
    """The event of a record as the log stores it, or None for a record that is not ours."""
    headers = {name: (value or b"").decode() for name, value in record.headers}
    with contextlib.suppress(KeyError, ValueError):
        return StoredRecord(
            id=int(headers["atelier_position"]),
            event_id=UUID(headers["ce_id"]),
            topic=headers["ce_type"],
            originator_id=UUID(headers["ce_subject"]),
            originator_version=int(headers["atelier_version"]),
            recorded_at=datetime.fromisoformat(headers["ce_time"]),
            actor=headers["atelier_actor"],
            account=_id(headers.get("atelier_account")),
            correlation_id=UUID(headers["atelier_correlation"]),
            causation_id=_id(headers.get("atelier_causation")),
            state=record.value,
        )
    return None


def _id(text: str | None) -> UUID | None:
    return UUID(text) if text else None
