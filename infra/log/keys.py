"""The accounts' data keys, and the sealing of personal fields under them."""

import base64
import hashlib
import hmac
import os
import threading
import time
from typing import Final, LiteralString
from uuid import UUID

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.emails import canonical
from domain.errors import AccountErased
from infra.log.fingerprints import MASTER, KeyCheck, WrongKeys
from infra.log.wrapping import NONCE_BYTES, unwrap, wrap
from infra.postgres import Pool, borrowed, connect

DRAWN: Final = 64  # nonces from the system at a time
REMEMBER_S = 60  # how long a process that hears of nothing may still read what another one erased
REMEMBER_MOST = 10_000
SOON_S: Final = 1.0  # what is remembered now is remembered for as long
ERASED: Final[LiteralString] = "atelier_erased"  # the database names an erased account there
LOOK_S: Final = 1.0


class _Nonces:
    """Random nonces, many of them from one call of the system; none is given out twice."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []
        os.register_at_fork(after_in_child=self._drawn.clear)  # else both would give out the same

    def next(self) -> bytes:
        """Random bytes that nobody has had."""
        while True:
            try:
                return self._drawn.pop()
            except IndexError:
                drawn = os.urandom(NONCE_BYTES * DRAWN)
                ends = range(NONCE_BYTES, len(drawn) + 1, NONCE_BYTES)
                self._drawn += [drawn[end - NONCE_BYTES : end] for end in ends]


_nonces = _Nonces()


class KeyRing:
    """One AES-256-GCM key per account, in a table of its own, wrapped by the master key."""

    def __init__(self, pool: Pool, master_key: bytes) -> None:
        self._pool = pool
        self._master = AESGCM(master_key)
        self.check = KeyCheck(pool, MASTER, master_key)
        self._known: dict[UUID, tuple[float, AESGCM]] = {}
        self._lock = threading.Lock()
        self._forgotten = 0  # how often: what was loaded before is not kept after

    def watch(self, stop: threading.Event) -> None:
        """Forget each key as soon as any process erases its account, until `stop` is set.

        While Postgres cannot be heard, every key is forgotten `REMEMBER_S` after it was loaded.
        """
        while not stop.is_set():
            try:
                with connect(str(self._pool.conninfo)) as connection:
                    connection.execute(f"LISTEN {ERASED}")
                    self.forget_all()  # what was erased while nobody listened
                    while not stop.is_set():
                        for notice in connection.notifies(timeout=LOOK_S):
                            self.forget(UUID(notice.payload))
            except psycopg.Error:
                self.forget_all()
                stop.wait(LOOK_S)

    def create(self, account: UUID) -> None:
        """Make the account's key unless it has one; raises `WrongKeys` as `check` does."""
        self.check()
        key = AESGCM.generate_key(bit_length=256)
        wrapped = wrap(self._master, account, key)
        with borrowed(self._pool) as connection:
            connection.execute(
                "INSERT INTO atelier_keys (account, wrapped) VALUES (%s, %s)"
                " ON CONFLICT DO NOTHING",
                [account, wrapped],
            )

    def forget(self, account: UUID) -> None:
        """Remember the account's key no longer, since it may have been deleted."""
        with self._lock:
            self._forgotten += 1
            self._known.pop(account, None)

    def forget_all(self) -> None:
        """The same for every account."""
        with self._lock:
            self._forgotten += 1
            self._known.clear()

    def remembers(self, account: UUID) -> bool:
        """Whether the account's key is at hand, and will be for a moment longer.

        If so, the account had not been erased a moment ago, as far as this process has heard.
        """
        known = self._known.get(account)
        return known is not None and time.monotonic() - known[0] < REMEMBER_S - SOON_S

    def seal(self, account: UUID, plain: bytes, bound_to: bytes) -> str:
        """Encrypt for the account; `bound_to` must be given again to open it.

        Raises `AccountErased` when the account has no key, and `WrongKeys` when it has one that
        the master key does not open.
        """
        key = self._key(account)
        if key is None:
            raise AccountErased("the account has been erased")
        nonce = _nonces.next()
        return base64.b64encode(nonce + key.encrypt(nonce, plain, bound_to)).decode()

    def open(self, account: UUID, sealed: str, bound_to: bytes) -> bytes | None:
        """Decrypt, or None when the account has been erased or its key cannot be opened."""
        try:
            key = self._key(account)
        except WrongKeys:
            return None
        if key is None:
            return None
        data = base64.b64decode(sealed)
        return key.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound_to)

    def _key(self, account: UUID) -> AESGCM | None:
        now = time.monotonic()
        with self._lock:
            known, forgotten = self._known.get(account), self._forgotten
        if known and now - known[0] < REMEMBER_S:
            return known[1]
        key = self._load(account)
        with self._lock:
            if key is None:
                self._known.pop(account, None)
            elif forgotten == self._forgotten:  # else it may have been deleted since
                if len(self._known) >= REMEMBER_MOST:
                    self._known.clear()
                self._known[account] = (now, key)
        return key

    def _load(self, account: UUID) -> AESGCM | None:
        with borrowed(self._pool) as connection:
            row = connection.execute(
                "SELECT wrapped FROM atelier_keys WHERE account = %s", [account]
            ).fetchone()
        if row is None:
            return None
        try:
            return AESGCM(unwrap(self._master, account, row[0]))
        except InvalidTag as error:
            raise WrongKeys(f"the key of account {account} does not open under {MASTER}") from error


def request_hash(account: UUID, body: bytes, secret: bytes) -> str:
    """HMAC-SHA-256 of what an account sent: tells the same again, and nothing else to anybody."""
    return hmac.new(secret, b"request:" + account.bytes + body, hashlib.sha256).hexdigest()


def email_key(email: str, secret: bytes) -> str:
    """HMAC-SHA-256 of the canonical address, so that a reservation tells nobody the address."""
    return hmac.new(secret, canonical(email).encode(), hashlib.sha256).hexdigest()
