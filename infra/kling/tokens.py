"""The tokens that every call to the engine carries."""

import threading
import time
from collections.abc import Callable
from typing import Final

import jwt

ALGORITHM: Final = "HS256"
LIFETIME_S: Final = 1_800
USED_S: Final = 1_500  # so that none expires on its way
CLOCKS_DIFFER_S: Final = 5


class Tokens:
    """Signs a token with the secret key, and gives the same one for 25 minutes."""

    def __init__(self, access: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._access = access
        self._secret = secret
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._made = 0.0

    def current(self) -> str:
        """A token that holds for five minutes at least."""
        with self._lock:
            now = self._clock()
            if not self._token or not 0 <= now - self._made < USED_S:
                self._token, self._made = self._signed(int(now)), now
            return self._token

    def forget(self) -> None:
        """Sign a new one the next time: the engine did not take this one."""
        with self._lock:
            self._token = ""

    def _signed(self, now: int) -> str:
        claims = {"iss": self._access, "exp": now + LIFETIME_S, "nbf": now - CLOCKS_DIFFER_S}
        return jwt.encode(claims, self._secret, ALGORITHM)
