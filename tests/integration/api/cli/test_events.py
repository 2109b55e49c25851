import base64
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import IO, Any, NamedTuple

import pytest

from api.cli.main import _parser
from api.cli.table import COMMANDS
from domain.errors import NotFound
from domain.render import RenderFileRemoved
from infra.analysis.access import NoLog
from infra.analysis.arguments import BadArgument
from infra.analysis.reading import stored
from infra.analysis.selection import Selection
from infra.log.fingerprints import WrongKeys
from infra.settings import Settings, SettingsError
from tests.support.sample_log import BEA, GARMENT, OTHER
from tests.support.scenario import ACCOUNT, TASK, removed, started


def atelier(settings, *words):
    """Run a command in this process."""
    given = _parser().parse_args([str(word) for word in words])
    module, _, function = COMMANDS[given.name].entry.partition(":")
    getattr(import_module(module), function)(settings, given)


class Running(NamedTuple):
    """A command under way, and what it says."""

    process: subprocess.Popen[str]
    stdout: IO[str]
    stderr: IO[str]

    def lines(self, count: int) -> list[dict[str, Any]]:
        """So many JSON lines, as they come."""
        return [json.loads(self.stdout.readline()) for _ in range(count)]


@contextlib.contextmanager
def process(settings: Settings, *words: str) -> Iterator[Running]:
    """Run a command as people do."""
    environ = {
        "PATH": os.defpath,
        "ATELIER_POSTGRES_URL": settings.postgres_url,
        "ATELIER_MASTER_KEY": base64.b64encode(settings.master_key).decode(),
    }
    command = [sys.executable, "-m", "api", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environ, text=True, stdout=pipe, stderr=pipe) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            yield Running(running, running.stdout, running.stderr)
        finally:
            running.kill()


def test_replay_prints_a_span(sample, capsys):
    events = list(stored(sample.log, Selection()))
    atelier(sample.settings, "events", "replay", "--from", "2", "--to", "4", "--json")
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["position"] for line in printed] == [2, 3, 4]
    assert [line["state"] for line in printed] == [json.loads(e.state) for e in events[1:4]]
    since = events[6].recorded_at.isoformat()
    atelier(sample.settings, "events", "replay", "--from", since, "--user", "34", "--json")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_replay_ends_after_so_many_events(sample, capsys):
    atelier(sample.settings, "events", "replay", "--type", "render.*", "--limit", "2", "--json")
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["position"] for line in printed] == [2, 3]
    with pytest.raises(BadArgument, match="--limit 0 leaves nothing to print"):
        atelier(sample.settings, "events", "replay", "--limit", "0")


def test_days_may_be_named(sample, capsys):
    for end, count in [("now", 9), ("today", 0)]:
        span = ("--from", "yesterday", "--to", end)
        atelier(sample.settings, "events", "replay", *span, "--json")
        assert len(capsys.readouterr().out.splitlines()) == count


def test_events_are_counted_by_type(sample, capsys):
    atelier(sample.settings, "events", "count", "--json")
    counts = json.loads(capsys.readouterr().out)
    assert counts == Counter(event.topic for event in stored(sample.log, Selection()))
    atelier(sample.settings, "events", "count", "--to", "8", "--type", "render.*", "--user", "34")
    assert capsys.readouterr().out.split() == ["1", "render.requested.v1", "1", "in", "all"]


def test_a_span_that_ends_before_it_begins_is_refused(sample, tmp_path):
    for words in (["replay"], ["replay", "--kafka"], ["count"], ["export", tmp_path / "none"]):
        with pytest.raises(BadArgument, match="--from 10 does not come before --to 3"):
            atelier(sample.settings, "events", *words, "--from", "10", "--to", "3")


def test_what_is_personal_is_opened_for_those_who_hold_the_keys(sample, capsys):
    words = ("events", "replay", "--type", "account.registered", "--json")
    atelier(sample.settings, *words)
    assert "Ada" not in capsys.readouterr().out
    atelier(sample.settings, *words, "--decrypt")
    assert "Ada Lovelace" in capsys.readouterr().out
    with pytest.raises(SettingsError, match="ATELIER_MASTER_KEY"):
        atelier(Settings(postgres_url=sample.settings.postgres_url), *words, "--decrypt")
    other = Settings(postgres_url=sample.settings.postgres_url, master_key=bytes(32))
    with pytest.raises(WrongKeys, match="ATELIER_MASTER_KEY is not the key"):
        atelier(other, *words, "--decrypt")


