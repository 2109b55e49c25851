"""The supervisor with real embedded servers, and tiny programs in place of Atelier's own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from infra.embedded.server import free_port
from infra.process.processes import PULSE_S
from infra.settings import Settings

REPOSITORY = Path(__file__).parents[4]
PATIENCE_SECONDS = 40.0  # a busy machine may take its time; a hang is what must be noticed
# What runs instead of `python -m api NAME`: it notes its start, and does no more than `up` expects.
STAND_IN = """
import http.server, json, os, signal, sys, threading, time
from pathlib import Path
from infra.process.processes import Pulse, die_with_parent

name, data = sys.argv[1], Path(os.environ["ATELIER_DATA"])

def note(what):
    with open(data / "notes", "a") as notes:
        notes.write(f"{what} {name} {os.getpid()}\\n")

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass

def stop(*_):
    note("stopped")
    os._exit(0)

die_with_parent()
signal.signal(signal.SIGTERM, stop)
(data / f"{name}.json").write_text(json.dumps(dict(os.environ)))
note("started")
print(json.dumps({"event": f"hello from {name}", "level": "info"}), flush=True)
if os.environ.get("BROKEN") == name:
    print("it cannot work", flush=True)
    sys.exit(3)
if name == "migrate":
    sys.exit(0)
if name == "relay":
    print(json.dumps({"event": "a warning", "level": "warning", "shelf": 7}), flush=True)
if name == "render-consumer":
    Path(os.environ["ATELIER_READY_FILE"]).touch()
    threading.Thread(target=Pulse(3600).follow, args=(threading.Event(),), daemon=True).start()
