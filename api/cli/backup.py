"""`atelier backup` and `atelier restore`: the event log, all that is beside it, and the files."""

import argparse
import contextlib
import hashlib
import mimetypes
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg

from api.cli import confirm
from api.figures import connected
from domain.errors import AtelierError, NotFound
from infra import dumps
from infra.log import fingerprints
from infra.media.store import MediaStore
from infra.postgres import answered, connect
from infra.process.progress import Bar, Progress
from infra.process.supervisor import servers_alone
from infra.relay.ledger import begin_epoch
from infra.settings import Settings
from infra.wording import counted

MANIFEST: Final = "manifest.json"
DUMP: Final = "postgres.dump"
MEDIA: Final = "media"
STAGING: Final = "staging/"  # files of attempts under way, which no event names
SKIPPED_NUMBERS: Final = 100_000  # account numbers that may have been given out after the backup

SNAPSHOT: LiteralString = """-- What the dump will hold, exactly.
SELECT pg_export_snapshot(), log_id, position FROM atelier_head"""

LOG: LiteralString = "SELECT log_id, position FROM atelier_head"

SKIP: LiteralString = """-- Numbers name folders of files, so none is given out twice.
SELECT setval('atelier_account_numbers', nextval('atelier_account_numbers') + %s)"""


class BadBackup(AtelierError):
    """A folder that cannot be restored, or not here."""

    code = "bad_backup"


