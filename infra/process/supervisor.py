"""`atelier up`: the embedded servers and all of Atelier's processes on one machine."""

import contextlib
import http.client
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from domain.errors import AtelierError
from infra.access import secrets as credentials
from infra.embedded import EmbeddedBroker, EmbeddedMedia, EmbeddedPostgres, EmbeddedServer
from infra.process.locks import lock
from infra.process.processes import READY_FILE
from infra.process.progress import Progress
from infra.process.services import SUCCEEDED, ChildProcess, Service, ServiceSupervisor, in_parallel
from infra.settings import LOCK_FILE, RUNNING_FILE, STEP_FILE, VARIABLES, Settings

LOOK_AGAIN_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 2.0
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - told apart, not bound to
GIVE_UP_AFTER_ENDS: Final = 4  # of one process, before all were ready for the first time


# Torch's threads spin while they wait: with other processes on the same cores ten times slower.
PATIENT_THREADS: Final = {"OMP_WAIT_POLICY": "PASSIVE"}


class Role(NamedTuple):
    """One of Atelier's processes, and how long it may take to stop."""

    name: str
    stop_seconds: float


# In the order in which they stop. Together with the servers' grace it stays under 10 s.
CONSUMERS: Final = (Role("render-consumer", 3.0),)
OTHERS: Final = (Role("relay", 2.5), Role("projector", 2.5), Role("api", 2.5))

# Their metrics' ports follow one another in this order, from the first of these that are free.
WATCHED: Final = ("api", "relay", "projector", "render-consumer")
METRICS_PORTS: Final = range(9464, 9864, len(WATCHED))


class CannotStart(AtelierError):
    """Atelier cannot be brought up; the message says why."""

    code = "cannot_start"


class Interrupted(BaseException):
    """Somebody pressed Ctrl-C, or sent SIGTERM or SIGHUP."""


def run(settings: Settings) -> None:
    """Bring everything up, keep it up, and take it down at Ctrl-C or SIGTERM."""
    with _owned(settings.data):
        Supervisor(settings).run()


@contextmanager
def servers_alone(settings: Settings) -> Iterator[Settings]:
    """The embedded servers without Atelier's processes, and the settings that lead to them.

    Raises `AlreadyRunning` while `atelier up` is at work in the same folder.
    """
    with _owned(settings.data):
        supervisor = Supervisor(settings)
        try:
            yield supervisor.start_servers()
        finally:
            supervisor.stop()


@contextmanager
def _owned(data: Path) -> Iterator[None]:
    _make_private(data)
    held = lock(
        data / LOCK_FILE,
        1.0,
        f"Atelier already runs in {data}: stop it first, or set ATELIER_DATA to another folder.",
    )
    try:
        yield
    finally:
        os.close(held)


def _make_private(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)
        tempfile.TemporaryFile(dir=data).close()
    except OSError as error:
        raise CannotStart(
            f"ATELIER_DATA must name a folder that you may write to: {error.strerror} ({data})"
        ) from error


