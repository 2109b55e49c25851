"""The documents say what the code does."""

import re
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml
from prometheus_client import Counter, Gauge, Histogram

from api.cli.table import COMMANDS
from api.edge.errors import STATUS_OF
from api.metrics import ABOUT
from api.resources.tasks import Lane, TaskState
from commands.render import FailAttempt, StartRender, start
from domain.events import Recorded
from domain.render import MAX_ATTEMPTS, FailureCode, Render, RenderFailed, Stage
from infra.process import metrics
from infra.settings import VARIABLES
from projections import tasks
from projections.rows import Rows
from tests.support.scenario import ACCOUNT, TASK, cancelled, enveloped
from tests.unit.api.cli.test_status import worst

ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "docs" / "errors.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def test_every_setting_stands_in_the_settings_page_with_its_default_and_purpose() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for variable in VARIABLES:
        default = f"`{variable.default}`" if variable.default else ""
        assert f"| `{variable.name}` | {default} | {variable.purpose} |" in page


def test_the_page_on_errors_has_every_code_and_status_and_no_other() -> None:
    assert told("status", "meaning") == set(TaskState)
    assert told("type", "meaning") == set(Lane)
    assert told("stage", "meaning") == set(typing.get_args(Stage))
    assert told("code", "meaning", "what to do") == set(typing.get_args(FailureCode))
    refusals = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .+ \| .+ \|$", ERRORS, re.M)
    assert {code: int(status) for status, code in refusals} == STATUS_OF
    assert refusals == sorted(set(refusals))


def told(*columns: str) -> set[str]:
    """The first cells of the table with these columns."""
    head = re.escape(f"| {' | '.join(columns)} |\n| {' | '.join(['---'] * len(columns))} |\n")
    [table] = re.findall(f"{head}((?:\\|.*\n)+)", ERRORS)
    rows = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert len(rows) == len(set(rows)) == table.count("\n")
    return set(rows)


def test_a_task_fails_for_no_reason_but_those_of_the_page() -> None:
    claim = StartRender(aggregate_id=TASK, account=ACCOUNT, consumer="consumer-1")
    [failed] = start(claim, Render(status="pending", spent=MAX_ATTEMPTS))
    assert isinstance(failed, RenderFailed)
    rows = Rows(tasks.PROJECTION.table)
    rows.put(tasks.Task(task=TASK, account=ACCOUNT, place=1, requested_at=1, vip=False))
    members = msgspec.structs.asdict(enveloped(cancelled(), TASK, 2))
    tasks.fold(rows, Recorded(**members, position=2, recorded_at=datetime.now(UTC)))
    shown = rows.get(TASK)
    assert shown
    reported = typing.get_type_hints(FailAttempt)["code"]
    codes = {failed.code, shown.error_code, *typing.get_args(reported)}
    assert codes == set(typing.get_args(FailureCode))


def test_the_page_on_errors_can_be_found_from_the_others() -> None:
    assert "](docs/errors.md)" in (ROOT / "README.md").read_text()
    assert "](errors.md)" in (ROOT / "docs" / "api.md").read_text()


def test_the_readme_names_every_command_and_starts_with_what_it_is() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.startswith("# Atelier\n\nAtelier dresses people's digital doubles.")
    for command in COMMANDS:
        assert f"`{command}`" in readme
    for target in ("make run", "make demo", "make test"):
        assert target in readme


def test_every_picture_in_the_readme_is_there() -> None:
    pictures = re.findall(r'<img src="(.+?)"', (ROOT / "README.md").read_text())
    assert len(pictures) == 2
    for picture in pictures:
        assert (ROOT / picture).stat().st_size > 10_000


def test_the_operations_page_tells_of_every_metric_and_of_no_other() -> None:
    rows = re.findall(r"^\| `(atelier_\w+)` \|", OPERATIONS, re.M)
    assert sorted(rows) == sorted({*ABOUT, *own_metrics()})
    assert set(re.findall(r"atelier_\w+?(?=_count\b|\W)", OPERATIONS)) == set(rows)


def own_metrics() -> Iterator[str]:
    """The names of what each process counts and times."""
    for each in vars(metrics).values():
        if isinstance(each, Histogram | Counter | Gauge):
            (described,) = each.describe()
            yield described.name + ("_total" if isinstance(each, Counter) else "")


def test_the_operations_page_tells_of_every_line_of_the_status_screen() -> None:
    told = {name.strip("` ") for name in re.findall(r"^\| (`[\w …]+`) \|", OPERATIONS, re.M)}
    lines = {"read model …" if "read model" in each.name else each.name for each in worst()}
    assert lines <= told


def test_the_examples_for_prometheus_can_be_read_and_name_what_there_is() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", OPERATIONS, re.S)
    scrape, rules = (yaml.safe_load(block) for block in blocks)
    (job,) = scrape["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in found["names"]:
        assert services[name]["environment"]["ATELIER_METRICS_PORT"] == found["port"]
        assert str(found["port"]) in services[name]["expose"]
    for rule in rules["groups"][0]["rules"]:
        assert re.search(r"atelier_\w+", rule["expr"])
