"""The commands `atelier projections …`: for operators who look after read models."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from domain.errors import AtelierError, NotFound
from infra.log.event_store import EventStore, store_for_a_while
from infra.postgres import answered, connect
from infra.process.leader import Leadership
from infra.process.progress import Bar
from infra.settings import Settings
from infra.wording import counted
from projections import PROJECTIONS, generations, parking
from projections.generations import Generation
from projections.main import log_opener
from projections.model import Projection
from projections.rebuild import Comparison, Rebuild

SHOWN_MOST: Final = 20


class Differs(AtelierError):
    """A generation does not hold what the log makes of it."""

    code = "read_model_differs"


class Busy(AtelierError):
    """Another command rebuilds or verifies the read model."""

    code = "read_model_busy"


def show(settings: Settings, arguments: argparse.Namespace) -> None:
    """List every generation of every read model."""
    with answered(), _connection(settings) as connection:
        found = generations.generations(connection)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    table = Table(box=None, pad_edge=False)
    for name in ("read model", "gen", "state", "behind", "parked", "size", "code", "made"):
        right = name in ("gen", "behind", "parked", "size")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for each in found:
        table.add_row(
            each.model,
            str(each.generation),
            Text("live", "green") if each.live else each.state,
            f"{each.lag:,}",
            f"{each.parked:,}",
            decimal(each.size),
            "this build" if _is_ours(each) else "another",
            f"{each.made_at:%Y-%m-%d %H:%M}",
        )
    Console().print(table, highlight=False)


def rebuild(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fill new generations, prove them, and have them serve; raises `Differs` if one differs."""
    differing = []
    with _filled(settings, _named(arguments)) as (named, new):
        for projection in named:
            comparison = new.compare(projection)
            if comparison.differing and not arguments.accept:
                differing.append(projection.name)
                _tell_differences(comparison)
                print(
                    f"{projection.name}: the generation before goes on serving. If a change of the"
                    " code explains the differences, repeat this with --accept."
                )
                continue
            with _connection(settings) as connection:
                number, accepted = comparison.generation, comparison.differing
                generations.switch(connection, projection, number, accepted=accepted)
            print(
                f"{projection.name}: generation {number} serves, with"
                f" {counted(comparison.rows, 'row')}; `atelier projections rollback"
                f" {projection.name}` goes back."
            )
    if differing:
        raise Differs(f"not as the log has it: {', '.join(differing)}")