if name == "api":
    address = ("127.0.0.1", int(os.environ["ATELIER_PORT"]))
    server = http.server.ThreadingHTTPServer(address, Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
if os.environ.get("STUBBORN") == name:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    time.sleep(600)
"""
UP = "import os; from infra.process import logs, supervisor; from infra.settings import Settings; "
UP += "logs.configure('up', 'json'); supervisor.run(Settings.load(os.environ))"
PROCESSES = ("api", "projector", "relay", "render-consumer")
SERVERS = ("broker", "media", "postgres")

# With these nothing is embedded; the stand-ins never look at them.
OUTSIDE = {
    "ATELIER_POSTGRES_URL": "postgresql://nowhere/x",
    "ATELIER_KAFKA_BOOTSTRAP": "nowhere:9092",
    "ATELIER_S3_URL": "http://nowhere:9000",
    "ATELIER_S3_ACCESS_KEY": "access",
    "ATELIER_S3_SECRET_KEY": "secret",
}


class Up:
    """An `atelier up` in a process of its own."""

    def __init__(self, folder: Path, **environ: str) -> None:
        package = folder / "stand-in" / "api"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()  # or the real one would be found first
        (package / "__main__.py").write_text(STAND_IN)
        self.data = folder / "data"
        self.port = free_port()
        ours = {
            name: value
            for name, value in os.environ.items()
            if "ATELIER" not in name and name != "ANNY_CACHE_DIR"
        }
        self._stderr = folder / "stderr"
        with self._stderr.open("ab") as complaints:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP],
                cwd=package.parent,
                env=ours
                | {"PYTHONPATH": str(REPOSITORY)}
                | {"ATELIER_DATA": str(self.data), "ATELIER_PORT": str(self.port)}
                | environ,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    def ready_line(self) -> str:
        """The line, once each stand-in has come as far as noting that it runs."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.complaints()
        eventually(lambda: all(self.notes("started", name) for name in PROCESSES))
        return line

    def complaints(self) -> str:
        return self._stderr.read_text()

    def notes(self, what: str, name: str) -> list[int]:
        """The processes that noted this of themselves, oldest first."""
        if not (self.data / "notes").exists():
            return []
        lines = (self.data / "notes").read_text().splitlines()
        return [int(line.split()[2]) for line in lines if line.startswith(f"{what} {name} ")]

    def environ_of(self, name: str) -> dict[str, str]:
        return json.loads((self.data / f"{name}.json").read_text())

    def descendants(self) -> list[int]:
        """All that run on behalf of the data folder, whoever their parent is by now."""
        mark = str(self.data).encode()
        return [pid for pid in running() if pid != self.process.pid and mark in described(pid)]


def running() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def described(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        place = Path("/proc") / str(pid)
        return (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
    return b""


def eventually(condition, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    started = []

    def start(**environ: str) -> Up:
        started.append(Up(tmp_path, **environ))
        return started[-1]

    yield start
    for up in started:
        with up.process:
            up.process.kill()
    eventually(lambda: not any(up.descendants() for up in started))


@pytest.fixture
def up(start):
    up = start()
    assert up.ready_line()
    return up


@pytest.fixture
def plain(start):
    up = start(**OUTSIDE)
    assert up.ready_line()
    return up


def stop(up: Up, number: signal.Signals = signal.SIGTERM) -> int:
    up.process.send_signal(number)
    return up.process.wait(PATIENCE_SECONDS)


def test_it_says_once_that_all_is_ready_and_stops_without_a_trace(start):
    up = start()
    assert up.ready_line().startswith(f"Atelier is ready: http://127.0.0.1:{up.port} ")
    assert all(len(up.notes("started", name)) == 1 for name in (*PROCESSES, "migrate"))
    assert stop(up, signal.SIGINT) == 0
    assert up.process.stdout.read() == ""
    assert not up.descendants()
    lines = (up.data / "notes").read_text().splitlines()
    stopped = [line.split()[1] for line in lines if line.startswith("stopped")]
    assert sorted(stopped) == sorted(PROCESSES)
    assert stopped[0] == "render-consumer"  # it may still have a task to hand back


def test_processes_are_given_servers_and_keys_that_work(up):
    environ = up.environ_of("relay")
    settings = Settings.load(environ)
    settings.require(
        "postgres_url", "kafka_bootstrap", "s3_url", "master_key", "hash_key", "jwt_key"
    )
    assert settings.anny_cache_dir == str(up.data / "anny")
    with psycopg.connect(settings.postgres_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_another_command_finds_the_servers_of_a_running_up(up):
    found = Settings.load({"ATELIER_DATA": str(up.data)})
    assert found.postgres_url == up.environ_of("api")["ATELIER_POSTGRES_URL"]
    assert found.port == up.port
    stop(up)
    assert not Settings.load({"ATELIER_DATA": str(up.data)}).postgres_url


def test_secrets_are_private_and_stay_the_same(start):
    first = start()
    first.ready_line()
    stop(first)
    second = start()
    second.ready_line()
    for file in ("secrets.json", "running.json"):
        assert (second.data / file).stat().st_mode & 0o777 == 0o600
    secrets = json.loads((second.data / "secrets.json").read_text())
    assert secrets.items() <= second.environ_of("api").items()
    stop(second)
    (second.data / "secrets.json").unlink()
    third = start()
    assert third.process.wait(PATIENCE_SECONDS) != 0
    assert "secrets.json is missing" in third.complaints()


def test_a_killed_process_is_started_again(plain):
    for name in PROCESSES:
        os.kill(plain.notes("started", name)[0], signal.SIGKILL)
    eventually(lambda: all(len(plain.notes("started", name)) == 2 for name in PROCESSES))
    assert "ended by itself" in plain.complaints()


def test_a_process_whose_pulse_stops_is_started_again(plain):
    (hanging,) = plain.notes("started", "render-consumer")
    time.sleep(2 * PULSE_S)  # it has begun to tell
    os.kill(hanging, signal.SIGSTOP)
    eventually(lambda: len(plain.notes("started", "render-consumer")) == 2)
    assert "hangs" in plain.complaints()
    assert len(plain.notes("started", "relay")) == 1  # it has never told of a pulse


def test_a_killed_server_comes_back_where_it_was(up):
    url = up.environ_of("api")["ATELIER_POSTGRES_URL"]
    postmaster = int((up.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    os.kill(postmaster, signal.SIGKILL)

    def answers():
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            return connection.execute("TABLE kept").fetchone() == (1,)
        return False

    eventually(lambda: str(postmaster) in up.complaints() or answers())
    eventually(answers)


def test_killed_itself_it_takes_everything_along_and_starts_again(start):
    first = start()
    first.ready_line()
    assert len(first.descendants()) > len(PROCESSES) + len(SERVERS)
    first.process.kill()
    eventually(lambda: not first.descendants())
    second = start()
    assert second.ready_line()


def test_a_second_up_in_the_folder_is_refused(plain, start):
    second = start(**OUTSIDE)
    assert second.process.wait(PATIENCE_SECONDS) != 0
    assert f"already runs in {plain.data}" in second.complaints()
    assert plain.process.poll() is None


def test_a_taken_port_is_named(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        up = start(ATELIER_PORT=port)
        assert up.process.wait(PATIENCE_SECONDS) != 0
    assert f"Port {port}" in up.complaints()
    assert "ATELIER_PORT" in up.complaints()


def test_a_data_folder_that_is_a_file_is_named(start, tmp_path):
    file = tmp_path / "file"
    file.touch()
    up = start(ATELIER_DATA=str(file))
    assert up.process.wait(PATIENCE_SECONDS) != 0
    assert "ATELIER_DATA must name a folder" in up.complaints()


def test_a_process_that_cannot_start_ends_the_attempt_with_its_words(start):
    up = start(BROKEN="render-consumer", **OUTSIDE)
    assert up.process.wait(PATIENCE_SECONDS) != 0
    assert "render-consumer does not start" in up.complaints()
    assert "it cannot work" in up.complaints()
    assert not up.descendants()


def test_a_failed_migration_starts_nothing(start):
    up = start(BROKEN="migrate", **OUTSIDE)
    assert up.process.wait(PATIENCE_SECONDS) != 0
    assert "it cannot work" in up.complaints()
    assert not up.notes("started", "api")
    assert not up.descendants()


def test_a_process_that_does_not_listen_is_ended(start):
    up = start(STUBBORN="render-consumer", **OUTSIDE)
    up.ready_line()
    assert stop(up) == 0
    assert not up.descendants()


def test_a_second_ctrl_c_does_not_wait(start):
    up = start(STUBBORN="render-consumer", **OUTSIDE)
    up.ready_line()
    up.process.send_signal(signal.SIGINT)
    eventually(lambda: not (up.data / "running.json").exists())
    up.process.send_signal(signal.SIGINT)
    up.process.wait(PATIENCE_SECONDS)
    assert "did not stop in time" not in up.complaints()
    assert not up.descendants()


def test_everything_is_in_the_log_files_and_warnings_are_shown(plain):
    logs = plain.data / "logs"
    assert "hello from api" in (logs / "api.log").read_text()
    eventually(lambda: "a warning" in plain.complaints())
    assert "hello from" not in plain.complaints()
    shown = next(line for line in plain.complaints().splitlines() if "a warning" in line)
    assert json.loads(shown)["process"] == "relay"
    assert {f"{name}.log" for name in (*PROCESSES, "migrate")} <= set(os.listdir(logs))


def test_beyond_loopback_it_refuses_before_anything_can_be_reached(start):
    up = start(ATELIER_HOST="0.0.0.0", **OUTSIDE)  # noqa: S104 - it must not get that far
    assert up.process.wait(PATIENCE_SECONDS) != 0
    assert "ATELIER_CATALOG_KEY" in up.complaints()
    assert not (up.data / "api.json").exists()


def test_nothing_is_embedded_where_a_url_is_set(plain):
    assert OUTSIDE.items() <= plain.environ_of("api").items()
    assert not any((plain.data / name).exists() for name in SERVERS)
