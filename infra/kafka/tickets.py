"""The wake-ups for the render consumers: tickets that are read in a group and carry no work."""

import threading
from collections.abc import Callable

import msgspec
import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from infra.kafka.clients import make_consumer, trouble
from infra.kafka.topics import TICKETS_TOPIC
from infra.outage import Outage
from infra.settings import Settings

log = structlog.get_logger("atelier.tickets")

GROUP = "atelier-render-consumers"
SESSION_TIMEOUT_MS = 6_000  # the shortest that Apache Kafka accepts by default
METADATA_MAX_AGE_MS = 2_000  # the topic may be made, or made anew, after we subscribed
POLL_MS = 500
# Each fetch costs both sides over a millisecond. Apache Kafka answers it as soon as a ticket comes;
# the embedded broker looks for one only now and then, at most 0.4 of this apart.
FETCH_WAIT_MS = 150
LOOK_AT_ENDS = 20  # polls without a ticket
RETRY_S = 1.0
REACHABLE_S = 2.0


class Ticket(msgspec.Struct, frozen=True):
    """What a ticket's value holds."""

    task_id: str
    position: int


class TicketSubscription:
    """The group's tickets for one consumer; ``listening`` is set while new ones reach it."""

    def __init__(self, settings: Settings, woken: Callable[[int], None]) -> None:
        self._settings = settings
        self._woken = woken
        self.listening = threading.Event()

    def follow(self, stop: threading.Event) -> None:
        """Call `woken` with the newest position of each batch of tickets until `stop`.

        Polling goes on whatever the consumer does meanwhile, so a long render never loses its place
        in the group. Kafka being away is waited out.
        """
        outage = Outage("Kafka")
        while not stop.is_set():
            if why := trouble(self._settings, REACHABLE_S):
                outage.away(why)
            else:
                outage.over()
                self._follow_while_it_answers(stop)
            stop.wait(RETRY_S)

    def _follow_while_it_answers(self, stop: threading.Event) -> None:
        try:
            consumer = _join(self._settings)
        except KafkaError as error:
            log.info("cannot join the group", why=type(error).__name__)
            return
        try:
            idle = 0
            while not stop.is_set():
                idle = 0 if self._poll(consumer) else idle + 1
                if idle % LOOK_AT_ENDS == LOOK_AT_ENDS - 1:
                    _return_from_beyond_the_end(consumer)
        except KafkaError as error:
            log.info("tickets interrupted", why=type(error).__name__)
        finally:
            self.listening.clear()
            consumer.close()

    def _poll(self, consumer: KafkaConsumer) -> bool:
        batches = consumer.poll(timeout_ms=POLL_MS)
        tickets = [
            msgspec.json.decode(record.value, type=Ticket)
            for records in batches.values()
            for record in records
        ]
        if tickets:
            consumer.commit_async()
            self._woken(max(ticket.position for ticket in tickets))
        self._note_assignment(bool(consumer.assignment()))
        return bool(tickets)

    def _note_assignment(self, assigned: bool) -> None:
        if assigned and not self.listening.is_set():
            self.listening.set()
            self._woken(0)  # what came while nobody listened
        elif not assigned:
            self.listening.clear()


def _join(settings: Settings) -> KafkaConsumer:
    consumer = make_consumer(
        settings,
        group_id=GROUP,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    consumer.subscribe([TICKETS_TOPIC])
    return consumer


def _return_from_beyond_the_end(consumer: KafkaConsumer) -> None:
    # A broker that came back empty answers a position past its end with nothing, for ever.
    partitions: set[TopicPartition] = consumer.assignment()
    if not partitions:
        return
    ends = consumer.end_offsets(partitions)
    lost = [p for p in partitions if consumer.position(p) > ends[p]]
    if lost:
        consumer.seek_to_beginning(*lost)
