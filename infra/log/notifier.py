"""Telling the readers of the log that it has grown."""

import threading
import time
from typing import Any, Final

import psycopg

from infra.postgres import CHANNEL, connect

NOTIFY_EVERY_S: Final = 0.005  # it takes a lock of the whole cluster at commit: seldom, and apart


class Notifier:
    """Tells the log's readers that it has grown, on a connection of its own, at most each 5 ms."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._grown = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Send a notice soon; it may get lost, so readers look by themselves as well.

        The thread starts with the first notice.
        """
        self._grown.set()
        if self._thread is None:
            with self._starting:
                self._start()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        connection: psycopg.Connection[tuple[Any, ...]] | None = None
        while self._grown.wait():
            self._grown.clear()
            try:
                connection = connection or connect(self._url)
                connection.execute(f"NOTIFY {CHANNEL}")
            except psycopg.Error:
                connection = None
            time.sleep(NOTIFY_EVERY_S)
