"""Child processes that end with the process that started them, however that one ends."""

import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Final

PARENT_FD: Final = "ATELIER_PARENT_FD"
READY_FILE: Final = "ATELIER_READY_FILE"  # the render consumer makes it once it can take tasks
STOP_SECONDS: Final = 4.0  # what an orphan gets to stop by itself


class Lifeline:
    """A pipe that children hold at the reading end; it reaches its end when this process does."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def spawn(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        output: int | IO[bytes],
        keep: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a child out of reach of the terminal's Ctrl-C; it also inherits ``keep``."""
        return subprocess.Popen(
            command,
            env={**environ, PARENT_FD: str(self._reading)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(self._reading, *keep),
            start_new_session=True,
        )

    def close(self) -> None:
        """Let go: children that are still there end."""
        os.close(self._reading)
        os.close(self._writing)


def die_with_parent() -> None:
    """End this process once the one that started it is gone; does nothing without a lifeline."""
    descriptor = os.environ.get(PARENT_FD)
    if descriptor is not None:
        threading.Thread(target=_outlive, args=(int(descriptor),), daemon=True).start()


def name_connections(process: str) -> None:
    """Have Postgres know the connections of this process, and of its children, by its name."""
    host = socket.gethostname()[:20]
    os.environ["PGAPPNAME"] = f"atelier {process} {host}-{os.getpid()}"


def tell_ready() -> None:
    """Tell `atelier up` that this process can take work; does nothing without it."""
    if path := os.environ.get(READY_FILE):
        pathlib.Path(path).touch()


def _outlive(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    _drop_output()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


def _drop_output() -> None:
    # The reader of our output is gone as well: writing to it would break the orderly stop.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
