from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from api.cli.queue.common import Lease, Live, Waiting
from api.cli.queue.story import Around, _spans, waits_for
from domain.render import Render
from infra.process.pauses import Pause
from tests.support.scenario import ACCOUNT, TASK

NOW = datetime.now(UTC)
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)

FIRST = Waiting(
    task=TASK,
    account=ACCOUNT,
    user=33,
    lane="normal",
    position=1,
    requested_at=EARLIER,
    attempt=0,
    retry_at=None,
)
ALL_IS_WELL = Around(
    waiting=FIRST,
    lease=None,
    consumers=[Live(name="host-1", since=EARLIER, seen=NOW)],
    paused=[],
    parked=[],
    seen=7,
    media_trouble="",
)


def lease(*, held: bool) -> Lease:
    return Lease(
        task=TASK,
        consumer="host-1-ab",
        started_at=EARLIER,
        expires_at=LATER if held else EARLIER,
        held=held,
        progress=0.4,
    )


def told(status: Any = "pending", newest: int = 7, **changes: Any) -> list[tuple[str, str]]:
    around = msgspec.structs.replace(ALL_IS_WELL, **changes)
    state = Render(status=status)
    return [(each.code, each.told) for each in waits_for(state, newest, around)]


def waiting(**changes: Any) -> Waiting:
    return msgspec.structs.replace(FIRST, **changes)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_what_has_ended_waits_for_nothing(status: str):
    assert told(status, waiting=None) == [("ended", f"nothing: it has ended, it is {status}")]


def test_what_is_rendered_waits_for_its_consumer():
    assert told("started", waiting=None, lease=lease(held=True)) == [
        ("rendered", "its consumer host-1-ab, which has done 40%")
    ]


def test_what_its_consumer_has_left_waits_for_its_turn_again():
    assert [code for code, _ in told("started", lease=lease(held=False))] == ["turn"]


def test_the_turn_of_a_task_is_told_by_how_many_are_before_it():
    assert told() == [("turn", "the next free consumer: number 1, in the normal lane")]
    assert told(waiting=waiting(position=3, lane="vip")) == [
        ("turn", "its turn, after 2 tasks: number 3, in the vip lane")
    ]


def test_a_backoff_is_told_with_its_end_until_it_is_over():
    ((code, backoff), _) = told(waiting=waiting(retry_at=LATER))
    assert code == "backoff"
    assert f"to {LATER:%H:%M:%S} UTC" in backoff
    assert [code for code, _ in told(waiting=waiting(retry_at=EARLIER))] == ["turn"]


def test_a_pause_is_told_to_those_of_its_lane():
    pause = Pause(lane="normal", since=NOW, by="ada@host", reason="new drivers")
    (paused, _) = told(paused=[pause])
    assert paused == ("paused", f"`atelier queue resume`: {pause.told}")
    assert "by ada@host: new drivers" in pause.told
    assert [code for code, _ in told(paused=[pause], waiting=waiting(lane="vip"))] == ["turn"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"consumers": []}, "no_consumer", "none is connected"),
        ({"seen": 6}, "projector", "up to position 6, not its newest event at 7"),
        ({"parked": ["queue"]}, "parked", "read model queue"),
        ({"media_trouble": "refused"}, "media_store", "refused"),
    ],
    ids=["consumer", "projector", "parked", "media"],
)
def test_what_is_in_the_way_is_told_before_the_turn(changes: dict[str, Any], code: str, words: str):
    (first, last) = told(**changes)
    assert first[0] == code
    assert words in first[1]
    assert last[0] == "turn"


def test_a_task_that_the_queue_lacks_waits_for_the_projector_or_nobody_knows():
    assert [code for code, _ in told(waiting=None, seen=6)] == ["projector"]
    assert [code for code, _ in told(waiting=None)] == ["unknown"]


def test_of_kafka_only_short_spans_around_the_events_are_read():
    times = [NOW + timedelta(seconds=seconds) for seconds in (0, 30, 85, 4_000, 9_000)]
    assert list(_spans(times)) == [(times[0], times[2]), (times[3],) * 2, (times[4],) * 2]
