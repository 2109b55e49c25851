"""A PostgreSQL primary and the standby that streams from it, both on this machine."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from infra.embedded import EmbeddedPostgres
from infra.postgres import connect
from tests.support.local import LocalServer
from tests.support.scenario import eventually
from tests.support.servers import HastyPostgres

PROMOTED_S: Final = 10


class _Standby(HastyPostgres):
    """A copy of another server, which follows it until it is promoted."""

    def __init__(self, data: Path, primary: EmbeddedPostgres) -> None:
        super().__init__(data)
        self._primary = primary

    def _make_password(self) -> None:
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(self._primary._password_file.read_text())

    def _initialise(self) -> None:
        cluster = self._cluster.resolve()
        self._run(
            [
                str(self._program("pg_basebackup")),
                f"--dbname={self._primary._url_of('postgres')}",
                f"--pgdata={cluster}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ]
        )


class Pair:
    """Both; ``url`` leads to whichever takes changes."""

    def __init__(self, folder: Path) -> None:
        primary = HastyPostgres(folder / "primary")
        self.primary = LocalServer(primary)
        self.standby = LocalServer(_Standby(folder / "standby", primary))
        parts = urlsplit(self.primary.url)
        both = [unquote(_host(server.url)) for server in (self.primary, self.standby)]
        query = f"host={quote(','.join(both), safe='')}&target_session_attrs=read-write"
        self.url = parts._replace(query=query).geturl()

    def be_synchronous(self) -> None:
        """From now on a change counts only when the standby has it, too."""
        with connect(self.primary.url) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        eventually(lambda: self._replicas("sync_state") == ["sync"])

    def part(self) -> None:
        """Let the standby have what is there, and nothing that comes."""
        eventually(self._is_level)
        with connect(self.standby.url) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
        eventually(lambda: not self._replicas("state"))

    @contextlib.contextmanager
    def standby_frozen(self) -> Iterator[float]:
        """The standby takes in nothing meanwhile; gives since when."""
        processes = self.standby.processes()
        for process in processes:
            process.suspend()
        try:
            yield time.monotonic()
        finally:
            for process in processes:
                process.resume()

    def fail_over(self) -> float:
        """Kill the primary, and promote the standby; gives when that began."""
        began = time.monotonic()
        self.primary.kill()
        with connect(self.standby.url, statement_timeout=0) as connection:
            connection.execute("SELECT pg_promote(true, %s)", [PROMOTED_S])
        return began

    def stop(self) -> None:
        """End both."""
        self.standby.stop()
        self.primary.stop()

    def _is_level(self) -> bool:
        (level,) = self._replicas("(pg_current_wal_lsn() = replay_lsn)::text")
        return level == "true"

    def _replicas(self, column: str) -> list[str]:
        with connect(self.primary.url) as connection:
            rows = connection.execute(f"SELECT {column} FROM pg_stat_replication")
            return [value for (value,) in rows]


@contextlib.contextmanager
def postgres_pair(folder: Path) -> Iterator[Pair]:
    """A primary and its standby, asynchronous at first."""
    pair = Pair(folder)
    try:
        yield pair
    finally:
        pair.stop()


def _host(url: str) -> str:
    return parse_qs(urlsplit(url).query)["host"][0]
