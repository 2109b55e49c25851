"""The tokens that a login gives and every other request shows."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import jwt

from domain.errors import AtelierError

ALGORITHM: Final = "HS256"
ISSUER: Final = "atelier"
AUDIENCE: Final = "atelier.api"
LIFETIME: Final = timedelta(days=30)
CLOCKS_DIFFER: Final = timedelta(seconds=10)  # between two machines that serve the API
CLAIMS: Final = ("sub", "iat", "exp", "jti", "iss", "aud")


class Unauthorized(AtelierError):
    """Nobody whom we know asks: there is no token, or one that does not hold."""

    code = "unauthorized"


class Tokens:
    """Signs and checks tokens under one key, whose fingerprint is their ``kid``."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.key_id = hashlib.sha256(b"atelier.kid:" + key).hexdigest()[:16]

    def issue(self, account: UUID) -> str:
        """A new token for the account."""
        now = datetime.now(UTC)
        claims = {
            "sub": str(account),
            "iat": now,
            "exp": now + LIFETIME,
            "jti": str(uuid4()),
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self.key_id})

    def account(self, token: str) -> UUID:
        """Whose token it is; raises `Unauthorized` unless it holds in every respect."""
        try:
            if jwt.get_unverified_header(token).get("kid") != self.key_id:
                raise Unauthorized("the token is not valid; log in again")
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=CLOCKS_DIFFER,
                options={"require": list(CLAIMS)},
            )
            return UUID(claims["sub"])
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token has expired; log in again") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthorized("the token is not valid; log in again") from error
