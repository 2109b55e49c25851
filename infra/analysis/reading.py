"""The log out of Postgres, as it is stored: a span of it, or on and on as it grows."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from psycopg import sql

from domain.errors import Unavailable
from infra.analysis.selection import Selection
from infra.log.event_store import EventLog
from infra.log.recorder import StoredRecord

PAGE: Final = 1_000
# A rare type is looked for in spans, so that no statement takes long however few events there are.
SPAN: Final = 50_000

COUNTED: Final = sql.SQL("""-- How many events of each type are there?
SELECT type, count(*) FROM atelier_events WHERE {} GROUP BY type ORDER BY type""")


def stored(log: EventLog, selection: Selection) -> Iterator[StoredRecord]:
    """The selected events that the log holds now, in order."""
    _, head = log.head()
    last = min(selection.last, head)
    first = selection.first
    while first <= last:
        until = min(first + SPAN - 1, last)
        page = log.read_where(selection.between(first, until).condition(), PAGE)
        yield from page
        first = page[-1].id + 1 if len(page) == PAGE else until + 1


def follow(
    log: EventLog,
    selection: Selection,
    wait: Callable[[], object],
    away: Callable[[], object],
) -> Iterator[StoredRecord]:
    """The selected events, and those to come, without end.

    `wait` returns when to look again; `away` is called when Postgres stops to answer. Raises
    `HistoryReplaced` when Postgres has been restored meanwhile.
    """
    first, answered = selection.first, True
    while True:
        try:
            log.check_history()
            _, head = log.head()
            for event in stored(log, selection.between(first, head)):
                yield event
                first = event.id + 1
            first, answered = max(first, head + 1), True
        except Unavailable:
            if answered:
                away()
            answered = False
        wait()


def first_at(log: EventLog, moment: datetime) -> int:
    """The position of the first event recorded at that moment or later; after the head if none is.

    The log's times never go back, so halving finds it.
    """
    low, high = 1, log.head()[1] + 1
    while low < high:
        middle = (low + high) // 2
        (found,) = log.read_stored(middle - 1, 1)
        if found.recorded_at < moment:
            low = middle + 1
        else:
            high = middle
    return low
