"""Compares the events topic with the log: what is missing, doubled, misplaced or unknown."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError

from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS, partition_of, source_of
from infra.relay.log import RelayLog
from infra.relay.tails import TopicRecord, all_partitions, arrived, held_in

POLL_MS: Final = 1_000  # of silence, after which nothing more comes
SILENCE_S: Final = 10.0  # without an answer from the broker
POLLS_BEYOND: Final = 20  # on a topic that grows while it is read
LISTED_MOST: Final = 10_000
HERE, ELSEWHERE = 1, 2  # how a position has been seen: in its own partition, in another one

Kind = Literal["missing", "hole", "doubled", "misplaced", "unknown"]


class Difference(msgspec.Struct, frozen=True):
    """One record or event that is not as it should be; without an offset where none is there.

    ``missing`` lies above everything that its partition holds, a ``hole`` below something; an
    ``unknown`` record names our log, which does not have that event at that position.
    """

    kind: Kind
    partition: int
    offset: int | None
    position: int
    event_id: UUID


class Partition(msgspec.Struct):
    """What was found in one partition; ``first`` and ``last`` are positions, 0 when it is empty.

    ``missing_from`` is the first position that is missing at its end, 0 when none is.
    """

    partition: int
    records: int = 0
    first: int = 0
    last: int = 0
    missing: int = 0
    missing_from: int = 0
    hole: int = 0
    doubled: int = 0
    misplaced: int = 0
    unknown: int = 0


class Report(msgspec.Struct, frozen=True):
    """The topic against the log up to ``relayed``, up to where the relay says it has come.

    ``waiting`` counts the events after that, which the relay has yet to send; ``cut`` those that
    retention has deleted; ``others`` records that are not from this log. ``differences`` lists
    the first ten thousand.
    """

    log_id: UUID
    head: int
    relayed: int
    records: int
    others: int
    waiting: int
    cut: int
    partitions: list[Partition]
    differences: list[Difference]

    def count(self, kind: Kind) -> int:
        """How many differences of a kind there are, the unlisted ones included."""
        return sum(int(getattr(each, kind)) for each in self.partitions)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not any(self.count(kind) for kind in KINDS)


def missing_from(partitions: Iterable[Partition]) -> int:
    """The first position that is missing at a partition's end; 0 when none is."""
    return min((each.missing_from for each in partitions if each.missing_from), default=0)


KINDS: Final[tuple[Kind, ...]] = ("missing", "hole", "doubled", "misplaced", "unknown")


class Comparison:
    """Takes in what each partition holds, in its order, and then says what differs.

    It keeps one byte for each event in the range: positions above `after` up to `relayed`.
    """

    def __init__(self, log: RelayLog, after: int, relayed: int) -> None:
        self._log = log
        self._after = after
        self._relayed = relayed
        self._seen = bytearray(relayed - after)
        self.partitions = [Partition(number) for number in range(PARTITIONS)]
        self.differences: list[Difference] = []

    def add(self, held: Sequence[TopicRecord]) -> None:
        """Take in some more records."""
        unknown = self._log.unknown([(each.position, each.event_id) for each in held])
        for each in held:
            here = self.partitions[each.partition]
            here.records += 1
            if each.position in unknown:
                self._differ("unknown", *each[:4])
                continue
            self._place(each, here)

    def finish(self, cut: Collection[int]) -> int:
        """Look for what has not been seen, and give the number of events that retention has cut.

        `cut` are the partitions whose beginning has been deleted.
        """
        gone = 0
        for position, event_id, aggregate in self._log.places(self._unseen(cut)):
            partition = partition_of(aggregate)
            here = self.partitions[partition]
            if partition in cut and (not here.last or position < here.first):
                gone += 1
            else:
                missing = position > here.last
                if missing and not here.missing_from:
                    here.missing_from = position
                kind: Kind = "missing" if missing else "hole"
                self._differ(kind, partition, None, position, event_id)
        return gone + self._start(cut)

    def _place(self, each: TopicRecord, here: Partition) -> None:
        if partition_of(each.key) != each.partition:
            self._mark(each.position, ELSEWHERE)
            self._differ("misplaced", *each[:4])
            return
        if self._mark(each.position, HERE) & HERE or each.position == here.last:
            self._differ("doubled", *each[:4])
        elif each.position < here.last:
            self._differ("misplaced", *each[:4])
        here.first = min(here.first or each.position, each.position)
        here.last = max(here.last, each.position)

    def _mark(self, position: int, how: int) -> int:
        """Note that a position has been seen; gives how it had been seen before."""
        index = position - self._after - 1
        if not 0 <= index < len(self._seen):
            return 0
        before = self._seen[index]
        self._seen[index] |= how
        return before

    def _unseen(self, cut: Collection[int]) -> list[int]:
        found, index = [], self._seen.find(0, self._start(cut))
        while index >= 0:
            found.append(self._after + index + 1)
            index = self._seen.find(0, index + 1)
        return found

    def _start(self, cut: Collection[int]) -> int:
        """How many events lie before everything that is there, where all partitions are cut."""
        if len(cut) < PARTITIONS:
            return 0
        firsts = [each.first if each.last else self._relayed + 1 for each in self.partitions]
        return max(0, min(min(firsts) - 1 - self._after, len(self._seen)))

    def _differ(
        self, kind: Kind, partition: int, offset: int | None, position: int, event_id: UUID
    ) -> None:
        here = self.partitions[partition]
        setattr(here, kind, getattr(here, kind) + 1)
        if len(self.differences) < LISTED_MOST:
            self.differences.append(Difference(kind, partition, offset, position, event_id))


def compare(
    log: RelayLog,
    consumer: KafkaConsumer,
    log_id: UUID,
    relayed: int,
    progress: Callable[[int, int], object],
) -> Report:
    """Read the whole topic and compare it with the log, while the relay may go on.

    `progress` is told how many of how many offsets have been read.
    """
    _, head = log.head()
    source = source_of(log_id)
    comparison = Comparison(log, 0, min(relayed, head))
    partitions = all_partitions()
    first = consumer.beginning_offsets(partitions)
    total = sum(consumer.end_offsets(partitions).values()) - sum(first.values())
    records = others = 0
    for batch in _polled(consumer):
        held = [ours for record in batch if (ours := held_in(record, source))]
        comparison.add(held)
        records += len(batch)
        others += len(batch) - len(held)
        progress(sum(consumer.position(p) - first[p] for p in partitions), total)
    return Report(
        log_id=log_id,
        head=head,
        relayed=relayed,
        records=records - others,
        others=others,
        waiting=max(0, head - relayed),
        cut=comparison.finish({each.partition for each, at in first.items() if at > 0}),
        partitions=comparison.partitions,
        differences=comparison.differences,
    )


def _polled(consumer: KafkaConsumer) -> Iterator[list[Any]]:
    """The whole topic, up to where it reached at the beginning and not much further."""
    partitions = all_partitions()
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    until = consumer.end_offsets(partitions)
    beyond, heard = 0, time.monotonic()
    while beyond < POLLS_BEYOND:
        batches = consumer.poll(timeout_ms=POLL_MS, max_records=5_000)
        if batches:
            heard = time.monotonic()
            yield [record for batch in batches.values() for record in batch]
        if arrived(consumer, until):
            beyond += 1 if batches else POLLS_BEYOND
        elif time.monotonic() - heard > SILENCE_S:
            raise KafkaTimeoutError(f"cannot read {EVENTS_TOPIC} to its end")
