"""The commands `atelier projections …`: for operators who look after read models."""

import argparse
import contextlib
import functools
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from api import figures
from api.cli.status import COLOURS, STILL_S, Unhealthy, Verdict, of_reader
from api.figures import Reader
from domain.errors import AtelierError, NotFound
from infra.analysis.access import Access
from infra.analysis.arguments import BadArgument, last_position
from infra.log.event_store import EventStore, store_for_a_while
from infra.postgres import answered, connect
from infra.process.leader import Leadership, lock_key
from infra.process.progress import Bar, Progress
from infra.settings import Settings
from infra.wording import counted
from projections import PROJECTIONS, as_of, generations, parking
from projections.as_of import Changes, Side
from projections.generations import Generation
from projections.model import Projection
from projections.rebuild import Comparison, Difference, Rebuild

SHOWN_MOST: Final = 20
FILLER: Final = "atelier.rebuild.{}"  # the lock of who fills a generation of a read model


class Differs(AtelierError):
    """A generation does not hold what the log makes of it, or what another one holds."""

    code = "read_model_differs"


class Busy(AtelierError):
    """Another command rebuilds or verifies the read model."""

    code = "read_model_busy"


class Cancelled(AtelierError):
    """Somebody has dropped the generation that was being filled."""

    code = "rebuild_cancelled"


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


# What there is.


def show(settings: Settings, arguments: argparse.Namespace) -> None:
    """List the read models: what each answers, and which generation serves."""
    with answered(), _connection(settings) as connection:
        found = [_listed(each, generations.generations(connection)) for each in PROJECTIONS]
    if arguments.json:
        return _print_json(found)
    table = _table("read model", "what it answers", "serves", "generations", "size")
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
    names = [_projection(name).name for name in arguments.models] or None
    with answered(), _connection(settings) as connection:
        found = generations.generations(connection, names)
    if arguments.json:
        return _print_json(found)
    table = _table("read model", "gen", "state", "behind", "parked", "size", "code", "made")
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


# How they do.


def show_status(settings: Settings, arguments: argparse.Namespace) -> None:
    """Print how the read models do; raises `Unhealthy`, for exit code 1, unless all is well."""
    settings.require("postgres_url")
    named = [_projection(name) for name in arguments.models] or PROJECTIONS
    found = figures.figures(settings)
    with answered(), _connection(settings) as connection:
        listed = generations.generations(connection)
        locks = figures.keepers(connection)
    readers = {each.name: each for each in found.readers}
    healths = []
    for projection in named:
        ours = [each for each in listed if each.model == projection.name]
        by = locks.get(lock_key(FILLER.format(projection.name)), "")
        reader = readers.get(projection.name)
        healths.append(_health(projection.name, reader, ours, by, found.processes))
    if arguments.json:
        _print_json(healths)
    else:
        _print_healths(healths)
    if bad := [f"{each.model} {each.verdict}" for each in healths if each.verdict != "ok"]:
        raise Unhealthy(", ".join(bad))


def _health(
    name: str, reader: Reader | None, ours: list[Generation], by: str, processes: dict[str, int]
) -> Health:
    head = max((each.position + each.lag for each in ours), default=0)
    filling = [
        Filling(
            generation=each.generation,
            position=each.position,
            percent=100 * each.position // head if head else 100,
            by=by,
        )
        for each in ours
        if each.state == "building"
    ]
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
            console.print(f"{each.model}: {line}")
    if all(each.verdict == "ok" for each in healths):
        console.print(f"All is well, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC.")
    else:
        console.print("docs/projections.md says what to do about what is not ok.")


# Made anew, proved, switched, gone back to, dropped.


