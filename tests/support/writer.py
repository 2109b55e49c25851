"""A process that appends events, to be killed at any moment."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from uuid import UUID, uuid5

from domain.errors import Unavailable
from infra.log.appender import Appender, Save
from infra.log.watermark import Watermark
from infra.postgres import open_pool
from tests.support.scenario import ACCOUNT

CALLERS = 16
NAMES = UUID(int=17)


def save_of(number: int) -> Save:
    """The save of a number: the same ids whenever it is sent."""
    event, aggregate = uuid5(NAMES, f"event {number}"), aggregate_of(number)
    kind, state = "render.started.v1", '{"attempt": 1, "consumer": "one"}'
    row = (event, kind, aggregate, 1, "test", ACCOUNT, NAMES, None, state)
    return Save([row], [("take", "test", str(number), ACCOUNT, None)])


def aggregate_of(number: int) -> UUID:
    """Whose first event a number is."""
    return uuid5(NAMES, f"aggregate {number}")


def write(url: str, numbers: Sequence[int], said: Connection) -> None:
    """Append the saves of the numbers, and say each number that is stored."""
    appender = Appender(open_pool(url, 2), lambda: None, Watermark())
    lock = threading.Lock()

    async def caller(left: list[int]) -> None:
        while left:
            number = left.pop()
            await _stored(appender, number)
            with lock:
                said.send(number)

    async def callers() -> None:
        left = list(numbers)
        await asyncio.gather(*(caller(left) for _ in range(CALLERS)))

    asyncio.run(callers())


async def _stored(appender: Appender, number: int) -> None:
    """As a client does: try again, with the same ids, as long as Postgres does not answer."""
    while True:
        with contextlib.suppress(Unavailable):
            result = await appender.append_async(save_of(number))
            assert result.outcome in ("appended", "stored"), result
            return
