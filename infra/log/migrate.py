"""Brings the database to this build's schema, in one place, before the processes start."""

from importlib import resources
from typing import Any, LiteralString, NamedTuple

import psycopg

from infra.postgres import answered, connect

LOCK = 0x61_74_65_6C_69_65_72  # "atelier": two migrations never run at the same time


Connection = psycopg.Connection[tuple[Any, ...]]


class Schema(NamedTuple):
    """The number of the newest migration, those still to come, and those of a newer build."""

    version: str
    pending: list[str]
    unknown: list[str]


def migrate(url: str) -> list[str]:
    """Apply the numbered migrations that the database lacks, and give their names.

    Raises `Unavailable` when Postgres does not answer.
    """
    with answered(), connect(url, statement_timeout=0, lock_timeout=0) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute("CREATE TABLE IF NOT EXISTS atelier_migrations (name text PRIMARY KEY)")
        missing = schema(connection).pending
        for name in missing:
            _apply(connection, name, _scripts()[name])
        return missing


def schema(connection: Connection) -> Schema:
    """Which migrations the database has had, and which of this build's it lacks."""
    applied = {name for (name,) in connection.execute("SELECT name FROM atelier_migrations")}
    return Schema(
        version=max(applied, default="").partition("_")[0],
        pending=sorted(_scripts().keys() - applied),
        unknown=sorted(applied - _scripts().keys()),
    )


def _scripts() -> dict[str, LiteralString]:
    folder = resources.files("infra.log") / "migrations"
    return {f.name: f.read_text() for f in folder.iterdir() if f.name.endswith(".sql")}


def _apply(connection: Connection, name: str, script: str) -> None:
    with connection.transaction():
        connection.execute(script)
        connection.execute("INSERT INTO atelier_migrations VALUES (%s)", [name])
