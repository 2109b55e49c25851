import threading
from uuid import uuid4

import pytest

from domain.errors import Unavailable
from infra.postgres import Listener
from infra.process.leader import Leadership
from render_consumers.loop.cleaner import Cleaner
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    Story,
    avatar_keys,
    avatar_uploaded,
    cancelled,
    completed,
    erased,
    eventually,
    failed,
    image_to_video_requested,
    make_store,
    registered,
    removed,
    requeued,
    restore_older_backup,
    started,
    upscale_requested,
)


@pytest.fixture
def cleaner(studio, pool):
    return Cleaner(pool, studio.story.store, studio.media)


def put(studio, *keys):
    for key in keys:
        studio.media.put(key, b"jpeg", "image/jpeg")


def test_files_that_an_event_says_are_removed_are_deleted(studio, cleaner):
    cleaner.catch_up()
    put(studio, "33/gallery/a.jpg", "33/gallery/a_thumbnail.jpg", "33/gallery/b.jpg")
    studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg", "33/gallery/a_thumbnail.jpg"))
    assert cleaner.catch_up() == 1
    assert studio.keys() == ["33/gallery/b.jpg"]
    assert cleaner.catch_up() == 0


def test_the_avatar_before_the_newest_is_deleted(studio, cleaner):
    cleaner.catch_up()
    put(studio, *avatar_keys(1), *avatar_keys(2))
    studio.story.tell(ACCOUNT, avatar_uploaded(1))
    studio.story.tell(ACCOUNT, avatar_uploaded(2, replaced=1))
    assert cleaner.catch_up() == 2
    assert studio.keys() == sorted(avatar_keys(2))


def test_one_whose_place_is_lost_starts_from_now(studio, cleaner):
    put(studio, "33/gallery/a.jpg")
    studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
    with studio.pool.connection() as connection:
        connection.execute("DELETE FROM atelier_followers")
    assert cleaner.catch_up() == 0
    assert studio.keys() == ["33/gallery/a.jpg"]


def test_the_first_one_starts_with_the_log(studio, cleaner):
    put(studio, "33/gallery/a.jpg")
    studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
    assert cleaner.catch_up() == 2  # the registration, too
    assert studio.keys() == []


def test_another_one_goes_on_where_it_stood(studio, cleaner, pool):
    cleaner.catch_up()
    put(studio, "33/gallery/a.jpg")
    studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
    assert Cleaner(pool, studio.story.store, studio.media).catch_up() == 1
    assert studio.keys() == []
    assert cleaner.catch_up() == 0


def test_a_file_that_is_gone_already_stops_nothing(studio, cleaner):
    cleaner.catch_up()
    studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
    assert cleaner.catch_up() == 1


def test_what_could_not_be_deleted_is_deleted_later(studio, cleaner, media_server):
    cleaner.catch_up()
    put(studio, "33/gallery/a.jpg")
    studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
    media_server.server.kill()
    with pytest.raises(Unavailable):
        cleaner.catch_up()
    media_server.server.restart()
    assert cleaner.catch_up() == 1
    assert studio.keys() == []


UPLOAD = "33/uploads/a.png"


@pytest.mark.parametrize("end", [completed(), failed(), cancelled()])
def test_what_came_along_with_a_request_is_deleted_when_its_task_has_ended(studio, cleaner, end):
    put(studio, UPLOAD, "33/gallery/a.jpg")
    cleaner.catch_up()
    studio.story.tell(TASK, image_to_video_requested(source_key=UPLOAD), started())
    cleaner.catch_up()
    assert studio.keys() == ["33/gallery/a.jpg", UPLOAD]
    studio.story.tell(TASK, end)
    cleaner.catch_up()
    assert studio.keys() == ["33/gallery/a.jpg"]


def test_a_file_of_the_gallery_outlives_what_was_made_of_it(studio, cleaner):
    put(studio, "33/gallery/a.jpg")
    cleaner.catch_up()
    request = image_to_video_requested(source_key="33/gallery/a.jpg")
    studio.story.tell(TASK, request, started(), completed())
    cleaner.catch_up()
    assert studio.keys() == ["33/gallery/a.jpg"]


def test_staged_files_of_a_cancelled_task_are_deleted(studio, cleaner):
    task, other = studio.story.request(), studio.story.request()
    cleaner.catch_up()
    put(
        studio, f"staging/{task}/1/{task}.jpg", f"staging/{other}/1/{other}.jpg", "33/gallery/a.jpg"
    )
    studio.story.tell(task, started(1), cancelled(1))
    assert cleaner.catch_up() == 2
    assert sorted(studio.keys()) == ["33/gallery/a.jpg", f"staging/{other}/1/{other}.jpg"]


