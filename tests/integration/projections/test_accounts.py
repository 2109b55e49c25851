from uuid import uuid4

import pytest

from domain.account import AccountDetailsUpdated, AccountInfoUpdated
from domain.errors import AccountErased
from projections.accounts import PROJECTION, account, avatar, details
from tests.support.scenario import (
    ACCOUNT,
    avatar_keys,
    avatar_uploaded,
    lose_key,
    registered,
    requested,
)

NOBODY = uuid4()


def test_a_registered_account_is_known(given):
    given().then(
        PROJECTION,
        {
            "account": ACCOUNT,
            "number": 33,
            "email": f"{ACCOUNT}@example.org",
            "full_name": "Ada Lovelace",
            "date_of_birth": -4868208000,
            "ethnicity": "British",
            "gender": "Female",
        },
    )


def test_an_update_changes_what_it_gives(given):
    updates = [
        AccountInfoUpdated(full_name="Ada King", date_of_birth=0),
        AccountInfoUpdated(gender="", ethnicity="English"),
    ]
    given(*updates, aggregate=ACCOUNT).then(
        PROJECTION,
        {
            "email": f"{ACCOUNT}@example.org",
            "full_name": "Ada King",
            "date_of_birth": 0,
            "ethnicity": "English",
            "gender": "",
        },
    )


def test_an_update_leaves_other_accounts_alone(given, models, story):
    other = uuid4()
    story.register(other)
    given(AccountInfoUpdated(full_name="Ada King"), aggregate=ACCOUNT)
    models.catch_up(PROJECTION)
    names = {row["account"]: row["full_name"] for row in models.rows(PROJECTION)}
    assert names == {ACCOUNT: "Ada King", other: "Ada Lovelace"}


def test_details_are_unknown_until_they_are_told_and_then_change_as_far_as_given(given, models):
    given().then(PROJECTION, {"face_shape": None, "skin_tone": None, "body_dimensions": None})
    changes = [
        AccountDetailsUpdated(skin_tone=0, body_dimensions="a\x00 \u2028 ß", hair_color="red"),
        AccountDetailsUpdated(face_shape="", real_world_measurements="{}", hair_color="6B4F30"),
    ]
    given(*changes, aggregate=ACCOUNT)
    models.catch_up(PROJECTION)
    (row,) = models.ask(details, ACCOUNT).rows
    assert (row.face_shape, row.skin_tone, row.hair_style, row.hair_color) == (
        "",
        0,
        None,
        "6B4F30",
    )
    assert row.body_dimensions == "a\x00 \u2028 ß".encode()
    assert row.real_world_measurements == b"{}"


def test_the_newest_avatar_is_shown(given, models):
    models.catch_up(PROJECTION)
    assert models.ask(avatar, ACCOUNT).rows == []
    given(avatar_uploaded(1), avatar_uploaded(2, replaced=1), aggregate=ACCOUNT)
    models.catch_up(PROJECTION)
    (row,) = models.ask(avatar, ACCOUNT).rows
    assert (row.avatar_key, row.avatar_thumbnail_key) == avatar_keys(2)


def test_what_it_has_no_use_for_still_moves_it_on(given, models):
    given(requested()).then(PROJECTION, {"account": ACCOUNT})
    assert models.position(PROJECTION) == 2


def test_somebody_erased_is_projected_with_nothing_known(models, pool):
    lose_key(models.story.store)
    models.catch_up(PROJECTION)
    (row,) = models.rows(PROJECTION)
    assert row["number"] == 33
    assert row["email"] is row["full_name"] is row["date_of_birth"] is None
    assert row["ethnicity"] is row["gender"] is None


def test_nothing_is_answered_for_somebody_erased(models, pool):
    models.catch_up(PROJECTION)
    assert models.ask(account, ACCOUNT).rows[0].number == 33
    lose_key(models.story.store)
    for question in (account, details, avatar):
        with pytest.raises(AccountErased):
            models.ask(question, ACCOUNT)


def test_one_asks_for_one_account(models, story):
    story.register(uuid4())
    models.catch_up()
    answer = models.ask(account, ACCOUNT)
    assert [row.account for row in answer.rows] == [ACCOUNT]
    assert answer.rows[0].full_name == registered().full_name
    assert (answer.position, answer.parked) == (2, False)


def test_nobody_is_answered_for_whom_the_log_does_not_know(models):
    models.catch_up()
    with pytest.raises(AccountErased):
        models.ask(account, NOBODY)
