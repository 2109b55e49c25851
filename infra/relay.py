"""The relay: passes the log on to Kafka, every event once as a `read_committed` reader sees it.

One is active at a time, any number stand by. Nothing that it does is lost when it is killed: where
it stands is read from Kafka each time (see `relay_tails`), and what it saves in Postgres only says
from where on to compare.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
import structlog
from kafka.errors import KafkaConnectionError, KafkaError

from domain.errors import AtelierError
from infra.event_store import EventLog
from infra.kafka import (
    EVENTS_TOPIC,
    TICKETS_TOPIC,
    WrongTopic,
    event_record,
    reachable,
    source_of,
    ticket_record,
)
from infra.leader import Leadership
from infra.metrics import RELAY_DELAY, RELAY_PUBLISH, RELAYED
from infra.postgres import Listener, Pool, answered, open_pool
from infra.relay_session import Fenced, Session
from infra.relay_tails import Tail, Tails, due
from infra.settings import Settings

log = structlog.get_logger("atelier.relay")

LOCK: Final = "atelier.relay"
BATCH: Final = 1_000  # events in a transaction at most: a quarter of a gigabyte if all are huge
LOOK_EVERY_S: Final = 2.0  # an idle relay learns by looking that the broker came back empty
REACH_S: Final = 2.0
RETRY_S: Final = (0.2, 0.5, 1.0)  # the last one repeats
# These write a line for each try to reach a server that is away; we write one for each outage.
TALKATIVE: Final = ("kafka", "psycopg.pool")

CLAIM: LiteralString = """-- A new epoch: whoever had an older one can save no more.
INSERT INTO atelier_relay (topic, topic_id, position, epoch) VALUES (%s, '', 0, 1)
ON CONFLICT (topic) DO UPDATE SET epoch = atelier_relay.epoch + 1
RETURNING epoch, topic_id, position"""

TICKETED: LiteralString = """-- Up to where have tickets been given?
INSERT INTO atelier_relay (topic, topic_id, position, epoch) VALUES (%s, '', 0, 0)
ON CONFLICT (topic) DO UPDATE SET epoch = 0 RETURNING position"""

SAVE: LiteralString = """-- Move both positions on; the epoch of the first row fences both.
WITH held AS (
    UPDATE atelier_relay SET topic_id = %(topic_id)s, position = %(position)s
     WHERE topic = %(events)s AND epoch = %(epoch)s RETURNING position
)
UPDATE atelier_relay r SET position = greatest(r.position, held.position)
  FROM held WHERE r.topic = %(tickets)s"""


class Superseded(AtelierError):
    """Another relay has taken over."""

    code = "superseded"
    retriable = True


class AnotherPast(AtelierError):
    """Kafka holds events that the log does not have."""

    code = "another_past"


class Claim(NamedTuple):
    """What a relay finds when it takes over; tickets have been given up to ``ticketed``."""

    epoch: int
    topic_id: str
    position: int
    ticketed: int


class Ledger:
    """The relay's own rows in Postgres: which topic it fills, and how far it has come."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def claim(self) -> Claim:
        """Begin a new epoch."""
        with answered(), self._pool.connection() as connection, connection.transaction():
            mine = connection.execute(CLAIM, [EVENTS_TOPIC]).fetchone()
            tickets = connection.execute(TICKETED, [TICKETS_TOPIC]).fetchone()
        assert mine is not None
        assert tickets is not None
        return Claim(*mine, *tickets)

    def save(self, epoch: int, topic_id: str, position: int) -> None:
        """Note that Kafka has everything up to a position; raises `Superseded` in a later epoch."""
        with answered(), self._pool.connection() as connection:
            saved = connection.execute(
                SAVE,
                {
                    "topic_id": topic_id,
                    "position": position,
                    "epoch": epoch,
                    "events": EVENTS_TOPIC,
                    "tickets": TICKETS_TOPIC,
                },
            )
        if saved.rowcount != 1:
            raise Superseded("another relay has taken over")


class Relay:
    """Follows the log while it leads, and starts over from what Kafka holds after any error."""

    def __init__(self, settings: Settings, pool: Pool, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._log = EventLog(pool)
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
                self._rest(error)

    def _lead(self, leader: Leadership, listener: Listener) -> None:
        if not reachable(self._settings, REACH_S):
            raise KafkaConnectionError(f"no broker answers at {self._settings.kafka_bootstrap}")
        log_id, _ = self._log.head()
        claim = self._ledger.claim()
        with Session(self._settings, source_of(log_id), self._stop) as session:
            self._compare(session.tails)
            position = self._begin(claim, session)
            looked = time.monotonic()
            while leader.held() and not self._stop.is_set():
                advanced = self._forward(session, claim, position)
                if advanced == position:
                    listener.wait()
                position = advanced
                if time.monotonic() - looked > LOOK_EVERY_S:
                    session.look()
                    looked = time.monotonic()
                self._settle(position)

    def _compare(self, tails: Tails) -> None:
        """Raise `AnotherPast` if the log has not the event that Kafka holds at a position.

        A Postgres restored from an older backup gives positions out a second time.
        """
        for partition, tail in tails.items():
            if not self._has(tail):
                raise AnotherPast(
                    f"partition {partition} of {EVENTS_TOPIC} holds event {tail.event_id} at"
                    f" position {tail.position}, which the log does not have: was Postgres"
                    " restored from an older backup? Nothing is sent. Restore a newer one, or"
                    f" delete the topic {EVENTS_TOPIC}: then it is filled again from the start,"
                    " and its readers must start again as well"
                )

    def _has(self, tail: Tail) -> bool:
        found = self._log.read_stored(tail.position - 1, 1)
        return [(each.id, each.event_id) for each in found] == [tail]

    def _begin(self, claim: Claim, session: Session) -> int:
        if claim.topic_id == session.topic_id:
            return claim.position
        if claim.topic_id:
            log.info("the topic is a new one: filling it again", topic=EVENTS_TOPIC)
        self._ledger.save(claim.epoch, session.topic_id, 0)
        return 0

    def _forward(self, session: Session, claim: Claim, position: int) -> int:
        """Commit the next events of the log, and give the position that is reached by that."""
        events = self._log.read_stored(position, BATCH)
        if not events:
            return position
        missing, wanted = due(events, session.tails, claim.ticketed)
        records = [event_record(each, session.source) for each in missing]
        records += [ticket_record(each) for each in wanted]
        if records:
            with RELAY_PUBLISH.time():
                session.publish(records)
            RELAYED.inc(len(missing))
            RELAY_DELAY.observe(time.time() - events[-1].recorded_at.timestamp())
        self._ledger.save(claim.epoch, session.topic_id, events[-1].id)
        return events[-1].id

    def _stand_by(self, why: str) -> None:
        log.warning("standing by", why=why)
        self._trouble = why
        self._stop.wait(RETRY_S[-1])

    def _rest(self, error: Exception) -> None:
        """Wait before the next try; an outage is told of once, however many tries it takes."""
        if isinstance(error, AnotherPast | WrongTopic):
            self._tell(str(error), log.error, "not relaying", why=str(error))
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

    def _settle(self, position: int) -> None:
        if self._trouble:
            log.info("relaying", position=position)
        self._trouble, self._failures = "", 0


def run(settings: Settings) -> None:
    """Relay or stand by until SIGTERM or SIGINT."""
    settings.require("postgres_url", "kafka_bootstrap")
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
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
