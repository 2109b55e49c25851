"""The projector process: one thread for its read models. And the migration before it starts."""

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Iterator, Sequence

import structlog

from infra.log import fingerprints
from infra.log.event_store import EventStore, open_store, store_for_a_while
from infra.log.migrate import migrate as migrate_schema
from infra.postgres import Listener, answered, connect
from infra.process.metrics import PROJECTED, PROJECTION
from infra.process.shares import Shares
from infra.settings import Settings
from projections import PROJECTIONS
from projections.generations import can_serve, make, switch
from projections.model import Projection
from projections.rebuild import Rebuild
from projections.runner import Runner, tune_garbage_collection
from projections.segments import Log, OpenLog

log = structlog.get_logger("atelier.projector")

JOIN_S = 4.0
SMALL = 100_000  # events, which are applied in seconds
# Rows and position are one commit, so what a crash takes of them is applied again: none waits for
# the disk, which the appends have for themselves.
connect_to_apply = functools.partial(connect, synchronous_commit="off")
TELL_S = 5.0


def migrate(settings: Settings) -> None:
    """Bring the database to this build's schema and make the read models that it lacks."""
    settings.require("postgres_url")
    names = migrate_schema(settings.postgres_url)
    for name in names:
        log.info("migrated", script=name)
    if not names:
        log.info("nothing to migrate: the database has this build's schema")
    with answered(), connect(settings.postgres_url) as connection:
        stale = [each for each in PROJECTIONS if not make(connection, each)]
        unfit = [each for each in stale if not can_serve(connection, each)]
        ((events,),) = connection.execute("SELECT position FROM atelier_head")
    fingerprints.check(settings)
    now = (stale if events <= SMALL else unfit) if settings.master_key else []
    if now:
        _rebuild(settings, now)
    if later := [each.name for each in stale if each not in now]:
        log.warning(
            "other code made these read models: run `atelier projections rebuild --accept`",
            models=later,
        )


def _rebuild(settings: Settings, projections: Sequence[Projection]) -> None:
    """Fill new generations with this build's code, and have them serve."""
    with Rebuild(projections, log_opener(settings)) as new:
        new.fill(_Tell())
        with connect(settings.postgres_url) as connection:
            for projection in projections:
                switch(connection, projection, new.generations[projection.name])
                log.info("rebuilt", model=projection.name)


class _Tell:
    """Logs now and then how far read models have been filled."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, position: int, head: int) -> None:
        if time.monotonic() - self._told_at > TELL_S:
            self._told_at = time.monotonic()
            log.info("rebuilding", events=position, of=head)


def log_opener(settings: Settings) -> OpenLog:
    """How this process, and others that it starts, reach the log and the read models."""
    settings.require("postgres_url", "master_key", "hash_key")
    return functools.partial(
        _open_log, settings.postgres_url, settings.master_key, settings.hash_key
    )


@contextlib.contextmanager
def _open_log(url: str, master_key: bytes, email_secret: bytes) -> Iterator[Log]:
    with store_for_a_while(url, master_key, email_secret) as store:
        yield Log(functools.partial(connect_to_apply, url, statement_timeout=0), store.read_some)


def run(settings: Settings) -> None:
    """Keep every read model until SIGTERM or SIGINT."""
    fingerprints.check(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threads = start(settings, stop)
    tune_garbage_collection()
    log.info("projecting", models=[projection.name for projection in PROJECTIONS])
    stop.wait()
    for thread in threads:
        thread.join(JOIN_S)


def start(settings: Settings, stop: threading.Event) -> list[threading.Thread]:
    """Start keeping the read models in a thread; it and a helper end soon after `stop` is set."""
    settings.require("postgres_url", "master_key", "hash_key")
    store = open_store(settings.postgres_url, settings.master_key, settings.hash_key, connections=2)
    threads = [
        threading.Thread(target=store.keys.watch, args=(stop,), name="keys", daemon=True),
        threading.Thread(target=_keep, args=(settings, store, stop), name="runner", daemon=True),
    ]
    for thread in threads:
        thread.start()
    return threads


def _keep(settings: Settings, store: EventStore, stop: threading.Event) -> None:
    url = settings.postgres_url
    runner = Runner(PROJECTIONS, store.read_some, _note)
    listener = Listener(url)
    names = [projection.name for projection in PROJECTIONS]
    with Shares(url, "projector", names, lock="atelier.projection.{}") as shares:
        runner.run(functools.partial(connect_to_apply, url), shares.held, listener.wait, stop)
    listener.close()


def _note(model: str, count: int, seconds: float) -> None:
    PROJECTION.labels(model).observe(seconds)
    PROJECTED.labels(model).inc(count)
