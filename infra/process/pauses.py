"""Lanes of the queue that an operator has paused: nothing more is claimed from them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import msgspec
import psycopg

LANES: Final = ("vip", "normal")

PAUSED: LiteralString = """-- What is paused, since when, by whom and why?
SELECT lane, paused_at, paused_by, reason FROM atelier_pauses ORDER BY lane DESC"""

PAUSE: LiteralString = """-- Pause lanes; who has paused one before is not forgotten.
INSERT INTO atelier_pauses (lane, paused_by, reason)
SELECT lane, %(by)s, %(reason)s FROM unnest(%(lanes)s::text[]) AS lane
    ON CONFLICT DO NOTHING RETURNING lane"""

RESUME: LiteralString = """-- Resume lanes.
DELETE FROM atelier_pauses WHERE lane = ANY(%s) RETURNING lane"""

Connection = psycopg.Connection[tuple[Any, ...]]


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A lane that is paused."""

    lane: str
    since: datetime
    by: str
    reason: str

    @property
    def told(self) -> str:
        """The same in a line."""
        return (
            f"{self.lane} is paused since {self.since:%Y-%m-%d %H:%M} by {self.by}: {self.reason}"
        )


def paused(connection: Connection) -> list[Pause]:
    """What is paused now."""
    return [
        Pause(lane=lane, since=since, by=by, reason=reason)
        for lane, since, by, reason in connection.execute(PAUSED)
    ]


def pause(connection: Connection, lanes: Sequence[str], *, by: str, reason: str) -> list[str]:
    """Have nothing more claimed from the lanes, and give those that were not paused before."""
    values = {"lanes": list(lanes), "by": by, "reason": reason}
    return [lane for (lane,) in connection.execute(PAUSE, values)]


def resume(connection: Connection, lanes: Sequence[str]) -> list[str]:
    """Have tasks claimed again, and give the lanes that were paused."""
    return [lane for (lane,) in connection.execute(RESUME, [list(lanes)])]
