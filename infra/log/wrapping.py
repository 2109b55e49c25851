"""How an account's key is kept: encrypted under the master key, bound to its account."""

import os
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12


def wrap(master: AESGCM, account: UUID, key: bytes) -> bytes:
    """The key as the database keeps it."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + master.encrypt(nonce, key, account.bytes)


def unwrap(master: AESGCM, account: UUID, wrapped: bytes) -> bytes:
    """The key again; raises `InvalidTag` for another master key, another account or damage."""
    return master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], account.bytes)
