"""Read models made anew, proved, switched, gone back to, and dropped."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence

import msgspec

from api.cli.read_models.common import (
    FILLER,
    Differs,
    connecting,
    find,
    find_all,
    of_differences,
    print_json,
    tell,
)
from domain.errors import AtelierError
from infra.postgres import answered, connect
from infra.process.leader import Leadership
from infra.process.progress import Bar, Progress
from infra.settings import Settings
from infra.wording import counted
from projections import generations
from projections.generations import Generation
from projections.main import log_opener
from projections.model import Projection
from projections.rebuild import Comparison, Rebuild


class Busy(AtelierError):
    """Another command rebuilds or verifies the read model."""

    code = "read_model_busy"


class Cancelled(AtelierError):
    """Somebody has dropped the generation that was being filled."""

    code = "rebuild_cancelled"


def rebuild(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fill new generations, prove them, and have them serve; raises `Differs` if one differs."""
    named, done = find_all(arguments), []
    with _new_generations(settings, named, keep=True) as new:
        _fill(settings, new)
        for projection in named:
            comparison = _compared(new, projection)
            serves = arguments.accept or not comparison.differing
            if serves:
                with connecting(settings) as connection:
                    number, accepted = comparison.generation, comparison.differing
                    generations.switch(connection, projection, number, accepted=accepted)
            done.append(msgspec.structs.asdict(comparison) | {"serves": serves})
            tell(arguments, *_of_rebuild(comparison, serves=serves))
    if arguments.json:
        print_json(done)
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
    named, found = find_all(arguments), []
    with _new_generations(settings, named, keep=False) as new:
        _fill(settings, new)
        for projection in named:
            comparison = _compared(new, projection)
            found.append(comparison)
            tell(arguments, *_of_comparison(comparison))
    if arguments.json:
        print_json(found)
    if differing := [each.model for each in found if each.differing]:
        raise Differs(
            f"not as the log has it: {', '.join(differing)};"
            f" `atelier projections rebuild {' '.join(differing)} --accept` mends it"
        )


def roll_back(settings: Settings, arguments: argparse.Namespace) -> None:
    """Have the generation serve that served before."""
    done = []
    for projection in find_all(arguments):
        with answered(), connecting(settings) as connection:
            number = generations.roll_back(connection, projection)
        done.append({"model": projection.name, "generation": number})
        tell(arguments, f"{projection.name}: generation {number} serves again.")
    if arguments.json:
        print_json(done)


def drop(settings: Settings, arguments: argparse.Namespace) -> None:
    """Delete a generation that does not serve; who fills it ends."""
    projection, number = find(arguments.model), arguments.generation
    settings.require("postgres_url")
    url = settings.postgres_url
    with answered(), connect(url, statement_timeout=0, lock_timeout=0) as connection:
        generations.drop(connection, projection, number)
    tell(arguments, f"{projection.name}: generation {number} is gone.")
    if arguments.json:
        print_json({"model": projection.name, "generation": number})


@contextlib.contextmanager
def _new_generations(
    settings: Settings, projections: Sequence[Projection], *, keep: bool
) -> Iterator[Rebuild]:
    """Other generations, which no other command fills meanwhile; removed at the end or kept.

    Raises `Cancelled` when what goes wrong is that somebody has dropped one of them.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(answered())
        for projection in projections:
            stack.enter_context(_Alone(settings, projection))
        new = stack.enter_context(Rebuild(projections, log_opener(settings)))
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
    with connecting(settings) as connection:
        found = generations.generations(connection, list(new.generations))
    return [each for each in found if each.generation == new.generations[each.model]]


def _remove(settings: Settings, new: Rebuild, projections: Sequence[Projection]) -> None:
    there = {each.model for each in _found(settings, new)}
    for projection in projections:
        if projection.name in there:
            with connecting(settings) as connection:
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
    yield from of_differences(comparison.differing, comparison.differences)


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
