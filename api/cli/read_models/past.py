"""Read models as they were, and what has changed."""

import argparse
from collections.abc import Iterator, Sequence

from api.cli.read_models.common import (
    Differs,
    connecting,
    find,
    of_differences,
    opened_store,
    print_json,
    tell,
)
from infra.analysis.access import Access
from infra.analysis.arguments import BadArgument, last_position
from infra.postgres import answered
from infra.process.progress import Bar
from infra.settings import Settings
from infra.wording import counted
from projections import as_of
from projections.as_of import Changes, Side


def build(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fill a table of another schema with a read model as it was."""
    projection, schema = find(arguments.model), arguments.into
    (at,) = _positions(settings, [arguments.at])
    name = f"{schema}.{projection.view}"
    with (
        answered(),
        opened_store(settings) as store,
        connecting(settings) as connection,
        Bar(f"Filling {name}", at, "events") as bar,
    ):
        rows, parked = as_of.build(
            connection,
            projection,
            store.read_some,
            at=at,
            schema=schema,
            replace=arguments.replace,
            report=bar.advance,
        )
    tell(
        arguments,
        f"{name}: {counted(rows, 'row')}, as at position {at:,}. Nobody keeps it, and who is erased"
        f' later stays in it: `DROP SCHEMA "{schema}" CASCADE` when you are done.',
    )
    if parked:
        tell(arguments, f"{name}: {counted(parked, 'event')} could not be applied.")
    if arguments.json:
        told = {"model": projection.name, "table": name, "position": at}
        print_json(told | {"rows": rows, "parked": parked})


def diff(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compare a read model at two positions, or two generations; raises `Differs` if they do."""
    projection, numbers, places = find(arguments.model), arguments.generations, arguments.at
    if (len(numbers), len(places)) == (2, 0):
        with answered(), connecting(settings) as connection:
            found = as_of.between_generations(connection, projection, *numbers)
    elif (len(numbers), len(places)) == (0, 2):
        first, last = sorted(_positions(settings, places))
        with (
            answered(),
            opened_store(settings) as store,
            connecting(settings) as connection,
            Bar(f"Filling {projection.name} as it was", last, "events") as bar,
        ):
            found = as_of.between_positions(
                connection, projection, store.read_some, first, last, bar.advance
            )
    else:
        raise BadArgument("name two generations, or give --at twice")
    tell(arguments, *_of_changes(found))
    if arguments.json:
        print_json(found)
    if found.differing:
        raise Differs(f"{counted(found.differing, 'row')} of {projection.name} not the same")


def _of_changes(found: Changes) -> Iterator[str]:
    sides = f"between {_of_side(found.before)} and {_of_side(found.after)}"
    if not found.differing:
        yield f"{found.model}: {counted(found.rows, 'row')}, no difference {sides}."
        return
    yield f"{found.model}: {counted(found.differing, 'difference')} {sides}:"
    yield from of_differences(found.differing, found.differences)


def _of_side(side: Side) -> str:
    if side.generation is None:
        return f"position {side.position:,}"
    return f"generation {side.generation} (at {side.position:,})"


def _positions(settings: Settings, places: Sequence[str]) -> list[int]:
    with Access(settings) as access:
        _, head = access.log.head()
        found = [last_position(access.log, each, "--at", inclusive=True) for each in places]
    for given, position in zip(places, found, strict=True):
        if position > head:
            raise BadArgument(f"--at {given}: the log ends at position {head:,}")
    return found
