"""How the whole system does, in figures: read from Postgres, and asked of the servers."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg

from domain.errors import AtelierError, Unavailable
from infra.kafka import clients
from infra.kafka.topics import EVENTS_TOPIC
from infra.log import fingerprints
from infra.log.migrate import Schema, schema
from infra.media.store import MediaStore
from infra.postgres import answered, connect
from infra.process import pauses
from infra.process.leader import lock_key
from infra.process.pauses import Pause
from infra.process.processes import LOST_CONSUMER
from infra.relay.ledger import LOCK as RELAY_LOCK
from infra.settings import Settings
from projections import PROJECTIONS, queue

ANSWER_S: Final = 2.0
CLEANER: Final = "media_cleaner"
WEBHOOKS: Final = "webhooks"
PROCESSES: Final = ("render-consumer", "api", "relay", "projector")

Connection = psycopg.Connection[tuple[Any, ...]]

LOG: LiteralString = """-- Which log is it, and how far has it come?
SELECT log_id, position, (SELECT e.recorded_at FROM atelier_events e
                           WHERE e.position = h.position) FROM atelier_head h"""

READERS: LiteralString = """-- How far has each reader of the log come, and since when does it lag?
WITH reader (name, at, parked, beat_at, trouble) AS (
    SELECT 'relay', coalesce(max(r.position), 0), 0, NULL, coalesce(max(r.trouble), '')
      FROM atelier_relay r WHERE r.topic = %(topic)s
    UNION ALL
    SELECT p.projection, p.position, (SELECT count(*) FROM atelier_parked k
              WHERE k.projection = p.projection AND k.generation = p.generation),
           coalesce(b.beat_at, p.live_since),
           coalesce(CASE WHEN p.position > h.position
                         THEN 'ahead of the log'
                         WHEN p.fingerprint IS DISTINCT FROM ours.fingerprint
                         THEN 'other code made its rows'
                    END || ': run `atelier projections rebuild ' || p.projection || ' --accept`',
                    '')
      FROM atelier_projections p CROSS JOIN atelier_head h
           LEFT JOIN atelier_heartbeats b USING (projection)
           LEFT JOIN unnest(%(models)s::text[], %(fingerprints)s::text[])
                  AS ours (projection, fingerprint) USING (projection)
     WHERE p.live
    UNION ALL
    SELECT f.follower, f.position, 0, NULL, '' FROM atelier_followers f
)
SELECT r.name, r.at, greatest(h.position - r.at, 0),
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT e.recorded_at FROM atelier_events e WHERE e.position = r.at + 1))::float8, 0),
       r.parked, coalesce(extract(epoch FROM clock_timestamp() - r.beat_at)::float8, 0), r.trouble
  FROM reader r CROSS JOIN atelier_head h ORDER BY r.name"""

LOCKS: LiteralString = """-- Which of our locks are held, and by which process?
SELECT (l.classid::bigint << 32) | l.objid::bigint, coalesce(a.application_name, '')
  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

LEASES: LiteralString = """-- Who works, and for how long already?
-- What a consumer held that was gone when its task ended, nobody waits for.
SELECT count(*) FILTER (WHERE l.expires_at > now()),
       count(*) FILTER (WHERE l.expires_at <= now() AND NOT EXISTS (
           SELECT FROM atelier_events e
            WHERE e.aggregate_id = l.task AND e.type IN (
                  'render.cancelled.v1', 'render.completed.v1', 'render.failed.v1'))),
       coalesce(max(extract(epoch FROM clock_timestamp() - s.recorded_at))
                FILTER (WHERE l.expires_at > now()), 0)::float8
  FROM atelier_leases l LEFT JOIN LATERAL (
       SELECT e.recorded_at FROM atelier_events e
        WHERE e.aggregate_id = l.task AND e.type = 'render.started.v1'
        ORDER BY e.aggregate_version DESC LIMIT 1) s ON true"""

UNSENT: LiteralString = """-- What is still to be told of ended tasks, and what was given up?
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'given_up'),
       coalesce(max(extract(epoch FROM clock_timestamp() - next_at))
                FILTER (WHERE state = 'pending'), 0)::float8
  FROM atelier_webhooks WHERE state <> 'sent'"""

