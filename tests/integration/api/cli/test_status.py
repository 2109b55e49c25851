"""`atelier status` and the figures behind it, on real servers."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from api import figures, metrics
from api.cli import status
from domain.errors import Unavailable
from infra.log.event_store import EventBatch, open_store
from infra.postgres import connect
from infra.process.leader import Leadership
from infra.settings import Settings
from projections import PROJECTIONS, gallery
from projections.runner import Runner
from tests.support.scenario import Story, cancelled, eventually, started, upscale_requested
from tests.support.scripts import Kafka
from tests.support.servers import SERVERS

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def story(migrated: Settings) -> Story:
    keys = (migrated.master_key, migrated.hash_key)
    told = Story(open_store(migrated.postgres_url, *keys, connections=1))
    told.register()
    return told


def read(settings: Settings, name: str) -> figures.Reader:
    (reader,) = [each for each in figures.figures(settings).readers if each.name == name]
    return reader


def test_readers_of_the_log_lag_by_what_they_lack(migrated: Settings, story: Story):
    story.request()
    accounts = read(migrated, "accounts")
    assert (accounts.position, accounts.lag, accounts.led) == (0, 2, False)
    with connect(migrated.postgres_url) as connection:
        connection.execute("UPDATE atelier_projections SET position = 1 WHERE live")
        connection.execute(
            "INSERT INTO atelier_relay VALUES ('atelier.events', 'id', 2, 1),"
            " ('atelier.render-requests', '', 0, 0)"
        )
        connection.execute(
            "INSERT INTO atelier_parked (projection, generation, position, aggregate_id, event_id)"
            " VALUES ('accounts', 1, 1, %s, %s)",
            [uuid4(), uuid4()],
        )
    accounts, relay = read(migrated, "accounts"), read(migrated, "relay")
    assert (accounts.lag, accounts.parked) == (1, 1)
    assert accounts.waiting_seconds > 0
    assert (relay.lag, relay.waiting_seconds, relay.parked) == (0, 0.0, 0)


def test_it_is_known_whether_somebody_does_the_work(migrated: Settings):
    locks = {
        "relay": "atelier.relay",
        "accounts": "atelier.projection.accounts",
        "media_cleaner": "atelier.media_cleaner",
        "webhooks": "atelier.webhooks",
    }
    assert led(migrated) == set()
    for reader, lock in locks.items():
        with Leadership(migrated.postgres_url, lock) as leader:
            eventually(leader.try_acquire)
            assert led(migrated) == {reader}


def led(settings: Settings) -> set[str]:
    with connect(settings.postgres_url) as connection:
        connection.execute(
            "INSERT INTO atelier_followers VALUES ('media_cleaner', 0), ('webhooks', 0)"
            " ON CONFLICT DO NOTHING"
        )
    return {each.name for each in figures.figures(settings).readers if each.led}


@pytest.fixture
def projector(migrated: Settings, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A projector process that keeps every read model; what it logs is of no interest."""
    with connect(migrated.postgres_url) as connection:
        connection.execute("UPDATE atelier_projections SET live_since = now() - interval '1 hour'")
    command = [sys.executable, "-m", "api", "projector"]
    with subprocess.Popen(command, env=os.environ | environ, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: of_models(migrated) == ["ok"] * len(PROJECTIONS))
            yield process
        finally:
            process.kill()


def of_models(settings: Settings) -> list[str]:
    checks = status.of_postgres(figures.figures(settings))
    return [each.verdict for each in checks if each.name.startswith("read model")]


def test_a_projector_that_was_killed_is_missed(
    migrated: Settings, projector: subprocess.Popen[bytes]
):
    keepers = {each.keeper for each in figures.figures(migrated).readers if each.is_model}
    (keeper,) = keepers
    assert keeper.endswith(f"-{projector.pid}")
    projector.kill()
    eventually(lambda: of_models(migrated) == ["away"] * len(PROJECTIONS))
    assert (read(migrated, "gallery").lag, read(migrated, "gallery").led) == (0, False)


def test_a_projector_that_was_stopped_is_told_though_it_lacks_nothing(
    migrated: Settings, projector: subprocess.Popen[bytes]
):
    projector.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: of_models(migrated) == ["away"] * len(PROJECTIONS), seconds=10)
        before = read(migrated, "gallery")
        eventually(lambda: read(migrated, "gallery").still_seconds > before.still_seconds + 0.5)
        assert before.lag == 0
    finally:
        projector.send_signal(signal.SIGCONT)
    eventually(lambda: of_models(migrated) == ["ok"] * len(PROJECTIONS))
    eventually(lambda: read(migrated, "gallery").still_seconds < 1)


