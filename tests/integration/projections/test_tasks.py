from uuid import UUID, uuid4

import pytest

from domain.garment import WornGarment
from domain.picture import ApparelDetails
from projections.tasks import (
    NEWEST_ENDED,
    PROJECTION,
    next_cursor,
    overview,
    page,
    shortened,
    task,
)
from render_consumers.loop.leases import Leases
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    failed,
    hold,
    image_to_video_requested,
    removed,
    requested,
    requeued,
    source,
    started,
    thumbnail,
    upscale_requested,
    video_requested,
)

PENDING = {"task": TASK, "account": ACCOUNT, "place": 2, "vip": False, "status": "PENDING"}


@pytest.fixture
def leases(pool):
    return Leases(pool, "consumer-1", 30.0)


@pytest.fixture
def ask(models):
    """The status and position of a task."""

    def asked(name, account=ACCOUNT):
        models.catch_up()
        (row,) = models.ask(task, account, name, max_wait=None).rows
        return row.status, row.position

    return asked


# Rows.


def test_a_request_is_pending_in_its_place(given):
    given(requested()).then(PROJECTION, PENDING | {"attempt": 0, "files": []})


def test_a_vip_request_is_marked(given):
    given(requested(vip=True)).then(PROJECTION, PENDING | {"vip": True})


KNOWN = WornGarment(name="HOODIE", color_hex="#000000", color_known=True, size_known=True)
NAMELESS = ApparelDetails(color="Red")


@pytest.mark.parametrize("make", [requested, video_requested])
@pytest.mark.parametrize(
    ("changes", "garment"),
    [({"garment": KNOWN}, "HOODIE"), ({}, "Hoodie"), ({"apparel_details": NAMELESS}, None)],
)
def test_a_task_shows_the_catalogues_garment_or_the_one_asked_for(given, make, changes, garment):
    given(make(**changes)).then(PROJECTION, {"garment": garment})


@pytest.mark.parametrize("make", [upscale_requested, image_to_video_requested])
@pytest.mark.parametrize(
    ("key", "garment"),
    [
        (f"33/gallery/{TASK}.jpg", "Hoodie"),
        (f"33/gallery/{TASK}_upscale.mp4", "Hoodie"),
        (f"33/gallery/{UUID(int=7)}.mp4", None),
        ("33/avatar/avatar_1738860389536.png", None),
        (f"33/uploads/{TASK}_9f.png", None),
    ],
)
def test_what_is_made_of_a_file_shows_the_garment_of_that_file(given, models, make, key, garment):
    models.story.tell(TASK, requested())
    made = uuid4()
    models.story.tell(made, make(source_key=key))
    models.catch_up(PROJECTION)
    (row,) = [row for row in models.rows(PROJECTION) if row["task"] == made]
    assert row["garment"] == garment


def test_a_claimed_task_is_started(given):
    given(requested(), started(1)).then(PROJECTION, PENDING | {"status": "STARTED", "attempt": 1})


def test_a_task_that_was_given_back_is_pending_in_its_old_place(given, story):
    given(requested(), started(1), requeued(1)).then(PROJECTION, PENDING | {"attempt": 1})


def test_a_completed_task_has_its_files(given):
    files = [
        {
            "name": file.name,
            "key": file.key,
            "role": file.role,
            "content_type": "image/jpeg",
            "size": 1234,
            "sha256": "9f" * 32,
        }
        for file in (source(), thumbnail())
    ]
    given(requested(), started(), completed(ignored=("brand",))).then(
        PROJECTION,
        PENDING | {"status": "SUCCESS", "engine": "test", "files": files, "ignored": ["brand"]},
    )


def test_a_failed_task_tells_why(given):
    given(requested(), started(), failed()).then(
        PROJECTION,
        PENDING
        | {
            "status": "FAILED",
            "error_code": "render_error",
            "error_message": "it could not be rendered",
        },
    )


def test_a_cancelled_task_has_failed(given):
    given(requested(), started(), cancelled()).then(
        PROJECTION, PENDING | {"status": "FAILED", "error_code": "cancelled"}
    )


def test_removed_files_leave_their_task(given, models):
    told = given(requested(), started(), completed(), removed(source().name, source().key))
    told.then(PROJECTION, PENDING | {"status": "SUCCESS"})
    (row,) = models.rows(PROJECTION)
    assert [file["key"] for file in row["files"]] == [thumbnail().key]
    told = given(removed(source().name, thumbnail().key))
    told.then(PROJECTION, PENDING | {"status": "SUCCESS", "files": []})


# One task.


def test_the_position_counts_those_that_will_be_claimed_before(story, ask):
    first, second, third = (story.request() for _ in range(3))
    assert [ask(name) for name in (first, second, third)] == [
        ("PENDING", 1),
        ("PENDING", 2),
        ("PENDING", 3),
    ]


