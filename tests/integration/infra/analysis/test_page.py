"""What docs/events.md shows is what happens."""

import base64
import re
import shlex
from pathlib import Path

import duckdb
import pytest

from api.cli.main import _parser
from api.cli.table import COMMANDS
from infra.analysis.arrow import ENVELOPE
from tests.integration.api.cli.test_events import atelier
from tests.support.scenario import TASK

PAGE = (Path(__file__).parents[4] / "docs" / "events.md").read_text()


def blocks(language: str) -> list[str]:
    """The page's examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def analyst(sample, tmp_path, monkeypatch):
    """Somebody in an empty folder, whose environment leads to the log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_POSTGRES_URL", sample.settings.postgres_url)
    key = base64.b64encode(sample.settings.master_key).decode()
    monkeypatch.setenv("ATELIER_MASTER_KEY", key)
    return sample


def test_the_two_lines_of_duckdb_count_renders_per_garment_and_day(analyst):
    atelier(analyst.settings, "events", "export", "events/", "--typed")
    (question,) = blocks("sql")
    assert question.count("\n") == 2
    (done,) = (e for e in analyst.log.read_stored(0, 100) if e.topic == "render.completed.v1")
    assert duckdb.execute(question).fetchall() == [(done.recorded_at.date(), "Hoodie", 1)]


def test_the_python_example_runs(analyst, capsys):
    (example,) = blocks("python")
    exec(compile(example, "docs/events.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.splitlines() == [
        f"4 {TASK} ['{TASK}.jpg', '{TASK}_thumbnail.jpg']",
        "1",
    ]


def test_every_command_on_the_page_exists():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    shown = set()
    for line in lines:
        words = shlex.split(re.split(r"[|>]", line)[0], comments=True)
        assert words[0] == "atelier", line
        shown.add(_parser().parse_args(words[1:]).name)
    assert shown == {name for name in COMMANDS if name.startswith("events ")}


def test_the_page_names_every_column():
    assert all(f"| `{name}` |" in PAGE for name in ENVELOPE.names)
