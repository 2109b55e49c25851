"""The tokens that a login gives and every other request shows."""

import functools
import hashlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import jwt

from domain.errors import AtelierError

ALGORITHM: Final = "HS256"
ISSUER: Final = "atelier"
AUDIENCE: Final = "atelier.api"
LIFETIME: Final = timedelta(days=30)
CLOCKS_DIFFER: Final = timedelta(seconds=10)  # between two machines that serve the API
BY_CODE: Final = "otp"  # RFC 8176
REMEMBER_MOST: Final = 10_000  # tokens that were found valid
CLAIMS: Final = ("sub", "iat", "exp", "jti", "iss", "aud")


class Unauthorized(AtelierError):
    """Nobody whom we know asks: there is no token, or one that does not hold."""

    code = "unauthorized"


class Tokens:
    """Signs tokens under one key, whose fingerprint is their ``kid``, and checks them.

    Tokens of `old_keys` are still accepted. With `codes`, only those are that were given for a
    one-time code, and so to somebody who reads the account's mail.
    """

    def __init__(self, key: bytes, old_keys: Iterable[bytes] = (), *, codes: bool = False) -> None:
        self._key = key
        self._keys = {_key_id(each): each for each in (key, *old_keys)}
        self._codes = codes
        self.key_id = _key_id(key)
        self._checked = functools.lru_cache(maxsize=REMEMBER_MOST)(self._check)

    def issue(self, account: UUID) -> str:
        """A new token for the account."""
        now = datetime.now(UTC)
        claims: dict[str, Any] = {
            "sub": str(account),
            "iat": now,
            "exp": now + LIFETIME,
            "jti": str(uuid4()),
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        if self._codes:
            claims["amr"] = [BY_CODE]
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self.key_id})

    def account(self, token: str) -> UUID:
        """Whose token it is; raises `Unauthorized` unless it holds in every respect."""
        account, expires = self._checked(token)
        if time.time() > expires + CLOCKS_DIFFER.total_seconds():
            raise Unauthorized("the token has expired; log in again")
        return account

    def _check(self, token: str) -> tuple[UUID, float]:
        """Whose token it is and when it expires; nothing else of a valid token can change."""
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise Unauthorized("the token is not valid; log in again")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=CLOCKS_DIFFER,
                options={"require": list(CLAIMS)},
            )
            if self._codes and claims.get("amr") != [BY_CODE]:
                raise Unauthorized("the token was given without a code; log in again")
            return UUID(claims["sub"]), float(claims["exp"])
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token has expired; log in again") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthorized("the token is not valid; log in again") from error


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"atelier.kid:" + key).hexdigest()[:16]
