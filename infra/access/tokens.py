"""The tokens that a login gives and every other request shows, and those for one stream alone."""

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
STREAM: Final = "atelier.stream"  # the audience of tokens that open one task's stream alone
LIFETIME: Final = timedelta(days=30)
STREAM_LIFETIME: Final = timedelta(minutes=5)  # it stands in an address, which proxies log
CLOCKS_DIFFER: Final = timedelta(minutes=6)  # between two machines that serve the API
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
        return self._signed(account, AUDIENCE, datetime.now(UTC) + LIFETIME)

    def account(self, token: str) -> UUID:
        """Whose token it is; raises `Unauthorized` unless it holds in every respect."""
        account, expires = self._checked(token)
        if time.time() > expires + CLOCKS_DIFFER.total_seconds():
            raise Unauthorized("the token has expired; log in again")
        return account

    def issue_for_stream(self, account: UUID, task: UUID) -> tuple[str, int]:
        """A new token for the stream of one task, and when it expires, in Unix seconds."""
        expires = datetime.now(UTC) + STREAM_LIFETIME
        return self._signed(account, STREAM, expires, task=str(task)), int(expires.timestamp())

    def account_of_stream(self, token: str, task: str) -> UUID:
        """Who may see the stream of a task by this token; raises `Unauthorized` as `account`."""
        claims = self._claims(token, STREAM, (*CLAIMS, "task"))
        if claims["task"] != task:
            raise Unauthorized("the stream token is for another task")
        return UUID(claims["sub"])

    def _signed(self, account: UUID, audience: str, expires: datetime, **more: str) -> str:
        claims: dict[str, Any] = {
            "sub": str(account),
            "iat": datetime.now(UTC),
            "exp": expires,
            "jti": str(uuid4()),
            "iss": ISSUER,
            "aud": audience,
            **more,
        }
        if self._codes:
            claims["amr"] = [BY_CODE]
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self.key_id})

    def _check(self, token: str) -> tuple[UUID, float]:
        """Whose token it is and when it expires; nothing else of a valid token can change."""
        claims = self._claims(token, AUDIENCE, CLAIMS)
        return UUID(claims["sub"]), float(claims["exp"])

    def _claims(self, token: str, audience: str, required: Iterable[str]) -> dict[str, Any]:
        """What a token says that holds for the audience; its ``sub`` is an account's id."""
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise Unauthorized("the token is not valid; log in again")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=audience,
                leeway=CLOCKS_DIFFER,
                options={"require": list(required)},
            )
            if self._codes and claims.get("amr") != [BY_CODE]:
                raise Unauthorized("the token was issued without a code; log in again")
            return claims | {"sub": str(UUID(claims["sub"]))}
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token has expired; log in again") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthorized("the token is not valid; log in again") from error


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"atelier.kid:" + key).hexdigest()[:16]
