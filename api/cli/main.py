"""The command line `atelier`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from typing import Any, Final

from api.cli.table import COMMANDS, GROUPS, Command
from domain.errors import AtelierError, Unavailable
from infra.process import logs, processes
from infra.settings import VARIABLES, Settings

FAILED: Final = 1
MISUSED: Final = 2
MISUSES: Final = ("bad_argument", "settings")  # what the caller can mend, by the errors' codes
WATCHED: Final = ("relay", "projector", "render-consumer")  # the api's worker does it by itself


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code: 0 done, 1 failed, 2 misused."""
    processes.die_with_parent()
    parser = _parser()
    given, unknown = parser.parse_known_args(arguments)
    if unknown:  # `parse_args` would show the usage of `atelier` instead of the command's
        given.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if given.name is None:
        given.parser.print_help(sys.stderr)
        return MISUSED
    return _run(given.name, COMMANDS[given.name], given)


def _run(name: str, command: Command, given: argparse.Namespace) -> int:
    try:
        settings = Settings.load(os.environ)
        logs.configure(name, settings.log)
        processes.name_connections(name)
        if name in WATCHED:
            _imported("api.metrics:expose")(settings)
        entry = _imported(command.entry)
        if command.options:
            entry(settings, given)
        else:
            entry(settings)
    except AtelierError as error:
        print(f"atelier {name}: {error}", file=sys.stderr)
        if isinstance(error, Unavailable) and error.reason:
            print(f"  The reason: {error.reason}", file=sys.stderr)
        return MISUSED if error.code in MISUSES else FAILED
    except BrokenPipeError:  # who reads has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _imported(entry: str) -> Callable[..., Any]:
    module, _, function = entry.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


class _Parsers:
    """The parser of every word, made as its commands are added."""

    def __init__(self, root: argparse.ArgumentParser) -> None:
        root.set_defaults(name=None, parser=root)
        self._words: dict[str, Any] = {}
        self._known = {"": root}

    def add_group(self, name: str, summary: str) -> None:
        if name not in self._known:
            self.add(name, summary, description=summary)

    def add(self, name: str, summary: str, **more: Any) -> argparse.ArgumentParser:
        group, _, word = name.rpartition(" ")
        if group not in self._words:
            self._words[group] = self._known[group].add_subparsers(
                metavar="COMMAND", title="commands"
            )
        parser: argparse.ArgumentParser = self._words[group].add_parser(
            word, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter, **more
        )
        self._known[name] = parser
        parser.set_defaults(name=name if name in COMMANDS else None, parser=parser)
        return parser


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="atelier",
        description="Atelier renders made-to-measure avatars in catalogue clothes.",
        epilog="Try `atelier up`, and `atelier demo` in another terminal.\n"
        "Settings are environment variables; `atelier COMMAND --help` lists those of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"atelier {metadata.version('atelier')}"
    root.add_argument("--version", action="version", version=version)
    parsers = _Parsers(root)
    for name, command in COMMANDS.items():
        group = name.rpartition(" ")[0]
        if group in GROUPS:
            parsers.add_group(group, GROUPS[group])
        parser = parsers.add(
            name, command.summary, description=command.about, epilog=_epilog(command)
        )
        for names, rest in command.options:
            parser.add_argument(*names, **rest)
    return root


def _epilog(command: Command) -> str:
    settings = [
        f"  {variable.name}{f' [{variable.default}]' if variable.default else ''}\n"
        f"      {variable.purpose}"
        for variable in VARIABLES
        if command.reads_setting(variable.name)
    ]
    return "\n".join(
        [
            "example:",
            f"  {command.example}",
            "",
            "settings (environment variables, [default]);",
            "beside a running `atelier up` in the same ATELIER_DATA they need not be set:",
            *settings,
        ]
    )