def verify(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compare read models with what the log makes of them; raises `Differs` if one differs."""
    found = []
    with _filled(settings, _named(arguments)) as (named, new):
        for projection in named:
            comparison = new.compare(projection)
            with _connection(settings) as connection:
                generations.drop(connection, projection, comparison.generation)
            found.append(comparison)
            if not arguments.json:
                _tell_differences(comparison)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    if differing := [each.model for each in found if each.differing]:
        raise Differs(
            f"not as the log has it: {', '.join(differing)}; `atelier projections rebuild` mends it"
        )


def roll_back(settings: Settings, arguments: argparse.Namespace) -> None:
    """Have the generation serve that served before."""
    for projection in _named(arguments):
        with answered(), _connection(settings) as connection:
            number = generations.roll_back(connection, projection)
        print(f"{projection.name}: generation {number} serves again.")


def drop(settings: Settings, arguments: argparse.Namespace) -> None:
    """Delete a generation that does not serve."""
    projection = _projection(arguments.model)
    with answered(), _connection(settings) as connection:
        generations.drop(connection, projection, arguments.generation)
    print(f"{projection.name}: generation {arguments.generation} is gone.")


def show_parked(settings: Settings, arguments: argparse.Namespace) -> None:
    """List what could not be applied."""
    with answered(), _connection(settings) as connection:
        found = parking.parked(connection)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    if not found:
        print("Nothing is parked.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("read model", "generation", "aggregate", "position", "event", "why", "since"):
        table.add_column(name, no_wrap=name == "aggregate")
    for each in found:
        why = each.error or "comes after a parked one"
        table.add_row(
            each.model,
            str(each.generation),
            str(each.aggregate_id),
            f"{each.position}",
            each.type or "",
            why,
            f"{each.parked_at:%Y-%m-%d %H:%M}",
        )
    Console().print(table, highlight=False)


def retry(settings: Settings, arguments: argparse.Namespace) -> None:
    """Apply what was parked, each aggregate's in order; raises `Differs` if some cannot be."""
    _again(settings, arguments, skip=False)


def skip(settings: Settings, arguments: argparse.Namespace) -> None:
    """Leave the first parked event of an aggregate out for good, and apply what came after it."""
    _again(settings, arguments, skip=True)


def _again(settings: Settings, arguments: argparse.Namespace, *, skip: bool) -> None:
    projection = _projection(arguments.model)
    failed = []
    with _store(settings) as store, answered(), _connection(settings) as connection:
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
                failed.append(aggregate)
                print(f"{aggregate}: still parked, {error}", file=sys.stderr)
            else:
                print(
                    f"{aggregate}: {counted(applied, 'event')} applied in generation {generation}"
                )
    if failed:
        raise Differs(f"{counted(len(failed), 'aggregate')} of {projection.name} stay parked")


@contextlib.contextmanager
def _filled(
    settings: Settings, projections: Sequence[Projection]
) -> Iterator[tuple[Sequence[Projection], Rebuild]]:
    """New generations that have come to where those that serve stand."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(answered())
        for projection in projections:
            stack.enter_context(_Alone(settings, projection))
        new = stack.enter_context(Rebuild(projections, log_opener(settings)))
        what = ", ".join(new.generations) if len(projections) < 3 else "read models"
        with Bar(f"Filling {what}", 0, "events") as bar:
            new.fill(bar.reach)
        yield projections, new


def _tell_differences(comparison: Comparison) -> None:
    name = comparison.model
    if not comparison.differing:
        print(
            f"{name}: {counted(comparison.rows, 'row')} at position {comparison.position:,},"
            " each as the log has it."
        )
        return
    print(
        f"{name}: {counted(comparison.differing, 'row')} of {comparison.rows:,} at position"
        f" {comparison.position:,} not as the log has it:"
    )
    for each in comparison.differences[:SHOWN_MOST]:
        key = ", ".join(f"{column} {value}" for column, value in each.key.items())
        print(f"  {each.what:<8} {key}  {', '.join(each.columns)}".rstrip())
    if comparison.differing > SHOWN_MOST:
        print(f"  … and {comparison.differing - SHOWN_MOST:,} more (--json tells 1,000)")


class _Alone(Leadership):
    """Two commands must not fill the same generation."""

    def __init__(self, settings: Settings, projection: Projection) -> None:
        super().__init__(settings.postgres_url, f"atelier.rebuild.{projection.name}")
        self._model = projection.name

    def __enter__(self) -> "_Alone":
        super().__enter__()
        if not self.try_acquire():
            self.__exit__(None, None, None)
            raise Busy(f"{self._model} is being rebuilt or verified already: wait for its end")
        return self


def _named(arguments: argparse.Namespace) -> Sequence[Projection]:
    if bool(arguments.models) == arguments.all:
        raise NotFound(f"name read models, or give --all; there are {_names()}")
    return PROJECTIONS if arguments.all else [_projection(name) for name in arguments.models]


def _projection(name: str) -> Projection:
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    raise NotFound(f"there is no read model {name}; there are {_names()}")


def _names() -> str:
    return ", ".join(sorted(projection.name for projection in PROJECTIONS))


def _is_ours(generation: Generation) -> bool:
    ours = {projection.name: projection.fingerprint() for projection in PROJECTIONS}
    return ours.get(generation.model) == generation.fingerprint


def _store(settings: Settings) -> AbstractContextManager[EventStore]:
    settings.require("postgres_url", "master_key", "hash_key")
    return store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key)


def _connection(settings: Settings) -> Any:
    """A connection whose statements may take as long as they need."""
    settings.require("postgres_url")
    return connect(settings.postgres_url, statement_timeout=0)
