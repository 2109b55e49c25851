"""The accounts' data keys, and the sealing of personal fields under them."""

import base64
import hashlib
import hmac
import os
import threading
import time
import unicodedata
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import AccountErased
from infra.postgres import Pool, answered

NONCE_BYTES = 12
REMEMBER_S = 60  # how long a process may still read what another one has erased
REMEMBER_MOST = 10_000
AT_HAND_S = 1.0


class KeyRing:
    """One AES-256-GCM key per account, in a table of its own, wrapped by the master key."""

    def __init__(self, pool: Pool, master_key: bytes) -> None:
        self._pool = pool
        self._master = AESGCM(master_key)
        self._known: dict[UUID, tuple[float, AESGCM]] = {}
        self._lock = threading.Lock()

    def create(self, account: UUID) -> None:
        """Make the account's key unless it has one."""
        key = AESGCM.generate_key(bit_length=256)
        nonce = os.urandom(NONCE_BYTES)
        wrapped = nonce + self._master.encrypt(nonce, key, account.bytes)
        with answered(), self._pool.connection() as connection:
            connection.execute(
                "INSERT INTO atelier_keys (account, wrapped) VALUES (%s, %s)"
                " ON CONFLICT DO NOTHING",
                [account, wrapped],
            )

    def discard(self, account: UUID) -> None:
        """Delete the account's key: what it sealed can never be read again."""
        with answered(), self._pool.connection() as connection:
            connection.execute("DELETE FROM atelier_keys WHERE account = %s", [account])
        with self._lock:
            self._known.pop(account, None)

    def seal(self, account: UUID, plain: bytes, bound_to: bytes) -> str:
        """Encrypt for the account; `bound_to` must be given again to open it.

        Raises `AccountErased` when the account has no key.
        """
        key = self._key(account)
        if key is None:
            raise AccountErased("the account has been erased")
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + key.encrypt(nonce, plain, bound_to)).decode()

    def open(self, account: UUID, sealed: str, bound_to: bytes) -> bytes | None:
        """Decrypt, or None when the account has been erased."""
        key = self._key(account)
        if key is None:
            return None
        data = base64.b64decode(sealed)
        return key.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound_to)

    def at_hand(self, account: UUID) -> bool:
        """Whether the account's key is remembered, and for a moment longer."""
        known = self._known.get(account)
        return known is not None and time.monotonic() - known[0] < REMEMBER_S - AT_HAND_S

    def _key(self, account: UUID) -> AESGCM | None:
        now = time.monotonic()
        with self._lock:
            known = self._known.get(account)
        if known and now - known[0] < REMEMBER_S:
            return known[1]
        key = self._load(account)
        with self._lock:
            if key is None:
                self._known.pop(account, None)
            else:
                if len(self._known) >= REMEMBER_MOST:
                    self._known.clear()
                self._known[account] = (now, key)
        return key

    def _load(self, account: UUID) -> AESGCM | None:
        with answered(), self._pool.connection() as connection:
            row = connection.execute(
                "SELECT wrapped FROM atelier_keys WHERE account = %s", [account]
            ).fetchone()
        if row is None:
            return None
        wrapped = bytes(row[0])
        return AESGCM(
            self._master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], account.bytes)
        )


def normalised_email(email: str) -> str:
    """The one spelling under which an address is unique: trimmed, NFKC, casefolded."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()


def request_hash(account: UUID, body: bytes, secret: bytes) -> str:
    """HMAC-SHA-256 of what an account sent: tells the same again, and nothing else to anybody."""
    return hmac.new(secret, b"request:" + account.bytes + body, hashlib.sha256).hexdigest()


def email_key(email: str, secret: bytes) -> str:
    """HMAC-SHA-256 of the normalised address, so that a reservation tells nobody the address."""
    return hmac.new(secret, normalised_email(email).encode(), hashlib.sha256).hexdigest()
