"""What the commands about read models have in common."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Literal

import msgspec
from rich.table import Table

from domain.errors import AtelierError, NotFound
from infra.log.event_store import EventStore, store_for_a_while
from infra.postgres import connect
from infra.settings import Settings
from projections import PROJECTIONS
from projections.model import Projection
from projections.rebuild import Difference

SHOWN_MOST: Final = 20
FILLER: Final = "atelier.rebuild.{}"  # the lock of who fills a generation of a read model


class Differs(AtelierError):
    """A generation does not hold what the log makes of it, or what another one holds."""

    code = "read_model_differs"


def tell(arguments: argparse.Namespace, *lines: str) -> None:
    """For people: beside the JSON, where that is wanted."""
    for line in lines:
        print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)


def print_json(found: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(found)).decode())


def make_table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        right = name in ("gen", "position", "behind", "parked", "size", "generations")
        no_wrap = name not in ("event", "why", "since", "what it answers")
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(name, justify=justify, no_wrap=no_wrap, overflow="fold")
    return table


def find_all(arguments: argparse.Namespace) -> Sequence[Projection]:
    """The read models that are named, or all."""
    if bool(arguments.models) == arguments.all:
        raise NotFound(f"name read models, or give --all; there are {_names()}")
    return PROJECTIONS if arguments.all else [find(name) for name in arguments.models]


def find(name: str) -> Projection:
    """The read model of this name."""
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    raise NotFound(f"there is no read model {name}; there are {_names()}")


def _names() -> str:
    return ", ".join(sorted(projection.name for projection in PROJECTIONS))


def opened_store(settings: Settings) -> AbstractContextManager[EventStore]:
    """The event store for as long as a command needs it."""
    settings.require("postgres_url", "master_key", "hash_key")
    return store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key)


def connecting(settings: Settings) -> Any:
    """A connection whose statements may take as long as they need."""
    settings.require("postgres_url")
    return connect(settings.postgres_url, statement_timeout=0)


def of_differences(count: int, differences: list[Difference]) -> Iterator[str]:
    """The first of so many differences, a line each."""
    for each in differences[:SHOWN_MOST]:
        key = ", ".join(f"{column} {value}" for column, value in each.key.items())
        yield f"  {each.what:<8} {key}  {', '.join(each.columns)}".rstrip()
    if count > SHOWN_MOST:
        yield f"  … and {count - SHOWN_MOST:,} more (--json tells 1,000)"
