"""The relay as its own process, against a real broker, seen by a `read_committed` reader."""

import random
import signal
import time
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from infra.kafka.clients import make_admin
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS
from infra.settings import Settings
from tests.support.relaying import (
    SHOWS_ABORTED,
    Log,
    Relays,
    appending,
    assert_complete,
    configure,
    events,
    eventually,
    lose_topics,
    read,
    tickets,
)
from tests.support.scenario import restore_older_backup
from tests.support.servers import SERVERS, Server


def test_an_appended_event_is_on_the_topic_once_with_all_its_headers(
    relays: Relays, log: Log, kafka: Server
) -> None:
    account, aggregate = uuid4(), uuid4()
    log.append(aggregate=aggregate, account=account)
    log.append()
    relays.start()

    seen = events(kafka, log)

    assert_complete(seen, log)
    stored = log.stored()[0]
    log_id, _ = log.recorder.head()
    mine = next(each for each in seen if each.position == 1)
    assert mine.key == str(aggregate)
    assert mine.value == stored.state
    assert mine.headers == {
        "ce_specversion": "1.0",
        "ce_id": str(stored.event_id),
        "ce_type": "render.started.v1",
        "ce_source": f"urn:uuid:{log_id}",
        "ce_subject": str(aggregate),
        "ce_time": stored.recorded_at.isoformat(timespec="microseconds")[:26] + "Z",
        "content-type": "application/json",
        "atelier_position": "1",
        "atelier_version": "1",
        "atelier_account": str(account),
        "atelier_actor": "somebody",
        "atelier_correlation": str(stored.correlation_id),
        "atelier_causation": str(stored.causation_id),
    }


