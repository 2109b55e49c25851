"""The events for programs: as the domain's own structs, or as Arrow (see docs/events.md)."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa

from domain.events import Event, Recorded
from infra.analysis import arrow, reading
from infra.analysis.access import Access
from infra.analysis.selection import END, Selection, names
from infra.settings import Settings


def events(
    *,
    after: int = 0,
    until: int = END,
    types: Sequence[str | type[Event]] = (),
    aggregate: UUID | None = None,
    account: UUID | None = None,
    decrypt: bool = False,
    settings: Settings | None = None,
) -> Iterator[Recorded]:
    """The selected events that the log holds now, in its order, each in its envelope.

    Positions are above ``after`` and at most ``until``; ``types`` are stored names or classes, none
    are all. Personal fields are None unless ``decrypt`` is set, and stay None for somebody erased.
    An event that cannot be decoded comes as `Unreadable`. Settings are the environment's, or those
    of a running `atelier up`. Raises `UnknownEvent` for a type that this build does not know.
    """
    selection = _selection(after, until, types, aggregate, account)
    with Access(settings or Settings.load(os.environ)) as access:
        mapper = access.mapper(decrypt=decrypt)
        yield from map(mapper.readable, reading.stored(access.log, selection))


def batches(
    *,
    after: int = 0,
    until: int = END,
    types: Sequence[str | type[Event]] = (),
    aggregate: UUID | None = None,
    account: UUID | None = None,
    decrypt: bool = False,
    settings: Settings | None = None,
) -> pa.RecordBatchReader:
    """The same as a stream of Arrow batches: the envelope, and the state as JSON text."""
    selection = _selection(after, until, types, aggregate, account)
    return pa.RecordBatchReader.from_batches(
        arrow.ENVELOPE, _batches(settings or Settings.load(os.environ), selection, decrypt)
    )


def _batches(settings: Settings, selection: Selection, decrypt: bool) -> Iterator[pa.RecordBatch]:
    settings.require("postgres_url")
    with Access(settings) as access, arrow.open_arrow(settings.postgres_url) as log:
        decrypter = access.decrypter(decrypt=decrypt)
        last = min(selection.last, access.log.head()[1])
        spans = itertools.starmap(selection.between, arrow.blocks(selection.first, last))
        for batch in itertools.chain.from_iterable(map(log.batches, spans)):
            yield arrow.opened(batch, decrypter.open) if decrypter else batch


def _selection(
    after: int, until: int, types: Sequence[str | type[Event]], *whose: Any
) -> Selection:
    aggregate, account = whose
    return Selection(
        first=after + 1, last=until, types=names(types), aggregate=aggregate, account=account
    )