def test_an_aggregate_is_shown_as_it_was(sample, capsys):
    events = list(stored(sample.log, Selection()))
    for at, status in [("2", "pending"), ("3", "started"), ("4", "completed"), (None, "completed")]:
        words = ["--at", at] if at else []
        atelier(sample.settings, "events", "show", TASK, *words, "--json")
        shown = json.loads(capsys.readouterr().out)
        assert (shown["kind"], shown["state"]["status"]) == ("render", status)
        assert len(shown["events"]) == shown["version"]
    at_that_moment = events[2].recorded_at.isoformat()
    atelier(sample.settings, "events", "show", TASK, "--at", at_that_moment, "--json")
    same = [e for e in events if e.originator_id == TASK and e.recorded_at <= events[2].recorded_at]
    assert json.loads(capsys.readouterr().out)["version"] == len(same)


def test_a_persons_state_is_sealed_open_or_gone(own, capsys):
    def shown(*words):
        atelier(own.settings, "events", "show", ACCOUNT, *words)
        return capsys.readouterr().out

    assert "info.full_name                   sealed" in shown()
    assert "personal=sealed" in shown()
    assert "Ada" not in shown() + shown("--json")
    assert 'info.full_name                   "Ada King"' in shown("--decrypt")
    assert 'info.full_name                   "Ada Lovelace"' in shown("--decrypt", "--at", "1")
    own.erase(ACCOUNT)
    assert "info.full_name                   null" in shown("--decrypt")
    assert json.loads(shown("--decrypt", "--json"))["state"]["info"]["email"] is None


def test_garments_are_shown_as_well(sample, capsys):
    atelier(sample.settings, "events", "show", GARMENT)
    assert "details.name         Cloth1" in capsys.readouterr().out


def test_an_aggregate_that_was_not_there_yet_is_told(sample):
    with pytest.raises(NotFound, match=f"no event of {OTHER} up to position 7"):
        atelier(sample.settings, "events", "show", OTHER, "--at", "7")


def test_an_export_says_what_it_made(sample, tmp_path, capsys):
    folder = tmp_path / "events"
    atelier(sample.settings, "events", "export", folder, "--user", BEA, "--typed")
    assert "3 events of positions 1 to 9 in 3 files" in capsys.readouterr().err
    assert (folder / "manifest.json").exists()
    with pytest.raises(BadArgument, match="--typed makes Parquet or CSV files: leave out"):
        atelier(sample.settings, "events", "export", folder, "--typed", "--format", "jsonl")
    csv = tmp_path / "csv"
    atelier(sample.settings, "events", "export", csv, "--typed", "--format", "csv")
    assert len(list(csv.glob("render.started.v1/*.csv"))) == 1


def test_a_database_without_a_log_is_told(postgres, tmp_path):
    settings = Settings(postgres_url=postgres.url)
    for words in (["replay"], ["count"], ["show", str(TASK)], ["export", str(tmp_path)]):
        with pytest.raises(NoLog, match="atelier migrate"):
            atelier(settings, "events", *words)


def test_a_partition_belongs_to_kafka(sample):
    for command in ("tail", "replay"):
        with pytest.raises(BadArgument, match="--partition belongs to --kafka"):
            atelier(sample.settings, "events", command, "--partition", "3")


def test_tail_shows_the_newest_and_then_each_new_event_at_once(own):
    with process(own.settings, "events", "tail", "-n", "2", "--json") as running:
        assert [line["position"] for line in running.lines(2)] == [8, 9]
        for attempt in (2, 3):
            position = own.story.tell(TASK, started(attempt))
            (line,) = running.lines(1)
            assert (line["position"], line["state"]["attempt"]) == (position, attempt)


def test_tail_follows_only_what_is_chosen(own):
    chosen = ("--from", "5", "--type", RenderFileRemoved.stored_name, "--type", "garment.*")
    with process(own.settings, "events", "tail", *chosen, "--json") as running:
        assert [line["position"] for line in running.lines(1)] == [6]
        own.story.tell(TASK, started(2), removed())
        assert [line["position"] for line in running.lines(1)] == [11]


def test_a_reader_that_has_seen_enough_gets_no_traceback(sample):
    with process(sample.settings, "events", "replay", "--json") as running:
        running.stdout.close()
        assert running.process.wait(30) == 0
        assert running.stderr.read() == ""


def test_a_bad_argument_ends_with_one_line(sample):
    with process(sample.settings, "events", "replay", "--from", "tomorrow") as running:
        assert running.process.wait(30) == 2
        told_of = running.stderr.read()
    assert told_of.startswith("atelier events replay: --from tomorrow is neither a position")
    assert told_of.count("\n") == 1
