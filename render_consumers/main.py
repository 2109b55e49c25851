"""The render-consumer process: one per GPU."""

import os
import signal
import socket
import threading
from typing import Any
from uuid import uuid4

import structlog

from domain.errors import HistoryReplaced, Unavailable
from infra.kafka.tickets import TicketSubscription
from infra.log import fingerprints
from infra.log.event_store import EventStore, open_store
from infra.media.store import MediaStore
from infra.postgres import Listener, Pool, borrowed, open_pool
from infra.process import pauses
from infra.process.leader import Leadership
from infra.process.processes import tell_ready
from infra.settings import Settings
from infra.webhooks.deliveries import Deliveries
from infra.webhooks.posting import Poster
from projections import queue
from projections.queue import Claimable
from render_consumers.engines.engine import LocalEngine
from render_consumers.loop.cleaner import NAME as CLEANER
from render_consumers.loop.cleaner import Cleaner
from render_consumers.loop.consumer import Consumer
from render_consumers.loop.leases import Leases
from render_consumers.loop.webhooks import LOCK as WEBHOOKS
from render_consumers.loop.webhooks import WebhookSender
from render_consumers.painting.painter import Painter
from render_consumers.painting.preparation import prepare

log = structlog.get_logger("atelier.render")

CONNECTIONS = 4
LOOK_EVERY_S = 5.0  # tickets may get lost, so an idle consumer looks by itself
# While no tickets reach it (Kafka is away, or the group not joined yet), or a lane is paused.
LOOK_OFTEN_EVERY_S = 0.5
CATCH_UP_S = 2.0  # how long a ticket may be ahead of the queue's rows
CATCH_UP_STEP_S = 0.005
RETRY_S = 1.0
JOIN_S = 3.0


class WakeSignal:
    """What wakes an idle consumer, and the newest position that a ticket has told."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.position = 0

    def tell(self, position: int) -> None:
        """A ticket has come."""
        self.position = max(self.position, position)
        self.told.set()


def run(settings: Settings) -> None:
    """Render until SIGTERM or SIGINT; the task at hand is given back then."""
    settings.require(
        "postgres_url", "kafka_bootstrap", "s3_url", "master_key", "hash_key", "lease_seconds"
    )
    fingerprints.check(settings)
    stop, wake = threading.Event(), WakeSignal()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(stop, wake))
    prepare(log.info)
    painter = Painter()
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    pool = open_pool(settings.postgres_url, CONNECTIONS)
    store = open_store(
        settings.postgres_url, settings.master_key, settings.hash_key, connections=CONNECTIONS
    )
    media = MediaStore(settings)
    consumer = Consumer(
        name,
        store,
        Leases(pool, name, settings.lease_seconds),
        media,
        LocalEngine(painter, media),
        lambda limit: _next_tasks(pool, settings.queue_max_wait, limit),
    )
    subscription = TicketSubscription(settings, wake.tell)
    threads = [
        threading.Thread(target=store.keys.watch, args=(stop,), daemon=True),
        threading.Thread(target=subscription.follow, args=(stop,), daemon=True),
        threading.Thread(target=_clean, args=(settings, pool, store, media, stop), daemon=True),
        threading.Thread(target=_tell, args=(settings, store, media, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    tell_ready()
    log.info("ready to render", consumer=name)
    _consume(consumer, pool, subscription, wake, stop)
    for thread in threads:
        thread.join(JOIN_S)


def _end(stop: threading.Event, wake: WakeSignal) -> None:
    stop.set()
    wake.told.set()


def _consume(
    consumer: Consumer,
    pool: Pool,
    subscription: TicketSubscription,
    wake: WakeSignal,
    stop: threading.Event,
) -> None:
    waiting = False
    while not stop.is_set():
        wake.told.clear()
        try:
            _catch_up(pool, wake.position, stop)
            paused = _is_paused(pool)
            consumer.work_through(stop)
            # A change in between leaves what has come unclaimed.
            paused = paused or _is_paused(pool)
        except Unavailable as error:
            if not waiting:
                log.warning("waiting", why=str(error))
            waiting = True
            stop.wait(RETRY_S)
            continue
        except HistoryReplaced as error:
            log.error("stopped", why=str(error))
            stop.wait()
            continue
        waiting = False
        often = paused or not subscription.listening.is_set()
        wake.told.wait(LOOK_OFTEN_EVERY_S if often else LOOK_EVERY_S)


def _next_tasks(pool: Pool, max_wait: int | None, limit: int) -> list[Claimable]:
    with borrowed(pool) as connection:
        return queue.claimable(connection, limit=limit, max_wait=max_wait)


def _is_paused(pool: Pool) -> bool:
    with borrowed(pool) as connection:
        return bool(pauses.paused(connection))


def _catch_up(pool: Pool, position: int, stop: threading.Event) -> None:
    """Wait until the queue shows what a ticket told of, since both come from the same event."""
    with borrowed(pool) as connection:
        for _ in range(int(CATCH_UP_S / CATCH_UP_STEP_S)):
            if queue.standing(connection) >= position or stop.wait(CATCH_UP_STEP_S):
                return


def _clean(
    settings: Settings, pool: Pool, store: Any, media: MediaStore, stop: threading.Event
) -> None:
    listener = Listener(settings.postgres_url)
    with Leadership(settings.postgres_url, f"atelier.{CLEANER}") as leader:
        Cleaner(pool, store, media).run(leader, listener.wait, stop)
    listener.close()


def _tell(settings: Settings, store: EventStore, media: MediaStore, stop: threading.Event) -> None:
    listener = Listener(settings.postgres_url)
    with (
        open_pool(settings.postgres_url, CONNECTIONS) as pool,
        Leadership(settings.postgres_url, WEBHOOKS) as leader,
    ):
        poster = Poster(settings.webhook_hosts)
        sender = WebhookSender(Deliveries(pool), store, media.url, poster, settings.webhook_key)
        sender.run(leader, listener.wait, stop)
    listener.close()
