import random
from uuid import uuid4

import pytest

from infra.postgres import connect
from projections.gallery import PROJECTION, next_cursor, page
from projections.model import seconds
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    completed,
    enveloped,
    removed,
    requested,
    source,
    started,
    thumbnail,
)

STILL = {
    "task": TASK,
    "account": ACCOUNT,
    "name": source().name,
    "source_key": source().key,
    "thumbnail_key": thumbnail().key,
    "file_index": 0,
}
VIDEO = source(f"{TASK}.mp4")


# Rows.


def test_a_finished_file_enters_with_its_time_and_place(given, models):
    given(requested(), started(), completed()).then(PROJECTION, STILL)
    newest = models.story.store.load(TASK)[-1]
    (row,) = models.rows(PROJECTION)
    assert (row["last_modified"], row["position"]) == (
        seconds(newest.recorded_at),
        newest.position,
    )


def test_each_file_of_a_task_has_a_row(given):
    both = completed(files=(source(), thumbnail(), VIDEO))
    given(requested(), started(), both).then(
        PROJECTION,
        STILL,
        STILL | {"name": VIDEO.name, "source_key": VIDEO.key, "file_index": 1},
    )


def test_a_removed_file_leaves_and_the_others_stay(given):
    both = completed(files=(source(), thumbnail(), VIDEO))
    history = [requested(), started(), both, removed(source().name, source().key)]
    given(*history).then(PROJECTION, {"name": VIDEO.name, "thumbnail_key": thumbnail().key})


def test_the_last_removed_file_leaves_nothing(given):
    given(requested(), started(), completed(), removed()).then(PROJECTION)


# Pages.


@pytest.fixture
def crowd(models):
    """Nineteen files in four seconds, eleven of them in one; and one of somebody else."""
    other = uuid4()
    models.story.register(other)
    for files_per_task in ([1], [2, 1, 3, 1, 3, 1], [1, 1], [4, 1]):
        with connect(models.url) as connection:
            connection.execute(
                "UPDATE atelier_head SET recorded_at = greatest(recorded_at, now())"
                " + interval '1 second'"
            )
        # One save, hence one moment.
        models.story.store.append([enveloped(finished(n), uuid4()) for n in files_per_task])
        models.story.store.append([enveloped(finished(1), uuid4(), account=other)])
    models.catch_up()
    rows = [row for row in models.rows(PROJECTION) if row["account"] == ACCOUNT]
    assert len({row["last_modified"] for row in rows}) == 4
    rows.sort(key=lambda row: (row["position"], row["file_index"]), reverse=True)
    assert len(rows) == 19
    return rows


def finished(files):
    names = [uuid4().hex for _ in range(files)]
    return completed(files=(*(source(name) for name in names), thumbnail(names[0])))


def keys(rows):
    return [row["source_key"] for row in rows]


def last_second(rows, limit):
    return rows[:limit][-1].last_modified if rows else None


def walk(models, limit, *, after_page=lambda found: None, cursor_of=next_cursor):
    """The keys of all pages, one page after the other."""

    async def walked(reader):
        pages, cursor = [], None
        while True:
            rows = (await page(reader, ACCOUNT, limit=limit, cursor=cursor)).rows
            pages.append([row.source_key for row in rows[:limit]])
            after_page(pages[-1])
            if (cursor := cursor_of(rows, limit)) is None:
                return pages

    return models.ask(walked)


def test_pages_of_any_size_give_every_file_once_newest_first(models, crowd):
    for limit in range(1, 22):
        pages = walk(models, limit)
        assert [key for found in pages for key in found] == keys(crowd)
        assert all(len(found) == limit for found in pages[:-1])
        assert 1 <= len(pages[-1]) <= limit


@pytest.mark.parametrize("limit", [1, 3])
def test_files_removed_meanwhile_neither_hide_nor_repeat_others(models, crowd, limit):
    choice, gone = random.Random(7), set()

    def lose_the_last_of_the_page_and_another(found):
        victims = [found[-1], choice.choice(crowd)["source_key"]]
        gone.update(victims)
        with connect(models.url) as connection:
            connection.execute("DELETE FROM atelier_gallery WHERE source_key = ANY(%s)", [victims])

    pages = walk(models, limit, after_page=lose_the_last_of_the_page_and_another)
    seen = [key for found in pages for key in found]
    assert seen == [key for key in keys(crowd) if key in seen]
    assert set(keys(crowd)) - gone <= set(seen)


def test_files_that_come_meanwhile_are_not_shown_twice(models, crowd):
    def another_is_finished(_):
        models.story.store.append([enveloped(finished(1), uuid4())])
        models.catch_up()

    pages = walk(models, 3, after_page=another_is_finished)
    assert [key for found in pages for key in found] == keys(crowd)


def test_a_second_as_cursor_gives_what_is_older_than_that_second(models, crowd):
    for second in {row["last_modified"] for row in crowd}:
        answer = models.ask(page, ACCOUNT, limit=100, cursor=second)
        older = [row for row in crowd if row["last_modified"] < second]
        assert [row.source_key for row in answer.rows] == keys(older)


def test_a_client_that_goes_on_before_the_last_second_it_saw_sees_no_file_twice(models, crowd):
    pages = walk(models, 4, cursor_of=last_second)
    expected, left = [], crowd
    while left:
        expected.append(keys(left[:4]))
        left = [row for row in left if row["last_modified"] < left[:4][-1]["last_modified"]]
    assert pages == [*expected, []]


def test_a_file_tells_its_task_and_the_garment_that_this_shows(models):
    models.story.tell(TASK, requested(), started(), completed(files=(source(), thumbnail(), VIDEO)))
    models.catch_up()
    rows = models.ask(page, ACCOUNT, limit=10, cursor=None).rows
    assert [(row.task, row.garment) for row in rows] == [(TASK, "Hoodie")] * 2
