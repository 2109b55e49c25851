"""The log as the relay reads it: rows ready to send, and answers about what Kafka holds."""

from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Final, LiteralString, TypeVar
from uuid import UUID

from domain.errors import HistoryReplaced
from infra.postgres import Pool, borrowed
from infra.relay.records import Ready

BATCH: Final = 4_000  # events in a transaction at most
BATCH_BYTES: Final = 16_000_000  # and of their states, but for the last event
ASKED_TOGETHER: Final = 10_000

READY: LiteralString = """-- The event at a position, and the next for one transaction.
SELECT position, floor(date_part('epoch', recorded_at) * 1000)::bigint, event_id::text, type,
       aggregate_id::text, aggregate_version,
       to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), actor,
       account::text, correlation_id::text, causation_id::text, state
  FROM (SELECT *, sum(octet_length(state)) FILTER (WHERE position > %(after)s)
                  OVER (ORDER BY position) AS bytes
          FROM (SELECT * FROM atelier_events WHERE position >= %(after)s
                 ORDER BY position LIMIT %(most)s + 1) AS next
       ) AS summed
 WHERE position = %(after)s OR bytes - octet_length(state) < %(bytes)s
 ORDER BY position"""

UNKNOWN: LiteralString = """-- Which of these positions hold another event, or none?
SELECT k.position
  FROM unnest(%s::bigint[], %s::uuid[]) AS k (position, event_id)
  LEFT JOIN atelier_events e ON e.position = k.position AND e.event_id = k.event_id
 WHERE e.position IS NULL"""

PLACES: LiteralString = """-- Of which aggregates are these events?
SELECT position, event_id, aggregate_id FROM atelier_events WHERE position = ANY(%s)
 ORDER BY position"""

T = TypeVar("T")
Place = tuple[int, UUID, UUID]  # position, event id, aggregate id


class RelayLog:
    """Reads the log for the relay and its check."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def head(self) -> tuple[UUID, int]:
        """The log's id and its newest position (0 when empty)."""
        with borrowed(self._pool) as connection:
            row = connection.execute("SELECT log_id, position FROM atelier_head").fetchone()
        assert row is not None
        return row[0], row[1]

    def ready(self, after: int, sent: str | None = None) -> tuple[str | None, list[Ready]]:
        """What comes after a position: at most `BATCH` events of about `BATCH_BYTES`.

        Before them the id of the event at the position. Raises `HistoryReplaced` when that is not
        `sent`, the event that was there before.
        """
        values = {"after": after, "most": BATCH, "bytes": BATCH_BYTES}
        with borrowed(self._pool) as connection:
            rows = list(starmap(Ready, connection.execute(READY, values)))
        here = rows.pop(0).event_id if rows and rows[0].position == after else None
        if sent is not None and here != sent:
            raise HistoryReplaced(after, UUID(sent))
        return here, rows

    def unknown(self, events: Sequence[tuple[int, UUID]]) -> set[int]:
        """Those of the positions at which the log does not hold that event."""
        found: set[int] = set()
        for some in _chunks(events):
            positions, ids = zip(*some, strict=True)
            with borrowed(self._pool) as connection:
                rows = connection.execute(UNKNOWN, [list(positions), list(ids)]).fetchall()
            found |= {position for (position,) in rows}
        return found

    def places(self, positions: Sequence[int]) -> Iterator[Place]:
        """Event and aggregate at each of these positions, in order."""
        for some in _chunks(positions):
            with borrowed(self._pool) as connection:
                yield from connection.execute(PLACES, [list(some)]).fetchall()


def _chunks(many: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(many), ASKED_TOGETHER):
        yield many[start : start + ASKED_TOGETHER]
