"""Hands batches that are encoded already to kafka-python's producer, past its encoder.

The producer still does all that is hard: transactions, sequence numbers, compression, retries. This
uses members of version 3.0.12 that are not public; constraints.txt names that version, and the
relay's tests would tell of another that differs.
"""

from typing import Final

from kafka import KafkaProducer
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from infra.relay.records import Batch

MAGIC: Final = 2


class Sent:
    """A batch on its way."""

    def __init__(self, batch: ProducerBatch, parts: "_Parts") -> None:
        self._batch = batch
        self._parts = parts
        self.error: BaseException | None = None

    def arrived(self, seconds: float) -> bool:
        """Wait at most so long; True once it is acknowledged, or has failed with `error`."""
        whole = self._batch.produce_future
        whole.wait(seconds)
        if whole.is_done:
            _, _, error_of = whole.value
            self.error = error_of and error_of(0)
            return True
        # A batch that the broker finds too large goes on in smaller ones, and is itself never done.
        for part in self._parts.made:
            self.error = self.error or part.exception
        return bool(self._parts.made) and all(part.is_done for part in self._parts.made)


class _Parts:
    """A future per record, which the producer asks for only when it splits the batch."""

    def __init__(self, batch: ProducerBatch, count: int) -> None:
        self._batch = batch
        self._count = count
        self.made: list[FutureRecordMetadata] = []

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> FutureRecordMetadata:
        whole = self._batch.produce_future
        self.made.append(FutureRecordMetadata(whole, index, None, None, -1, -1, -1))
        return self.made[-1]


def hand_over(producer: KafkaProducer, batch: Batch) -> Sent:
    """Have the producer send a batch in its open transaction.

    Raises `KafkaTimeoutError` when it learns nothing of the topic in its `max_block_ms`.
    """
    where = TopicPartition(batch.topic, batch.partition)
    if producer._metadata.partitions_for_topic(batch.topic) is None:
        producer._wait_on_metadata(batch.topic, producer.config["max_block_ms"])
    producer._transaction_manager.maybe_add_partition_to_transaction(where)
    accumulator = producer._accumulator
    handed = ProducerBatch(where, records_of(batch, accumulator.config["compression_attrs"]))
    parts = handed._record_futures = _Parts(handed, batch.size)
    with accumulator._tp_lock(where):
        accumulator._batches[where].append(handed)
        accumulator._incomplete.add(handed)
    producer._sender.wakeup()
    return Sent(handed, parts)


def records_of(batch: Batch, compression: int) -> MemoryRecordsBuilder:
    """What the library would have built of these records one by one."""
    built = MemoryRecordsBuilder(MAGIC, compression, len(batch.records))
    built._next_offset = batch.size
    builder = built._builder
    builder._buffer += batch.records
    builder._num_records, builder._last_offset = batch.size, batch.size - 1
    builder._first_timestamp, builder._max_timestamp = batch.first_ms, batch.last_ms
    return built
