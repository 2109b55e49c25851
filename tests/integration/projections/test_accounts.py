from uuid import uuid4

from domain.account import AccountInfoUpdated
from infra.keys import KeyRing
from projections.accounts import PROJECTION, account
from tests.support.scenario import ACCOUNT, MASTER_KEY, registered, requested

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


def test_what_it_has_no_use_for_still_moves_it_on(given, models):
    given(requested()).then(PROJECTION, {"account": ACCOUNT})
    assert models.position(PROJECTION) == 2


def test_somebody_erased_is_projected_with_nothing_known(models, pool):
    KeyRing(pool, MASTER_KEY).discard(ACCOUNT)
    models.story.store.keys.discard(ACCOUNT)
    models.catch_up(PROJECTION)
    (row,) = models.rows(PROJECTION)
    assert row["number"] == 33
    assert row["email"] is row["full_name"] is row["date_of_birth"] is None
    assert row["ethnicity"] is row["gender"] is None
    assert models.ask(account, ACCOUNT).rows[0].email is None


def test_one_asks_for_one_account(models, story):
    story.register(uuid4())
    models.catch_up()
    answer = models.ask(account, ACCOUNT)
    assert [row.account for row in answer.rows] == [ACCOUNT]
    assert answer.rows[0].full_name == registered().full_name
    assert (answer.position, answer.parked) == (2, False)


def test_nobody_has_no_row(models):
    models.catch_up()
    assert models.ask(account, NOBODY).rows == []
