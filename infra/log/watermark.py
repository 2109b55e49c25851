"""What a process has seen of the log, by which it notices that the log is another one now."""

from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from domain.errors import HistoryReplaced

NOT_HELD: Final = "AT001"  # the SQLSTATE of atelier_append_after

HOLDS: LiteralString = """-- Does the log still hold the event that was seen?
SELECT EXISTS (SELECT FROM atelier_events WHERE position = %s AND event_id = %s)"""


class Seen(NamedTuple):
    """An event of the log; at position 0 none."""

    position: int = 0
    event_id: UUID | None = None


class Watermark:
    """The newest event that was seen. Any thread may tell of one."""

    def __init__(self) -> None:
        self.seen = Seen()

    def see(self, position: int, event_id: UUID) -> None:
        """Note an event that was appended or read."""
        if position > self.seen.position:
            self.seen = Seen(position, event_id)

    def check(self, connection: psycopg.Connection[Any]) -> None:
        """Raise `HistoryReplaced` when the log does not hold what was seen."""
        seen = self.seen
        if seen.event_id is not None:
            row = connection.execute(HOLDS, seen).fetchone()
            if row != (True,):
                raise HistoryReplaced(seen.position, seen.event_id)
