"""The relay's rows in Postgres: which topic it fills, how far it has come, what stops it."""

from collections.abc import Mapping
from typing import Any, Final, LiteralString, NamedTuple

import psycopg

from domain.errors import AtelierError
from infra.kafka.topics import EVENTS_TOPIC, TICKETS_TOPIC
from infra.postgres import Pool, borrowed

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

NEW_LOG_ID: LiteralString = """-- A new id for the log; the topic that there is gets no more of it.
WITH held AS (
    UPDATE atelier_relay SET topic_id = %(topic_id)s, position = 0
     WHERE topic = %(events)s AND epoch = %(epoch)s RETURNING topic
)
UPDATE atelier_head SET log_id = gen_random_uuid() FROM held"""

EPOCH_BEGINS: LiteralString = """-- A new id for the log; no topic that there is gets any of it.
WITH barred AS (
    UPDATE atelier_relay SET topic_id = %(barred)s || topic_id, position = 0
     WHERE topic = %(events)s AND topic_id <> '' AND NOT starts_with(topic_id, %(barred)s)
)
UPDATE atelier_head SET log_id = gen_random_uuid()"""

STATE: LiteralString = "SELECT topic_id, position FROM atelier_relay WHERE topic = %s"
EPOCH: LiteralString = "SELECT epoch FROM atelier_relay WHERE topic = %s"
TELL: LiteralString = """-- What stops the relay; empty when nothing does.
UPDATE atelier_relay SET trouble = %s WHERE topic = %s AND trouble <> %s"""


LOCK: Final = "atelier.relay"  # held by the one relay, or command, that is at work
BARRED: Final = "not "  # before the id of a topic that holds an earlier epoch of the log


class Superseded(AtelierError):
    """Another relay has taken over."""

    code = "superseded"
    retriable = True


class Claim(NamedTuple):
    """What a relay finds when it takes over; tickets have been given up to ``ticketed``."""

    epoch: int
    topic_id: str
    position: int
    ticketed: int


def begin_epoch(connection: psycopg.Connection[Any]) -> None:
    """What `Ledger.renew_log_id` does, while no relay runs and without a look at Kafka."""
    connection.execute(EPOCH_BEGINS, {"barred": BARRED, "events": EVENTS_TOPIC})


class Ledger:
    """Reads and writes them; what a relay of an older epoch writes is refused."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def claim(self) -> Claim:
        """Begin a new epoch."""
        with borrowed(self._pool) as connection, connection.transaction():
            mine = connection.execute(CLAIM, [EVENTS_TOPIC]).fetchone()
            tickets = connection.execute(TICKETED, [TICKETS_TOPIC]).fetchone()
        assert mine is not None
        assert tickets is not None
        return Claim(*mine, *tickets)

    def save(self, epoch: int, topic_id: str, position: int) -> None:
        """Note that Kafka has everything up to a position; raises `Superseded` in a later epoch."""
        self._change(SAVE, {"topic_id": topic_id, "position": position, "epoch": epoch})

    def renew_log_id(self, epoch: int, topic_id: str) -> None:
        """Give the log a new id and bar the topic that there is; raises `Superseded`."""
        self._change(NEW_LOG_ID, {"epoch": epoch, "topic_id": BARRED + topic_id})

    def expect(self, epoch: int) -> None:
        """Raise `Superseded` if another epoch has begun."""
        with borrowed(self._pool) as connection:
            row = connection.execute(EPOCH, [EVENTS_TOPIC]).fetchone()
        if row != (epoch,):
            raise Superseded("another relay, or a command, has taken over")

    def state(self) -> tuple[str, int]:
        """The id of the topic that is filled ('' for none yet), and up to which position."""
        with borrowed(self._pool) as connection:
            row = connection.execute(STATE, [EVENTS_TOPIC]).fetchone()
        return (row[0], row[1]) if row else ("", 0)

    def tell(self, trouble: str) -> None:
        """Keep what stops the relay, for health checks and `atelier status`."""
        with borrowed(self._pool) as connection:
            connection.execute(TELL, [trouble, EVENTS_TOPIC, trouble])

    def _change(self, statement: LiteralString, values: Mapping[str, str | int]) -> None:
        topics = {"events": EVENTS_TOPIC, "tickets": TICKETS_TOPIC}
        with borrowed(self._pool) as connection:
            changed = connection.execute(statement, {**values, **topics})
        if changed.rowcount != 1:
            raise Superseded("another relay, or a command, has taken over")
