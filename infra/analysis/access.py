"""What the commands open, once they need it: an analyst may have Kafka alone."""

import contextlib
import functools
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from domain.errors import AtelierError
from infra.analysis.personal import Decrypter, NoKeys
from infra.log.event_mapper import EventMapper
from infra.log.event_store import EventLog
from infra.log.keys import KeyRing
from infra.postgres import Pool, answered, connect, open_pool
from infra.settings import Settings


class NoLog(AtelierError):
    """The database has no event log."""

    code = "no_log"


class Access:
    """The log and the keys, by the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()
        if isinstance(error, psycopg.errors.UndefinedTable):
            raise NoLog("the database has no event log yet: run `atelier migrate`") from error

    @functools.cached_property
    def log(self) -> EventLog:
        """The log in Postgres."""
        return EventLog(self._pool)

    def rows(self, query: sql.Composed) -> list[tuple[Any, ...]]:
        """The rows that a query gives, however long it takes."""
        self.settings.require("postgres_url")
        url = self.settings.postgres_url
        with answered(), connect(url, statement_timeout=0) as connection:
            return connection.execute(query).fetchall()

    def keys(self, *, decrypt: bool) -> KeyRing:
        """All accounts' keys, or none of them.

        Raises `SettingsError` without a master key, and `WrongKeys` with that of another log.
        """
        if not decrypt:
            return NoKeys()
        self.settings.require("master_key")
        ring = KeyRing(self._pool, self.settings.master_key)
        ring.check()
        return ring

    def decrypter(self, *, decrypt: bool) -> Decrypter | None:
        """What opens personal members, or None where they shall stay sealed."""
        return Decrypter(self.keys(decrypt=True)) if decrypt else None

    def mapper(self, *, decrypt: bool) -> EventMapper:
        """What makes domain events of stored ones."""
        return EventMapper(self.keys(decrypt=decrypt))

    @functools.cached_property
    def _pool(self) -> Pool:
        self.settings.require("postgres_url")
        pool = open_pool(self.settings.postgres_url, 1)
        self._closing.callback(pool.close)
        return pool
