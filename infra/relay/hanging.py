"""Transactions that Kafka has forgotten to end in some partition.

A commit is acknowledged before its markers are in the partitions, and a broker that was killed in
between may drop those that it still owes: when it comes back it can look for the partitions'
leaders before it knows any, and takes the partitions for deleted ones (Kafka's
`TransactionMarkerChannelManager`). Readers of committed records then stop in front of that
transaction. So does whoever looks for the newest record, and the next commit there would show what
he took for missing, beside the copies that he sent.

The way out is that of `kcl admin txn unstick-lso`: a further transaction of the same producer in
the same partitions ends the forgotten one with it. It is aborted, which is right whatever was to
become of the other: nobody has seen its records, and the relay sends what its log has and the topic
lacks.
"""

import time
from typing import Final

import structlog
from kafka import IsolationLevel, KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec

from domain.errors import AtelierError
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS, TICKETS_TOPIC

log = structlog.get_logger("atelier.relay")

ACKNOWLEDGE_S: Final = 10.0
MARKED_S: Final = 5.0
LOOK_S: Final = 0.05


class TransactionOpen(AtelierError):
    """Another producer has an open transaction in a topic of ours, and hides what follows it."""

    code = "transaction_open"
    retriable = True


def end_hanging(admin: KafkaAdminClient, producer: KafkaProducer) -> None:
    """End what hangs of this producer's transactions in the topics of the relay.

    The producer must hold its transactional id and have no transaction open. Raises
    `TransactionOpen` when what hangs is somebody else's.
    """
    hanging = _hanging(admin)
    if not hanging:
        return
    log.warning("ending a transaction that Kafka has left open", partitions=_names(hanging))
    producer.begin_transaction()
    sent = [producer.send(each.topic, value=b"", partition=each.partition) for each in hanging]
    for each in sent:
        each.get(ACKNOWLEDGE_S)  # what has not been sent by then gets no marker
    producer.abort_transaction()
    deadline = time.monotonic() + MARKED_S
    while left := _hanging(admin):  # an abort, too, is acknowledged before its markers are there
        if time.monotonic() < deadline:
            time.sleep(LOOK_S)
            continue
        raise TransactionOpen(
            f"a producer that is not ours has an open transaction in {_names(left)}: nothing is"
            " sent until it ends; see `kafka-transactions.sh find-hanging`"
        )


def _hanging(admin: KafkaAdminClient) -> list[TopicPartition]:
    """The partitions that end in a transaction which is still open."""
    partitions = [
        TopicPartition(t, n) for t in (EVENTS_TOPIC, TICKETS_TOPIC) for n in range(PARTITIONS)
    ]
    latest = dict.fromkeys(partitions, OffsetSpec.LATEST)
    ends = admin.list_partition_offsets(latest, IsolationLevel.READ_UNCOMMITTED)
    stable = admin.list_partition_offsets(latest, IsolationLevel.READ_COMMITTED)
    return [each for each in partitions if stable[each].offset < ends[each].offset]


def _names(partitions: list[TopicPartition]) -> str:
    return ", ".join(f"{each.topic}-{each.partition}" for each in partitions)