class StillRunning(AtelierError):
    """Processes of Atelier are at work on the database."""

    code = "still_running"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: the log up to ``position``, and the files beside it if they are there.

    ``keys`` are fingerprints of the keys without which it cannot be read; they are not in it.
    """

    made_at: datetime
    log_id: UUID
    position: int
    postgres: str
    dump_bytes: int
    dump_sha256: str
    keys: dict[str, str]
    bucket: str
    files: int | None
    files_bytes: int


def back_up(settings: Settings, arguments: argparse.Namespace) -> None:
    """Write a backup into a new folder, while Atelier may be at work."""
    folder = Path(arguments.folder)
    if folder.exists():
        raise BadBackup(f"{folder} is there already: name a new folder")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with _servers(settings) as there:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        with Progress() as progress:
            progress.step("Dumping the database")
            manifest = _dump(there, unfinished)
        if not arguments.without_media:
            there.require("s3_url")
            manifest = _copy_files(MediaStore(there), unfinished / MEDIA, manifest)
    _write(unfinished / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    unfinished.rename(folder)
    print(_described(folder, manifest))


def restore(settings: Settings, arguments: argparse.Namespace) -> None:
    """Put a backup in the place of what is there; nothing of Atelier may run meanwhile.

    Where the log in place has gone further, the restored one gets a new id: what comes next must
    not be taken for what came then. Raises `BadBackup`, `StillRunning` or `NotConfirmed`; then
    nothing has been changed.
    """
    folder = Path(arguments.folder)
    manifest = _read(folder)
    with _servers(settings) as there:
        _check_keys(there, manifest)
        with answered(), connect(there.postgres_url) as connection:
            _check_nobody_works(connection)
            in_place = _in_place(connection)
            if not arguments.yes:
                _confirm(in_place, manifest)
        with Progress() as progress:
            progress.step("Restoring the database")
            with answered(), connect(there.postgres_url) as connection:
                dumps.load(
                    there.postgres_url, connection.info.server_version // 10_000, folder / DUMP
                )
                connection.execute(SKIP, [SKIPPED_NUMBERS])
                if in_place and in_place[0] == manifest.log_id and in_place[1] > manifest.position:
                    begin_epoch(connection)
        if manifest.files is not None:
            there.require("s3_url")
            _bring_files_back(MediaStore(there), folder / MEDIA)
    print(
        f"Restored log {manifest.log_id} up to position {manifest.position:,}.\n"
        "Who was erased since then is back: if Kafka still holds what it held, run\n"
        "`atelier accounts erase-again` before anything else.\n"
        "Then start Atelier. If `atelier status` says that the relay is stopped, Kafka holds\n"
        "events that this backup lacks: docs/restored-backup.md says how to begin a new epoch."
    )


@contextlib.contextmanager
def _servers(settings: Settings) -> Iterator[Settings]:
    """Those that the settings or a running `atelier up` name, or else the embedded ones."""
    if settings.postgres_url:
        yield settings
    else:
        with servers_alone(settings) as embedded:
            yield embedded


def _dump(settings: Settings, folder: Path) -> Manifest:
    with answered(), connect(settings.postgres_url, statement_timeout=0) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            try:
                row = connection.execute(SNAPSHOT).fetchone()
                keys = fingerprints.noted(connection)
            except psycopg.errors.UndefinedTable as error:
                raise BadBackup("the database is not migrated: run `atelier migrate`") from error
            assert row is not None
            snapshot, log_id, position = row
            version = connection.info.server_version
            path = folder / DUMP
            dumps.dump(settings.postgres_url, version // 10_000, snapshot, path)
    return Manifest(
        made_at=datetime.now(UTC),
        log_id=log_id,
        position=position,
        postgres=f"{version // 10_000}.{version % 10_000}",
        dump_bytes=path.stat().st_size,
        dump_sha256=_sha256(path),
        keys=keys,
        bucket=settings.s3_bucket,
        files=None,
        files_bytes=0,
    )


def _copy_files(media: MediaStore, folder: Path, manifest: Manifest) -> Manifest:
    folder.mkdir()
    keys = [each.key for each in media.list("") if not each.key.startswith(STAGING)]
    copied: list[int] = []
    with Bar("Copying the files", len(keys), "files") as bar:
        for key in keys:
            path = folder / key
            if not path.resolve().is_relative_to(folder.resolve()):
                raise BadBackup(f"the bucket has an object that is none of Atelier's: {key!r}")
            with contextlib.suppress(NotFound):  # removed since it was listed
                data = media.get(key)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, data)
                copied.append(len(data))
            bar.advance(1)
    return msgspec.structs.replace(manifest, files=len(copied), files_bytes=sum(copied))


def _bring_files_back(media: MediaStore, folder: Path) -> None:
    media.ensure_bucket()
    there = {stored.key: stored.size for stored in media.list("")}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with Bar("Copying the files", len(paths), "files") as bar:
        for path in paths:
            key = path.relative_to(folder).as_posix()
            if there.get(key) != path.stat().st_size:
                kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                media.put(key, path.read_bytes(), kind)
            bar.advance(1)


def _read(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        checksum = _sha256(folder / DUMP)
    except (OSError, msgspec.DecodeError) as error:
        raise BadBackup(f"{folder} is no backup, or not a whole one: {error}") from error
    if checksum != manifest.dump_sha256:
        raise BadBackup(f"{folder / DUMP} has been changed or damaged since the backup was made")
    return manifest


def _check_keys(settings: Settings, manifest: Manifest) -> None:
    if wrong := fingerprints.differing(settings, manifest.keys):
        raise BadBackup(
            f"{' and '.join(wrong)}: not what the backup was made with, so that it could not be"
            " read. Set the keys of that time first, or put their secrets.json into the data folder"
        )


def _check_nobody_works(connection: psycopg.Connection[Any]) -> None:
    at_work = connected(connection)
    if at_work:
        named = ", ".join(f"{name} {count}" for name, count in at_work.items())
        raise StillRunning(f"stop all of Atelier first; at work on the database: {named}")


def _in_place(connection: psycopg.Connection[Any]) -> tuple[UUID, int] | None:
    try:
        return connection.execute(LOG).fetchone()
    except psycopg.errors.UndefinedTable:
        return None


def _confirm(in_place: tuple[UUID, int] | None, manifest: Manifest) -> None:
    """Ask, on a terminal; elsewhere only `--yes` says yes."""
    if in_place is None or in_place[1] == 0:
        return
    log_id, position = in_place
    lines = [
        f"In place:   log {log_id}, {counted(position, 'event')}.",
        f"The backup: log {manifest.log_id}, {counted(manifest.position, 'event')}.",
    ]
    if log_id != manifest.log_id or position > manifest.position:
        lines.append("What the backup does not have will be lost. This cannot be undone.")
    confirm.by_word(
        "restore",
        lines,
        unattended="the database holds events: give --yes to replace them without asking",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _described(folder: Path, manifest: Manifest) -> str:
    files = "without files"
    if manifest.files is not None:
        files = f"{counted(manifest.files, 'file')} ({manifest.files_bytes / 1e6:,.1f} MB)"
    return (
        f"{folder}: log {manifest.log_id} up to position {manifest.position:,}, {files}.\n"
        f"Keep {' and '.join(sorted(manifest.keys)) or 'the keys'} apart from it, and as safe:"
        " without them it cannot be read."
    )
