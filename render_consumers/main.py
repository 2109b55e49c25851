"""The render-consumer process: one per GPU."""

import contextlib
import os
import signal
import socket
import threading
from typing import Any
from uuid import uuid4

import psycopg
import structlog

from domain.errors import HistoryReplaced, Unavailable
from infra.kafka.tickets import TicketSubscription
from infra.kling.client import Kling
from infra.kling.illustrations import Illustrations
from infra.kling.tokens import Tokens
from infra.log import fingerprints
from infra.log.event_store import EventStore, open_store
from infra.media.store import MediaStore
from infra.postgres import Listener, Pool, borrowed, connect, open_pool
from infra.process import pauses
from infra.process.leader import Leadership
from infra.process.metrics import DEVICE_LOST
from infra.process.processes import LOST_CONSUMER, Pulse, name_connections, tell_ready
from infra.settings import Settings
from infra.webhooks.deliveries import Deliveries
from infra.webhooks.posting import Poster
from projections import queue
from render_consumers.engines.engine import LocalEngine
from render_consumers.engines.illustration import Redrawing
from render_consumers.engines.job import DeviceLost
from render_consumers.loop.cleaner import NAME as CLEANER
from render_consumers.loop.cleaner import Cleaner
from render_consumers.loop.consumer import Consumer
from render_consumers.loop.illustrator import NAME as ILLUSTRATOR
from render_consumers.loop.illustrator import Illustrator
from render_consumers.loop.leases import Leases, open_lease_pool
from render_consumers.loop.webhooks import LOCK as WEBHOOKS
from render_consumers.loop.webhooks import WebhookSender
from render_consumers.painting.body.preparation import prepare
from render_consumers.painting.painter import Painter

log = structlog.get_logger("atelier.render")

CONNECTIONS = 4
LOOK_EVERY_S = 5.0  # tickets may get lost, so an idle consumer looks by itself
# While no tickets reach it (Kafka is away, or the group not joined yet), or a lane is paused.
LOOK_OFTEN_EVERY_S = 0.5
CATCH_UP_S = 2.0  # how long a ticket may be ahead of the queue's rows
CATCH_UP_STEP_S = 0.005
RETRY_S = 1.0
JOIN_S = 3.0
STUCK_S = 120.0  # in which whoever works asks at least once whether to stop: no step takes so long
# Together less than what `up` gives us to stop.
GRACE_S = 1.5
HAND_BACK_S = 1.0


class BeatingStop(threading.Event):
    """A stop that tells a pulse of everybody who asks for it: whoever asks gets on."""

    def __init__(self, pulse: Pulse) -> None:
        super().__init__()
        self._pulse = pulse

    def is_set(self) -> bool:
        """Whether to stop."""
        self._pulse.beat()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether to stop, by then."""
        self._pulse.beat()
        return super().wait(timeout)


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
    """Render until SIGTERM or SIGINT; what is at hand then ends or is given back in 2.5 s."""
    settings.require(
        "postgres_url", "kafka_bootstrap", "s3_url", "master_key", "hash_key", "lease_seconds"
    )
    fingerprints.check(settings)
    stop, wake, pulse = threading.Event(), WakeSignal(), Pulse(STUCK_S)
    work_stop = BeatingStop(pulse)  # of the thread that works; the others ask for `stop`
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(stop, work_stop, wake))
    prepare(log.info)
    painter = Painter()
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    pool = open_pool(settings.postgres_url, CONNECTIONS)
    leases = open_lease_pool(settings.postgres_url)
    store = open_store(
        settings.postgres_url, settings.master_key, settings.hash_key, connections=CONNECTIONS
    )
    media = MediaStore(settings)
    consumer = Consumer(
        name,
        store,
        _leases(leases, name, settings),
        media,
        LocalEngine(painter, media, _redrawing(settings, pool, media)),
        settings.render_batch,
    )
    subscription = TicketSubscription(settings, wake.tell)
    threads = [
        threading.Thread(target=store.keys.watch, args=(stop,), daemon=True),
        threading.Thread(target=subscription.follow, args=(stop,), daemon=True),
        threading.Thread(target=_clean, args=(settings, pool, store, media, stop), daemon=True),
        threading.Thread(target=_tell, args=(settings, store, media, stop), daemon=True),
        threading.Thread(target=_illustrate, args=(settings, store, media, stop), daemon=True),
        threading.Thread(target=pulse.follow, args=(stop,), daemon=True),
    ]
    idle = threading.Event()
    threading.Thread(target=_end_in_time, args=(consumer, stop, idle), daemon=True).start()
    for thread in threads:
        thread.start()
    tell_ready()
    log.info("ready to render", consumer=name)
    try:
        _consume(consumer, pool, subscription, wake, work_stop)
    except DeviceLost as error:
        log.error("device lost, no more tasks are taken: start it again", why=str(error))
        _stand_aside(settings, work_stop)
    idle.set()
    for thread in threads:
        thread.join(JOIN_S)


def _end(stop: threading.Event, work_stop: threading.Event, wake: WakeSignal) -> None:
    stop.set()
    work_stop.set()
    wake.told.set()


def _end_in_time(consumer: Consumer, stop: threading.Event, idle: threading.Event) -> None:
    """End the process soon after `stop`, even if what works does not listen."""
    stop.wait()
    if idle.wait(GRACE_S):
        return
    log.warning("does not stop by itself: handing back what is at hand")
    handing_back = threading.Thread(target=consumer.hand_back, daemon=True)
    handing_back.start()
    handing_back.join(HAND_BACK_S)
    os._exit(0)


def _stand_aside(settings: Settings, stop: threading.Event) -> None:
    """Be seen by `atelier status` and Prometheus as one that renders no more, until `stop`."""
    DEVICE_LOST.set(1)
    name_connections(LOST_CONSUMER)
    while not stop.wait(RETRY_S):
        with contextlib.suppress(psycopg.Error), connect(settings.postgres_url) as connection:
            while not stop.wait(RETRY_S):
                connection.execute("SELECT 1")  # or it has gone, and another is made


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
            while not stop.wait(RETRY_S):
                pass
            continue
        waiting = False
        often = paused or not subscription.listening.is_set()
        wake.told.wait(LOOK_OFTEN_EVERY_S if often else LOOK_EVERY_S)


def _leases(pool: Pool, name: str, settings: Settings) -> Leases:
    return Leases(
        pool,
        name,
        settings.lease_seconds,
        max_wait=settings.queue_max_wait,
        fair=settings.queue_fair,
    )


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


def _redrawing(settings: Settings, pool: Pool, media: MediaStore) -> Redrawing | None:
    if not settings.kling_url:
        return None
    return Redrawing(Illustrations(pool), media, settings.kling_wait_seconds)


def _illustrate(
    settings: Settings, store: EventStore, media: MediaStore, stop: threading.Event
) -> None:
    if not settings.kling_url:
        return
    tokens = Tokens(settings.kling_access_key, settings.kling_secret_key)
    kling = Kling(settings.kling_url, tokens, settings.kling_model, settings.kling_callback_url)
    with (
        open_pool(settings.postgres_url, 1) as pool,
        Leadership(settings.postgres_url, f"atelier.{ILLUSTRATOR}") as leader,
    ):
        table = Illustrations(pool)
        Illustrator(table, store, media, kling, settings.kling_slots).run(leader, stop.wait, stop)


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
