"""Slows the filling of new generations down while those who append and query suffer from it."""

import time
from collections import deque
from typing import Final, LiteralString

from projections.rows import Connection

RECENT: Final = 20  # measurements by which it decides
USUAL_EVERY_S: Final = 0.01
TIMES: Final = 2.0  # what usually takes so long may take so many times longer
UNNOTICED_S: Final = 0.005  # nobody suffers from this
LEAST: Final = 0.25
MOST: Final = 4.0
AWAY_S: Final = 2.0  # without a query, after which nobody is there to suffer

PROBE: LiteralString = """-- How long does a commit take?
SELECT pg_logical_emit_message(true, 'atelier.governor', '')"""

# The other processes of Atelier, which wait for nobody's answer, have names of their own.
SERVED: LiteralString = """-- Has anybody been served of late?
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend'
                  AND application_name <> current_setting('application_name')
                  AND application_name !~ '^atelier (?!api )'
                  AND query_start > clock_timestamp() - make_interval(secs => %s))"""


class Governor:
    """Tells those who fill how long to rest, as a multiple of the time for which they worked.

    It measures how long a commit takes: that is what an append waits for, and it takes as long as
    the processor and the disk have others to serve. The rest grows by half with each measurement
    while one commit in ten takes more than twice as long as before the filling began and somebody
    is served, and shrinks by a tenth otherwise.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._took: deque[float] = deque(maxlen=RECENT)
        self._rest = 0.0
        for _ in range(RECENT):
            self._measure()
            time.sleep(USUAL_EVERY_S)
        self._bearable = max(UNNOTICED_S, TIMES * self._slow())

    def rest(self) -> float:
        """How long to rest after each second of work, from 0 to 4 s."""
        self._measure()
        if self._slow() > self._bearable and self._serves():
            self._rest = min(MOST, max(LEAST, 1.5 * self._rest))
        else:
            self._rest = 0.9 * self._rest if self._rest > LEAST else 0.0
        return self._rest

    def _serves(self) -> bool:
        ((served,),) = self._connection.execute(SERVED, [AWAY_S])
        return bool(served)

    def _measure(self) -> None:
        began = time.perf_counter()
        self._connection.execute(PROBE)
        self._took.append(time.perf_counter() - began)

    def _slow(self) -> float:
        """How long one in ten takes."""
        return sorted(self._took)[len(self._took) * 9 // 10]
