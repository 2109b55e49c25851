"""Transactions that Kafka has left open: they are ended, and what they held comes once."""

import threading
from contextlib import closing

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from infra.kafka.clients import client_options, make_admin
from infra.kafka.topics import EVENTS_TOPIC, ensure_topics, source_of
from infra.postgres import open_pool
from infra.relay.filling import Filling
from infra.relay.hanging import TransactionOpen, end_hanging
from infra.relay.ledger import Ledger
from infra.relay.log import RelayLog
from infra.relay.session import TRANSACTIONAL_ID, Session
from infra.settings import Settings
from tests.support.relaying import Log, Relays, assert_complete, events, eventually
from tests.support.servers import SERVERS, Server

pytestmark = pytest.mark.skipif(
    SERVERS == "embedded", reason="the embedded broker writes no markers that it could forget"
)

FORGOTTEN = TopicPartition(EVENTS_TOPIC, 3)


@pytest.fixture
def settings(kafka: Server) -> Settings:
    settings = Settings(kafka_bootstrap=kafka.url)
    unverified = {"transaction.partition.verification.enable": "false"}
    with closing(make_admin(settings)) as admin:
        ensure_topics(admin)
        (broker,) = admin.describe_cluster()["brokers"]
        node = ConfigResource(ConfigResourceType.BROKER, str(broker["broker_id"]), unverified)
        admin.alter_configs([node])
    return settings


def test_events_of_a_transaction_that_kafka_forgot_to_end_come_once(
    relays: Relays, log: Log, kafka: Server, settings: Settings
) -> None:
    log.append(100)
    relay_all_and_forget_to_end(log, settings)

    relays.start()
    log.append(100)

    assert_complete(events(kafka, log), log)
    assert f"partitions={EVENTS_TOPIC}-3 " in relays.written()


def test_another_producers_open_transaction_is_told_of_and_waited_for(
    relays: Relays, log: Log, kafka: Server, settings: Settings
) -> None:
    other = transactional(settings, "somebody-else")
    other.begin_transaction()
    other.send(EVENTS_TOPIC, value=b"", partition=5).get(10)
    with (
        closing(transactional(settings, TRANSACTIONAL_ID)) as ours,
        closing(make_admin(settings)) as admin,
        pytest.raises(TransactionOpen, match=f"not ours .* {EVENTS_TOPIC}-5: nothing"),
    ):
        end_hanging(admin, ours)
    relays.start()
    log.append(20)
    eventually(lambda: "open transaction" in relays.written(), "the relay tells of it")

    other.abort_transaction()
    other.close()

    assert_complete(events(kafka, log), log)


def relay_all_and_forget_to_end(log: Log, settings: Settings) -> None:
    """Relay the log, but have the coordinator not know of one partition: it gets no marker.

    This is what a broker leaves that was killed between a commit and its markers.
    """
    with closing(open_pool(log.url, 1)) as pool:
        reader, ledger = RelayLog(pool), Ledger(pool)
        claim = ledger.claim()
        source = source_of(log.recorder.head()[0])
        with Session(settings, source, threading.Event()) as session:
            filling = Filling(reader, ledger, session, claim)
            filling.begin()
            manager = session._producer._transaction_manager
            tell = manager.maybe_add_partition_to_transaction
            manager.maybe_add_partition_to_transaction = lambda partition: (
                manager._partitions_in_transaction.add(partition)
                if partition == FORGOTTEN
                else tell(partition)
            )
            assert filling.forward() == 100


def transactional(settings: Settings, name: str) -> KafkaProducer:
    producer = KafkaProducer(**client_options(settings), transactional_id=name)
    producer.init_transactions()
    return producer
