"""Keeps one part of a running Atelier up: what ends by itself is started again."""

import collections
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from logging import LogRecord, getLevelNamesMapping, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Final, Protocol

import structlog

from infra.process.processes import PULSE_FD, Lifeline

log = structlog.get_logger(__name__)

LOG_BYTES: Final = 5_000_000  # of one log file; one older file is kept beside it
LAST_LINES: Final = 20  # shown when a process ends by itself
LAST_WORDS_SECONDS: Final = 1.0  # to read what an ended process has written
RESTART_DELAYS: Final = (0.0, 0.5, 1.0, 2.0, 5.0)  # seconds; the last one repeats
STEADY_SECONDS: Final = 30.0  # after so long, an end counts as the first again
SHOWN_LEVELS: Final = ("warning", "error", "critical")
SUCCEEDED: Final = "exit code 0"  # what ``ChildProcess.wait`` tells of a child that did its work


class Service(Protocol):
    """Something that runs until it is stopped: a process of ours or an embedded server."""

    @property
    def name(self) -> str:
        """What people call it."""

    def start(self) -> None:
        """Start it, and return once that is done."""

    def stop(self) -> None:
        """Stop it within seconds."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> str:
        """Block until it has ended, and tell how."""


class ChildProcess:
    """One of Atelier's own processes; its log goes to a file, its warnings to ours as well.

    One that has a pulse is ended when that has stopped for `silent_seconds`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        logs: Path,
        stop_seconds: float,
        silent_seconds: float = 20.0,
    ) -> None:
        self.name = name
        self.latest = ""  # the event of its newest log line
        self._command = command
        self._environ = environ
        self._stop_seconds = stop_seconds
        self._silent_seconds = silent_seconds
        logs.mkdir(parents=True, exist_ok=True)
        self._log = _LogFile(logs / f"{name}.log")
        self._last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._lifeline = Lifeline()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process; its output is read by a thread of its own."""
        self._last_lines.clear()
        pulse, beating = os.pipe()
        try:
            self._process = self._lifeline.spawn(
                self._command,
                environ={**self._environ, PULSE_FD: str(beating)},
                output=subprocess.PIPE,
                keep=(beating,),
            )
        finally:
            os.close(beating)
        threading.Thread(target=self._feel, args=(pulse, self._process.pid), daemon=True).start()
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            log.warning("did not stop in time", process=self.name)
        self.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it and whatever it has started."""
        if self._process is not None:
            _kill_group(self._process.pid)

    def wait(self) -> str:
        """Block until it has ended; the answer holds its last lines that were no log lines."""
        assert self._process is not None
        assert self._reader is not None
        code = self._process.wait()
        _kill_group(self._process.pid)
        self._reader.join(LAST_WORDS_SECONDS)
        return SUCCEEDED if code == 0 else "\n".join([f"exit code {code}", *self._last_lines])

    def _feel(self, pulse: int, pid: int) -> None:
        """End the process when its pulse stops; until its first beat it may take its time."""
        with open(pulse, "rb", buffering=0) as beats:
            while beats.read(1):  # until it has ended
                # In two halves: what was stopped together with us gets a chance to speak.
                halves = (self._is_silent(beats) for _ in range(2))
                if all(halves):
                    log.warning("hangs, ending it", process=self.name)
                    _kill_group(pid)
                    return

    def _is_silent(self, beats: IO[bytes]) -> bool:
        return not select.select([beats], [], [], self._silent_seconds / 2)[0]

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for raw in output:
                line = raw.decode(errors="replace").rstrip()
                self._log.handle(makeLogRecord({"msg": line}))
                self._show(line)
        with contextlib.suppress(OSError):  # the disk is full: that has been said
            self._log.close()  # another start opens it again

    def _show(self, line: str) -> None:
        entry = _log_entry(line)
        if entry is None:
            self._last_lines.append(line)
            return
        event, level = str(entry.pop("event")), entry.pop("level", "")
        self.latest = event
        if level in SHOWN_LEVELS:
            entry = {"process": self.name} | entry
            entry.pop("timestamp", None)
            speaker = structlog.get_logger(str(entry.pop("logger", self.name)))
            speaker.log(getLevelNamesMapping()[level.upper()], event, **entry)


class _LogFile(RotatingFileHandler):
    """A log that says once that its lines are lost, as on a full disk, and not for each of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=1, delay=True)
        self._lost = self._told = False

    def emit(self, record: LogRecord) -> None:
        self._lost = False
        super().emit(record)
        self._told = self._told and self._lost

    def handleError(self, record: LogRecord) -> None:
        self._lost = True
        if not self._told:
            self._told = True
            log.warning("log lines are lost", file=self.baseFilename, why=str(sys.exception()))


class ServiceSupervisor:
    """Starts a part and starts it again whenever it ends, until it is told to stop."""

    def __init__(self, part: Service) -> None:
        self.part = part
        self.ends = 0  # in a row, each soon after its start
        self.last_end = ""
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the part, raising what it raises, and watch it from now on."""
        self._start_part()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the part for good."""
        self._stopping.set()
        with self._starting:
            self.part.stop()
        if self._thread is not None:
            self._thread.join()

    def kill(self) -> None:
        """End the part for good, at once."""
        self._stopping.set()
        self.part.kill()

    def _start_part(self) -> None:
        with self._starting:
            if not self._stopping.is_set():
                self.part.start()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            how = self.part.wait()
            if self._stopping.is_set():
                return
            self.ends = 1 if time.monotonic() - started > STEADY_SECONDS else self.ends + 1
            self.last_end = how
            self._restart(how)

    def _restart(self, how: str) -> None:
        delay = RESTART_DELAYS[min(self.ends, len(RESTART_DELAYS)) - 1]
        log.warning("ended by itself, starting it again", process=self.part.name, how=how)
        if self._stopping.wait(delay):
            return
        try:
            self._start_part()
        except Exception as error:  # whatever it is, the next try may do better
            log.error("could not be started again", process=self.part.name, error=str(error))


def in_parallel(actions: Sequence[Callable[[], None]]) -> None:
    """Do them all at once; raises the first error when all have ended."""
    errors: list[BaseException] = []

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _kill_group(leader: int) -> None:
    # Each child leads a session of its own, so this reaches what it left behind as well.
    # PermissionError is what macOS says of a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _log_entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None
