"""Which read models there are, and how they do."""

import argparse
import inspect
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from api import figures
from api.cli.read_models.common import FILLER, connecting, find, make_table, print_json
from api.cli.status import COLOURS, STILL_S, Unhealthy, Verdict, of_reader
from api.figures import Reader
from infra.postgres import answered
from infra.process.leader import lock_key
from infra.settings import Settings
from projections import PROJECTIONS, generations
from projections.generations import Generation
from projections.model import Projection


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A read model: what it answers, which generation serves, how many there are, their bytes."""

    model: str
    answers: str
    serves: int | None
    generations: int
    size: int


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that is not filled yet; ``by`` is the process at it, empty if there is none."""

    generation: int
    position: int
    percent: int
    by: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a read model does; ``told`` and ``advice`` are for people."""

    model: str
    generation: int | None
    verdict: Verdict
    told: str
    figures: Reader | None
    filling: list[Filling]
    advice: list[str]


def show(settings: Settings, arguments: argparse.Namespace) -> None:
    """List the read models: what each answers, and which generation serves."""
    with answered(), connecting(settings) as connection:
        found = [_listed(each, generations.generations(connection)) for each in PROJECTIONS]
    if arguments.json:
        return print_json(found)
    table = make_table("read model", "what it answers", "serves", "generations", "size")
    for each in found:
        serves = "none" if each.serves is None else f"gen {each.serves}"
        table.add_row(each.model, each.answers, serves, str(each.generations), decimal(each.size))
    Console().print(table, highlight=False)


def _listed(projection: Projection, found: list[Generation]) -> Listed:
    ours = [each for each in found if each.model == projection.name]
    about = inspect.getdoc(sys.modules[projection.fold.__module__]) or ""
    return Listed(
        model=projection.name,
        answers=about.partition("\n")[0],
        serves=next((each.generation for each in ours if each.live), None),
        generations=len(ours),
        size=sum(each.size for each in ours),
    )


def show_generations(settings: Settings, arguments: argparse.Namespace) -> None:
    """List every generation of the read models."""
    names = [find(name).name for name in arguments.models] or None
    with answered(), connecting(settings) as connection:
        found = generations.generations(connection, names)
    if arguments.json:
        return print_json(found)
    table = make_table("read model", "gen", "state", "behind", "parked", "size", "code", "made")
    for each in found:
        table.add_row(
            each.model,
            str(each.generation),
            Text("live", "green") if each.live else each.state,
            f"{each.lag:,}",
            f"{each.parked:,}",
            decimal(each.size),
            "this build" if _is_ours(each) else "another",
            f"{each.made_at:%m-%d %H:%M}",
        )
    Console().print(table, highlight=False)


def _is_ours(generation: Generation) -> bool:
    ours = {projection.name: projection.fingerprint() for projection in PROJECTIONS}
    return ours.get(generation.model) == generation.fingerprint


def show_status(settings: Settings, arguments: argparse.Namespace) -> None:
    """Print how the read models do; raises `Unhealthy`, for exit code 1, unless all is well."""
    settings.require("postgres_url")
    named = [find(name) for name in arguments.models] or PROJECTIONS
    found = figures.figures(settings)
    with answered(), connecting(settings) as connection:
        listed = generations.generations(connection)
        locks = figures.keepers(connection)
    readers = {each.name: each for each in found.readers}
    healths = []
    for projection in named:
        ours = [each for each in listed if each.model == projection.name]
        by = locks.get(lock_key(FILLER.format(projection.name)), "")
        reader = readers.get(projection.name)
        filling = [_filling(each, found.position, by) for each in ours if each.state == "building"]
        healths.append(_health(projection.name, reader, ours, filling, found.processes))
    if arguments.json:
        print_json(healths)
    else:
        _print_healths(healths)
    if bad := [f"{each.model} {each.verdict}" for each in healths if each.verdict != "ok"]:
        raise Unhealthy(", ".join(bad))


def _filling(generation: Generation, head: int, by: str) -> Filling:
    return Filling(
        generation=generation.generation,
        position=generation.position,
        percent=100 * generation.position // head if head else 100,
        by=by,
    )


def _health(
    name: str,
    reader: Reader | None,
    ours: list[Generation],
    filling: list[Filling],
    processes: dict[str, int],
) -> Health:
    check = of_reader(reader, processes) if reader else None
    told = check.told if check else "not there"
    if reader and reader.keeper and not reader.trouble:
        told += f"; {reader.keeper} keeps it"
    return Health(
        model=name,
        generation=next((each.generation for each in ours if each.live), None),
        verdict=check.verdict if check else "away",
        told=told,
        figures=reader,
        filling=filling,
        advice=list(_advice(name, reader, filling)),
    )


def _advice(name: str, reader: Reader | None, filling: list[Filling]) -> Iterator[str]:
    """What to do about it, if anything."""
    if reader is None:
        yield "run `atelier migrate`"
    elif reader.trouble:
        yield reader.trouble
    elif not reader.led:
        yield "start a projector, or look at its log: `atelier projector`"
    elif reader.still_seconds > STILL_S:
        yield f"the projector {reader.keeper} hangs: restart it"
    if reader and reader.parked:
        yield "`atelier projections parked` lists what could not be applied, and why"
    for each in filling:
        if not each.by:
            yield (
                f"nobody fills generation {each.generation}: `atelier projections rebuild {name}`"
                f" goes on, `atelier projections drop {name} {each.generation}` removes it"
            )


def _print_healths(healths: list[Health]) -> None:
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("read model", "gen", "position", "how it does", ""):
        right, wide = name in ("gen", "position", ""), name == "how it does"
        table.add_column(
            name, justify="right" if right else "left", no_wrap=not wide, ratio=1 if wide else None
        )
    for each in healths:
        position = f"{each.figures.position:,}" if each.figures else ""
        verdict = Text(each.verdict, COLOURS[each.verdict])
        table.add_row(each.model, f"{each.generation or ''}", position, each.told, verdict)
        for new in each.filling:
            by = f"{new.by} fills it" if new.by else "nobody fills it"
            told = f"{new.percent} % filled; {by}"
            table.add_row("", str(new.generation), f"{new.position:,}", told, "")
    console = Console(highlight=False)
    console.print(table, "")
    for each in healths:
        for line in each.advice:
            console.print(f"{each.model}: {line}", soft_wrap=True)  # commands can be copied
    if all(each.verdict == "ok" for each in healths):
        console.print(f"All is well, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC.")
    else:
        console.print("docs/projections.md says what to do about what is not ok.")
