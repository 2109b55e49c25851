"""Says in the log that a server is away: once, not each time that somebody asks for it."""

import threading
import time
from typing import Final

import structlog

log = structlog.get_logger("atelier.outage")

QUIET_S: Final = 30.0  # a server that comes and goes is told of no more often


class Outage:
    """One server as this process finds it; any thread may tell how it found it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._lasts = False
        self._told = -QUIET_S
        self._lock = threading.Lock()

    def away(self, why: str) -> None:
        """It does not serve us; the first of these in a row is told of."""
        with self._lock:
            if self._lasts or time.monotonic() - self._told < QUIET_S:
                return
            self._lasts, self._told = True, time.monotonic()
        log.warning(f"{self._server} is unavailable", why=why)

    def over(self) -> None:
        """It serves us."""
        if self._lasts:  # asked far too often for the lock
            with self._lock:
                told, self._lasts = self._lasts, False
            if told:
                log.info(f"{self._server} is available again")
