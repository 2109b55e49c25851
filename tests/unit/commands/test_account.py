import msgspec
import pytest

from commands.account import RegisterAccount, UpdateAccountInfo
from domain.account import AccountInfoUpdated
from domain.errors import NotFound
from tests.support.scenario import ACCOUNT, given, registered

REGISTER = RegisterAccount(
    aggregate_id=ACCOUNT,
    account=ACCOUNT,
    number=33,
    email="ada@example.org",
    full_name="Ada Lovelace",
    date_of_birth=-4868208000,
    ethnicity="British",
    gender="Female",
)


def update(**changes):
    return UpdateAccountInfo(aggregate_id=ACCOUNT, account=ACCOUNT, **changes)


def test_registering_opens_an_account():
    given().when(REGISTER).then(registered())


def test_registering_twice_adds_no_second_event():
    given(registered()).when(REGISTER).then_nothing()


def test_a_registered_account_is_not_registered_anew_under_another_number():
    again = msgspec.structs.replace(REGISTER, number=34, email="other@example.org")
    given(registered()).when(again).then_nothing()


def test_an_update_tells_what_it_gives():
    told = AccountInfoUpdated(full_name="Ada King", date_of_birth=0)
    given(registered()).when(update(full_name="Ada King", date_of_birth=0)).then(told)


def test_the_same_update_twice_adds_no_second_event():
    history = given(registered(), AccountInfoUpdated(full_name="Ada King"))
    history.when(update(full_name="Ada King")).then_nothing()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"full_name": "Ada Lovelace"},
        {"date_of_birth": -4868208000, "ethnicity": "British", "gender": "Female"},
    ],
)
def test_an_update_without_a_change_is_no_event(changes):
    given(registered()).when(update(**changes)).then_nothing()


def test_a_change_back_is_an_event():
    history = given(registered(), AccountInfoUpdated(full_name="Ada King"))
    history.when(update(full_name="Ada Lovelace")).then(
        AccountInfoUpdated(full_name="Ada Lovelace")
    )


def test_nobody_unknown_can_be_updated():
    given().when(update(full_name="Ada King")).then_refused(NotFound)
