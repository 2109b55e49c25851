"""What an operator does to the events topic, with relays at work or without."""

import json
import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from kafka import KafkaProducer, TopicPartition

from infra.kafka.clients import make_admin, make_consumer
from infra.kafka.topics import (
    EVENTS_TOPIC,
    PARTITIONS,
    ensure_topics,
    partition_of,
    source_of,
    topic_id,
)
from infra.log.recorder import StoredRecord
from infra.postgres import connect
from infra.settings import Settings
from tests.support.relaying import Log, Relays, assert_complete, configure, events, eventually, read
from tests.support.servers import SERVERS, Server


def stop(relay: Any) -> None:
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(10) == 0


def kinds(report: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in report["differences"]:
        found[each["kind"]] = found.get(each["kind"], 0) + 1
    return found


def check(relays: Relays) -> tuple[int, dict[str, Any]]:
    finished = relays.command("check", "--json")
    return finished.returncode, json.loads(finished.stdout)


class Hand:
    """Writes events onto the topic as the relay would, but where and as often as a test likes."""

    def __init__(self, log: Log, kafka: Server) -> None:
        self._log = log
        self._source = source_of(log.recorder.head()[0])
        with closing(make_admin(Settings(kafka_bootstrap=kafka.url))) as admin:
            ensure_topics(admin)
            self._topic_id = topic_id(admin, EVENTS_TOPIC)
        self._producer = KafkaProducer(bootstrap_servers=kafka.url)

    def put(self, event: StoredRecord, partition: int | None = None) -> None:
        headers = {"ce_source": self._source, "ce_id": str(event.event_id)}
        headers["atelier_position"] = str(event.id)
        self._producer.send(
            EVENTS_TOPIC,
            key=str(event.originator_id).encode(),
            value=event.state,
            headers=[(name, value.encode()) for name, value in headers.items()],
            partition=partition_of(str(event.originator_id)) if partition is None else partition,
        ).get(10)

    def note(self, position: int) -> None:
        """Have the relay believe that it has sent everything up to a position."""
        self._log.execute(
            "INSERT INTO atelier_relay (topic, topic_id, position, epoch)"
            f" VALUES ('{EVENTS_TOPIC}', '{self._topic_id}', {position}, 1)"
        )

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def hand(log: Log, kafka: Server) -> Iterator[Hand]:
    hand = Hand(log, kafka)
    yield hand
    hand.close()


def test_a_topic_that_holds_the_log_is_found_to_be_the_same(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    log.append(200)
    events(kafka, log)
    eventually(lambda: check(relays)[1]["relayed"] == 200, "the relay has noted it")

    finished = relays.command("check")

    assert finished.returncode == 0, finished.stderr
    assert "They hold the same up to position 200." in finished.stdout


def test_every_kind_of_difference_is_found_and_only_a_new_topic_mends_the_most(
    relays: Relays, log: Log, kafka: Server, hand: Hand
) -> None:
    log.append(301)
    *some, stray = log.stored()
    of_first = [e for e in some if partition_of(e.originator_id) == 0]
    hole, twice, late, last = of_first[1], of_first[2], of_first[3], of_first[-1]
    foreign = next(e for e in some if partition_of(e.originator_id) == 1)
    elsewhere = (partition_of(stray.originator_id) + 1) % PARTITIONS
    for event in some:
        if event not in (hole, late, last):
            hand.put(event)
    hand.put(twice)
    hand.put(late)
    hand.put(stray, partition=elsewhere)
    hand.put(StoredRecord(**{**foreign.__dict__, "id": hole.id}))
    hand.note(301)

    code, report = check(relays)

    assert code == 1
    assert report["records"] == 301
    found = {(d["kind"], d["partition"], d["position"]) for d in report["differences"]}
    assert found == {
        ("hole", 0, hole.id),
        ("doubled", 0, twice.id),
        ("misplaced", 0, late.id),
        ("missing", 0, last.id),
        ("misplaced", elsewhere, stray.id),
        ("unknown", 1, hole.id),
    }


def test_what_is_missing_at_the_end_is_appended_and_the_rest_is_listed(
    relays: Relays, log: Log, kafka: Server, hand: Hand
) -> None:
    log.append(120)
    stored = log.stored()
    for event in stored[1:60]:
        hand.put(event)
    hand.note(100)

    healed = relays.command("heal")

    assert healed.returncode == 1
    assert f"hole: partition {partition_of(stored[0].originator_id)} position 1" in healed.stdout
    _, report = check(relays)
    assert kinds(report) == {"hole": 1}
    assert [report["relayed"], report["head"], report["waiting"]] == [120, 120, 0]

    assert relays.command("heal", "--recreate", "--yes").returncode == 0
    assert_complete(events(kafka, log), log)


def test_a_relay_that_starts_appends_what_the_topic_lacks_at_its_end(
    relays: Relays, log: Log, kafka: Server, hand: Hand
) -> None:
    log.append(150)
    for event in log.stored()[:90]:
        hand.put(event)
    hand.note(150)

    relays.start()

    assert_complete(events(kafka, log), log)
    assert "appending what the topic lacks" in relays.written()


def test_a_topic_is_made_anew_while_a_relay_is_at_work_which_goes_on_with_it(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relays.start()
    log.append(100)
    events(kafka, log)

    finished = relays.command("heal", "--recreate", "--yes")
    assert finished.returncode == 0, finished.stderr
    log.append(10)

    assert_complete(events(kafka, log), log)
    eventually(lambda: check(relays)[0] == 0, "nothing differs")


def test_a_log_restored_from_an_older_backup_gets_a_new_epoch(
    relays: Relays, log: Log, kafka: Server, postgres: Server
) -> None:
    relays.start()
    log.append(40)
    events(kafka, log)
    with backup(log, postgres) as restore:
        log.append(30)
        sent = {each.headers["ce_id"] for each in events(kafka, log)}
        restore()
    log.start_anew()
    old = source_of(log.recorder.head()[0])
    log.append(50)  # at positions that were given out before
    eventually(lambda: "new-epoch" in relays.written(), "the relay says what to do")
    eventually(lambda: "does not have" in trouble(log), "it keeps what stops it")
    seen = read(kafka, EVENTS_TOPIC, lambda seen: len(seen) >= 70)
    assert {each.headers["ce_id"] for each in seen} == sent
    refused = relays.command("heal", "--recreate", "--yes")
    assert refused.returncode == 1
    assert "docs/restored-backup.md" in refused.stderr
    code, report = check(relays)
    assert code == 1
    assert kinds(report)["unknown"] == 30

    assert "--yes" in relays.command("new-epoch").stderr
    finished = relays.command("new-epoch", "--yes")

    assert finished.returncode == 0, finished.stderr
    log.append(5)
    seen = events(kafka, log)
    assert_complete(seen, log)
    (source,) = {each.headers["ce_source"] for each in seen}
    assert source == source_of(log.recorder.head()[0]) != old
    eventually(lambda: trouble(log) == "", "the relay is well again")
    eventually(lambda: check(relays)[0] == 0, "nothing differs")


def test_a_new_epoch_that_was_interrupted_is_not_mixed_into_the_old_topic(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relay = relays.start()
    log.append(20)
    events(kafka, log)
    stop(relay)
    log.execute("UPDATE atelier_head SET log_id = gen_random_uuid()")
    log.execute("UPDATE atelier_relay SET topic_id = 'not ' || topic_id, position = 0")

    relays.start()
    eventually(lambda: "was interrupted" in relays.written(), "the relay refuses")
    assert relays.command("new-epoch", "--yes").returncode == 0

    assert_complete(events(kafka, log), log)


@pytest.mark.skipif(SERVERS == "embedded", reason="the embedded broker deletes no records")
def test_what_retention_has_deleted_is_neither_missing_nor_sent_again(
    relays: Relays, log: Log, kafka: Server, hand: Hand
) -> None:
    log.append(400)
    for event in log.stored()[:370]:
        hand.put(event)
    hand.note(400)
    emptied = set(range(6))
    delete_records(kafka, {number: -1 if number in emptied else 2 for number in range(PARTITIONS)})
    late = [e.id for e in log.stored()[370:] if partition_of(e.originator_id) not in emptied]

    code, report = check(relays)
    relays.start()
    log.append(60)
    kept = report["records"]
    expected = kept + len(late) + 60
    seen = read(kafka, EVENTS_TOPIC, lambda seen: len(seen) >= expected)

    assert code == 1
    assert [d["position"] for d in report["differences"]] == late
    assert kinds(report) == {"missing": len(late)}
    assert report["cut"] == 400 - kept - len(late)
    assert len(seen) == len({each.position for each in seen}) == expected


@pytest.mark.skipif(SERVERS == "embedded", reason="the embedded broker deletes no records")
def test_a_topic_that_retention_has_emptied_is_not_filled_again(
    relays: Relays, log: Log, kafka: Server
) -> None:
    relay = relays.start()
    log.append(400)
    events(kafka, log)
    configure(kafka, "retention.ms", "1")
    eventually(lambda: is_emptied(kafka), "retention has deleted everything")
    configure(kafka, "retention.ms", "-1")
    stop(relay)

    relays.start()
    log.append(60)

    seen = read(kafka, EVENTS_TOPIC, lambda seen: len(seen) >= 60)
    assert sorted(each.position for each in seen) == list(range(401, 461))
    eventually(lambda: check(relays)[0] == 0, "nothing differs")


def test_without_a_broker_or_a_topic_the_check_says_so(
    relays: Relays, log: Log, kafka: Server
) -> None:
    none = relays.command("check")
    kafka.kill()
    away = relays.command("check")

    assert (none.returncode, away.returncode) == (1, 1)
    assert "there is no topic atelier.events" in none.stderr
    assert "Connection refused" in away.stderr


def trouble(log: Log) -> str:
    with connect(log.url) as connection:
        row = connection.execute("SELECT max(trouble) FROM atelier_relay").fetchone()
    assert row is not None
    return str(row[0])


def delete_records(kafka: Server, upto: dict[int, int]) -> None:
    with closing(make_admin(Settings(kafka_bootstrap=kafka.url))) as admin:
        admin.delete_records({TopicPartition(EVENTS_TOPIC, n): at for n, at in upto.items()})


def is_emptied(kafka: Server) -> bool:
    partitions = [TopicPartition(EVENTS_TOPIC, number) for number in range(PARTITIONS)]
    with closing(make_consumer(Settings(kafka_bootstrap=kafka.url))) as consumer:
        return bool(consumer.beginning_offsets(partitions) == consumer.end_offsets(partitions))


class backup:
    """A copy of the log's database as it is now, which `restore` puts in its place."""

    def __init__(self, log: Log, postgres: Server) -> None:
        self._log = log
        self._server = postgres.url
        self._name = urlsplit(log.url).path.lstrip("/")

    def __enter__(self) -> Any:
        self._as_admin(f"CREATE DATABASE {self._name}_backup TEMPLATE {self._name}", self._name)
        return self._restore

    def __exit__(self, *_: object) -> None:
        self._as_admin(f"DROP DATABASE {self._name}_backup WITH (FORCE)")

    def _restore(self) -> None:
        self._as_admin(f"DROP DATABASE {self._name} WITH (FORCE)")
        self._as_admin(f"CREATE DATABASE {self._name} TEMPLATE {self._name}_backup")

    def _as_admin(self, statement: str, busy: str = "") -> None:
        with connect(self._server, statement_timeout=0) as connection:
            if busy:  # a database that is copied must have no connections
                connection.execute(f"ALTER DATABASE {busy} ALLOW_CONNECTIONS false")
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [busy],
                )
            connection.execute(statement)
            if busy:
                connection.execute(f"ALTER DATABASE {busy} ALLOW_CONNECTIONS true")
