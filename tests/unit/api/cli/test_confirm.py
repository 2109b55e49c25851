import builtins

import pytest

from api.cli import confirm
from api.cli.confirm import NotConfirmed


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody types at a terminal; nothing more is Ctrl-D."""
    lines: list[str] = []

    def read(_prompt: str) -> str:
        if not lines:
            raise EOFError
        return lines.pop()

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", read)
    return lines


def ask() -> None:
    confirm.by_word("cancel", ["It ends."], unattended="give --yes")


def test_only_the_word_goes_on(typed: list[str]):
    typed += ["", "yes", " cancel "]
    ask()
    for _ in ("yes", "nothing", "Ctrl-D"):
        with pytest.raises(NotConfirmed, match="nothing was done"):
            ask()
