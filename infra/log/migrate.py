"""Brings the database to this build's schema, in one place, before the processes start."""

from importlib import resources
from typing import Any, LiteralString

import psycopg

from infra.postgres import answered, connect

LOCK = 0x61_74_65_6C_69_65_72  # "atelier": two migrations never run at the same time


def migrate(url: str) -> list[str]:
    """Apply the numbered migrations that the database lacks, and give their names.

    Raises `Unavailable` when Postgres does not answer.
    """
    with answered(), connect(url, statement_timeout=0, lock_timeout=0) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute("CREATE TABLE IF NOT EXISTS atelier_migrations (name text PRIMARY KEY)")
        done = {name for (name,) in connection.execute("SELECT name FROM atelier_migrations")}
        missing = [name for name in sorted(_scripts()) if name not in done]
        for name in missing:
            _apply(connection, name, _scripts()[name])
        return missing


def _scripts() -> dict[str, LiteralString]:
    folder = resources.files("infra.log") / "migrations"
    return {f.name: f.read_text() for f in folder.iterdir() if f.name.endswith(".sql")}


def _apply(connection: psycopg.Connection[tuple[Any, ...]], name: str, script: str) -> None:
    with connection.transaction():
        connection.execute(script)
        connection.execute("INSERT INTO atelier_migrations VALUES (%s)", [name])