def test_the_events_of_an_aggregate_arrive_in_order_while_others_append(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    aggregate = uuid4()
    for version in range(1, 61, 3):
        log.append(3, aggregate=aggregate, version=version)
        log.append(5)

    seen = events(kafka, log)

    assert_complete(seen, log)
    versions = [int(s.headers["atelier_version"]) for s in seen if s.key == str(aggregate)]
    assert versions == list(range(1, 61))


def test_requests_and_requeues_get_a_ticket_and_nothing_else_does(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    task = uuid4()
    log.append(aggregate=uuid4(), kind="account.registered.v1")
    log.append(aggregate=task, version=1, kind="render.requested.v1")
    log.append(aggregate=task, version=2, kind="render.started.v1")
    log.append(aggregate=task, version=3, kind="render.requeued.v1")
    log.append(aggregate=task, version=4, kind="render.completed.v1")

    assert tickets(kafka, 2) == [
        {"task_id": str(task), "position": 2},
        {"task_id": str(task), "position": 4},
    ]


def test_a_topic_that_was_lost_under_a_running_relay_is_filled_again_without_tickets(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    log.append(300, kind="render.requested.v1")
    events(kafka, log)

    lose_topics(kafka)
    # Nothing is appended until the relay has noticed by itself.
    assert_complete(events(kafka, log), log)
    log.append(2, kind="render.requested.v1")

    assert_complete(events(kafka, log), log)
    assert [ticket["position"] for ticket in tickets(kafka, 2)] in ([301, 302], [302, 301])


def test_a_broker_that_came_back_empty_while_no_relay_ran_is_filled_again(
    relays: Relays, log: Log, kafka: Server
) -> None:
    first = relays.start()
    log.append(50)
    events(kafka, log)
    first.send_signal(signal.SIGTERM)
    assert first.wait(5) == 0

    lose_topics(kafka)
    relays.start()

    assert_complete(events(kafka, log), log)


def test_kafka_away_at_the_start_gets_every_event_later_and_is_told_of_once(
    relays: Relays, log: Log, kafka: Server
) -> None:
    kafka.kill()
    relays.start()
    log.append(10)
    eventually(lambda: "waiting for Kafka" in relays.written(), "the outage is told of")
    time.sleep(2)  # some more tries

    kafka.restart()

    assert_complete(events(kafka, log), log)
    assert relays.written().count("waiting for Kafka") == 1
    assert "relaying" in relays.written()


def test_kafka_killed_while_events_are_appended_loses_and_doubles_nothing(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    log.append()
    eventually(lambda: "relaying" in relays.written(), "the relay is at work")
    with appending(log):
        for _ in range(2):
            time.sleep(1)
            kafka.kill()
            time.sleep(0.5)
            kafka.restart()
        time.sleep(1)

    assert_complete(events(kafka, log), log)


def test_postgres_killed_while_events_are_appended_loses_and_doubles_nothing(
    relays: Relays, log: Log, kafka: Server, postgres: Server
) -> None:
    relays.start()
    log.append(500)
    eventually(lambda: "relaying" in relays.written(), "the relay is at work")
    postgres.kill()
    time.sleep(1)
    postgres.restart()
    eventually(lambda: _appended(log), "Postgres takes events again")

    assert_complete(events(kafka, log), log)


def _appended(log: Log) -> bool:
    try:
        log.append(5)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=pytest.mark.long)])
def test_relays_killed_at_random_moments_lose_and_double_nothing(
    relays: Relays, log: Log, kafka: Server, kills: int
) -> None:
    seed = random.randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(8):
        log.append(1_000)  # so that the first ones die amid large transactions
    with appending(log):
        for _ in range(kills):
            relay = relays.start()
            time.sleep(chance.uniform(0.6, 1.6))
            relay.kill()
            relay.wait()
        relays.start()

    assert_complete(events(kafka, log), log, exactly=not SHOWS_ABORTED)


def test_what_was_committed_but_not_noted_is_not_sent_again(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relay = relays.start()
    log.append(40)
    log.append(700, aggregate=uuid4())
    events(kafka, log)
    relay.kill()
    relay.wait()

    log.execute("UPDATE atelier_relay SET position = 0, topic_id = ''")
    log.append(3)
    relays.start()

    assert_complete(events(kafka, log), log)


def test_another_relay_takes_over_when_the_first_is_killed(
    relays: Relays, log: Log, kafka: Server
) -> None:
    first = relays.start()
    log.append(20)
    eventually(lambda: relays.written().count("relaying") == 1, "the first relays")
    relays.start()
    log.append(20)
    events(kafka, log)
    assert relays.written().count("relaying") == 1, "the second stands by"

    first.kill()
    log.append(20)

    assert_complete(events(kafka, log), log)
    assert relays.written().count("relaying") == 2


def test_a_relay_frozen_amid_its_work_is_replaced_and_harms_nothing_when_it_thaws(
    relays: Relays, log: Log, kafka: Server
) -> None:
    for _ in range(8):
        log.append(1_000)
    frozen = relays.start()
    eventually(lambda: relays.written().count("relaying") == 1, "the first relays")
    frozen.send_signal(signal.SIGSTOP)
    relays.start()
    eventually(lambda: relays.written().count("relaying") == 2, "the second takes over")
    events(kafka, log)

    frozen.send_signal(signal.SIGCONT)
    for _ in range(20):
        log.append(3)
        time.sleep(0.05)

    assert_complete(events(kafka, log), log, exactly=not SHOWS_ABORTED)


def test_what_others_wrote_onto_the_topic_does_not_hide_where_the_relay_stands(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relay = relays.start()
    log.append(60)
    events(kafka, log)
    relay.kill()
    relay.wait()
    producer = KafkaProducer(bootstrap_servers=kafka.url)
    for partition in range(PARTITIONS):
        for _ in range(700):  # more than is read back at first
            producer.send(EVENTS_TOPIC, key=b"theirs", value=b"", partition=partition)
    producer.close()

    log.execute("UPDATE atelier_relay SET position = 0, topic_id = ''")
    log.append(3)
    relays.start()

    assert_complete(events(kafka, log), log)


def test_a_log_restored_from_an_older_backup_is_not_mixed_into_the_topic(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relay = relays.start()
    log.append(30)
    before = events(kafka, log)
    relay.kill()
    relay.wait()

    restore_older_backup(log.url, 10)
    log.start_anew()
    log.append(30)  # their positions have been given out before
    relays.start()
    eventually(lambda: "does not have" in relays.written(), "the relay says what is wrong")
    log.append()

    after = read(kafka, EVENTS_TOPIC, lambda seen: len(seen) >= len(before))
    assert {s.headers["ce_id"] for s in after} == {s.headers["ce_id"] for s in before}


@pytest.mark.parametrize("more", [0, 25])
def test_a_relay_at_work_notices_that_the_log_was_restored(
    relays: Relays, log: Log, kafka: Server, more: int
) -> None:
    relays.start()
    log.append(30)
    before = events(kafka, log)

    restore_older_backup(log.url, 10)
    log.start_anew()
    if more:
        log.append(more)  # the last of them are beyond what the relay has sent
    eventually(lambda: "does not have" in relays.written(), "the relay says what is wrong")

    after = read(kafka, EVENTS_TOPIC, lambda seen: len(seen) >= len(before))
    assert {s.headers["ce_id"] for s in after} == {s.headers["ce_id"] for s in before}


def test_topics_that_somebody_else_made_with_other_partitions_are_refused(
    relays: Relays, log: Log, kafka: Server
) -> None:
    admin = make_admin(Settings(kafka_bootstrap=kafka.url))
    admin.create_topics({EVENTS_TOPIC: {"num_partitions": 1}}, wait_for_metadata=True)
    log.append(5)
    relays.start()
    eventually(lambda: "1 partitions instead of 12" in relays.written(), "the relay says so")

    admin.delete_topics([EVENTS_TOPIC])
    admin.close()

    assert_complete(events(kafka, log), log)


@pytest.mark.skipif(SERVERS == "embedded", reason="the embedded broker takes batches of any size")
def test_a_broker_that_takes_only_small_batches_gets_every_event_once(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    log.append()
    events(kafka, log)
    configure(kafka, "max.message.bytes", "5000")
    for _ in range(3):
        log.append(1_000, aggregate=uuid4())  # many to a partition, so that batches are large

    assert_complete(events(kafka, log), log)
    assert "waiting for Kafka" not in relays.written()


def test_told_to_stop_while_kafka_is_away_it_stops(relays: Relays, log: Log, kafka: Server) -> None:
    relay = relays.start()
    log.append(5)
    events(kafka, log)
    kafka.kill()
    log.append(5)
    time.sleep(1)

    relay.send_signal(signal.SIGTERM)

    assert relay.wait(5) == 0
    assert "Traceback" not in relays.written()
