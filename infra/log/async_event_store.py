"""The event store for an event loop: what callers ask at the same moment shares one statement."""

import asyncio
import functools
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from typing import Final
from uuid import UUID

from domain.events import NewEvent, Recorded
from infra.log.event_store import EventStore

MOST_TOGETHER: Final = 64

Histories = dict[UUID, list[Recorded]]


class AsyncEventStore:
    """Loads and appends beside an event loop, which never waits for Postgres itself."""

    def __init__(self, store: EventStore, threads: Executor) -> None:
        self._store = store
        self._threads = threads
        self._loader = ThreadPoolExecutor(1, "loader")  # one statement at a time
        self._waiting: dict[UUID, list[asyncio.Future[list[Recorded]]]] = {}
        self._loading: asyncio.Task[None] | None = None

    async def load(self, aggregate_id: UUID) -> list[Recorded]:
        """An aggregate's history as it is at this moment or later, oldest first.

        Raises what `EventStore.load` does.
        """
        history: asyncio.Future[list[Recorded]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(aggregate_id, []).append(history)
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_all())
        return await history

    async def append(self, events: Sequence[NewEvent]) -> int:
        """Append the events as one save; raises what `EventStore.append` does."""
        if self._store.can_seal_at_once(events):
            return await self._store.append_async(events)
        loop = asyncio.get_running_loop()
        append = functools.partial(copy_context().run, self._store.append, events)
        return await loop.run_in_executor(self._threads, append)

    def close(self) -> None:
        """Load no more."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def _load_all(self) -> None:
        while self._waiting:
            asked = list(self._waiting)[:MOST_TOGETHER]
            waiting = {aggregate_id: self._waiting.pop(aggregate_id) for aggregate_id in asked}
            await self._load(waiting)
        self._loading = None

    async def _load(self, waiting: dict[UUID, list[asyncio.Future[list[Recorded]]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            histories: Histories = await loop.run_in_executor(
                self._loader, self._store.load_many, list(waiting)
            )
        except Exception as error:
            if len(waiting) > 1:  # one of them may be unreadable: each by itself
                for aggregate_id, futures in waiting.items():
                    await self._load({aggregate_id: futures})
                return
            for future in _open(waiting):
                future.set_exception(error)
        else:
            for aggregate_id, futures in waiting.items():
                for future in _open({aggregate_id: futures}):
                    future.set_result(histories[aggregate_id])


def _open(
    waiting: dict[UUID, list[asyncio.Future[list[Recorded]]]],
) -> list[asyncio.Future[list[Recorded]]]:
    """Those whose asker still waits."""
    return [future for futures in waiting.values() for future in futures if not future.done()]