def test_a_runner_that_hangs_is_told_though_it_has_its_locks_and_lacks_nothing(
    migrated: Settings, story: Story
):
    hangs, stop = threading.Event(), threading.Event()

    def read_some(*arguments: Any, **named: Any) -> EventBatch:
        if story.store.head()[1] == read(migrated, "gallery").position:
            hangs.set()
            stop.wait()
        return story.store.read_some(*arguments, **named)

    runner = Runner([gallery.PROJECTION], read_some)
    with Leadership(migrated.postgres_url, "atelier.projection.gallery") as leader:
        eventually(leader.try_acquire)
        arguments = (lambda: connect(migrated.postgres_url), lambda: ["gallery"], hangs.set, stop)
        thread = threading.Thread(target=runner.run, args=arguments)
        thread.start()
        try:
            assert hangs.wait(20)
            eventually(lambda: verdict_of(migrated, "gallery") == "away", seconds=20)
            gallery_now = read(migrated, "gallery")
            assert (gallery_now.lag, gallery_now.led) == (0, True)
            families = {each.name: each for each in metrics._of_postgres(figures.figures(migrated))}
            samples = families["atelier_projector_still_seconds"].samples
            told = {sample.labels["model"]: sample.value for sample in samples}
            assert told["gallery"] > status.STILL_S
        finally:
            stop.set()
            thread.join()


def verdict_of(settings: Settings, model: str) -> str:
    checks = status.of_postgres(figures.figures(settings))
    return next(each.verdict for each in checks if each.name == f"read model {model}")


def test_a_read_model_ahead_of_the_log_does_not_look_up_to_date(migrated: Settings, story: Story):
    with connect(migrated.postgres_url) as connection:
        connection.execute("UPDATE atelier_projections SET position = 9 WHERE projection = 'tasks'")
    tasks = read(migrated, "tasks")
    assert tasks.lag == 0
    assert "ahead of the log" in tasks.trouble
    assert verdict_of(migrated, "tasks") == "wrong"


def test_the_queue_is_counted_by_what_could_be_claimed(migrated: Settings, story: Story):
    with connect(migrated.postgres_url) as connection:
        for n, (vip, is_started) in enumerate([(True, False), (False, False), (False, True)]):
            task = uuid4()
            story.tell(task, upscale_requested(vip=vip), *[started()] * is_started)
            connection.execute(
                "INSERT INTO atelier_queue"
                " (task, account, vip, place, requested_at, started, attempt, rank, turn)"
                " VALUES (%s, %s, %s, %s, now(), %s, 0, %s, 2)",
                [task, uuid4(), vip, n + 2, is_started, int(not is_started)],
            )
        connection.execute(
            "INSERT INTO atelier_leases VALUES (%s, 'one', now() + interval '1 minute')", [task]
        )
        found = figures.figures(migrated)
        queue = found.queue
        assert (queue.pending_vip, queue.pending_normal, queue.started) == (1, 1, 1)
        assert queue.oldest_seconds > 0
        assert (found.leases.held, found.leases.run_out) == (1, 0)
        assert found.leases.oldest_seconds > 0
        connection.execute("UPDATE atelier_leases SET expires_at = now()")
        found = figures.figures(migrated)
        assert (found.queue.pending_normal, found.queue.started) == (2, 0)
        assert (found.leases.held, found.leases.run_out) == (0, 1)


def test_webhooks_are_counted_until_they_are_sent(migrated: Settings):
    with connect(migrated.postgres_url) as connection:
        connection.execute(
            "INSERT INTO atelier_webhooks (task, account, ended_at, state, next_at)"
            " SELECT gen_random_uuid(), gen_random_uuid(), now(), state, now() + wait"
            " FROM (VALUES ('pending', interval '1 hour'), ('pending', '-1 minute'),"
            " ('given_up', '-1 day'), ('sent', '-1 day')) v (state, wait)"
        )
    found = figures.figures(migrated)
    assert (found.webhooks.pending, found.webhooks.given_up) == (2, 1)
    assert 60 <= found.webhooks.due_seconds < 120
    families = {each.name: each for each in metrics._of_postgres(found)}
    told = {each.labels["state"]: each.value for each in families["atelier_webhooks"].samples}
    assert told == {"pending": 2, "given_up": 1}


def test_a_lease_that_outlived_its_task_is_nobodys_worry(migrated: Settings, story: Story):
    task = uuid4()
    story.tell(task, upscale_requested(), started(), cancelled())
    with connect(migrated.postgres_url) as connection:
        connection.execute("INSERT INTO atelier_leases VALUES (%s, 'killed', now())", [task])

    assert figures.figures(migrated).leases.run_out == 0