CONNECTED: LiteralString = """-- Which of our processes are connected?
SELECT split_part(application_name, ' ', 2), count(DISTINCT application_name)
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'atelier %%'
   AND split_part(application_name, ' ', 2) = ANY(%s)
 GROUP BY 1 ORDER BY 1"""


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who follows the log; ``waiting_seconds`` is the age of the first event that it lacks.

    ``led`` tells whether some process holds the lock to do the work, ``keeper`` which one, and
    ``still_seconds`` for how long it has not looked at the log (of read models only); ``trouble``
    is what stops it.
    """

    name: str
    position: int
    lag: int
    waiting_seconds: float
    parked: int
    led: bool
    keeper: str = ""
    still_seconds: float = 0.0
    trouble: str = ""

    @property
    def is_model(self) -> bool:
        """Whether it keeps a read model."""
        return self.name not in ("relay", CLEANER, WEBHOOKS)


class Leases(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks in the hands of consumers, those left by consumers that are gone, the oldest's age."""

    held: int
    run_out: int
    oldest_seconds: float


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """Those still to be sent, those given up, and for how long the first has been due."""

    pending: int
    given_up: int
    due_seconds: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What Postgres tells.

    ``processes`` counts those that are connected to it, by name; ``wrong_keys`` names the settings
    that hold another key than the one with which the database was filled; ``schema`` tells which
    migrations it has had.
    """

    log_id: UUID
    position: int
    recorded_at: datetime | None
    readers: list[Reader]
    queue: queue.Depth
    paused: list[Pause]
    leases: Leases
    webhooks: Webhooks
    processes: dict[str, int]
    wrong_keys: list[str]
    schema: Schema


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server that others run for us, and in how many seconds it answered, if it did.

    ``trouble`` is why it does not serve us, in its own words or those of the network.
    """

    name: str
    seconds: float
    version: str = ""
    trouble: str = ""

    @property
    def answers(self) -> bool:
        """Whether it serves us."""
        return not self.trouble


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The disk of the data folder, in bytes."""

    folder: str
    free: int
    size: int


class NotMigrated(AtelierError):
    """The tables are not there."""

    code = "not_migrated"


def figures(settings: Settings) -> Figures:
    """Ask Postgres; raises `Unavailable` when it does not answer, `NotMigrated` without tables."""
    milliseconds = int(1000 * ANSWER_S)
    with answered(), connect(settings.postgres_url, statement_timeout=milliseconds) as connection:
        try:
            return _asked(connection, settings)
        except psycopg.errors.UndefinedTable as error:
            raise NotMigrated("the database is not migrated: run `atelier migrate`") from error


def _asked(connection: Connection, settings: Settings) -> Figures:
    ((log_id, position, recorded_at),) = connection.execute(LOG)
    found = keepers(connection)
    readers = [
        Reader(
            name=name,
            position=at,
            lag=lag,
            waiting_seconds=max(0.0, waiting),
            parked=parked,
            led=lock_key(_lock(name)) in found,
            keeper=found.get(lock_key(_lock(name)), ""),
            still_seconds=max(0.0, still),
            trouble=trouble,
        )
        for name, at, lag, waiting, parked, still, trouble in connection.execute(
            READERS,
            {
                "topic": EVENTS_TOPIC,
                "models": [each.name for each in PROJECTIONS],
                "fingerprints": [each.fingerprint() for each in PROJECTIONS],
            },
        )
    ]
    ((held, run_out, oldest),) = connection.execute(LEASES)
    ((unsent, given_up, due),) = connection.execute(UNSENT)
    return Figures(
        log_id=log_id,
        position=position,
        recorded_at=recorded_at,
        readers=readers,
        queue=queue.depth(connection),
        paused=pauses.paused(connection),
        leases=Leases(held=held, run_out=run_out, oldest_seconds=max(0.0, oldest)),
        webhooks=Webhooks(pending=unsent, given_up=given_up, due_seconds=max(0.0, due)),
        processes=connected(connection),
        wrong_keys=fingerprints.differing(settings, fingerprints.noted(connection)),
        schema=schema(connection),
    )


def keepers(connection: Connection) -> dict[int, str]:
    """Which of our locks are held, and by which process: its host and number."""
    return {key: name.rpartition(" ")[2] for key, name in connection.execute(LOCKS)}


def connected(connection: Connection) -> dict[str, int]:
    """How many of our processes are connected to Postgres, by name."""
    names = [*PROCESSES, LOST_CONSUMER]
    return dict(connection.execute(CONNECTED, [names]).fetchall())


def _lock(reader: str) -> str:
    """The name of the lock that whoever does this reader's work holds."""
    if reader == "relay":
        return RELAY_LOCK
    return f"atelier.{reader}" if reader in (CLEANER, WEBHOOKS) else f"atelier.projection.{reader}"


def disk(settings: Settings) -> Disk | None:
    """The disk with the data of `atelier up` and of the servers that it brings; None without."""
    if not settings.data.exists():
        return None
    usage = shutil.disk_usage(settings.data)
    return Disk(folder=str(settings.data), free=usage.free, size=usage.total)


def servers(settings: Settings) -> list[Server]:
    """Ask Postgres and every other server that the settings name, all at once; 3 s at most."""
    asked: list[Callable[[], Server]] = [lambda: _postgres(settings)]
    if settings.kafka_bootstrap:
        asked.append(lambda: _timed("kafka", clients.trouble, settings))
    if settings.s3_url:
        asked.append(lambda: _timed("media", MediaStore(settings).trouble))
    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(lambda ask: ask(), asked))


def _timed(name: str, trouble: Callable[..., str], *arguments: Any) -> Server:
    began = time.perf_counter()
    found = trouble(*arguments, ANSWER_S)
    return Server(name=name, seconds=time.perf_counter() - began, trouble=found)


def _postgres(settings: Settings) -> Server:
    began = time.perf_counter()
    version = trouble = ""
    try:
        with answered(), connect(settings.postgres_url) as connection:
            version = str(connection.info.parameter_status("server_version"))
    except Unavailable as error:
        trouble = error.reason
    seconds = time.perf_counter() - began
    return Server(name="postgres", seconds=seconds, version=version, trouble=trouble)