def test_staged_files_of_attempts_that_are_over_are_swept(studio, cleaner):
    over, given_back, going_on = (studio.story.request() for _ in range(3))
    studio.story.tell(over, started(1), completed(1))
    studio.story.tell(given_back, started(1), requeued(1))
    studio.story.tell(going_on, started(1), started(2))
    kept = [f"staging/{going_on}/2/{going_on}.jpg", "33/gallery/a.jpg"]
    put(
        studio,
        f"staging/{over}/1/{over}.jpg",
        f"staging/{given_back}/1/{given_back}.jpg",
        f"staging/{going_on}/1/{going_on}.jpg",
        f"staging/{TASK}/1/of a task that nobody knows.jpg",
        *kept,
    )
    cleaner.sweep()
    assert sorted(studio.keys()) == sorted(kept)


def test_a_running_one_sweeps_and_then_follows_the_log(studio, cleaner):
    put(studio, f"staging/{TASK}/1/a.jpg", "33/gallery/a.jpg")
    stop = threading.Event()

    def run():
        listener = Listener(studio.url)
        with Leadership(studio.url, "atelier.test") as leader:
            cleaner.run(leader, listener.wait, stop)
        listener.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        eventually(lambda: studio.keys("staging/") == [])
        studio.story.tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
        eventually(lambda: studio.keys() == [])
    finally:
        stop.set()
        thread.join()


# Somebody erased.


def test_all_files_of_somebody_erased_are_deleted_and_no_others(studio, cleaner):
    kept = ["3/avatar/a.png", "333/gallery/b.jpg"]
    put(studio, *kept, *avatar_keys(1), "33/gallery/a.jpg", UPLOAD)
    studio.story.tell(ACCOUNT, erased(33))
    cleaner.catch_up()
    assert sorted(studio.keys()) == sorted(kept)


def test_tasks_of_somebody_erased_are_cancelled_and_those_of_others_are_not(studio, cleaner):
    other = uuid4()
    studio.story.register(other)
    theirs, waiting, given_back = (
        studio.story.request(other),
        *(studio.story.request() for _ in "ab"),
    )
    done, under_way = studio.story.request(), studio.story.request()
    studio.story.tell(given_back, started(1), requeued(1))
    studio.story.tell(done, started(1), completed(1))
    studio.story.tell(under_way, started(1))
    put(studio, f"staging/{under_way}/1/a.jpg")
    studio.story.tell(ACCOUNT, erased())
    while cleaner.catch_up():
        pass
    ends = [studio.kinds(each)[-1] for each in (theirs, waiting, given_back, done, under_way)]
    assert ends == ["requested", "cancelled", "cancelled", "completed", "cancelled"]
    assert studio.keys("staging/") == []


def test_an_erasure_that_was_interrupted_anywhere_is_finished_by_the_next_cleaner(
    studio, cleaner, pool, media_server
):
    tasks = [studio.story.request() for _ in range(3)]
    put(studio, "33/gallery/a.jpg", "33/gallery/b.jpg")
    studio.story.tell(ACCOUNT, erased())
    media_server.server.kill()
    with pytest.raises(Unavailable):
        cleaner.catch_up()  # cancels, and then cannot delete
    assert [studio.kinds(task)[-1] for task in tasks] == ["cancelled"] * 3
    media_server.server.restart()
    another = Cleaner(pool, studio.story.store, studio.media)
    while another.catch_up():
        pass
    assert studio.keys() == []
    assert [studio.kinds(task) for task in tasks] == [["requested", "cancelled"]] * 3


def test_what_comes_late_for_somebody_erased_goes_as_well(studio, cleaner):
    late = uuid4()
    studio.story.tell(late, upscale_requested(), started())
    studio.story.tell(ACCOUNT, registered(), erased())
    while cleaner.catch_up():
        pass
    put(studio, *avatar_keys(1), "33/gallery/a.jpg")
    studio.story.tell(ACCOUNT, avatar_uploaded(1))
    slipped_in = uuid4()
    studio.story.tell(slipped_in, upscale_requested())
    while cleaner.catch_up():
        pass
    assert studio.kinds(slipped_in) == ["upscale_requested", "cancelled"]
    assert studio.keys() == ["33/gallery/a.jpg"]  # which no event names
    cleaner.sweep()
    assert studio.keys() == []


def test_a_log_that_was_restored_under_a_running_one_stops_it(studio, cleaner, pool):
    put(studio, "33/gallery/a.jpg")
    cleaner.catch_up()
    lost = studio.story.request()
    cleaner.catch_up()
    assert lost
    restore_older_backup(str(pool.conninfo), 1)
    Story(make_store(pool)).tell(TASK, removed("a.jpg", "33/gallery/a.jpg"))
    with Leadership(str(pool.conninfo), "cleaner") as leader:
        cleaner.run(leader, lambda: None, threading.Event())  # ends by itself
    assert studio.keys() == ["33/gallery/a.jpg"]
    assert Cleaner(pool, make_store(pool), studio.media).catch_up() == 1
    assert studio.keys() == []
