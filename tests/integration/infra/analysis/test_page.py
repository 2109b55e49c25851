"""What docs/events.md shows is what happens."""

import base64
import csv
import re
import shlex
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from api.cli.main import _parser
from api.cli.table import COMMANDS
from domain.picture import ApparelDetails
from infra.analysis.arrow import ENVELOPE
from tests.conftest import own_database
from tests.integration.api.cli.test_events import atelier
from tests.support.sample_log import BEA, OTHER, happened, told
from tests.support.scenario import TASK, completed, failed, requested, started

PAGE = (Path(__file__).parents[4] / "docs" / "events.md").read_text()
TODAY = datetime.combine(datetime.now(UTC), time(), UTC)  # when the first event was recorded
SECOND_TASK = UUID("77777777-7777-7777-7777-777777777777")
CY = UUID("88888888-8888-8888-8888-888888888888")


def blocks(language: str, page: str = PAGE) -> list[str]:
    """The page's examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def recipe(title: str, language: str) -> str:
    """The example in a language under a title."""
    section = PAGE.split(f"# {title}\n")[1].split("\n#")[0]
    (found,) = blocks(language, section)
    return found


def run_python(title: str) -> None:
    """Run the Python under a title."""
    exec(compile(recipe(title, "python"), "docs/events.md", "exec"), {})  # noqa: S102


def run_shell(settings, command: str) -> None:
    """Run a command line in this process."""
    atelier(settings, *shlex.split(command)[1:])


@pytest.fixture(scope="module")
def known(postgres, template):
    """Fourteen events, a minute after one another: a failure, another picture, a third person."""
    with own_database(postgres, template) as url, told(url) as log:
        log.story.tell(OTHER, failed(), account=BEA)
        leggings = ApparelDetails(brand="gymshark", item_id="Leggings")
        log.story.tell(SECOND_TASK, requested(apparel_details=leggings), started())
        log.story.tell(SECOND_TASK, completed(engine="flat"))
        log.story.register(CY, number=35, email="cy@example.org", full_name="Cy Roe")
        happened(url, {each: TODAY + timedelta(minutes=each - 1) for each in range(1, 15)})
        yield log


@pytest.fixture
def analyst(known, tmp_path, monkeypatch):
    """Somebody in an empty folder, whose environment leads to the log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_POSTGRES_URL", known.settings.postgres_url)
    for name in ("master_key", "hash_key"):
        key = base64.b64encode(getattr(known.settings, name)).decode()
        monkeypatch.setenv(f"ATELIER_{name.upper()}", key)
    return known


@pytest.fixture
def exported(analyst):
    """The same person, who has exported typed tables."""
    atelier(analyst.settings, "events", "export", "events/", "--typed")
    return analyst


@pytest.mark.parametrize(
    ("title", "answer"),
    [
        (
            "Renders per garment and day",
            [(TODAY.date(), "Hoodie", 1), (TODAY.date(), "Leggings", 1)],
        ),
        ("How many people get from registered to completed", [(3, 2, 1)]),
        ("Failures by reason", [("render_error", 1, "it could not be rendered")]),
        (
            "Time from requested to completed, per garment",
            [("gymshark", "Hoodie", 1, 120, 120), ("gymshark", "Leggings", 1, 120, 120)],
        ),
    ],
)
@pytest.mark.usefixtures("exported")
def test_questions_of_duckdb_have_their_answers(title, answer):
    assert duckdb.execute(recipe(title, "sql")).fetchall() == answer


@pytest.mark.usefixtures("exported")
def test_the_first_recipe_takes_two_lines():
    assert recipe("Renders per garment and day", "sql").count("\n") == 2


@pytest.mark.usefixtures("analyst")
def test_the_python_example_runs(capsys):
    run_python("From Python")
    assert capsys.readouterr().out.splitlines() == [
        f"4 {TASK} ['{TASK}.jpg', '{TASK}_thumbnail.jpg']",
        f"13 {SECOND_TASK} ['{TASK}.jpg', '{TASK}_thumbnail.jpg']",
        "6",
        "['test', 'flat']",
    ]


def test_one_persons_history(analyst, capsys):
    run_shell(analyst.settings, recipe("One person's history", "sh"))
    assert "Ada King" in capsys.readouterr().out
    run_python("One person's history")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[0].startswith(f"{TODAY:%F} 00:00 AccountRegistered(number=33, email='ada@ex")
    assert lines[4].startswith(f"{TODAY:%F} 00:04 AccountInfoUpdated(full_name='Ada King'")


def test_each_night_adds_the_day_that_has_ended(own, tmp_path, monkeypatch):
    lines = recipe("Every night what has happened since", "crontab").splitlines()
    (job,) = (line for line in lines if re.match(r"[\d*]+ ", line))
    monkeypatch.chdir(tmp_path)

    def night():
        run_shell(own.settings, job.partition(" && ")[2])
        found = duckdb.execute("SELECT DISTINCT position FROM 'events/*/0*.parquet' ORDER BY 1")
        return [position for (position,) in found.fetchall()]

    before = TODAY - timedelta(days=2)
    happened(own.settings.postgres_url, dict.fromkeys(range(1, 6), before))
    assert night() == list(range(1, 6))
    yesterday = TODAY - timedelta(seconds=1)
    happened(own.settings.postgres_url, dict.fromkeys(range(6, 9), yesterday))
    assert night() == list(range(1, 9))


def test_duckdb_reads_without_files(analyst, capsys):
    run_python("In DuckDB, without files")
    assert capsys.readouterr().out == "[('consumer-1', 3)]\n"


@pytest.mark.usefixtures("exported")
def test_pandas_reads_typed_tables(capsys):
    run_python("In pandas")
    assert capsys.readouterr().out == "120.0\n"


def test_a_spreadsheet_reads_typed_csv(analyst):
    run_shell(analyst.settings, recipe("In a spreadsheet", "sh"))
    file = Path("sheets/render.failed.v1/000000000001-000000000014.csv")
    head, row = csv.reader(file.read_text().splitlines())
    failure = dict(zip(head, row, strict=True))
    assert (failure["code"], failure["attempt"]) == ("render_error", "1")
    assert head["ABCDEF".index("F")] == "recorded_at"
    assert (row[5][:10], row[5][11:19]) == (f"{TODAY:%F}", "00:09:00")
    (asked,) = Path("sheets/render.requested.v1").iterdir()
    rows = list(csv.DictReader(asked.read_text().splitlines()))
    assert [each["apparel_details.item_id"] for each in rows] == ["Hoodie", "Hoodie", "Leggings"]


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
