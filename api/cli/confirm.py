"""Asking before what cannot be undone."""

import sys
from collections.abc import Iterable

from domain.errors import AtelierError


class NotConfirmed(AtelierError):
    """Nobody has said yes."""

    code = "not_confirmed"


def by_word(word: str, lines: Iterable[str], *, unattended: str) -> None:
    """Tell what is about to happen, and go on only if the word is typed.

    Raises `NotConfirmed` for any other answer, and with `unattended` where there is no terminal.
    """
    if not sys.stdin.isatty():
        raise NotConfirmed(unattended)
    for line in lines:
        print(line)
    try:
        typed = input(f"Type the word {word} to go on: ")
    except EOFError:  # Ctrl-D
        typed = ""
    if typed.strip() != word:
        raise NotConfirmed("nothing was done")