class Supervisor:
    """All the parts of one machine's Atelier, from their start to their end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.data.absolute()
        self._servers: list[ServiceSupervisor] = []
        self._consumers: list[ServiceSupervisor] = []
        self._others: list[ServiceSupervisor] = []
        self._stopping = False
        self._metrics_port = 0

    def run(self) -> None:
        """Block until told to end; a second signal ends everything without goodbyes."""
        with self._signals():
            try:
                self._start()
                while True:
                    signal.pause()
            except Interrupted:
                pass
            finally:
                self._stopping = True
                self.stop()

    def start_servers(self) -> Settings:
        """Start the embedded servers alone; gives the settings that lead to them."""
        environ = self._environ()
        return Settings.load(environ | self._start_servers(environ))

    def _start(self) -> None:
        _check_port_is_free(self._settings.host, self._settings.port)
        self._metrics_port = self._settings.metrics_port or _free_run(self._settings.metrics_host)
        with Progress(self._data / STEP_FILE) as progress:
            progress.step("Starting the embedded servers")
            environ = self._environ()
            environ |= self._start_servers(environ)
            Settings.load(environ).check_exposure()
            credentials.write_private(self._data / RUNNING_FILE, _shared_part(environ))
            progress.step("Bringing the database up to date")
            self._migrate(environ)
            self._start_processes(environ)
            self._wait_until_ready(Path(environ[READY_FILE]), progress)
        print(
            f"Atelier is ready: {_address(self._settings)}  "
            f"(data and logs in {self._settings.data}, metrics from port {self._metrics_port} on, "
            "Ctrl-C stops it)",
            flush=True,
        )

    def _environ(self) -> dict[str, str]:
        """What the processes get, the servers' addresses apart."""
        given = {name: value for name, value in os.environ.items() if value}
        secret = credentials.load_or_make(self._data, needed_by=self._data / "postgres" / "data")
        ready_file = self._data / "render-consumer.ready"
        ready_file.unlink(missing_ok=True)
        return (
            {"ANNY_CACHE_DIR": str(self._data / "anny"), **PATIENT_THREADS}
            | secret
            | given
            | {"ATELIER_DATA": str(self._data), "ATELIER_LOG": "json", READY_FILE: str(ready_file)}
        )

    def _start_servers(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Start what no URL is set for; returns the addresses as environment variables."""
        servers = _servers_to_embed(self._settings, self._data, environ)
        self._servers = [ServiceSupervisor(server) for server in servers.values()]
        in_parallel([supervised.start for supervised in self._servers])
        return {variable: server.url for variable, server in servers.items()}

    def _migrate(self, environ: Mapping[str, str]) -> None:
        migration = self._child(Role("migrate", 1.0), environ)
        try:
            migration.start()
            how = migration.wait()
        finally:
            migration.stop()
        if how != SUCCEEDED:
            raise CannotStart(f"The database could not be brought up to date: {how}")

    def _start_processes(self, environ: Mapping[str, str]) -> None:
        self._consumers = [ServiceSupervisor(self._child(role, environ)) for role in CONSUMERS]
        self._others = [ServiceSupervisor(self._child(role, environ)) for role in OTHERS]
        for supervised in self._consumers + self._others:
            supervised.start()

    def _child(self, role: Role, environ: Mapping[str, str]) -> ChildProcess:
        command = [sys.executable, "-m", "api", role.name]
        if role.name in WATCHED:
            port = self._metrics_port + WATCHED.index(role.name)
            environ = {**environ, "ATELIER_METRICS_PORT": str(port)}
        return ChildProcess(role.name, command, environ, self._data / "logs", role.stop_seconds)

    def _wait_until_ready(self, ready_file: Path, progress: Progress) -> None:
        services = self._consumers + self._others
        while not (ready_file.exists() and _answers_ready(self._settings)):
            for supervised in services:
                if supervised.ends >= GIVE_UP_AFTER_ENDS:
                    raise CannotStart(
                        f"{supervised.part.name} does not start: {supervised.last_end}"
                    )
            progress.step(_what_is_awaited(ready_file, services[0].part))
            time.sleep(LOOK_AGAIN_SECONDS)

    def stop(self) -> None:
        """Stop everything that was started."""
        # Consumers first, so that they can hand their tasks back; servers when nobody needs them.
        (self._data / RUNNING_FILE).unlink(missing_ok=True)
        for parts in (self._consumers, self._others, self._servers):
            in_parallel([supervised.stop for supervised in parts])

    def _kill(self) -> None:
        for supervised in self._consumers + self._others + self._servers:
            supervised.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn the signals that end us into ``Interrupted``; they have their old meaning after."""
        ending = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
            ending.append(signal.SIGHUP)
        before = {each: signal.signal(each, self._interrupt) for each in ending}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            self._kill()
        else:
            self._stopping = True
            raise Interrupted


def _servers_to_embed(
    settings: Settings, data: Path, environ: Mapping[str, str]
) -> dict[str, EmbeddedServer]:
    servers: dict[str, EmbeddedServer] = {}
    if not settings.postgres_url:
        servers["ATELIER_POSTGRES_URL"] = EmbeddedPostgres(data)
    if not settings.kafka_bootstrap:
        servers["ATELIER_KAFKA_BOOTSTRAP"] = EmbeddedBroker(data)
    if not settings.s3_url:
        keys = (environ["ATELIER_S3_ACCESS_KEY"], environ["ATELIER_S3_SECRET_KEY"])
        servers["ATELIER_S3_URL"] = EmbeddedMedia(data, *keys, settings.s3_bucket)
    return servers


def _shared_part(environ: Mapping[str, str]) -> dict[str, str]:
    """What other commands need to find a running Atelier's servers and read its data."""
    own = ("ATELIER_DATA", "ATELIER_LOG", "ATELIER_METRICS_PORT")
    names = [variable.name for variable in VARIABLES if variable.name not in own]
    return {name: environ[name] for name in names if name in environ}


def _check_port_is_free(host: str, port: int) -> None:
    try:
        _bind(host, port)
    except OSError as error:
        raise CannotStart(
            f"Port {port} of {host} cannot be used ({error.strerror}): "
            "set ATELIER_PORT to another one."
        ) from error


def _bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _free_run(host: str) -> int:
    """The first of as many free ports in a row as there are processes to be watched."""
    for first in METRICS_PORTS:
        with contextlib.suppress(OSError):
            for n in range(len(WATCHED)):
                _bind(host, first + n)
            return first
    return METRICS_PORTS[0]


def _reachable_host(host: str) -> str:
    return "127.0.0.1" if host in EVERYWHERE else host


def _address(settings: Settings) -> str:
    host = _reachable_host(settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _answers_ready(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(
        _reachable_host(settings.host), settings.port, timeout=ANSWER_SECONDS
    )
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _what_is_awaited(ready_file: Path, consumer: Service) -> str:
    if ready_file.exists() or not isinstance(consumer, ChildProcess) or not consumer.latest:
        return "Starting Atelier"
    return f"Starting Atelier: {consumer.latest}"
