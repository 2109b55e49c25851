import pytest

from domain.account import AccountInfoUpdated
from domain.reservations import EMAIL, UNFINISHED_TASK, Guard, guards
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    enveloped,
    failed,
    image_to_video_requested,
    registered,
    removed,
    requested,
    requeued,
    started,
    upscale_requested,
    video_requested,
)


def guards_of(event, aggregate=TASK):
    return guards(enveloped(event, aggregate), lambda email: f"hidden {email}")


def test_a_registration_takes_its_address():
    assert guards_of(registered(), ACCOUNT) == [
        Guard(kind="take", scope=EMAIL, owner=ACCOUNT, key="hidden ada@example.org")
    ]


def test_a_registration_of_somebody_erased_takes_nothing():
    assert guards_of(registered(email=None), ACCOUNT) == []


@pytest.mark.parametrize(
    "request_of", [requested, video_requested, upscale_requested, image_to_video_requested]
)
def test_a_request_takes_a_place_and_counts_the_places_then_taken(request_of):
    assert guards_of(request_of(limit=5)) == [
        Guard(kind="take", scope=UNFINISHED_TASK, owner=ACCOUNT, key=str(TASK)),
        Guard(kind="at_most", scope=UNFINISHED_TASK, owner=ACCOUNT, limit=5),
    ]


@pytest.mark.parametrize("end", [completed(), failed(), cancelled()])
def test_an_end_gives_the_place_back(end):
    assert guards_of(end) == [
        Guard(kind="release", scope=UNFINISHED_TASK, owner=ACCOUNT, key=str(TASK))
    ]


@pytest.mark.parametrize("event", [started(), requeued(), removed(), AccountInfoUpdated()])
def test_everything_else_reserves_nothing(event):
    assert guards_of(event) == []


@pytest.mark.parametrize("event", [requested(), completed(), failed()])
def test_what_belongs_to_nobody_reserves_nothing(event):
    assert guards(enveloped(event, TASK, account=None), str) == []
