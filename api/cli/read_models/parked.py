"""What could not be applied to read models: listed, retried, given up."""

import argparse
import sys
from typing import Any

from rich.console import Console

from api.cli.read_models.common import (
    Differs,
    connecting,
    find,
    make_table,
    opened_store,
    print_json,
    tell,
)
from domain.errors import NotFound
from infra.postgres import answered
from infra.settings import Settings
from infra.wording import counted
from projections import parking


def show_parked(settings: Settings, arguments: argparse.Namespace) -> None:
    """List what could not be applied."""
    with answered(), connecting(settings) as connection:
        found = parking.parked(connection)
    if arguments.json:
        return print_json(found)
    if not found:
        print("Nothing is parked.")
        return
    table = make_table("read model", "gen", "aggregate", "position", "event", "why", "since")
    for each in found:
        why = each.error or "comes after a parked one"
        table.add_row(
            each.model,
            str(each.generation),
            str(each.aggregate_id),
            f"{each.position:,}",
            each.type or "",
            why,
            f"{each.parked_at:%m-%d %H:%M}",
        )
    Console().print(table, highlight=False)


def retry(settings: Settings, arguments: argparse.Namespace) -> None:
    """Apply what was parked, each aggregate's in order; raises `Differs` if some cannot be."""
    _again(settings, arguments, skip=False)


def skip(settings: Settings, arguments: argparse.Namespace) -> None:
    """Leave the first parked event of an aggregate out for good, and apply what came after it."""
    _again(settings, arguments, skip=True)


def _again(settings: Settings, arguments: argparse.Namespace, *, skip: bool) -> None:
    projection = find(arguments.model)
    done: list[dict[str, Any]] = []
    with opened_store(settings) as store, answered(), connecting(settings) as connection:
        wanted = {
            (each.generation, each.aggregate_id)
            for each in parking.parked(connection, [projection.name])
            if arguments.aggregate in (None, str(each.aggregate_id))
        }
        if not wanted:
            raise NotFound(f"nothing is parked in {projection.name} that this names")
        for generation, aggregate in sorted(wanted):
            try:
                applied = parking.retry(
                    connection, projection, generation, aggregate, store.read_some, skip=skip
                )
            except parking.StillParked as error:
                applied, why = 0, str(error)
                print(f"{aggregate}: still parked, {error}", file=sys.stderr)
            else:
                why = ""
                tell(
                    arguments,
                    f"{aggregate}: {counted(applied, 'event')} applied in generation {generation}",
                )
            told = {"generation": generation, "aggregate": aggregate, "applied": applied}
            done.append(told | {"still_parked": why})
    if arguments.json:
        print_json(done)
    if failed := [each for each in done if each["still_parked"]]:
        raise Differs(f"{counted(len(failed), 'aggregate')} of {projection.name} stay parked")
