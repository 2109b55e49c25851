"""The queue in rounds: what its ranks and turns are for."""

import random
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from domain.events import Event, Recorded
from projections.queue import PROJECTION, Place, fold
from projections.rows import Rows
from tests.support.scenario import cancelled, enveloped, requested, requeued, started

PEOPLE = [uuid4() for _ in range(5)]
STEPS = 300


class Queue:
    """The rows in memory, and what has happened to them."""

    def __init__(self) -> None:
        self.rows: Rows[Place] = Rows(PROJECTION.table)
        self._position = 0

    def tell(self, task: UUID, account: UUID, event: Event) -> None:
        self._position += 1
        self.rows.take((task,) if isinstance(event, type(requested())) else (), PEOPLE)
        members = msgspec.structs.asdict(enveloped(event, task, account=account))
        at = datetime.now(UTC)
        fold(self.rows, Recorded(**members, position=self._position, recorded_at=at))

    def waiting(self) -> list[Place]:
        """The lane in the order in which it is served."""
        found = [row for account in PEOPLE for row in self.rows.of(account) if not row.started]
        return sorted(found, key=lambda row: (row.rank, row.turn))


class Ring:
    """Round robin as the books have it: whoever was served goes to the end of the ring."""

    def __init__(self) -> None:
        self._users: deque[UUID] = deque()
        self._lines: dict[UUID, list[UUID]] = {account: [] for account in PEOPLE}

    def add(self, task: UUID, account: UUID) -> None:
        if not self._lines[account]:
            self._users.append(account)
        self._lines[account].append(task)

    def take(self) -> UUID:
        account = self._users.popleft()
        task = self._lines[account].pop(0)
        if self._lines[account]:
            self._users.append(account)
        return task

    def drop(self, task: UUID, account: UUID) -> None:
        self._lines[account].remove(task)
        if not self._lines[account]:
            self._users.remove(account)


@pytest.mark.parametrize("seed", range(5))
def test_rank_and_turn_are_round_robin_over_users(seed: int) -> None:
    chance = random.Random(seed)
    queue, ring = Queue(), Ring()
    for _ in range(STEPS):
        waiting = queue.waiting()
        step = chance.random()
        if step < 0.55 or not waiting:
            task, account = uuid4(), chance.choice(PEOPLE)
            queue.tell(task, account, requested())
            ring.add(task, account)
        elif step < 0.9:
            first = waiting[0]
            assert first.task == ring.take()
            queue.tell(first.task, first.account, started())
        else:
            gone = chance.choice(waiting)
            queue.tell(gone.task, gone.account, cancelled())
            ring.drop(gone.task, gone.account)
    assert [row.task for row in queue.waiting()] == [ring.take() for _ in queue.waiting()]


@pytest.mark.parametrize("seed", range(5))
def test_claims_out_of_order_leave_no_gap_in_which_somebody_starves(seed: int) -> None:
    """What is claimed, given back or cancelled, whoever's: the next unclaimed one has rank 1."""
    chance = random.Random(seed)
    queue = Queue()
    for _ in range(STEPS):
        waiting = queue.waiting()
        if chance.random() < 0.5 or not waiting:
            queue.tell(uuid4(), chance.choice(PEOPLE), requested())
            continue
        one = chance.choice(waiting)
        for event in chance.choice(([cancelled()], [started()], [started(), requeued()])):
            queue.tell(one.task, one.account, event)
        for account in PEOPLE:
            line = unclaimed(queue.rows.of(account))
            assert [row.rank for row in line] == list(range(1, len(line) + 1))
            assert [row.turn for row in line] == sorted(row.turn for row in line)
    places = [(row.rank, row.turn) for row in queue.waiting()]
    assert len(set(places)) == len(places)


def unclaimed(rows: Sequence[Place]) -> list[Place]:
    return sorted((row for row in rows if not row.attempt), key=lambda row: row.place)
