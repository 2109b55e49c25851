"""The projector process: a thread for each read model. And the migration before it starts."""

import functools
import signal
import threading
from collections.abc import Callable

import structlog

from infra.log import fingerprints
from infra.log.event_store import EventStore, open_store
from infra.log.migrate import migrate as migrate_schema
from infra.postgres import Listener, answered, connect
from infra.process.leader import Leadership
from infra.process.metrics import PROJECTED, PROJECTION
from infra.settings import Settings
from projections import PROJECTIONS
from projections.model import Projection
from projections.runner import Runner, make

log = structlog.get_logger("atelier.projector")

JOIN_S = 4.0


def migrate(settings: Settings) -> None:
    """Bring the database to this build's schema and make the read models that it lacks."""
    settings.require("postgres_url")
    names = migrate_schema(settings.postgres_url)
    for name in names:
        log.info("migrated", script=name)
    if not names:
        log.info("nothing to migrate: the database has this build's schema")
    with answered(), connect(settings.postgres_url) as connection:
        for projection in PROJECTIONS:
            make(connection, projection)
    fingerprints.check(settings)


def run(settings: Settings) -> None:
    """Keep every read model until SIGTERM or SIGINT."""
    fingerprints.check(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threads = start(settings, stop)
    log.info("projecting", models=[projection.name for projection in PROJECTIONS])
    stop.wait()
    for thread in threads:
        thread.join(JOIN_S)


def start(settings: Settings, stop: threading.Event) -> list[threading.Thread]:
    """Start a thread for each read model; they end soon after `stop` is set."""
    settings.require("postgres_url", "master_key", "hash_key")
    store = open_store(
        settings.postgres_url,
        settings.master_key,
        settings.hash_key,
        connections=len(PROJECTIONS),
    )
    threads = [
        threading.Thread(target=store.keys.watch, args=(stop,), name="keys", daemon=True),
        *(_keeper(projection, settings.postgres_url, store, stop) for projection in PROJECTIONS),
    ]
    for thread in threads:
        thread.start()
    return threads


def _keeper(
    projection: Projection,
    url: str,
    store: EventStore,
    stop: threading.Event,
) -> threading.Thread:
    arguments = (projection, url, store, stop)
    return threading.Thread(target=_keep, args=arguments, name=projection.name, daemon=True)


def _keep(
    projection: Projection,
    url: str,
    store: EventStore,
    stop: threading.Event,
) -> None:
    listener = Listener(url)
    runner = Runner(
        projection, functools.partial(connect, url), store.read_some, _noted(projection.name)
    )
    with Leadership(url, f"atelier.projection.{projection.name}") as leader:
        runner.run(leader, listener.wait, stop)
    listener.close()


def _noted(model: str) -> Callable[[int, float], None]:
    batches, events = PROJECTION.labels(model), PROJECTED.labels(model)

    def note(count: int, seconds: float) -> None:
        batches.observe(seconds)
        events.inc(count)

    return note
