"""The relay: passes the log on to Kafka, every event once as a `read_committed` reader sees it.

One is active at a time, any number stand by. Nothing that it does is lost when it is killed: where
it stands is read from Kafka each time (see `relay_tails`), and what it saves in Postgres only says
from where on to compare.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import psycopg
import structlog
from kafka.errors import KafkaConnectionError, KafkaError

from domain.errors import AtelierError, Unavailable
from infra.kafka.clients import trouble as kafka_trouble
from infra.kafka.topics import WrongTopic, source_of
from infra.postgres import Listener, Pool, open_pool
from infra.process.leader import Leadership
from infra.relay.filling import DivergentHistory, Filling
from infra.relay.ledger import LOCK, Ledger, Superseded
from infra.relay.log import RelayLog
from infra.relay.session import Fenced, Session
from infra.settings import Settings

log = structlog.get_logger("atelier.relay")

LOOK_EVERY_S: Final = 2.0  # an idle relay learns by looking that the broker came back empty
REACH_S: Final = 2.0
RETRY_S: Final = (0.2, 0.5, 1.0)  # the last one repeats


class Relay:
    """Follows the log while it leads, and starts over from what Kafka holds after any error."""

    def __init__(self, settings: Settings, pool: Pool, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._events = RelayLog(pool)
        self._ledger = Ledger(pool)
        self._trouble = "not yet relaying"
        self._failures = 0

    def run(self, leader: Leadership, listener: Listener) -> None:
        """Relay until `stop` is set; whatever fails is waited out."""
        while leader.acquire(self._stop):
            try:
                self._lead(leader, listener)
                if not self._stop.is_set():
                    self._stand_by("the lock is lost")
            except (Superseded, Fenced) as error:
                leader.release()
                self._stand_by(str(error))
            except Exception as error:
                leader.release()  # another may reach what this one cannot; a command may take over
                self._rest(error)

    def _lead(self, leader: Leadership, listener: Listener) -> None:
        if why := kafka_trouble(self._settings, REACH_S):
            raise KafkaConnectionError(why)
        # The claim comes before the log's id: who changes the id begins a later epoch.
        claim = self._ledger.claim()
        log_id, _ = self._events.head()
        with Session(self._settings, source_of(log_id), self._stop) as session:
            filling = Filling(self._events, self._ledger, session, claim)
            filling.begin()
            looked = time.monotonic()
            while leader.held() and not self._stop.is_set():
                if not filling.forward():
                    listener.wait()
                if time.monotonic() - looked > LOOK_EVERY_S:
                    filling.look()
                    looked = time.monotonic()
                self._settle(filling.position)

    def _stand_by(self, why: str) -> None:
        log.warning("standing by", why=why)
        self._trouble = why
        self._stop.wait(RETRY_S[-1])

    def _rest(self, error: Exception) -> None:
        """Wait before the next try; an outage is told of once, however many tries it takes."""
        if isinstance(error, DivergentHistory | WrongTopic):
            self._tell(str(error), log.error, "not relaying", why=str(error))
            self._keep(str(error))
        elif isinstance(error, KafkaError | AtelierError | psycopg.Error | OSError):
            why = (str(error) or type(error).__name__)[:200]  # the library quotes every partition
            self._tell("outage", log.warning, "waiting for Kafka or Postgres", why=why)
        else:
            self._tell(repr(error), log.error, "trying again", exc_info=error)
        self._stop.wait(RETRY_S[min(self._failures, len(RETRY_S) - 1)])
        self._failures += 1

    def _tell(self, trouble: str, tell: Callable[..., object], message: str, **more: Any) -> None:
        if trouble != self._trouble:
            tell(message, **more)
            self._trouble = trouble

    def _keep(self, trouble: str) -> None:
        with contextlib.suppress(Unavailable):
            self._ledger.tell(trouble)

    def _settle(self, position: int) -> None:
        if self._trouble:
            log.info("relaying", position=position)
            self._keep("")
        self._trouble, self._failures = "", 0


def run(settings: Settings) -> None:
    """Relay or stand by until SIGTERM or SIGINT."""
    settings.require("postgres_url", "kafka_bootstrap")
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    listener = Listener(settings.postgres_url)
    with (
        open_pool(settings.postgres_url, 1) as pool,
        Leadership(settings.postgres_url, LOCK) as leader,
    ):
        Relay(settings, pool, stop).run(leader, listener)
    listener.close()
