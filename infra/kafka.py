"""Kafka: clients, the two topics, and the records that go onto them."""

import concurrent.futures
import contextlib
import functools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    KafkaTimeoutError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.net.compat import KafkaNetClient

from domain.errors import AtelierError
from infra.settings import Settings

# These names and numbers are fixed for ever: another number of partitions would move aggregates.
EVENTS_TOPIC: Final = "atelier.events"
TICKETS_TOPIC: Final = "atelier.render-requests"
PARTITIONS: Final = 12

TICKETED: Final = frozenset(
    {
        "render.requested.v1",
        "render.video_requested.v1",
        "render.upscale_requested.v1",
        "render.image_to_video_requested.v1",
        "render.requeued.v1",
    }
)

BOOTSTRAP_TIMEOUT_MS: Final = 5_000
REQUEST_TIMEOUT_MS: Final = 5_000
RECONNECT_MOST_MS: Final = 500  # 30 s by default: far longer than a broker needs to come back
TOPIC_TIMEOUT_MS: Final = 10_000
TOPIC_LOOK_S: Final = 0.05
FETCH_WAIT_MS: Final = 10  # the default of 500 adds up to 200 ms to a lone record
STOPPING_S: Final = 2.0  # how much longer a call may block once we are told to stop

# ApiVersions, version 0, by a client named "atelier": brokers answer it before any login.
API_VERSIONS: Final = struct.pack(">ihhih7s", 17, 18, 0, 1, 7, b"atelier")

T = TypeVar("T")


class WrongTopic(AtelierError):
    """A topic exists, but not as we make it."""

    code = "wrong_topic"


# Clients.


def client_options(settings: Settings) -> dict[str, Any]:
    """What every client of kafka-python needs: where the brokers are and how to log in."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "kafka_client": _client_that_makes_no_topics,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": RECONNECT_MOST_MS,
    }
    if settings.kafka_ca_file:
        options["ssl_cafile"] = settings.kafka_ca_file
    if settings.kafka_security_protocol.startswith("SASL_"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    return options


def make_admin(settings: Settings) -> KafkaAdminClient:
    """An admin client; ask `reachable` first, for each one that fails to connect leaks a thread."""
    return KafkaAdminClient(**client_options(settings))


def make_consumer(settings: Settings, **options: Any) -> KafkaConsumer:
    """A consumer that sees committed records only; ask `reachable` first, as for `make_admin`."""
    usual = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": FETCH_WAIT_MS,
    }
    return KafkaConsumer(**client_options(settings), **usual | options)


def discard(producer: KafkaProducer) -> None:
    """End a producer without sending what it still holds, and wait until it has ended.

    Its `close` does not do: it flushes first, which raises while the broker is away and then leaves
    the sending thread alive, so old records could arrive in a topic that has been made anew.
    Raises `KafkaTimeoutError` when the thread does not end.
    """
    producer._sender.force_close()
    producer._sender.join(2 * REQUEST_TIMEOUT_MS / 1000)
    if producer._sender.is_alive():
        raise KafkaTimeoutError("the producer's thread does not end")
    producer.close(timeout=0)


def _client_that_makes_no_topics(**options: Any) -> KafkaNetClient:
    # kafka-python 3.0.12 drops `allow_auto_create_topics` on its way to the metadata requests, so
    # every client would make topics with the broker's default number of partitions.
    client = KafkaNetClient(**options)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def within(seconds: float, call: Callable[[], T], stop: threading.Event | None = None) -> T:
    """Run a call that may block for ever, for example one that commits a transaction.

    Raises `KafkaTimeoutError` after so many seconds, or two seconds after `stop` is set.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    threading.Thread(target=_settle, args=(outcome, call), daemon=True).start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        concurrent.futures.wait([outcome], timeout=min(0.1, seconds))
        if outcome.done():
            return outcome.result()
        if stop is not None and stop.is_set():
            deadline = min(deadline, time.monotonic() + STOPPING_S)
    raise KafkaTimeoutError(f"no answer within {seconds} s")


