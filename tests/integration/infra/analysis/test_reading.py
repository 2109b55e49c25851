import itertools
from datetime import timedelta
from uuid import UUID

import pytest

from domain.errors import HistoryReplaced, Unavailable
from infra.analysis import arguments, reading
from infra.analysis.arguments import BadArgument
from infra.analysis.selection import Selection
from infra.postgres import Listener
from tests.support.sample_log import BEA
from tests.support.scenario import ACCOUNT, TASK, restore_older_backup, started


def not_away() -> None:
    raise AssertionError("Postgres was there all the time")


def positions(events):
    return [event.id for event in events]


def test_a_long_log_is_read_in_spans_and_pages(sample, monkeypatch):
    for span, page in itertools.product((1, 4, 100), (1, 2, 100)):
        monkeypatch.setattr(reading, "SPAN", span)
        monkeypatch.setattr(reading, "PAGE", page)
        assert positions(reading.stored(sample.log, Selection())) == list(range(1, 10))
        chosen = Selection(first=2, last=8, account=ACCOUNT)
        assert positions(reading.stored(sample.log, chosen)) == [2, 3, 4, 5]


def test_a_selection_means_the_same_in_postgres_and_in_python(sample):
    everything = list(reading.stored(sample.log, Selection()))
    for chosen in (
        Selection(types=("render.started.v1", "account.registered.v1")),
        Selection(aggregate=TASK, first=3),
        Selection(account=BEA, last=8),
        Selection(types=("garment.listed.v1",), account=BEA),
    ):
        expected = [event for event in everything if chosen.has(event)]
        assert list(reading.stored(sample.log, chosen)) == expected


def test_a_time_leads_to_the_first_event_from_then_on(sample):
    events = list(reading.stored(sample.log, Selection()))
    for event in events:
        first = min(e.id for e in events if e.recorded_at >= event.recorded_at)
        assert reading.first_at(sample.log, event.recorded_at) == first
    late, early = events[-1].recorded_at, events[0].recorded_at
    assert reading.first_at(sample.log, late + timedelta(seconds=1)) == 10
    assert reading.first_at(sample.log, early - timedelta(days=1)) == 1


def test_a_span_ends_before_a_time_and_a_look_back_is_at_one(sample):
    fourth = next(e for e in reading.stored(sample.log, Selection()) if e.id == 5)
    time = fourth.recorded_at.isoformat()
    assert arguments.first_position(sample.log, time) == 5
    assert arguments.last_position(sample.log, time) == 4
    assert arguments.last_position(sample.log, time, inclusive=True) == 5


@pytest.mark.parametrize("text", [str(BEA), "34", "bea@example.org", " BEA@example.org"])
def test_a_user_is_known_by_id_number_or_address(text, sample):
    assert arguments.user(sample.access, text) == BEA


@pytest.mark.parametrize("text", ["35", "nobody@example.org"])
def test_nobody_is_told_plainly(text, sample):
    with pytest.raises(BadArgument, match="no such account"):
        arguments.user(sample.access, text)


def test_a_follower_sees_what_comes_and_nothing_twice(own):
    with_listener = Listener(own.settings.postgres_url)
    told_of = iter([lambda: own.story.tell(TASK, started(2)), lambda: None])

    def wait():
        next(told_of, lambda: None)()
        with_listener.wait()

    chosen = Selection(types=("render.started.v1",))
    following = reading.follow(own.log, chosen, wait, not_away)
    assert positions(itertools.islice(following, 3)) == [3, 9, 10]
    own.story.tell(UUID(int=1), started(7), account=BEA)
    assert positions(itertools.islice(following, 1)) == [11]
    with_listener.close()


def test_a_follower_outlives_an_outage(sample, monkeypatch):
    whole, tries = sample.log.head, iter([True, False, False])

    def head():
        if next(tries, True):
            return whole()
        raise Unavailable("Postgres does not answer; try again in a moment")

    monkeypatch.setattr(sample.log, "head", head)
    outages: list[str] = []
    following = reading.follow(
        sample.log, Selection(), lambda: None, lambda: outages.append("away")
    )
    assert positions(itertools.islice(following, 9)) == list(range(1, 10))
    assert outages == ["away"]


def test_a_follower_notices_that_the_log_was_restored(own):
    following = reading.follow(own.log, Selection(), lambda: None, lambda: None)
    assert positions(itertools.islice(following, 9)) == list(range(1, 10))
    restore_older_backup(own.settings.postgres_url, 5)
    with pytest.raises(HistoryReplaced):
        next(following)
