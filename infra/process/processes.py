"""Child processes that end with the process that started them, however that one ends."""

import contextlib
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
PULSE_FD: Final = "ATELIER_PULSE_FD"
PULSE_S: Final = 1.0
READY_FILE: Final = "ATELIER_READY_FILE"  # the render consumer makes it once it can take tasks
LOST_CONSUMER: Final = "consumer-without-device"  # beside its usual name, by Postgres
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


class Pulse:
    """Tells `atelier up` each second that this process gets on; does nothing without it.

    It gets on for as long as no more than `patience` seconds pass between two calls of `beat`.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._latest = time.monotonic()

    def beat(self) -> None:
        """Whoever works here has come by."""
        self._latest = time.monotonic()

    def follow(self, stop: threading.Event) -> None:
        """Tell it until `stop`."""
        descriptor = os.environ.get(PULSE_FD)
        while descriptor is not None and not stop.wait(PULSE_S):
            if time.monotonic() - self._latest <= self._patience:
                with contextlib.suppress(OSError):  # `up` is gone, and we with it soon
                    os.write(int(descriptor), b".")


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
