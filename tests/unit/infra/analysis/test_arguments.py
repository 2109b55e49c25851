from datetime import UTC, date, datetime, time, timedelta, timezone
from uuid import UUID

import pytest

from domain.catalogue import CATALOGUE
from domain.render import RenderStarted
from infra.analysis.arguments import BadArgument, identifier, place, places, types


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1200", 1200),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T10:30:05", datetime(2026, 11, 22, 10, 30, 5, tzinfo=UTC)),
        ("2026-11-22 10:30", datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
        ("2026-11-22T10:30:00Z", datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
        ("2026-11-22T10:30:00+01:00", datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_place_is_a_position_or_a_time(text, meant):
    assert place(text, "--from") == meant


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
    ],
)
def test_a_place_may_be_so_long_ago(text, ago):
    before = datetime.now(UTC)
    meant = place(text, "--from")
    assert isinstance(meant, datetime)
    assert before - ago <= meant <= datetime.now(UTC) - ago


def test_a_place_may_be_a_day_by_its_name():
    before = datetime.now(UTC)
    now, today, yesterday = (place(text, "--to") for text in ("now", "today", "yesterday"))
    after = datetime.now(UTC)
    assert isinstance(now, datetime)
    assert isinstance(today, datetime)
    assert before <= now <= after
    assert today.timetz() == time(tzinfo=UTC)
    assert today.date() in (before.date(), after.date())
    assert yesterday == today - timedelta(days=1)


def test_a_program_may_give_numbers_and_times_as_they_are():
    moment = datetime(2026, 11, 22, 10, 30, 0, 123456, timezone(timedelta(hours=1)))
    assert place(1200, "after") == 1200
    assert place(moment, "after") == moment
    assert place(moment.replace(tzinfo=None), "after") == moment.replace(tzinfo=UTC)
    assert place(date(2026, 11, 22), "after") == datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("begin", "end"),
    [("10", "3"), ("2026-12-01", "2026-11-01"), ("2026-11-22", "2026-11-22"), ("1h", "2h")],
)
def test_a_span_that_ends_before_it_begins_is_refused(begin, end):
    with pytest.raises(BadArgument, match=f"^--from {begin} does not come before --to {end}: "):
        places(begin, end)


def test_a_span_may_lack_an_end_or_have_ends_of_different_kinds():
    november, december = (datetime(2026, month, 1, tzinfo=UTC) for month in (11, 12))
    assert places("2026-11-01", "2026-12-01") == (november, december)
    assert places("10", "10") == (10, 10)
    assert places("10", "2026-11-01") == (10, november)
    assert places("2026-11-01", "10") == (november, 10)
    assert places(None, None) == (None, None)


@pytest.mark.parametrize("text", ["", "-5", "tomorrow", "2026-13-01", "5 m", "1" * 19, "999999d"])
def test_anything_else_is_refused_with_what_to_write_instead(text):
    with pytest.raises(BadArgument, match=r"--to .*1200.*2026-11-22.*15m"):
        place(text, "--to")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("render.started.v1", {"render.started.v1"}),
        ("render.started", {"render.started.v1"}),
        ("garment.*", {name for name in CATALOGUE if name.startswith("garment.")}),
        ("*requested*", {name for name in CATALOGUE if "requested" in name}),
    ],
)
def test_types_are_named_with_or_without_version_or_by_a_pattern(text, names):
    assert set(types([text])) == names


def test_several_types_are_meant_once_each():
    assert types(["render.started", "render.*"]).count("render.started.v1") == 1
    assert types([]) == ()


def test_a_program_may_give_classes_or_a_single_type():
    assert types([RenderStarted, "render.started"]) == ("render.started.v1",)
    assert types(RenderStarted) == types("render.started") == ("render.started.v1",)


def test_an_unknown_type_is_refused_with_the_nearest_one():
    with pytest.raises(BadArgument, match=r"did you mean render\.completed\.v1\?.*--names"):
        types(["render.complete"])


def test_an_id_is_a_uuid():
    text = "8f14e45f-ceea-467f-a3c1-d7e4f5b6a789"
    assert identifier(text, "--aggregate") == UUID(text)
    with pytest.raises(BadArgument, match="--aggregate 33 is no id"):
        identifier("33", "--aggregate")
