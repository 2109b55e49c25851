"""The wake-ups for the render consumers: tickets that are read in a group and carry no work."""

import threading
from collections.abc import Callable

import msgspec
import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from infra.kafka import TICKETS_TOPIC, make_consumer, reachable
from infra.settings import Settings

log = structlog.get_logger("atelier.tickets")

GROUP = "atelier-render-consumers"
SESSION_TIMEOUT_MS = 6_000  # the shortest that Apache Kafka accepts by default
METADATA_MAX_AGE_MS = 2_000  # the topic may be made, or made anew, after we subscribed
POLL_MS = 500
RETRY_S = 1.0
REACHABLE_S = 2.0


class Ticket(msgspec.Struct, frozen=True):
    """What a ticket's value holds."""

    task_id: str
    position: int


def follow(settings: Settings, woken: Callable[[int], None], stop: threading.Event) -> None:
    """Call `woken` with the newest position of each batch of tickets until `stop`.

    Polling goes on whatever the caller does meanwhile, so a long render never loses its place in
    the group. Kafka being away is waited out; the consumers look at the queue by themselves too.
    """
    away = False
    while not stop.is_set():
        try:
            if reachable(settings, REACHABLE_S):
                away = _note(away, False)
                _follow(settings, woken, stop)
            else:
                away = _note(away, True)
        except KafkaError as error:
            log.info("tickets interrupted", why=type(error).__name__)
        stop.wait(RETRY_S)


def _note(was_away: bool, away: bool) -> bool:
    if away and not was_away:
        log.warning("Kafka does not answer; looking at the queue every few seconds instead")
    elif was_away and not away:
        log.info("Kafka answers again")
    return away


def _follow(settings: Settings, woken: Callable[[int], None], stop: threading.Event) -> None:
    consumer = make_consumer(
        settings,
        group_id=GROUP,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        auto_offset_reset="latest",
    )
    try:
        consumer.subscribe([TICKETS_TOPIC])
        idle = 0
        while not stop.is_set():
            batches = consumer.poll(timeout_ms=POLL_MS)
            tickets = [
                msgspec.json.decode(record.value, type=Ticket)
                for records in batches.values()
                for record in records
            ]
            if tickets:
                consumer.commit_async()
                woken(max(ticket.position for ticket in tickets))
            idle = 0 if tickets else idle + 1
            if idle % 20 == 10:
                _return_from_beyond_the_end(consumer)
    finally:
        consumer.close()


def _return_from_beyond_the_end(consumer: KafkaConsumer) -> None:
    # A broker that came back empty answers a position past its end with nothing, for ever.
    partitions: set[TopicPartition] = consumer.assignment()
    if not partitions:
        return
    ends = consumer.end_offsets(partitions)
    lost = [p for p in partitions if consumer.position(p) > ends[p]]
    if lost:
        consumer.seek_to_beginning(*lost)
