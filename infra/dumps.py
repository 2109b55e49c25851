"""Dumps of the database, by PostgreSQL's own programs."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.errors import AtelierError
from infra.embedded.postgres import bundled
from infra.embedded.server import ServerFailed


class DumpFailed(AtelierError):
    """A program of PostgreSQL is missing, or refuses."""

    code = "dump_failed"


def dump(url: str, version: int, snapshot: str, path: Path) -> None:
    """Write what an exported snapshot shows of a server of that major version; `DumpFailed`."""
    options = ["--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={path}"]
    _run(_program("pg_dump", version), options, url)


def load(url: str, version: int, path: Path) -> None:
    """Put a dump in the place of what is there, whole or not at all; raises `DumpFailed`."""
    options = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"]
    _run(_program("pg_restore", version), [*options, str(path)], url)


def _program(name: str, server: int) -> Path:
    """The program of the server's own version where there is one, or of a later one."""
    found: dict[int, Path] = {}
    on_path = shutil.which(name)
    candidates = [Path(on_path)] if on_path else []
    with contextlib.suppress(ServerFailed):
        candidates.append(bundled(name))
    for path in candidates:
        if (version := _version(path)) >= server:
            found.setdefault(version, path)
    if not found:
        raise DumpFailed(
            f"{name} of PostgreSQL {server} or later is needed: install postgresql-client-{server}"
        )
    return found[min(found)]


def _version(program: Path) -> int:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"(\d+)", told.stdout)
    return int(number[1]) if number else 0


def _run(program: Path, arguments: Sequence[str], url: str) -> None:
    """Run a program of PostgreSQL; the password goes by its environment, which nobody else sees."""
    password = conninfo_to_dict(url).get("password")
    environ = {**os.environ, "PGPASSWORD": str(password or "")}
    words = [str(program), f"--dbname={_without_password(url)}", *arguments]
    ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise DumpFailed(f"{program.name} failed: {ran.stderr.strip()}")


def _without_password(url: str) -> str:
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if key != "password"}
    return make_conninfo("", **parts)
