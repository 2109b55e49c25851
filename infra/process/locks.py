"""Files that say by their flock which process is at work; a killed process lets go by itself."""

import fcntl
import os
import time
from pathlib import Path

from domain.errors import AtelierError

LOOK_AGAIN_SECONDS = 0.05


class AlreadyRunning(AtelierError):
    """Another process works in the same folder."""

    code = "already_running"


def lock(path: Path, wait_seconds: float, message: str) -> int:
    """Take the flock and return the descriptor that holds it, inherited by no child.

    Raises ``AlreadyRunning`` with the message when another holds it for longer than the wait.
    """
    deadline = time.monotonic() + wait_seconds
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    while not _taken(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise AlreadyRunning(message)
        time.sleep(LOOK_AGAIN_SECONDS)
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether a process holds the flock of this file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _taken(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
