"""Servers on this machine that tests may kill and bring back."""

import os
import signal

import psutil

from infra.embedded import EmbeddedServer


class LocalServer:
    """Starts a server and lets it be killed; it ends with this process however that one ends."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        server.start()

    @property
    def url(self) -> str:
        return self._server.url

    def kill(self) -> None:
        if self._server.alive():
            assert self._server._guard is not None
            # The guard leads the group, the server is in it: both go, like after a power cut.
            os.killpg(self._server._guard.pid, signal.SIGKILL)
            self._server.wait()

    def processes(self) -> list[psutil.Process]:
        """Those of the server, its guard apart."""
        assert self._server._guard is not None
        return psutil.Process(self._server._guard.pid).children(recursive=True)

    def restart(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()
