"""Compares the media store with what the log says must lie in it."""

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import msgspec

from domain.account import AccountErased, AvatarFile, AvatarUploaded
from domain.events import Recorded, Unreadable
from domain.render import (
    UPLOADS,
    ImageToVideoRequested,
    MediaFile,
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderFileRemoved,
)
from infra.media.store import MediaStore, StoredObject

BATCH: Final = 1_000  # events
YOUNG: Final = timedelta(hours=1)  # a file is stored before the event that names it
OURS: Final = re.compile(rf"\d+/(gallery|avatar|{UPLOADS})/[^/]+")  # the cleaner sees to staging


class Named(NamedTuple):
    """A file that the log names; the size in bytes is not known of what a client sent along."""

    account: UUID | None
    size: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and where the store differs from the log: keys in their order.

    ``orphans`` are files of ours that no event names and that are older than an hour; ``young``
    counts the others. ``foreign`` counts objects that are none of Atelier's files.
    """

    events: int
    named: int
    stored: int
    stored_bytes: int
    missing: list[str]
    differing: list[str]
    orphans: list[str]
    orphan_bytes: int
    deleted: int
    young: int
    foreign: int
    unreadable: int


class Log(Protocol):
    """What a comparison needs of the event log."""

    def head(self) -> tuple[UUID, int]: ...
    def read(self, after: int, limit: int) -> list[Recorded]: ...


class Ledger:
    """Which files must be there, by the events so far."""

    def __init__(self, log: Log, report: Callable[[str], object]) -> None:
        self.named: dict[str, Named] = {}
        self.unreadable = 0
        self.events = 0
        self._log = log
        self._report = report
        self._uploads: dict[UUID, str] = {}
        self._position = 0

    def read(self) -> None:
        """Go on to the log's end."""
        [_, head], began, before = self._log.head(), time.monotonic(), self.events
        while batch := self._log.read(self._position, BATCH):
            for recorded in batch:
                self._apply(recorded)
            self._position = batch[-1].position
            self.events += len(batch)
            rate = (self.events - before) / max(time.monotonic() - began, 0.001)
            left = max(0, head - self._position) / rate
            self._report(
                f"reading the log: {self.events:,} of {head:,} events,"
                f" {rate:,.0f} a second, {left:.0f} s left"
            )

    def _apply(self, recorded: Recorded) -> None:
        event, task = recorded.event, recorded.aggregate_id
        match event:
            case AvatarUploaded():
                self._name(recorded, (event.picture, event.thumbnail))
                self._forget(event.replaced)
            case ImageToVideoRequested(source_key=key) if f"/{UPLOADS}/" in key:
                self.named[key] = Named(recorded.account, None)
                self._uploads[task] = key
            case RenderCompleted():
                self._name(recorded, event.files)
            case RenderFileRemoved():
                self._forget(event.keys)
            case Unreadable():
                self.unreadable += 1
        if isinstance(event, RenderCompleted | RenderFailed | RenderCancelled):
            self._forget([self._uploads.pop(task, "")])
        if isinstance(event, AccountErased):
            theirs = [key for key, each in self.named.items() if each.account == recorded.account]
            self._forget(theirs)

    def _name(self, recorded: Recorded, files: Iterable[AvatarFile | MediaFile]) -> None:
        for file in files:
            self.named[file.key] = Named(recorded.account, file.size)

    def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.named.pop(key, None)


def check(
    log: Log,
    media: MediaStore,
    *,
    delete: bool = False,
    report: Callable[[str], object] = lambda _: None,
    now: datetime | None = None,
) -> Report:
    """Compare; with ``delete`` remove the orphans, unless an event cannot be read.

    The log is read before the store is listed, and to its new end after it: so what happens
    meanwhile is no difference.
    """
    ledger = Ledger(log, report)
    ledger.read()
    report("listing the media store")
    stored = {found.key: found for found in media.list("")}
    ledger.read()
    before = (now or datetime.now(UTC)) - YOUNG
    strangers = [found for found in stored.values() if found.key not in ledger.named]
    ours = [found for found in strangers if OURS.fullmatch(found.key)]
    orphans = [found for found in ours if found.modified < before]
    doomed = orphans if delete and not ledger.unreadable else []
    for number, orphan in enumerate(doomed, start=1):
        media.delete(orphan.key)
        report(f"deleting: {number:,} of {len(doomed):,} files")
    return Report(
        events=ledger.events,
        named=len(ledger.named),
        stored=len(stored),
        stored_bytes=sum(found.size for found in stored.values()),
        missing=sorted(key for key in ledger.named.keys() - stored.keys() if not media.exists(key)),
        differing=sorted(key for key, each in ledger.named.items() if _differs(each, stored, key)),
        orphans=sorted(found.key for found in orphans),
        orphan_bytes=sum(found.size for found in orphans),
        deleted=len(doomed),
        young=len(ours) - len(orphans),
        foreign=len(strangers) - len(ours),
        unreadable=ledger.unreadable,
    )


def _differs(named: Named, stored: dict[str, StoredObject], key: str) -> bool:
    return named.size is not None and key in stored and stored[key].size != named.size
