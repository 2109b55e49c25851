import subprocess
import sys
from importlib.util import find_spec

import pytest

from api.__main__ import run
from api.cli.main import main
from api.cli.table import COMMANDS


def atelier(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_does_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert COMMANDS[name].about in shown
    assert COMMANDS[name].example in shown
    assert "ATELIER_" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_leads_to_a_module_that_exists(name: str):
    assert find_spec(COMMANDS[name].entry.split(":")[0]) is not None


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("atelier ")


def test_an_unknown_command_is_a_misuse(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["events", "export", "events/", "--bogus"], "atelier events export"),
        (["events", "--json", "replay"], "atelier events replay"),
        (["--json", "status"], "atelier status"),
        (["up", "now"], "atelier up"),
        (["events", "--bogus"], "atelier events"),
        (["--bogus"], "atelier"),
    ],
)
def test_a_misplaced_word_shows_the_usage_of_the_command(
    words: list[str], usage: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"usage: {usage} [-h]")
    assert f"{usage}: error: unrecognized arguments: " in told


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "render-consumer" in capsys.readouterr().err


def test_a_wrong_setting_is_told_without_a_traceback_and_is_a_misuse():
    ended = atelier("migrate", ATELIER_PORT="no number")
    assert ended.returncode == 2
    assert ended.stderr.startswith("atelier migrate: ")
    assert "ATELIER_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("amid", ["api.cli.demo.run", "api.cli.main.main"])
def test_ctrl_c_has_its_usual_code(amid: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["atelier", "demo"])
    monkeypatch.setattr(amid, interrupted)
    assert run() == 130


def test_ctrl_c_while_modules_are_imported_has_its_usual_code(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "api.cli.main")
    monkeypatch.setattr("importlib._bootstrap._find_spec", interrupted)
    assert run() == 130