def _settle(outcome: concurrent.futures.Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:
        outcome.set_exception(error)


# Is it there?


def reachable(settings: Settings, timeout: float) -> bool:
    """Whether a broker answers within `timeout` seconds, without making a client."""
    try:
        return within(timeout, lambda: _any_answers(settings, timeout))
    except KafkaTimeoutError:
        return False


def _any_answers(settings: Settings, timeout: float) -> bool:
    addresses = settings.kafka_bootstrap.split(",")
    return any(_answers(settings, each, timeout / len(addresses)) for each in addresses)


def _answers(settings: Settings, address: str, timeout: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout) as plain,
            _secured(settings, plain, host) as connection,
        ):
            connection.sendall(API_VERSIONS)
            return bool(connection.recv(4))
    except OSError:
        return False


def _secured(settings: Settings, plain: socket.socket, host: str) -> socket.socket:
    if not settings.kafka_security_protocol.endswith("SSL"):
        return plain
    context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    return context.wrap_socket(plain, server_hostname=host.strip("[]"))


# Topics.


def ensure_topics(admin: KafkaAdminClient) -> None:
    """Make our topics unless they exist, and wait until they can be used.

    Only the relay calls this: a topic that somebody else made anew would look filled to it.
    """
    for topic, configs in TOPIC_CONFIGS.items():
        wanted = {topic: {"num_partitions": PARTITIONS, "configs": configs}}
        if topic_id(admin, topic) is None:
            with contextlib.suppress(TopicAlreadyExistsError):
                admin.create_topics(wanted)
    admin.wait_for_topics(list(TOPIC_CONFIGS), timeout_ms=TOPIC_TIMEOUT_MS)


def remove_topic(admin: KafkaAdminClient, topic: str) -> None:
    """Delete a topic and wait until it is gone; raises `KafkaTimeoutError` when it stays."""
    deadline = time.monotonic() + TOPIC_TIMEOUT_MS / 1000
    while topic in admin.list_topics():
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"the topic {topic} is still there")
        with contextlib.suppress(UnknownTopicOrPartitionError):  # gone, but still listed
            admin.delete_topics([topic])
        time.sleep(TOPIC_LOOK_S)


def topic_id(admin: KafkaAdminClient, topic: str) -> str | None:
    """The id that the broker gave the topic when it was made; None when there is no such topic.

    Raises `WrongTopic` when it has another number of partitions than ours.
    """
    (found,) = admin.describe_topics([topic])
    error = for_code(found["error_code"])
    if error is UnknownTopicOrPartitionError:
        return None
    if error is not NoError:
        raise error(topic)
    count = len(found["partitions"])
    if count != PARTITIONS:
        raise WrongTopic(
            f"the topic {topic} has {count} partitions instead of {PARTITIONS}: somebody else made"
            " it; delete it, and the relay makes it and fills it again"
        )
    return str(found["topic_id"])


# Events are kept for ever, for analysts to replay; tickets only wake and may go.
TOPIC_CONFIGS: Final[dict[str, dict[str, str]]] = {
    EVENTS_TOPIC: {"retention.ms": "-1"},
    TICKETS_TOPIC: {},
}


# Records.


@functools.lru_cache(16_384)
def partition_of(aggregate_id: UUID | str) -> int:
    """The partition of an aggregate: what Java's default partitioner makes of its id as text."""
    return (_murmur2(str(aggregate_id).encode()) & 0x7FFF_FFFF) % PARTITIONS


def _murmur2(key: bytes) -> int:
    # The library's own takes the key apart byte by byte, which costs four times as much.
    whole = len(key) // 4
    mixed = 0x9747_B28C ^ len(key)
    for word in struct.unpack_from(f"<{whole}I", key):
        word = word * 0x5BD1_E995 & 0xFFFF_FFFF
        mixed = mixed * 0x5BD1_E995 & 0xFFFF_FFFF
        mixed ^= (word ^ word >> 24) * 0x5BD1_E995 & 0xFFFF_FFFF
    if rest := key[4 * whole :]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * 0x5BD1_E995 & 0xFFFF_FFFF
    mixed = (mixed ^ mixed >> 13) * 0x5BD1_E995 & 0xFFFF_FFFF
    return mixed ^ mixed >> 15


def source_of(log_id: UUID) -> str:
    """What CloudEvents calls the log: a position means something only together with it."""
    return f"urn:uuid:{log_id}"
