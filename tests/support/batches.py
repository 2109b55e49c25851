"""Saves as the function of the log takes them, and acts that begin at the same moment."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from uuid import UUID, uuid4

from domain.errors import AtelierError
from infra.log.appender import APPEND
from tests.support.scenario import ACCOUNT


class Row(NamedTuple):
    save: int
    aggregate: UUID
    version: int
    state: str = '{"attempt": 1, "consumer": "one"}'
    type: str = "render.started.v1"
    event_id: UUID | None = None
    account: UUID | None = ACCOUNT


class Wanted(NamedTuple):
    save: int
    kind: str
    scope: str
    owner: UUID
    key: str | None = None
    limit: int | None = None


def append(connection, rows, guards=()):
    """The answers of one batch: (outcome, last position) by save, and the reasons by save."""
    answers = connection.execute(
        APPEND,
        [
            0,
            None,
            [row.save for row in rows],
            [row.event_id or uuid4() for row in rows],
            [row.type for row in rows],
            [row.aggregate for row in rows],
            [row.version for row in rows],
            ["test" for _ in rows],
            [row.account for row in rows],
            [uuid4() for _ in rows],
            [None for _ in rows],
            [row.state for row in rows],
            [guard.save for guard in guards],
            [guard.kind for guard in guards],
            [guard.scope for guard in guards],
            [guard.key for guard in guards],
            [guard.owner for guard in guards],
            [guard.limit for guard in guards],
        ],
    ).fetchall()
    return {save: (outcome, last) for save, outcome, last, _ in answers}, {
        save: reason for save, *_, reason in answers
    }


def refusals_of(acts):
    """What each of the acts, all begun at once, was refused with; None where it was not."""
    begin = threading.Barrier(len(acts))

    def outcome(act):
        begin.wait()
        try:
            act()
        except AtelierError as refusal:
            return type(refusal)
        return None

    with ThreadPoolExecutor(len(acts)) as threads:
        return Counter(threads.map(outcome, acts))