def test_vip_tasks_are_counted_before_all_others(story, ask):
    plain, vip, vip_too = story.request(), story.request(vip=True), story.request(vip=True)
    assert [ask(name)[1] for name in (vip, vip_too, plain)] == [1, 2, 3]


def test_the_tasks_of_others_are_counted_too(story, ask):
    other = uuid4()
    story.register(other)
    story.request(other)
    assert ask(story.request()) == ("PENDING", 2)


def test_a_task_that_is_being_processed_is_at_zero_and_counts_for_nobody(story, ask, leases):
    first, second = story.request(), story.request()
    story.tell(first, started())
    hold(leases, first)
    assert ask(first) == ("STARTED", 0)
    assert ask(second) == ("PENDING", 1)


def test_a_started_task_whose_lease_has_run_out_waits_in_its_old_place(story, ask, pool):
    first, second = story.request(), story.request()
    story.tell(first, started())
    assert ask(first) == ("PENDING", 1)  # no lease at all, as after the table was lost
    hold(Leases(pool, "consumer-1", 0.0), first)
    assert ask(first) == ("PENDING", 1)
    assert ask(second) == ("PENDING", 2)


def test_a_lease_on_a_pending_task_does_not_change_the_positions(story, ask, leases):
    first, second = story.request(), story.request()
    hold(leases, first)
    assert [ask(first), ask(second)] == [("PENDING", 1), ("PENDING", 2)]


def test_a_task_that_was_given_back_is_counted_in_its_old_place(story, ask, leases):
    first, second = story.request(), story.request()
    story.tell(first, started(), requeued())
    assert [ask(first), ask(second)] == [("PENDING", 1), ("PENDING", 2)]


@pytest.mark.parametrize(
    ("end", "status"),
    [(completed(), "SUCCESS"), (failed(), "FAILED"), (cancelled(), "FAILED")],
)
def test_an_ended_task_is_at_zero_and_counts_for_nobody(story, ask, end, status):
    first, second = story.request(), story.request()
    story.tell(first, started(), end)
    assert ask(first) == (status, 0)
    assert ask(second) == ("PENDING", 1)


def test_nobody_sees_the_task_of_another(story, models):
    other = uuid4()
    story.register(other)
    name = story.request()
    models.catch_up()
    assert models.ask(task, other, name, max_wait=None).rows == []
    assert models.ask(task, ACCOUNT, uuid4(), max_wait=None).rows == []


# All tasks.


def test_tasks_are_listed_newest_first(story, models, leases):
    names = [story.request() for _ in range(4)]
    story.tell(names[1], started())
    hold(leases, names[1])
    story.tell(names[2], started(), completed())
    story.tell(names[3], started(), failed())
    models.catch_up()
    listed = [(row.task, row.status) for row in models.ask(overview, ACCOUNT).rows]
    assert listed == [
        (names[3], "FAILED"),
        (names[2], "SUCCESS"),
        (names[1], "STARTED"),
        (names[0], "PENDING"),
    ]


def test_a_listed_task_whose_lease_has_run_out_is_pending(story, models):
    name = story.request()
    story.tell(name, started())
    models.catch_up()
    assert [row.status for row in models.ask(overview, ACCOUNT).rows] == ["PENDING"]


def test_every_unfinished_task_is_listed_and_the_newest_ended_ones(story, models):
    unfinished = [story.request() for _ in range(3)]
    ended = [uuid4() for _ in range(NEWEST_ENDED + 5)]
    for n, name in enumerate(ended):
        story.tell(name, requested(), started(), failed() if n % 2 else completed())
    unfinished.append(story.request())
    models.catch_up()
    rows, cursor = shortened(models.ask(overview, ACCOUNT).rows)
    listed = [row.task for row in rows]
    assert cursor is not None
    assert listed == [*unfinished[3:], *reversed(ended[5:]), *reversed(unfinished[:3])]


def test_nobody_is_listed_the_tasks_of_another(story, models):
    other = uuid4()
    story.register(other)
    story.request()
    models.catch_up()
    assert models.ask(overview, other).rows == []


# Pages.


def test_pages_by_item_and_by_second_hold_every_task_once(story, models):
    names = [story.request() for _ in range(5)]
    models.catch_up()
    rows = models.ask(page, ACCOUNT, status=None, limit=2, cursor=None).rows
    assert [row.task for row in rows] == names[:1:-1]
    cursor = next_cursor(rows, 2)
    rows = models.ask(page, ACCOUNT, status=None, limit=2, cursor=cursor).rows
    assert [row.task for row in rows] == names[2::-1]
    second = rows[0].requested_at
    assert models.ask(page, ACCOUNT, status=None, limit=9, cursor=second - 3600).rows == []
    rows = models.ask(page, ACCOUNT, status=None, limit=9, cursor=second + 3600).rows
    assert [row.task for row in rows] == names[::-1]
    assert next_cursor(rows, 9) is None
