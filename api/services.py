"""What the handlers work with, made when the server starts and closed when it stops."""

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import NamedDependency

from domain import account as account_domain
from domain import garment as garment_domain
from domain.account import Account
from domain.errors import Unavailable
from domain.events import fold
from domain.garment import WornGarment, garment_id, worn
from domain.picture import ApparelDetails
from infra.access.limits import Limits
from infra.access.login_codes import LoginCodes
from infra.access.mail import make_mailer
from infra.access.tokens import Tokens, Unauthorized
from infra.kling.illustrations import Illustrations
from infra.log.appender import DEADLINE
from infra.log.async_event_store import AsyncEventStore
from infra.log.event_store import EventStore
from infra.log.keys import REMEMBER_MOST, KeyRing
from infra.media.store import MediaStore
from infra.postgres import AsyncListener, Pool, borrowed_async, make_async_pool, open_pool
from infra.settings import Settings
from projections.pace import PaceMeter
from projections.reading import Reader

log = structlog.get_logger("atelier.api")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

CONNECTIONS: Final = 8  # for commands, and as many for reads
THREADS: Final = 32  # commands at a time; those that find no connection wait in them
ANSWER_S: Final = 6.0  # Postgres' own limits are shorter; this one is for a Postgres that hangs
TELL_S: Final = 0.5  # before that a save is given up, so that its own answer comes first
MAILS: Final = 2  # at a time
BY_CODE: Final = "code"
BY_GRANT: Final = "granted"
CLOSE_S: Final = 1.0
NEEDED: Final = (
    "postgres_url",
    "master_key",
    "hash_key",
    "jwt_key",
    "s3_url",
    "kafka_bootstrap",
)


class Services:
    """The stores, as one server process holds them."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        store: EventStore,
        reader: Reader,
        threads: ThreadPoolExecutor,
    ) -> None:
        self.settings = settings
        self.store = store
        self.async_store = AsyncEventStore(store, threads)
        self.reader = reader
        self.pace = PaceMeter(reader, fair=settings.queue_fair)
        self._loop = asyncio.get_running_loop()
        self.listener = AsyncListener(settings.postgres_url)
        self.media = MediaStore(settings)
        self.tokens = Tokens(
            settings.jwt_key, settings.jwt_old_keys, codes=settings.login == BY_CODE
        )
        self.limits = Limits(pool, settings.hash_key)
        self.login_codes = LoginCodes(pool, settings.hash_key)
        self.illustrations = Illustrations(pool)
        self.mailer = make_mailer(settings)
        self._mails = ThreadPoolExecutor(MAILS, "mail")
        self._threads = threads
        self._numbers: dict[UUID, int] = {}
        self._closed = threading.Event()
        threading.Thread(target=store.keys.watch, args=(self._closed,), daemon=True).start()

    async def in_thread(
        self,
        work: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run blocking work beside the event loop; raises `Unavailable` when it takes too long."""

        async def run() -> Result:
            call = functools.partial(contextvars.copy_context().run, work, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

        return await self.in_time(run())

    async def in_time(self, work: Awaitable[Result], seconds: float = ANSWER_S) -> Result:
        """Await the work; raises `Unavailable` when it takes too long.

        The work must let go at once when it is cancelled, as a future does and a query does not.
        What it has not begun to store by then is never stored; what it has, is told a bit earlier.
        """
        set_before = DEADLINE.set(time.monotonic() + seconds - TELL_S)
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError as error:
            raise Unavailable("Postgres does not answer; try again in a moment") from error
        finally:
            DEADLINE.reset(set_before)

    def later(self, work: Callable[[], None]) -> None:
        """Have a mail sent beside everything else; whoever asks for it does not wait."""
        self._mails.submit(_logged, work)

    def end_waits(self) -> None:
        """Answer all who wait for something to happen: the server stops. Any thread may say so."""
        self._loop.call_soon_threadsafe(self.listener.end)

    def close(self) -> None:
        """Send no more mail, and hear of no more erasures."""
        self._closed.set()
        self.async_store.close()
        self._mails.shutdown(wait=False, cancel_futures=True)

    def account(self, account: UUID) -> Account:
        """The account by the log; raises `Unauthorized` when there is none, or none any more."""
        history = self.store.load(account)
        state = fold(account_domain.evolve, account_domain.initial, history)
        if state.info.email is None:
            raise Unauthorized("there is no such account; log in again")
        return state

    async def may_be_vip(self, account: UUID) -> bool:
        """Whether the account's tasks get into the vip lane when it asks for that, by the log."""
        if self.settings.vip != BY_GRANT:
            return True
        return self.lets_in(await self.in_thread(self.account, account))

    def lets_in(self, person: Account) -> bool:
        """The same of an account that has been loaded."""
        return self.settings.vip != BY_GRANT or person.vip

    async def worn(self, apparel: ApparelDetails) -> WornGarment | None:
        """What the catalogue says of a garment that somebody wants to wear, by the log."""
        if not apparel.item_id.strip():
            return None
        wanted = garment_id(apparel.brand, apparel.item_id)
        history = await self.async_store.load(wanted)
        return worn(fold(garment_domain.evolve, garment_domain.initial, history), apparel)

    async def account_number(self, account: UUID) -> int:
        """The account's number, which never changes; raises `Unauthorized` as `account` does.

        It is known for as long as the account's key is, so that it dies with it.
        """
        number = self._numbers.get(account)
        if number is None or not self.store.keys.remembers(account):
            number = (await self.in_thread(self.account, account)).number
            if len(self._numbers) >= REMEMBER_MOST:
                self._numbers.clear()
            self._numbers[account] = number
        return number


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # nobody waits for it; the log names no address
        log.error("mail not sent", why=type(error).__name__)


@asynccontextmanager
async def opened(app: Litestar, settings: Settings) -> AsyncIterator[None]:
    """Hold the services while the server runs; nothing of them must answer yet."""
    pool = open_pool(settings.postgres_url, CONNECTIONS)
    readers = make_async_pool(settings.postgres_url, CONNECTIONS)
    await readers.open(wait=False)
    threads = ThreadPoolExecutor(THREADS, "command")
    store = EventStore(pool, KeyRing(pool, settings.master_key), settings.hash_key)
    services = app.state.services = Services(
        settings, pool, store, Reader(functools.partial(borrowed_async, readers)), threads
    )
    try:
        yield
    finally:
        services.close()
        await asyncio.to_thread(store.close, CLOSE_S)
        threads.shutdown(wait=False, cancel_futures=True)
        await app.state.services.listener.close()
        await readers.close(CLOSE_S)
        pool.close(CLOSE_S)


def provide(state: State) -> Services:
    """The services of this server."""
    services: Services = state.services
    return services


Provided = NamedDependency[Services]
