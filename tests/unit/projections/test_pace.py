import pytest

from domain.render import RenderRequested, VideoRequested
from projections.pace import GUESSES, Pace

PICTURE, VIDEO = RenderRequested.stored_name, VideoRequested.stored_name
PACE = Pace(by_kind={PICTURE: 2.0, VIDEO: 40.0}, waiting_seconds=10.0, rendering=2)


@pytest.mark.parametrize(
    ("kind", "position", "progress", "expected"),
    [
        (PICTURE, 0, 0.25, 1.5),  # being rendered: what is left of it
        (VIDEO, 0, 0.25, 30.0),
        (PICTURE, 4, 0.0, 22.0),  # four ahead with two at work, then its own time
        (VIDEO, 4, 0.0, 60.0),
    ],
)
def test_a_task_takes_the_time_of_its_kind_and_that_of_what_is_ahead(
    kind, position, progress, expected
):
    assert PACE.eta(kind, position, progress) == expected


def test_without_anybody_at_work_those_ahead_come_one_by_one():
    alone = Pace(by_kind={PICTURE: 2.0}, waiting_seconds=None, rendering=0)
    assert [alone.eta(PICTURE, position, 0) for position in (1, 2, 3)] == [2.0, 4.0, 6.0]


def test_the_first_of_its_kind_has_an_estimate_too():
    fresh = Pace(by_kind={}, waiting_seconds=None, rendering=1)
    assert fresh.eta(VIDEO, 0, 0.5) == GUESSES[VIDEO] / 2
    quick = Pace(by_kind={PICTURE: GUESSES[PICTURE] / 10}, waiting_seconds=None, rendering=1)
    assert quick.eta(VIDEO, 0, 0.0) == GUESSES[VIDEO] / 10
