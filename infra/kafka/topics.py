"""Our two topics: their names, how they are made, and which partition an aggregate goes to."""

import contextlib
import functools
import struct
import time
from typing import Final
from uuid import UUID

from kafka import KafkaAdminClient
from kafka.errors import (
    KafkaTimeoutError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from domain.errors import AtelierError

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

TOPIC_TIMEOUT_MS: Final = 10_000
TOPIC_LOOK_S: Final = 0.05


class WrongTopic(AtelierError):
    """A topic exists, but not as we make it."""

    code = "wrong_topic"


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
