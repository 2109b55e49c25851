"""Fingerprints of the keys under which the database was filled, so that others are refused."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final, LiteralString

import psycopg
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import AtelierError, Unavailable
from infra.log.wrapping import unwrap
from infra.postgres import Pool, borrowed, open_pool
from infra.settings import Settings

log = structlog.get_logger("atelier.keys")

MASTER: Final = "ATELIER_MASTER_KEY"
HASH: Final = "ATELIER_HASH_KEY"
SIGNING: Final = "ATELIER_JWT_KEY"

NOTE: LiteralString = """-- The first key of a name is the one that counts.
INSERT INTO atelier_key_fingerprints (name, fingerprint) VALUES (%s, %s) ON CONFLICT DO NOTHING"""

NOTED: LiteralString = "SELECT fingerprint FROM atelier_key_fingerprints WHERE name = %s"

ANY_WRAPPED: LiteralString = "SELECT account, wrapped FROM atelier_keys LIMIT 1"

REPLACE: LiteralString = """-- A key that may be replaced.
INSERT INTO atelier_key_fingerprints (name, fingerprint) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, noted_at = now()"""


class WrongKeys(AtelierError):
    """A key is not the one under which the database was filled."""

    code = "wrong_keys"


def fingerprint(key: bytes) -> str:
    """64 bits that tell a key apart, and from which nobody finds it."""
    return hmac.new(key, b"atelier key fingerprint", hashlib.sha256).hexdigest()[:16]


class KeyCheck:
    """Compares a key with the one that the database knows by its name, until they are the same.

    The first key of a name counts; as the master key only one that opens what is there already.
    """

    def __init__(self, pool: Pool, name: str, key: bytes) -> None:
        self._pool = pool
        self._name = name
        self._key = key
        self._ours = fingerprint(key)
        self._passed = False

    def __call__(self) -> None:
        """Raise `WrongKeys` when they differ, `Unavailable` when Postgres does not answer."""
        if self._passed:
            return
        with borrowed(self._pool) as connection:
            row = connection.execute(NOTED, [self._name]).fetchone()
            if row is None and not self._opens_what_is_there(connection):
                raise wrong(self._name)
            if row is None:
                connection.execute(NOTE, [self._name, self._ours])
                row = connection.execute(NOTED, [self._name]).fetchone()
        if row != (self._ours,):
            raise wrong(self._name)
        self._passed = True

    def _opens_what_is_there(self, connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute(ANY_WRAPPED).fetchone() if self._name == MASTER else None
        if row is None:
            return True
        try:
            unwrap(AESGCM(self._key), *row)
        except InvalidTag:
            return False
        return True


def wrong(name: str) -> WrongKeys:
    """The refusal, with what to do."""
    return WrongKeys(
        f"{name} is not the key that this database was filled with, and without that one its data"
        " cannot be read. Set it again, or take an empty database to begin anew."
    )


def noted(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The fingerprints that the database has of keys that cannot be replaced, by name."""
    rows = connection.execute(
        "SELECT name, fingerprint FROM atelier_key_fingerprints WHERE name <> %s", [SIGNING]
    )
    return dict(rows.fetchall())


def differing(settings: Settings, known: Mapping[str, str]) -> list[str]:
    """The names of the settings' keys whose fingerprints are known and others."""
    ours = {name: fingerprint(key) for name, key in _lasting(settings).items()}
    return [name for name in ours if known.get(name, ours[name]) != ours[name]]


def _lasting(settings: Settings) -> dict[str, bytes]:
    keys = {MASTER: settings.master_key, HASH: settings.hash_key}
    return {name: key for name, key in keys.items() if key}


def check(settings: Settings) -> None:
    """Check the settings' keys before anything is done with them; raises `WrongKeys`.

    A database that is away or not migrated yet is not waited for: whoever uses a key checks again.
    """
    with closing(open_pool(settings.postgres_url, 1)) as pool:
        try:
            for name, key in _lasting(settings).items():
                KeyCheck(pool, name, key)()
            if settings.jwt_key:
                _note_signing_key(pool, settings.jwt_key, settings.jwt_old_keys)
        except (Unavailable, psycopg.errors.UndefinedTable):
            return


def _note_signing_key(pool: Pool, key: bytes, old: Sequence[bytes]) -> None:
    """Warn when tokens that were given out before no longer count."""
    with borrowed(pool) as connection:
        row = connection.execute(NOTED, [SIGNING]).fetchone()
        if row is not None and row[0] not in map(fingerprint, (key, *old)):
            log.warning(
                f"{SIGNING} is a new one: everybody must log in again, unless the one before is"
                " put into ATELIER_JWT_OLD_KEYS"
            )
        if row != (fingerprint(key),):
            connection.execute(REPLACE, [SIGNING, fingerprint(key)])
