import json
import sys
from pathlib import Path

import pytest

from infra.process import logs
from infra.process.services import SUCCEEDED, ChildProcess
from tests.unit.infra.process.test_logs import as_it_was

__all__ = ["as_it_was"]

FIVE_LINES = [sys.executable, "-c", "for number in range(5): print(number)"]


def test_on_a_full_disk_it_is_said_once_that_lines_are_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "relay.log").symlink_to("/dev/full")
    logs.configure("up", "json")
    child = ChildProcess("relay", FIVE_LINES, {}, tmp_path, stop_seconds=1.0)
    child.start()
    assert child.wait() == SUCCEEDED
    (line,) = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert line["event"] == "log lines are lost"
    assert "No space left" in line["why"]