def rebuild(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fill new generations, prove them, and have them serve; raises `Differs` if one differs."""
    named, done = _named(arguments), []
    with _new_generations(settings, named, keep=True) as new:
        _fill(settings, new)
        for projection in named:
            comparison = _compared(new, projection)
            serves = arguments.accept or not comparison.differing
            if serves:
                with _connection(settings) as connection:
                    number, accepted = comparison.generation, comparison.differing
                    generations.switch(connection, projection, number, accepted=accepted)
            done.append(msgspec.structs.asdict(comparison) | {"serves": serves})
            _tell(arguments, *_of_rebuild(comparison, serves=serves))
    if arguments.json:
        _print_json(done)
    if differing := [each["model"] for each in done if not each["serves"]]:
        raise Differs(f"not as the log has it: {', '.join(differing)}")


def _of_rebuild(comparison: Comparison, *, serves: bool) -> Iterator[str]:
    name, number = comparison.model, comparison.generation
    if serves:
        yield (
            f"{name}: generation {number} serves, with {counted(comparison.rows, 'row')};"
            f" `atelier projections rollback {name}` goes back."
        )
    else:
        yield from _of_comparison(comparison)
        yield (
            f"{name}: the generation before goes on serving. If damage or a change of the code"
            " explains the differences, repeat this with --accept; if not,"
            f" `atelier projections drop {name} {number}` removes what was made."
        )


def verify(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compare read models with what the log makes of them; raises `Differs` if one differs."""
    named, found = _named(arguments), []
    with _new_generations(settings, named, keep=False) as new:
        _fill(settings, new)
        for projection in named:
            comparison = _compared(new, projection)
            found.append(comparison)
            _tell(arguments, *_of_comparison(comparison))
    if arguments.json:
        _print_json(found)
    if differing := [each.model for each in found if each.differing]:
        raise Differs(
            f"not as the log has it: {', '.join(differing)}; `atelier projections rebuild` mends it"
        )


def roll_back(settings: Settings, arguments: argparse.Namespace) -> None:
    """Have the generation serve that served before."""
    done = []
    for projection in _named(arguments):
        with answered(), _connection(settings) as connection:
            number = generations.roll_back(connection, projection)
        done.append({"model": projection.name, "generation": number})
        _tell(arguments, f"{projection.name}: generation {number} serves again.")
    if arguments.json:
        _print_json(done)


def drop(settings: Settings, arguments: argparse.Namespace) -> None:
    """Delete a generation that does not serve; who fills it ends."""
    projection, number = _projection(arguments.model), arguments.generation
    settings.require("postgres_url")
    url = settings.postgres_url
    with answered(), connect(url, statement_timeout=0, lock_timeout=0) as connection:
        generations.drop(connection, projection, number)
    _tell(arguments, f"{projection.name}: generation {number} is gone.")
    if arguments.json:
        _print_json({"model": projection.name, "generation": number})


@contextlib.contextmanager
def _new_generations(
    settings: Settings, projections: Sequence[Projection], *, keep: bool
) -> Iterator[Rebuild]:
    """Other generations, which no other command fills meanwhile; removed at the end or kept.

    Raises `Cancelled` when what goes wrong is that somebody has dropped one of them.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(answered())
        store = stack.enter_context(_store(settings))
        for projection in projections:
            stack.enter_context(_Alone(settings, projection))
        new = Rebuild(projections, functools.partial(_connection, settings), store.read_some)
        try:
            yield new
        except Exception as error:
            if gone := set(new.generations) - {each.model for each in _found(settings, new)}:
                raise Cancelled(
                    f"{_numbered(new, sorted(gone))} was dropped meanwhile: nothing else changed"
                ) from error
            raise
        except KeyboardInterrupt:
            _tell_what_remains(settings, new, keep=keep)
            raise
        finally:
            if not keep:
                _remove(settings, new, projections)


def _found(settings: Settings, new: Rebuild) -> list[Generation]:
    """Those of the new generations that are there."""
    with _connection(settings) as connection:
        found = generations.generations(connection, list(new.generations))
    return [each for each in found if each.generation == new.generations[each.model]]


def _remove(settings: Settings, new: Rebuild, projections: Sequence[Projection]) -> None:
    there = {each.model for each in _found(settings, new)}
    for projection in projections:
        if projection.name in there:
            with _connection(settings) as connection:
                generations.drop(connection, projection, new.generations[projection.name])


def _tell_what_remains(settings: Settings, new: Rebuild, *, keep: bool) -> None:
    if not keep:
        print("Interrupted: nothing has changed, and nothing of it is left.", file=sys.stderr)
        return
    for each in _found(settings, new):
        if each.state == "building":
            print(
                f"Interrupted: generation {each.generation} of {each.model} is filled up to"
                f" position {each.position:,} of {each.position + each.lag:,}.\n"
                f"  `atelier projections rebuild {each.model}` goes on,"
                f" `atelier projections drop {each.model} {each.generation}` removes it.",
                file=sys.stderr,
            )


def _numbered(new: Rebuild, names: Sequence[str]) -> str:
    return ", ".join(f"generation {new.generations[name]} of {name}" for name in names)


def _fill(settings: Settings, new: Rebuild) -> None:
    begun = _found(settings, new)
    done = min(each.position for each in begun)
    head = max(each.position + each.lag for each in begun)
    what = ", ".join(new.generations) if len(new.generations) < 3 else "read models"
    with Bar(f"Filling {what}", head, "events", done=done) as bar:
        new.fill(bar.reach)


def _compared(new: Rebuild, projection: Projection) -> Comparison:
    with Progress() as progress:
        progress.step(f"Comparing {projection.name}")
        return new.compare(projection)


def _of_comparison(comparison: Comparison) -> Iterator[str]:
    name, at = comparison.model, f"at position {comparison.position:,}"
    if not comparison.differing:
        yield f"{name}: {counted(comparison.rows, 'row')} {at}, each as the log has it."
        return
    differing = counted(comparison.differing, "row")
    yield f"{name}: {differing} of {comparison.rows:,} {at} not as the log has it:"
    yield from _of_differences(comparison.differing, comparison.differences)


def _of_differences(count: int, differences: list[Difference]) -> Iterator[str]:
    for each in differences[:SHOWN_MOST]:
        key = ", ".join(f"{column} {value}" for column, value in each.key.items())
        yield f"  {each.what:<8} {key}  {', '.join(each.columns)}".rstrip()
    if count > SHOWN_MOST:
        yield f"  … and {count - SHOWN_MOST:,} more (--json tells 1,000)"


class _Alone(Leadership):
    """Two commands must not fill the same generation."""

    def __init__(self, settings: Settings, projection: Projection) -> None:
        super().__init__(settings.postgres_url, FILLER.format(projection.name))
        self._model = projection.name

    def __enter__(self) -> "_Alone":
        super().__enter__()
        if not self.try_acquire():
            self.__exit__(None, None, None)
            raise Busy(
                f"{self._model} is being rebuilt or verified already: wait for its end, or drop the"
                f" generation that `atelier projections status {self._model}` names"
            )
        return self


# As they were.


def build(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fill a table of another schema with a read model as it was."""
    projection, schema = _projection(arguments.model), arguments.into
    (at,) = _positions(settings, [arguments.at])
    name = f"{schema}.{projection.view}"
    with (
        answered(),
        _store(settings) as store,
        _connection(settings) as connection,
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
    _tell(
        arguments,
        f"{name}: {counted(rows, 'row')}, as at position {at:,}. Nobody keeps it, and who is erased"
        f' later stays in it: `DROP SCHEMA "{schema}" CASCADE` when you are done.',
    )
    if parked:
        _tell(arguments, f"{name}: {counted(parked, 'event')} could not be applied.")
    if arguments.json:
        told = {"model": projection.name, "table": name, "position": at}
        _print_json(told | {"rows": rows, "parked": parked})


def diff(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compare a read model at two positions, or two generations; raises `Differs` if they do."""
    projection, numbers, places = _projection(arguments.model), arguments.generations, arguments.at
    if (len(numbers), len(places)) == (2, 0):
        with answered(), _connection(settings) as connection:
            found = as_of.between_generations(connection, projection, *numbers)
    elif (len(numbers), len(places)) == (0, 2):
        first, last = sorted(_positions(settings, places))
        with (
            answered(),
            _store(settings) as store,
            _connection(settings) as connection,
            Bar(f"Filling {projection.name} as it was", last, "events") as bar,
        ):
            found = as_of.between_positions(
                connection, projection, store.read_some, first, last, bar.advance
            )
    else:
        raise BadArgument("name two generations, or give --at twice")
    _tell(arguments, *_of_changes(found))
    if arguments.json:
        _print_json(found)
    if found.differing:
        raise Differs(f"{counted(found.differing, 'row')} of {projection.name} not the same")


def _of_changes(found: Changes) -> Iterator[str]:
    sides = f"between {_of_side(found.before)} and {_of_side(found.after)}"
    if not found.differing:
        yield f"{found.model}: {counted(found.rows, 'row')}, no difference {sides}."
        return
    yield f"{found.model}: {counted(found.differing, 'difference')} {sides}:"
    yield from _of_differences(found.differing, found.differences)


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


# What could not be applied.


def show_parked(settings: Settings, arguments: argparse.Namespace) -> None:
    """List what could not be applied."""
    with answered(), _connection(settings) as connection:
        found = parking.parked(connection)
    if arguments.json:
        return _print_json(found)
    if not found:
        print("Nothing is parked.")
        return
    table = _table("read model", "gen", "aggregate", "position", "event", "why", "since")
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
    projection = _projection(arguments.model)
    done: list[dict[str, Any]] = []
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
                applied, why = 0, str(error)
                print(f"{aggregate}: still parked, {error}", file=sys.stderr)
            else:
                why = ""
                _tell(
                    arguments,
                    f"{aggregate}: {counted(applied, 'event')} applied in generation {generation}",
                )
            told = {"generation": generation, "aggregate": aggregate, "applied": applied}
            done.append(told | {"still_parked": why})
    if arguments.json:
        _print_json(done)
    if failed := [each for each in done if each["still_parked"]]:
        raise Differs(f"{counted(len(failed), 'aggregate')} of {projection.name} stay parked")


# What they have in common.


def _tell(arguments: argparse.Namespace, *lines: str) -> None:
    """For people: beside the JSON, where that is wanted."""
    for line in lines:
        print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)


def _print_json(found: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(found)).decode())


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        right = name in ("gen", "position", "behind", "parked", "size", "generations")
        no_wrap = name not in ("event", "why", "since", "what it answers")
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(name, justify=justify, no_wrap=no_wrap, overflow="fold")
    return table


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
