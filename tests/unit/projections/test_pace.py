import pytest

from projections.pace import Pace

PACE = Pace(by_kind={"picture": 2.0, "video": 40.0}, waiting_seconds=10.0, rendering=2)


@pytest.mark.parametrize(
    ("kind", "position", "progress", "expected"),
    [
        ("picture", 0, 0.25, 1.5),  # being rendered: what is left of it
        ("video", 0, 0.25, 30.0),
        ("picture", 4, 0.0, 22.0),  # four ahead with two at work, then its own time
        ("video", 4, 0.0, 60.0),
        ("upscale", 4, 0.0, None),  # nothing is known of this kind
    ],
)
def test_a_task_takes_the_time_of_its_kind_and_that_of_what_is_ahead(
    kind, position, progress, expected
):
    assert PACE.eta(kind, position, progress) == expected


def test_without_anybody_at_work_those_ahead_come_one_by_one():
    alone = Pace(by_kind={"picture": 2.0}, waiting_seconds=None, rendering=0)
    assert [alone.eta("picture", position, 0) for position in (1, 2, 3)] == [2.0, 4.0, 6.0]