def test_processes_are_known_by_their_connections(migrated: Settings):
    url = migrated.postgres_url
    with (
        psycopg.connect(url, application_name="atelier relay host-1"),
        psycopg.connect(url, application_name="atelier render-consumer host-2"),
        psycopg.connect(url, application_name="atelier render-consumer host-2"),
        psycopg.connect(url, application_name="atelier render-consumer host-3"),
    ):
        assert figures.figures(migrated).processes == {"relay": 1, "render-consumer": 2}


def test_of_processes_that_do_not_run_there_are_none(migrated: Settings):
    families = {each.name: each for each in metrics._of_postgres(figures.figures(migrated))}
    samples = families["atelier_processes"].samples
    told = {sample.labels["process"]: sample.value for sample in samples}
    assert told == dict.fromkeys(figures.PROCESSES, 0)  # else no alert could fire


def test_servers_tell_that_they_answer(migrated: Settings):
    servers = {each.name: each for each in figures.servers(migrated)}
    assert [each.answers for each in servers.values()] == [True] * 3
    assert servers["postgres"].version.split(".")[0].isdigit()


@pytest.mark.parametrize("part", ["postgres", "kafka", "media store"])
def test_what_is_away_is_told_and_nothing_else(migrated: Settings, part: str):
    elsewhere = {
        "postgres": {"postgres_url": NOWHERE},
        "kafka": {"kafka_bootstrap": "127.0.0.1:1"},
        "media store": {"s3_url": "http://127.0.0.1:1"},
    }
    checks = status.look(msgspec.structs.replace(migrated, **elsewhere[part]))
    servers = {"postgres", "kafka", "media store"}
    verdicts = {c.name.lower(): c.verdict for c in checks if c.name.lower() in servers}
    assert verdicts == dict.fromkeys(servers, "ok") | {part: "away"}


@pytest.mark.parametrize(
    ("server", "setting", "value", "said"),
    [
        ("Postgres", "postgres_url", lambda url: url.replace("://", "://x"), "authentication"),
        ("Postgres", "postgres_url", lambda url: url.replace("?", "_x?"), "does not exist"),
        ("media store", "s3_secret_key", lambda _: "x" * 40, "SignatureDoesNotMatch"),
        ("media store", "s3_bucket", lambda _: "missing", "there is no bucket missing"),
        ("Kafka", "kafka_bootstrap", lambda _: "127.0.0.1:1", "127.0.0.1:1: Connection refused"),
    ],
    ids=["password", "database", "key", "bucket", "port"],
)
def test_what_a_server_says_is_passed_on(
    migrated: Settings, server: str, setting: str, value: Callable[[str], str], said: str
):
    given = msgspec.structs.asdict(migrated)[setting]
    changed = msgspec.structs.replace(migrated, **{setting: value(given)})
    (check,) = [each for each in status.look(changed) if each.name == server]
    assert said in check.figures["trouble"]


@pytest.mark.skipif(SERVERS in ("embedded", "containers"), reason="needs a Kafka with a login")
@pytest.mark.parametrize(
    ("protocol", "password", "said"),
    [
        ("PLAINTEXT", "", "it may ask for a login"),
        ("SASL_PLAINTEXT", "wrong", "check ATELIER_KAFKA_SASL_USERNAME"),
        ("SASL_PLAINTEXT", Kafka.USER[1], ""),
    ],
    ids=["none", "wrong", "right"],
)
def test_a_kafka_that_asks_for_a_login_is_told_from_one_that_is_away(
    migrated: Settings, protocol: str, password: str, said: str
):
    host, _, port = migrated.kafka_bootstrap.rpartition(":")
    locked = msgspec.structs.replace(
        migrated,
        kafka_bootstrap=f"{host}:{int(port) + 2}",
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username=Kafka.USER[0],
        kafka_sasl_password=password,
    )
    (kafka,) = [each for each in status.look(locked) if each.name == "Kafka"]
    assert said in kafka.figures["trouble"]
    assert kafka.verdict == ("away" if said else "ok")


def test_a_database_without_tables_is_told_from_one_that_is_away(migrated: Settings):
    with connect(migrated.postgres_url) as connection:
        connection.execute("DROP TABLE atelier_head CASCADE")
    first = status.look(migrated)[0]
    assert (first.verdict, "run `atelier migrate`" in first.told) == ("away", True)
    with pytest.raises(Unavailable):
        figures.figures(Settings(postgres_url=NOWHERE))
