"""`atelier media check`: whether the media store is as the log says."""

import argparse
import contextlib
import sys
from typing import Final

import msgspec

from domain.errors import AtelierError
from infra.log.event_store import EventStore
from infra.log.keys import KeyRing
from infra.media.check import Report, check
from infra.media.store import MediaStore
from infra.postgres import open_pool
from infra.process.progress import Progress
from infra.settings import Settings
from infra.wording import counted

SHOWN: Final = 20  # of each kind, on a terminal


class MediaDiffers(AtelierError):
    """The media store is not as the log says."""

    code = "media_differs"


def run(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compare and tell; raises `MediaDiffers` when something is left that should not be so."""
    settings.require("postgres_url", "s3_url", "master_key", "hash_key")
    pool = open_pool(settings.postgres_url, 1)
    log = EventStore(pool, KeyRing(pool, settings.master_key), settings.hash_key)
    media, delete = MediaStore(settings), arguments.delete_orphans
    with contextlib.closing(pool), Progress() as progress:
        report = check(log, media, delete=delete, report=progress.step)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    else:
        print(_in_words(report))
    left = len(report.orphans) - report.deleted
    if report.missing or report.differing or left:
        raise MediaDiffers(
            f"the media store differs from the log: {counted(len(report.missing), 'file')} missing,"
            f" {len(report.differing)} of another size, {left} without an event"
        )


def _in_words(report: Report) -> str:
    done = " (deleted)" if report.deleted else ""
    kinds = (
        ("Missing: an event names them, the store has them not", report.missing),
        ("Of another size than their event says", report.differing),
        (f"Without an event, older than an hour{done}", report.orphans),
    )
    lines = [
        f"Log    {report.events:>12,} events, which name {report.named:,} files",
        f"Store  {report.stored:>12,} objects, {report.stored_bytes / 1e6:,.1f} MB",
    ]
    if report.young:
        lines.append(f"       {report.young:>12,} too young to tell")
    if report.foreign:
        lines.append(f"       {report.foreign:>12,} of others or of renders under way, left alone")
    if report.unreadable:
        lines.append(f"       {report.unreadable:>12,} events cannot be read: nothing is deleted")
    for title, keys in kinds:
        if keys:
            lines += ["", f"{title}: {len(keys):,}", *(f"  {key}" for key in keys[:SHOWN])]
            if keys[SHOWN:]:
                lines.append(f"  … and {len(keys) - SHOWN:,} more; --json lists them all")
    return "\n".join([*lines, "", "They agree."] if _agree(report) else lines)


def _agree(report: Report) -> bool:
    return not (report.missing or report.differing or report.orphans)
