import re

import pytest

from infra.process import progress
from infra.process.progress import Bar


def test_without_a_terminal_a_line_now_and_then_tells_amount_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress, "PLAIN_EVERY_SECONDS", 0.0)
    with Bar("Exporting", 10_000, "positions") as bar:
        bar.advance(1_000)
        bar.advance(1_500)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("Exporting: 1,000 of 10,000 positions, ")
    assert re.fullmatch(r"Exporting: 2,500 of 10,000 positions, [\d,]+/s, \d+ s left", second)


def test_what_was_done_before_counts_for_no_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress, "PLAIN_EVERY_SECONDS", 0.0)
    with Bar("Filling", 10_000, "events", done=9_000) as bar:
        bar.reach(9_000, 10_000)
    assert capsys.readouterr().err == "Filling: 9,000 of 10,000 events, 0/s, 0 s left\n"


def test_a_short_work_says_nothing(capsys: pytest.CaptureFixture[str]):
    with Bar("Exporting", 2, "positions") as bar:
        bar.advance(2)
    assert capsys.readouterr().err == ""
