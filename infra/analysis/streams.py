"""The events for programs: as the domain's own structs, or as Arrow (see docs/events.md)."""

import itertools
import os
from collections.abc import Iterator
from uuid import UUID

import pyarrow as pa

from domain.catalogue import CATALOGUE
from domain.events import Event, Recorded
from infra.analysis import arguments, arrow, reading
from infra.analysis.access import Access
from infra.analysis.arguments import BadArgument, GivenPlace, GivenTypes
from infra.analysis.selection import Selection
from infra.analysis.typed import table_schema, typed
from infra.settings import Settings


def events(
    *,
    after: GivenPlace = 0,
    until: GivenPlace | None = None,
    types: GivenTypes = (),
    aggregate: UUID | str | None = None,
    account: UUID | str | int | None = None,
    decrypt: bool = False,
    settings: Settings | None = None,
) -> Iterator[Recorded]:
    """The selected events that the log holds now, in its order, each in its envelope.

    What is selected is written as on the command line. Positions are above ``after`` and at most
    ``until``; times are from ``after`` on and before ``until``. ``types`` are names, patterns or
    classes, none are all; ``account`` is an id, a number or an email address. Personal fields are
    None unless ``decrypt`` is set, and stay None for somebody erased. An event that cannot be
    decoded comes as `Unreadable`. Settings are the environment's, or those of a running
    `atelier up`. Raises `BadArgument` at once, and `UnknownEvent` on reaching a type that this
    build does not know.
    """
    settings = settings or Settings.load(os.environ)
    return _events(settings, _selection(settings, after, until, types, aggregate, account), decrypt)


def batches(
    *,
    after: GivenPlace = 0,
    until: GivenPlace | None = None,
    types: GivenTypes = (),
    aggregate: UUID | str | None = None,
    account: UUID | str | int | None = None,
    decrypt: bool = False,
    settings: Settings | None = None,
) -> pa.RecordBatchReader:
    """The same as a stream of Arrow batches: the envelope, and the state as JSON text."""
    settings = settings or Settings.load(os.environ)
    selection = _selection(settings, after, until, types, aggregate, account)
    found = _batches(settings, selection, decrypt)
    return pa.RecordBatchReader.from_batches(arrow.ENVELOPE, found)


def table(
    kind: str | type[Event],
    *,
    after: GivenPlace = 0,
    until: GivenPlace | None = None,
    aggregate: UUID | str | None = None,
    account: UUID | str | int | None = None,
    decrypt: bool = False,
    settings: Settings | None = None,
) -> pa.RecordBatchReader:
    """The events of one type as a stream of Arrow batches, with a column for each member.

    Where a state is not as its type says, these columns are null.
    """
    settings = settings or Settings.load(os.environ)
    selection = _selection(settings, after, until, kind, aggregate, account)
    if len(selection.types) != 1:
        raise BadArgument(
            f"a table holds events of one type, and {kind} stands for {', '.join(selection.types)}"
        )
    (name,) = selection.types
    found = _batches(settings, selection, decrypt)
    return pa.RecordBatchReader.from_batches(
        table_schema(CATALOGUE[name], opened=decrypt),
        (typed(batch, name, opened=decrypt).batch for batch in found),
    )


def _events(settings: Settings, selection: Selection, decrypt: bool) -> Iterator[Recorded]:
    with Access(settings) as access:
        mapper = access.mapper(decrypt=decrypt)
        yield from map(mapper.readable, reading.stored(access.log, selection))


def _batches(settings: Settings, selection: Selection, decrypt: bool) -> Iterator[pa.RecordBatch]:
    settings.require("postgres_url")
    with Access(settings) as access, arrow.open_arrow(settings.postgres_url) as log:
        decrypter = access.decrypter(decrypt=decrypt)
        last = min(selection.last, access.log.head()[1])
        spans = itertools.starmap(selection.between, arrow.blocks(selection.first, last))
        for batch in itertools.chain.from_iterable(map(log.batches, spans)):
            yield arrow.opened(batch, decrypter.open) if decrypter else batch


def _selection(
    settings: Settings,
    after: GivenPlace,
    until: GivenPlace | None,
    types: GivenTypes,
    aggregate: UUID | str | None,
    account: UUID | str | int | None,
) -> Selection:
    chosen = arguments.types(types, "types")
    begin, end = arguments.places(after, until, ("after", "until"))
    begin = begin + 1 if isinstance(begin, int) else begin
    with Access(settings) as access:
        return Selection(
            first=arguments.first_position(access.log, begin),
            last=arguments.last_position(access.log, end),
            types=chosen,
            aggregate=None if aggregate is None else arguments.identifier(aggregate, "aggregate"),
            account=None if account is None else arguments.user(access, account, "account"),
        )
