"""Read models as they were, in tables beside those that serve."""

import pytest
from psycopg import errors

from domain.account import AccountInfoUpdated
from infra.postgres import connect
from projections import PROJECTIONS, accounts, as_of, gallery, queue, tasks
from projections.as_of import BadSchema
from tests.support.scenario import ACCOUNT, completed, erased, lose_key, source, started, thumbnail


def picture(story):
    task = story.request()
    files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
    return task, story.tell(task, started(), completed(files=files))


@pytest.fixture
def build(models):
    def built(
        projection, at, schema="past", *, replace=False, role="NONE", report=lambda _passed: None
    ):
        with connect(models.url) as connection:
            connection.execute(f"SET ROLE {role}")
            read = models.story.store.read_some
            place = {"at": at, "schema": schema, "replace": replace}
            return as_of.build(connection, projection, read, **place, report=report)

    return built


@pytest.fixture
def changes(models):
    def found(projection, first, last):
        with connect(models.url) as connection:
            read = models.story.store.read_some
            return as_of.between_positions(
                connection, projection, read, first, last, lambda _: None
            )

    return found


def then(models, projection):
    return models.ask_database(f"SELECT * FROM past.{projection.view} AS row ORDER BY row")


def tables(models, schema="past"):
    found = models.ask_database("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    return {each["tablename"] for each in found}


def test_a_table_shows_what_was_shown_at_a_position(models, story, build):
    old, at = picture(story)
    models.catch_up()
    shown = {each.name: models.rows(each) for each in PROJECTIONS}
    picture(story)
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    models.catch_up()
    for projection in PROJECTIONS:
        assert build(projection, at) == (len(shown[projection.name]), 0)
        assert then(models, projection) == shown[projection.name]
    assert [row["task"] for row in then(models, gallery.PROJECTION)] == [old]
    assert models.rows(accounts.PROJECTION) != shown["accounts"]


def test_it_is_no_generation_and_nobody_keeps_it(models, story, build):
    _, at = picture(story)
    models.catch_up()
    registered = models.ask_database("SELECT projection, generation FROM atelier_projections")
    build(gallery.PROJECTION, at)
    picture(story)
    models.catch_up()
    assert len(then(models, gallery.PROJECTION)) == 1
    assert tables(models) == {"atelier_gallery"}
    now = models.ask_database("SELECT projection, generation FROM atelier_projections")
    assert sorted(map(str, now)) == sorted(map(str, registered))


def test_a_table_that_is_there_is_replaced_only_if_one_says_so(models, story, build):
    _, at = picture(story)
    _, later = picture(story)
    build(gallery.PROJECTION, at)
    with pytest.raises(BadSchema, match="--replace"):
        build(gallery.PROJECTION, later)
    assert len(then(models, gallery.PROJECTION)) == 1
    assert build(gallery.PROJECTION, later, replace=True) == (2, 0)
    assert len(then(models, gallery.PROJECTION)) == 2


@pytest.mark.parametrize(
    "schema", ["public", "pg_temp", "information_schema", "Past", "x; DROP TABLE y", 'a"b', ""]
)
def test_a_schema_that_is_no_place_for_it_is_refused(models, story, build, schema):
    models.catch_up()
    with pytest.raises(BadSchema):
        build(gallery.PROJECTION, 1, schema, replace=True)
    assert models.rows(gallery.PROJECTION) == []


def test_the_queue_comes_with_its_counts_each_time(models, story, build):
    at = [story.store.head()[1] for _ in range(3) if story.request()]
    for position in (at[2], at[0]):
        build(queue.PROJECTION, position, replace=True)
    with connect(models.url) as connection:
        for beside in ("blocks", "rounds"):
            counted = connection.execute(f"SELECT vip, waiting FROM past.atelier_queue_{beside}")
            assert counted.fetchall() == [(False, 1)]


def test_who_may_make_no_schema_is_told(models, build):
    with pytest.raises(BadSchema, match="does not let us"):
        build(gallery.PROJECTION, 1, role="pg_monitor")


def test_a_word_of_sql_may_be_its_name(models, story, build):
    build(gallery.PROJECTION, 1, "user")
    assert tables(models, "user") == {"atelier_gallery"}


def test_who_is_erased_is_not_brought_back(models, story, build):
    _, at = picture(story)
    story.tell(ACCOUNT, erased())
    lose_key(story.store)
    build(gallery.PROJECTION, at)
    build(tasks.PROJECTION, at)
    build(accounts.PROJECTION, at)
    assert then(models, gallery.PROJECTION) == then(models, tasks.PROJECTION) == []
    (row,) = then(models, accounts.PROJECTION)
    assert (row["email"], row["full_name"], row["date_of_birth"]) == (None, None, None)


def test_what_cannot_be_applied_is_counted_and_parked_nowhere(models, story, build):
    task = story.request()
    unfit = (source("a\x00.jpg"), thumbnail())  # a column of text takes no NUL
    at = story.tell(task, started(), completed(files=unfit))
    assert build(gallery.PROJECTION, at) == (0, 1)
    assert models.parked(gallery.PROJECTION) == []


def test_what_is_interrupted_leaves_nothing(models, story, build):
    _, at = picture(story)

    def interrupt(_passed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(gallery.PROJECTION, at, report=interrupt)
    assert tables(models) == set()


def test_the_changes_between_two_positions_are_named_by_key_and_column(models, story, changes):
    first, at = picture(story)
    second = story.request()
    middle = story.tell(second, started())
    third, end = picture(story)
    found = changes(tasks.PROJECTION, at + 1, end)
    told = {
        (each.key["task"], each.what, tuple(sorted(each.columns))) for each in found.differences
    }
    assert told == {
        (str(second), "changed", ("attempt", "status")),
        (str(third), "added", ()),
    }
    assert (found.rows, found.differing) == (3, 2)
    assert changes(tasks.PROJECTION, middle, middle).differing == 0
    assert str(first) not in str(found)


def test_nothing_is_left_of_a_comparison(models, story, changes):
    _, at = picture(story)
    changes(gallery.PROJECTION, 1, at)
    with connect(models.url) as connection, pytest.raises(errors.UndefinedTable):
        connection.execute("SELECT FROM atelier_gallery_g0")
