"""What an operator has done to the events topic: compared, mended, made anew."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from domain.errors import AtelierError, Unavailable
from infra.kafka import clients, topics
from infra.kafka.topics import EVENTS_TOPIC, WrongTopic, source_of
from infra.postgres import Pool, open_pool
from infra.process.leader import Leadership
from infra.relay.check import Report, compare
from infra.relay.filling import Filling, expect_one_past
from infra.relay.ledger import LOCK, Claim, Ledger, Superseded
from infra.relay.log import RelayLog
from infra.relay.session import Session
from infra.relay.tails import read_ends
from infra.settings import Settings

TAKE_OVER_S: Final = 45.0  # a relay that is at work may first finish a transaction
ASK_AGAIN_S: Final = 5.0
REACH_S: Final = 5.0

Progress = Callable[[int, int], object]  # how much of how much is done


class NoTopic(AtelierError):
    """There is no events topic to look at."""

    code = "no_topic"


class TopicMaintenance:
    """Compares, heals and recreates one topic for one log, while no relay is running."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._events = RelayLog(pool)
        self._ledger = Ledger(pool)

    def check(self, progress: Progress) -> Report:
        """Compare the whole topic with the log; the relay may go on meanwhile.

        Raises `NoTopic` where there is none, and `WrongTopic` where it is not as we make it.
        """
        with contextlib.closing(self._admin()) as admin:
            found = topics.topic_id(admin, EVENTS_TOPIC)
        if found is None:
            raise NoTopic(f"there is no topic {EVENTS_TOPIC}: a relay makes it and fills it")
        log_id, _ = self._events.head()
        topic_id, position = self._ledger.state()
        relayed = position if topic_id == found else 0
        with contextlib.closing(clients.make_consumer(self._settings)) as consumer:
            return compare(self._events, consumer, log_id, relayed, progress)

    def heal(self, missing: int, progress: Progress) -> None:
        """Append what is missing at the partitions' ends, from that position on."""
        with self._taken_over() as (leader, claim):
            self._fill(leader, claim, missing, progress)

    def recreate(self, progress: Progress) -> None:
        """Delete the topic, make it anew and fill it.

        Raises `DivergentHistory` where it holds what the log does not have.
        """
        with self._taken_over() as (leader, claim):
            if self._topic_id():
                self._expect_one_past()
            self._remove_topic()
            self._fill(leader, claim, 0, progress)

    def new_epoch(self, progress: Progress) -> None:
        """The same under a new id of the log, which the records carry as their source."""
        with self._taken_over() as (leader, claim):
            self._ledger.renew_log_id(claim.epoch, self._topic_id())
            self._remove_topic()
            self._fill(leader, claim, 0, progress)

    def head(self) -> int:
        """The newest position of the log."""
        return self._events.head()[1]

    def source(self) -> str:
        """What the records of this log carry as their source."""
        return source_of(self._events.head()[0])

    @contextlib.contextmanager
    def _taken_over(self) -> Iterator[tuple[Leadership, Claim]]:
        """Have the relay that is at work stand by: it notices the later epoch within seconds."""
        until = time.monotonic() + TAKE_OVER_S
        with Leadership(self._settings.postgres_url, LOCK) as leader:
            self._ledger.claim()
            while not leader.demand(ASK_AGAIN_S):
                if time.monotonic() > until:
                    raise Unavailable("a relay is running: stop it first")
                self._ledger.claim()
            yield leader, self._ledger.claim()

    def _fill(self, leader: Leadership, claim: Claim, missing: int, progress: Progress) -> None:
        log_id, head = self._events.head()
        with Session(self._settings, source_of(log_id), threading.Event()) as session:
            filling = Filling(self._events, self._ledger, session, claim)
            filling.begin(missing)
            began = filling.position
            while filling.position < head:
                if not leader.held():
                    raise Superseded("a relay has taken over before everything was sent")
                filling.forward()
                progress(filling.position - began, head - began)
        self._ledger.tell("")

    def _expect_one_past(self) -> None:
        log_id, _ = self._events.head()
        with contextlib.closing(clients.make_consumer(self._settings)) as consumer:
            expect_one_past(self._events, read_ends(consumer, source_of(log_id)).tails)

    def _topic_id(self) -> str:
        """The id of the topic that a relay may have filled; '' when there is none."""
        with contextlib.closing(self._admin()) as admin, contextlib.suppress(WrongTopic):
            return topics.topic_id(admin, EVENTS_TOPIC) or ""
        return ""

    def _remove_topic(self) -> None:
        with contextlib.closing(self._admin()) as admin:
            topics.remove_topic(admin, EVENTS_TOPIC)

    def _admin(self) -> KafkaAdminClient:
        if why := clients.trouble(self._settings, REACH_S):
            raise Unavailable("Kafka does not answer; try again in a moment", why)
        return clients.make_admin(self._settings)


@contextlib.contextmanager
def open_maintenance(settings: Settings) -> Iterator[TopicMaintenance]:
    """Maintenance over connections of its own; raises `Unavailable` when Kafka does not answer."""
    settings.require("postgres_url", "kafka_bootstrap")
    logging.getLogger("atelier.relay").setLevel(logging.ERROR)  # who asked is told by the command
    with open_pool(settings.postgres_url, 1) as pool:
        try:
            yield TopicMaintenance(settings, pool)
        except KafkaError as error:
            raise Unavailable("Kafka does not answer; try again in a moment", str(error)) from error
