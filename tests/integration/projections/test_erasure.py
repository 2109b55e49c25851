"""Somebody erased leaves no row in any read model, and every one can be made again from the log."""

from uuid import uuid4

import pytest

from domain.account import AccountDetailsUpdated, AccountInfoUpdated
from infra.postgres import connect
from projections import PROJECTIONS, accounts, gallery, queue, tasks
from projections.generations import begin, drop, switch
from tests.support.scenario import (
    ACCOUNT,
    cancelled,
    completed,
    erased,
    failed,
    removed,
    requested,
    requeued,
    started,
    upscale_requested,
    video_requested,
)

OTHER = uuid4()
MODELS = (accounts.PROJECTION, tasks.PROJECTION, queue.PROJECTION, gallery.PROJECTION)


def live(story, account):
    """All that can happen to an account and its tasks; `story` has registered it."""
    story.tell(account, AccountDetailsUpdated(face_shape="long"), account=account)
    for *events, end in (
        (requested(), started(), completed()),
        (video_requested(), started(), requeued(), started(2), failed(2)),
        (requested(), started(), cancelled()),
        (requested(), started(), started(2)),
        (upscale_requested(), completed(), removed()),
        (requested(), requeued()),
    ):
        story.tell(uuid4(), *events, end, account=account)


def owners(models, projection):
    return {row["account"] for row in models.rows(projection)}


@pytest.fixture
def lives(story):
    """Two people who have everything."""
    story.register(OTHER)
    live(story, ACCOUNT)
    live(story, OTHER)


def test_rows_of_somebody_erased_go_and_those_of_others_stay(models, story, lives):
    models.catch_up()
    assert all(owners(models, each) == {ACCOUNT, OTHER} for each in MODELS)
    story.tell(ACCOUNT, erased())
    models.catch_up()
    assert all(owners(models, each) == {OTHER} for each in MODELS)


def test_what_comes_late_for_somebody_erased_leaves_no_row(models, story, lives):
    late = uuid4()
    story.tell(late, upscale_requested(), started())
    story.tell(ACCOUNT, erased())
    story.tell(uuid4(), upscale_requested())
    story.tell(late, cancelled())
    models.catch_up()
    assert all(owners(models, each) == {OTHER} for each in MODELS)
    assert all(models.parked(each) == [] for each in PROJECTIONS)


def test_read_models_made_again_from_the_log_have_the_same_rows(models, story, lives):
    models.catch_up()
    story.tell(ACCOUNT, erased())
    models.catch_up()
    before = [models.rows(each) for each in PROJECTIONS]
    with connect(models.url) as connection:
        for each in PROJECTIONS:
            switch(connection, each, begin(connection, each))
            drop(connection, each, 1)
    models.catch_up()
    assert [models.rows(each) for each in PROJECTIONS] == before
    assert all(models.parked(each) == [] for each in PROJECTIONS)


def test_somebody_parked_is_erased_as_well(models, story):
    task = story.request()
    models.catch_up()
    with connect(models.url) as connection:  # a row that no event can be applied to
        connection.execute("ALTER TABLE atelier_accounts_g1 ADD CHECK (full_name <> 'Ada King')")
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    story.tell(task, started())
    models.catch_up()
    assert len(models.parked(accounts.PROJECTION)) == 1
    story.tell(ACCOUNT, AccountDetailsUpdated(face_shape="long"), erased())
    models.catch_up()
    assert models.rows(accounts.PROJECTION) == []
    assert models.parked(accounts.PROJECTION) == []
    assert models.position(accounts.PROJECTION) == 6
