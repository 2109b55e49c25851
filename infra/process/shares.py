"""Which of some works this process does: those whose locks it holds, as many as its fellows."""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, LiteralString, Self

import psycopg

from infra.postgres import connect
from infra.process.leader import Leadership

LOOK_S: Final = 0.5  # between two tries for what nobody seems to do
LEFT_S: Final = 3.0  # after so long nobody else does it: take it, however much we have

ALIKE: LiteralString = """-- How many processes of a name are connected?
SELECT count(DISTINCT application_name) FROM pg_stat_activity
 WHERE datname = current_database() AND split_part(application_name, ' ', 2) = %s"""


class Shares:
    """Divides works among the processes of one name, each work to one of them at a time.

    A process that comes gets its share of what the others have; what one leaves that goes is taken
    over by the others.
    """

    def __init__(self, url: str, process: str, works: Sequence[str], lock: str) -> None:
        """`lock` is the name of a work's lock, with ``{}`` in the place of the work."""
        self._url = url
        self._process = process
        self._leaders = {work: Leadership(url, lock.format(work)) for work in works}
        self._open = ExitStack()
        self._look_at = 0.0
        self._full_since = (
            0.0  # since then we have our share, and somebody else should have the rest
        )
        self._alike = 1
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        for leader in self._leaders.values():
            self._open.enter_context(leader)
        self._open.callback(self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def held(self) -> list[str]:
        """The works that are ours just now; may be asked as often as need be."""
        if time.monotonic() >= self._look_at:
            self._balance()
            self._look_at = time.monotonic() + LOOK_S
        return [work for work, leader in self._leaders.items() if leader.held_lately()]

    def _balance(self) -> None:
        before, self._alike = self._alike, self._counted()
        share = math.ceil(len(self._leaders) / self._alike)
        ours = [leader for leader in self._leaders.values() if leader.held_lately()]
        if self._alike > before:  # somebody has come
            for leader in ours[share:]:
                leader.release()
        others = [leader for leader in self._leaders.values() if leader not in ours]
        if len(ours) < share:
            self._take(others, share - len(ours))
            self._full_since = time.monotonic()
        elif others and time.monotonic() - self._full_since > LEFT_S:
            self._take(others, len(others))
            self._full_since = time.monotonic()

    def _take(self, leaders: Sequence[Leadership], most: int) -> None:
        for leader in leaders:
            if most and leader.try_acquire():
                most -= 1

    def _counted(self) -> int:
        try:
            if self._connection is None:
                self._connection = connect(self._url)
            ((count,),) = self._connection.execute(ALIKE, [self._process])
        except psycopg.Error:
            self._hang_up()
            return self._alike
        return max(1, int(count))

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
