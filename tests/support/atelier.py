"""The whole of Atelier as real processes, as `atelier up` runs it."""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from infra.embedded.server import free_port
from infra.process.services import ChildProcess, ServiceSupervisor
from infra.process.supervisor import PATIENT_THREADS
from infra.settings import Settings
from tests.support import servers

READY = re.compile(r"Atelier is ready: (http://\S+)")
START_S = 240.0  # the body model's one-off preparation included
STOP_S = 10.0  # what the issue promises

# How the command lines of the servers tell them apart.
SERVER_WORDS = {
    "postgres": ["postgres -D"],
    "kafka": ["tansu broker", "kafka.Kafka"],
    "media": ["rclone serve", "minio server", "garage server"],
}


# A folder that changes whatever process has it first on its path; see its `sitecustomize`.
PLANTED = Path(__file__).parent / "planted"
ROOT = Path(__file__).parents[2]


class Outside(NamedTuple):
    """Servers that `up` does not start, and the environment that points it at them."""

    environ: dict[str, str]
    running: dict[str, servers.Server]


class Atelier:
    """One `atelier up` in a data directory, with outside servers where there are any."""

    def __init__(self, data: Path, outside: Outside) -> None:
        self.data = data
        self.outside = outside
        self.port = free_port()
        self.shop_port = free_port()  # for a web page of another origin, which may use the API
        self.metrics_port = _free_run()
        self.output: list[str] = []
        self._environ = {
            **os.environ,
            **outside.environ,
            "ATELIER_DATA": str(data),
            "ATELIER_PORT": str(self.port),
            "ATELIER_METRICS_PORT": str(self.metrics_port),
            "ATELIER_LEASE_SECONDS": "5",
            "ATELIER_CORS_ORIGINS": f"http://localhost:{self.shop_port}",
            # All of a test's people come from one address.
            "ATELIER_LOGIN_LIMIT": "1000000",
            "ATELIER_REGISTER_LIMIT": "1000000",
            "ATELIER_UPLOAD_LIMIT": "1000000",
        }
        self._up: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it and give the seconds until its ready line."""
        began = time.monotonic()
        self._up = subprocess.Popen(
            [sys.executable, "-m", "api", "up"],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self._up, ready), daemon=True).start()
        while not ready.wait(0.05):
            if self._up.poll() is not None or time.monotonic() - began > START_S:
                raise AssertionError("Atelier did not start:\n" + "".join(self.output))
        return time.monotonic() - began

    def settings(self) -> Settings:
        """What its processes have been given."""
        return Settings.load(self._environ)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line beside it, without a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "api", *words],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def another(self, process: str, **environ: str) -> Iterator[None]:
        """A second one of our processes beside that of `up`, and started again like that one."""
        given = {
            **self._environ,
            **PATIENT_THREADS,
            "ATELIER_METRICS_PORT": "",
            "ATELIER_LOG": "json",
            **environ,
        }
        command = [sys.executable, "-m", "api", process]
        child = ChildProcess(f"{process}-2", command, given, self.data / "logs", 3.0)
        supervisor = ServiceSupervisor(child)
        try:
            supervisor.start()
            yield
        finally:
            supervisor.stop()

    def client(self, port: int = 0) -> httpx.Client:
        """A client of its API, or of that of another process."""
        return httpx.Client(base_url=f"http://127.0.0.1:{port or self.port}", timeout=30)

    def process(self, words: str) -> psutil.Process:
        """The process below `up` whose command line holds the words; the deepest such one."""
        for _ in range(200):
            found = [p for p in self.family() if words in _command_line(p)]
            if found:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"no process runs {words!r}")

    def server(self, kind: str) -> psutil.Process:
        """The process of a server, whoever has started it."""
        nearby = self.family() + psutil.Process().children(recursive=True)
        found = [p for p in nearby for words in SERVER_WORDS[kind] if words in _command_line(p)]
        assert found, f"no {kind} server runs"
        return found[-1]

    def kill(self, victim: str) -> None:
        """End a server or one of our processes as `kill -9` does; what `up` runs comes back."""
        if victim in self.outside.running:
            self.outside.running[victim].kill()
            self.outside.running[victim].restart()
        elif victim in SERVER_WORDS:
            self.server(victim).kill()
        else:
            self.process(f"api {victim}").kill()

    def family(self) -> list[psutil.Process]:
        """All processes that `up` has started, itself not included."""
        assert self._up is not None
        try:
            return psutil.Process(self._up.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[float, list[psutil.Process]]:
        """End `up`; gives the seconds until nothing is left, or what is left after 10 s."""
        if self._up is None:
            return 0.0, []
        family = self.family()
        began = time.monotonic()
        self._up.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._up.wait(STOP_S)
        _, left = psutil.wait_procs(family, max(0.1, STOP_S - (time.monotonic() - began)))
        self._up.kill()
        self._up.wait()
        self._up = None
        return time.monotonic() - began, [p for p in left if p.is_running()]

    def _read(self, up: subprocess.Popen[str], ready: threading.Event) -> None:
        assert up.stdout is not None
        with up.stdout:
            for line in up.stdout:
                self.output.append(line)
                if READY.search(line):
                    ready.set()


@contextlib.contextmanager
def outside_servers(folder: Path) -> Iterator[Outside]:
    """Outside servers for Kafka and the media store, where the tests are to use them."""
    if servers.SERVERS == "embedded":
        yield Outside({}, {})
        return
    with contextlib.ExitStack() as stack:
        kafka = servers.start_kafka(folder)
        stack.callback(kafka.stop)
        media = servers.start_media(folder)
        stack.callback(media.server.stop)
        environ = {"ATELIER_KAFKA_BOOTSTRAP": kafka.url, **media.environ}
        yield Outside(environ, {"kafka": kafka, "media": media.server})


def planted(outside: Outside, **faults: str) -> Outside:
    """The same servers, with faults in the processes that use them: what `sitecustomize` takes."""
    environ = {"PYTHONPATH": os.pathsep.join([str(PLANTED), str(ROOT)]), **faults}
    return Outside(outside.environ | environ, outside.running)


class Person:
    """A client of the API with an account of its own."""

    def __init__(self, client: httpx.Client, **info: Any) -> None:
        self.client = client
        self.email = f"{secrets.token_hex(6)}@example.com"
        self.info = {
            "email": self.email,
            "full_name": "Ada Lovelace",
            "date_of_birth": 631152000,
            "ethnicity": "",
            "gender": "Female",
            **info,
        }
        expect(client.post("/register", json=self.info))
        token = expect(client.post("/login", json={"email": self.email}))["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of a GET that must succeed."""
        return expect(self.client.get(path, headers=self.headers, params=parameters))

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST that must succeed."""
        return expect(self.client.post(path, headers=self.headers, json=body))

    def wait_for(self, task: str, seconds: float = 90.0) -> dict[str, Any]:
        """The task once it has ended; answers of 503 meanwhile are waited out."""
        deadline = time.monotonic() + seconds
        seen: Any = None
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                response = self.client.get(f"/generate/{task}", headers=self.headers)
                seen = response.json()
                if response.status_code == 200 and seen["status"] in ("SUCCESS", "FAILED"):
                    return dict(seen)
            time.sleep(0.1)
        raise AssertionError(f"task {task} has not ended: {seen}")


def expect(response: httpx.Response, status: int = 200) -> Any:
    """The JSON of an answer with this status."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    return response.json()


def _free_run() -> int:
    """The first of four free ports in a row, one for each process."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for n in range(4):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", first + n))
            return first


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
