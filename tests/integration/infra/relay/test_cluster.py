"""The relay on three nodes of Apache Kafka."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.kafka.clients import make_admin
from infra.kafka.topics import EVENTS_TOPIC
from infra.postgres import connect
from infra.settings import Settings
from tests.support.relaying import Log, Relays, appending, assert_complete, events, eventually
from tests.support.scripts import KafkaCluster
from tests.support.servers import SERVERS, start_cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    cluster = start_cluster(tmp_path / "cluster")
    yield cluster
    cluster.stop()


@pytest.fixture
def relays(log: Log, cluster: KafkaCluster, tmp_path: Path) -> Iterator[Relays]:
    relays = Relays(log, cluster.url, tmp_path)
    yield relays
    relays.close()
    print(relays.written())


@pytest.mark.skipif(SERVERS in ("embedded", "containers"), reason="needs a folder of servers")
def test_a_leader_killed_while_events_flow_costs_and_doubles_none(
    relays: Relays, cluster: KafkaCluster, log: Log
) -> None:
    relays.start()
    log.append(200)
    events(cluster, log)
    leader = busiest_leader(cluster)
    with appending(log):
        cluster.kill(leader)
        _, before = log.recorder.head()
        eventually(lambda: sent(log) > before + 500, "the relay goes on without it")
    cluster.restart(leader)  # for the readers' sake: their library gives up on a dead node

    assert_complete(events(cluster, log), log)


def sent(log: Log) -> int:
    """How far the relay has come."""
    with connect(log.url) as connection:
        row = connection.execute("SELECT max(position) FROM atelier_relay").fetchone()
    assert row is not None
    return int(row[0])


def busiest_leader(cluster: KafkaCluster) -> int:
    with closing(make_admin(Settings(kafka_bootstrap=cluster.url))) as admin:
        (found,) = admin.describe_topics([EVENTS_TOPIC])
    leaders = Counter(int(each["leader_id"]) for each in found["partitions"])
    return leaders.most_common(1)[0][0]
