import dataclasses
import json
import re
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from infra.analysis import lines
from infra.analysis.lines import Place
from infra.log.recorder import StoredRecord

EVENT = StoredRecord(
    id=41,
    originator_id=UUID("8f14e45f-ceea-467f-a3c1-d7e4f5b6a789"),
    originator_version=3,
    topic="render.requested.v1",
    state=b'{"not":"decoded",  "\xc3\xa9":1}',
    event_id=UUID("00000000-0000-4000-8000-000000000001"),
    recorded_at=datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=timezone(timedelta(hours=2))),
    actor="account:é",
    account=UUID("00000000-0000-4000-8000-000000000002"),
    correlation_id=UUID("00000000-0000-4000-8000-000000000003"),
    causation_id=UUID("00000000-0000-4000-8000-000000000004"),
)
SEALED = dataclasses.replace(
    EVENT,
    state=b'{"number":33,"name":"a b","list":["x",1],"empty":"","none":null,"personal":"c2VhbGVk"}',
)


class Terminal:
    """Somebody's screen."""

    def __init__(self, monkeypatch, columns):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")


def test_a_json_line_has_the_envelope_and_the_state_as_it_is(capsys):
    lines.print_json(EVENT)
    line = capsys.readouterr().out
    assert json.loads(line) == {
        "position": 41,
        "event_id": "00000000-0000-4000-8000-000000000001",
        "type": "render.requested.v1",
        "aggregate_id": "8f14e45f-ceea-467f-a3c1-d7e4f5b6a789",
        "aggregate_version": 3,
        "recorded_at": "2026-03-01T12:30:00.000005+02:00",
        "actor": "account:é",
        "account": "00000000-0000-4000-8000-000000000002",
        "correlation_id": "00000000-0000-4000-8000-000000000003",
        "causation_id": "00000000-0000-4000-8000-000000000004",
        "state": {"not": "decoded", "é": 1},
    }
    assert line.count("\n") == 1


def test_a_json_line_from_kafka_tells_its_place(capsys):
    lines.print_json(EVENT, Place(3, 17))
    assert json.loads(capsys.readouterr().out)["kafka"] == {"partition": 3, "offset": 17}


def test_a_state_that_is_no_json_is_shown_as_text(capsys):
    broken = dataclasses.replace(EVENT, state=b"{oh\nno")
    lines.print_json(broken)
    assert json.loads(capsys.readouterr().out)["state"] == "{oh\nno"
    lines.print_text(broken)
    assert "{oh" in capsys.readouterr().out


def test_text_names_what_is_sealed_without_showing_it(capsys):
    lines.print_text(SEALED)
    assert capsys.readouterr().out == (
        "      41  2026-03-01 10:30:00Z  render.requested.v1"
        "  8f14e45f-ceea-467f-a3c1-d7e4f5b6a789 v3"
        '  number=33 name="a b" empty="" personal=sealed list=["x",1]\n'
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_lines_that_fit(columns, monkeypatch, capsys):
    Terminal(monkeypatch, columns)
    long = dataclasses.replace(EVENT, state=json.dumps({"text": "x" * 500}).encode())
    lines.print_text(long, Place(3, 17))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert len(shown) == 2
    assert all(len(line) <= columns for line in shown)
    assert shown[0].endswith("render.requested.v1  3@17")
    assert shown[1].endswith("…")
