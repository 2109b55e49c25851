import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
from kafka import KafkaProducer

from infra.kafka.clients import client_options, make_admin
from infra.kafka.tickets import Ticket, TicketSubscription
from infra.kafka.topics import TICKETS_TOPIC, ensure_topics
from infra.settings import Settings

MOST_CPU = 0.06  # of a core; looking a hundred times a second took 0.13
LOOKING_S = 4.0


class Subscribed:
    """A subscription that listens, and what it was told."""

    def __init__(self, settings: Settings) -> None:
        self.positions: list[int] = []
        self.told = threading.Event()
        self._stop = threading.Event()
        subscription = TicketSubscription(settings, self._note)
        self._thread = threading.Thread(target=subscription.follow, args=(self._stop,))
        self._thread.start()
        assert subscription.listening.wait(30)

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _note(self, position: int) -> None:
        if position:
            self.positions.append(position)
            self.told.set()


@pytest.fixture
def broker_settings(kafka) -> Settings:
    settings = Settings(kafka_bootstrap=kafka.url)
    admin = make_admin(settings)
    ensure_topics(admin)
    admin.close()
    return settings


@pytest.fixture
def subscribed(broker_settings) -> Iterator[Subscribed]:
    subscribed = Subscribed(broker_settings)
    yield subscribed
    subscribed.end()


def test_who_waits_for_tickets_leaves_the_processor_alone(subscribed):
    time.sleep(1.0)  # joining has its price
    began = time.process_time()
    time.sleep(LOOKING_S)
    assert time.process_time() - began < MOST_CPU * LOOKING_S


def test_a_ticket_wakes_at_once(subscribed, broker_settings):
    producer = KafkaProducer(**client_options(broker_settings))
    ticket = msgspec.json.encode(Ticket(task_id="any", position=7))
    producer.send(TICKETS_TOPIC, ticket).get(5)
    began = time.monotonic()
    assert subscribed.told.wait(5)
    assert time.monotonic() - began < 0.5  # twice what the broker may sleep, on a busy machine
    assert subscribed.positions == [7]
    producer.close()
