"""What the embedded servers have in common: one guarded process, a folder, a log, an address."""

import abc
import contextlib
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Final, Self

from domain.errors import AtelierError
from infra.embedded import guard
from infra.process.locks import lock
from infra.process.processes import Lifeline

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = guard.GRACE_SECONDS + 2.0
KILLED_OWNER_SECONDS: Final = 1.0  # until the system has taken a killed process's locks away
LOOK_AGAIN_SECONDS: Final = 0.02
LOG_BYTES: Final = 5_000_000  # a larger log is put aside at the next start
# Below the ports that systems give to outgoing connections: a client that keeps trying to reach a
# stopped server at one of those can end up connected to itself, and the server cannot come back.
PORTS: Final = range(15_000, 32_000)


class ServerFailed(AtelierError):
    """An embedded server ended at once, or never answered."""

    code = "embedded_server"


class EmbeddedServer(abc.ABC):
    """A foreign server on this machine, which ends with this process however that one ends.

    ``start`` after a crash brings it back at the same address. Its folder and log lie below
    ``data``; a second owner of the same folder is refused with ``AlreadyRunning``.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    orphan_signal: ClassVar[signal.Signals] = signal.SIGKILL
    not_yet: ClassVar[tuple[type[Exception], ...]] = (OSError,)  # how a starting server fails
    user: str = ""  # whom the server runs as, where that is not who we are

    def __init__(self, data: Path) -> None:
        self._folder = data.absolute() / self.name
        self.log_path = data.absolute() / "logs" / f"{self.name}.log"
        self._lifeline: Lifeline | None = None
        self._ownership: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where clients find the server."""

    @abc.abstractmethod
    def _command(self) -> Sequence[str]:
        """The server in the foreground; the first item is a path."""

    @abc.abstractmethod
    def _ask(self) -> None:
        """Do something small over the server's protocol; raises ``not_yet`` until it answers."""

    def _prepare(self) -> None:  # noqa: B027 - not every server has something to prepare
        """Make what the server needs to find; no other process is at work in the folder."""

    def _environ(self) -> dict[str, str]:
        # Nothing of ours: PGPORT, RCLONE_… and the like of the user are not meant for us.
        return {"PATH": os.defpath, "LC_ALL": "C"}

    def start(self) -> None:
        """Start the server and wait until it answers; does nothing while it runs."""
        if self.alive():
            return
        self._own()
        running = self._wait_for_predecessor()
        try:
            self._prepare()
            self._guard = self._spawn(self._command(), keep=(running,))
        finally:
            os.close(running)
        try:
            self._wait_until_it_answers(self._guard)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server in order, by force if it takes longer than ``guard.GRACE_SECONDS``."""
        if self._guard is not None:
            self._guard.terminate()
            try:
                self._guard.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
            self._guard = None
        self._disown()

    def kill(self) -> None:
        """End the server now, without its goodbye; ``stop`` must have been called before."""
        if self._guard is not None:
            self._guard.terminate()  # a second time means force

    def wait(self) -> str:
        """Block until the server ends; tells how it ended."""
        guard_process = self._guard
        return f"exit code {guard_process.wait()}" if guard_process else "it was not started"

    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._guard is not None and self._guard.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _own(self) -> None:
        if self._ownership is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log_path.parent.mkdir(exist_ok=True)
        self._ownership = lock(
            self._folder / "owner.lock",
            KILLED_OWNER_SECONDS,
            f"{self._folder} is in use by another process.",
        )
        self._lifeline = Lifeline()

    def _disown(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        if self._ownership is not None:
            os.close(self._ownership)
            self._ownership = None

    def _wait_for_predecessor(self) -> int:
        # The server and all its children inherit this lock, so whoever gets it knows that nothing
        # of an earlier server is left, not even one whose owner and guard were killed.
        return lock(
            self._folder / "server.lock",
            STOP_SECONDS,
            f"An earlier {self.name} server still runs in {self._folder}.",
        )

    def _spawn(self, command: Sequence[str], keep: Sequence[int]) -> subprocess.Popen[bytes]:
        assert self._lifeline is not None
        arguments = [str(int(self.stop_signal)), str(int(self.orphan_signal)), self.user]
        with self._open_log() as log:
            return self._lifeline.spawn(
                [sys.executable, "-I", "-S", guard.__file__, *arguments, *command],
                environ=self._environ(),
                output=log,
                keep=keep,
            )

    def _run(self, command: Sequence[str]) -> None:
        """Run a tool of the server to its end; it dies with us as the server does."""
        code = self._spawn(command, keep=()).wait()
        if code:
            raise self._failure(f"{Path(command[0]).name} ended with exit code {code}")

    def _open_log(self) -> IO[bytes]:
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return self.log_path.open("ab")

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ask()
            except self.not_yet as error:
                if process.poll() is not None:
                    raise self._failure(f"it ended with exit code {process.returncode}") from error
                if time.monotonic() > deadline:
                    raise self._failure(f"no answer in {START_SECONDS:.0f} s: {error}") from error
                time.sleep(LOOK_AGAIN_SECONDS)
            else:
                return

    def _failure(self, what: str) -> ServerFailed:
        tail = self.log_path.read_text(errors="replace").splitlines()[-5:]
        lines = "\n".join(f"  {line}" for line in tail)
        return ServerFailed(f"The embedded {self.name} failed: {what} ({self.log_path}).\n{lines}")


def package_folder(package: str, distribution: str, variable: str) -> Path:
    """Where a package with a server lies; raises ``ServerFailed`` when it is not installed.

    It is not imported: these packages look for servers and copy files when they are used.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise missing(distribution, variable)
    return Path(found.origin).parent


def missing(distribution: str, variable: str) -> ServerFailed:
    """The refusal to start a server whose package is not installed."""
    return ServerFailed(
        f"The embedded server needs the package {distribution}: install it, or set {variable} "
        "to a server of your own."
    )


def kept_port(file: Path) -> int:
    """The port that the file names, or a free one where there is none or somebody else has it."""
    try:
        port = int(file.read_text())
        _try_to_bind(port)
    except (OSError, ValueError):
        return free_port()
    return port


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    for port in random.sample(PORTS, 200):
        with contextlib.suppress(OSError):
            _try_to_bind(port)
            return port
    raise ServerFailed("No free port was found on the loopback address.")


def _try_to_bind(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
