"""What could not be applied: listed, retried, given up."""

from uuid import uuid4

import pytest

from domain.errors import NotFound
from infra.log.appender import APPEND
from projections import gallery, parking, tasks
from tests.integration.projections.conftest import filled, found
from tests.support.scenario import (
    ACCOUNT,
    completed,
    source,
    started,
    thumbnail,
)

UNFIT = (source("a\x00.jpg"), thumbnail())  # a column of text takes no NUL


@pytest.fixture
def parked(models, story):
    """A task whose first file did not fit, and one that came after it."""
    task = story.request()
    story.tell(task, started(), completed(files=UNFIT), completed(2))
    models.catch_up()
    assert models.parked(gallery.PROJECTION) == [4, 5]
    return task


def test_what_is_parked_is_listed_with_its_reason(parked, connecting):
    with connecting() as connection:
        told = parking.parked(connection, ["gallery"])
    assert [(each.aggregate_id, each.position, each.error) for each in told] == [
        (parked, 4, "UntranslatableCharacter"),
        (parked, 5, None),
    ]
    assert told[0].type == "render.completed.v1"


def test_what_still_cannot_be_applied_stays_parked(models, story, parked, connecting):
    with connecting() as connection, pytest.raises(parking.StillParked, match="position 4"):
        parking.retry(connection, gallery.PROJECTION, 1, parked, story.store.read_some)
    assert models.parked(gallery.PROJECTION) == [4, 5]


def test_what_came_after_one_that_is_given_up_is_applied(models, story, parked, connecting):
    with connecting() as connection:
        retried = (gallery.PROJECTION, 1, parked, story.store.read_some)
        assert parking.retry(connection, *retried, skip=True) == 1
        with pytest.raises(NotFound):
            parking.retry(connection, *retried)
    assert models.parked(gallery.PROJECTION) == []
    assert [row["position"] for row in models.rows(gallery.PROJECTION)] == [5]


def test_what_cannot_be_read_can_be_given_up(models, story, connecting):
    task = story.request()
    with connecting() as connection:
        values = [1, uuid4(), started().stored_name, task, 2, "test", ACCOUNT, uuid4(), None, "x"]
        connection.execute(APPEND, [0, None, *[[value] for value in values], *[[]] * 6])
    models.catch_up()
    assert models.parked(tasks.PROJECTION) == [3]
    retried = (tasks.PROJECTION, 1, task, story.store.read_some)
    with connecting() as connection:
        with pytest.raises(parking.StillParked):
            parking.retry(connection, *retried)
        assert parking.retry(connection, *retried, skip=True) == 0
    assert models.parked(tasks.PROJECTION) == []


def test_a_rebuild_parks_the_same(models, parked, rebuild):
    comparison = filled(rebuild(gallery.PROJECTION), gallery.PROJECTION)
    assert comparison.differing == 0
    (one, two) = found(models, gallery.PROJECTION)
    assert (one.parked, two.parked) == (2, 2)


def test_retried_is_all_that_was_parked_in_its_order(models, story, connecting):
    with connecting() as connection:
        connection.execute(
            "ALTER TABLE atelier_tasks_g1 ADD CONSTRAINT no_third CHECK (attempt <> 3)"
        )
    task = story.request()
    story.tell(task, started(3), completed(3))
    models.catch_up()
    assert models.parked(tasks.PROJECTION) == [3, 4]
    with connecting() as connection:  # what stopped it is mended
        connection.execute("ALTER TABLE atelier_tasks_g1 DROP CONSTRAINT no_third")
        retried = parking.retry(connection, tasks.PROJECTION, 1, task, story.store.read_some)
    assert retried == 2
    (row,) = models.rows(tasks.PROJECTION)
    assert (row["status"], row["attempt"]) == ("SUCCESS", 3)
    assert models.parked(tasks.PROJECTION) == []
