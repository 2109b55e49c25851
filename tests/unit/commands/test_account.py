import msgspec
import pytest

from commands.account import (
    EraseAccount,
    GrantVip,
    RegisterAccount,
    UpdateAccountDetails,
    UpdateAccountInfo,
    UploadAvatar,
    WithdrawVip,
)
from domain.account import (
    AccountDetailsUpdated,
    AccountInfoUpdated,
    AvatarUploaded,
    VipGranted,
    VipWithdrawn,
)
from domain.errors import AccountErased, NotFound
from tests.support.scenario import ACCOUNT, avatar_uploaded, erased, given, registered

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


def describe(**changes):
    return UpdateAccountDetails(aggregate_id=ACCOUNT, account=ACCOUNT, **changes)


def upload(ms):
    files = avatar_uploaded(ms)
    return UploadAvatar(
        aggregate_id=ACCOUNT, account=ACCOUNT, picture=files.picture, thumbnail=files.thumbnail
    )


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


def test_details_tell_what_they_give():
    told = AccountDetailsUpdated(skin_tone=0, body_dimensions="{}")
    given(registered()).when(describe(skin_tone=0, body_dimensions="{}")).then(told)


def test_the_same_details_twice_add_no_second_event():
    history = given(registered(), AccountDetailsUpdated(face_shape="long", hair_style="30"))
    history.when(describe(face_shape="long")).then_nothing()
    history.when(describe()).then_nothing()


def test_nobody_unknown_can_be_described():
    given().when(describe(skin_tone=1)).then_refused(NotFound)


def test_a_first_avatar_replaces_nothing():
    given(registered()).when(upload(1)).then(avatar_uploaded(1))


def test_a_newer_avatar_names_the_files_that_it_replaces():
    history = given(registered(), avatar_uploaded(1), avatar_uploaded(2, replaced=1))
    history.when(upload(3)).then(avatar_uploaded(3, replaced=2))


def test_the_same_avatar_twice_adds_no_second_event():
    given(registered(), avatar_uploaded(1)).when(upload(1)).then_nothing()


def test_an_avatar_under_the_name_of_the_one_before_does_not_delete_itself():
    again = msgspec.structs.replace(
        upload(1), picture=msgspec.structs.replace(upload(1).picture, sha256="0" * 64)
    )
    told = AvatarUploaded(picture=again.picture, thumbnail=again.thumbnail)
    given(registered(), avatar_uploaded(1)).when(again).then(told)


def test_nobody_unknown_can_have_an_avatar():
    given().when(upload(1)).then_refused(NotFound)


GRANT = GrantVip(aggregate_id=ACCOUNT, account=ACCOUNT)
WITHDRAW = WithdrawVip(aggregate_id=ACCOUNT, account=ACCOUNT)


def test_the_vip_lane_is_granted_once_and_withdrawn_once():
    given(registered()).when(WITHDRAW).then_nothing()
    given(registered()).when(GRANT).then(VipGranted())
    given(registered(), VipGranted()).when(GRANT).then_nothing()
    given(registered(), VipGranted()).when(WITHDRAW).then(VipWithdrawn())
    given(registered(), VipGranted(), VipWithdrawn()).when(WITHDRAW).then_nothing()
    given(registered(), VipGranted(), VipWithdrawn()).when(GRANT).then(VipGranted())


@pytest.mark.parametrize("command", [GRANT, WITHDRAW], ids=lambda c: type(c).__name__)
def test_nobody_unknown_has_the_vip_lane(command):
    given().when(command).then_refused(NotFound)


ERASE = EraseAccount(aggregate_id=ACCOUNT, account=ACCOUNT)


def test_erasing_names_the_folder_of_the_account():
    given(registered(number=44)).when(ERASE).then(erased(44))


def test_erasing_twice_adds_no_second_event():
    given(registered(), erased()).when(ERASE).then_nothing()


def test_nobody_unknown_can_be_erased():
    given().when(ERASE).then_refused(NotFound)


@pytest.mark.parametrize(
    "command",
    [update(full_name="Ada King"), describe(skin_tone=1), upload(1), GRANT, WITHDRAW],
    ids=lambda c: type(c).__name__,
)
def test_nothing_happens_to_somebody_erased_any_more(command):
    given(registered(), erased()).when(command).then_refused(AccountErased)


def test_somebody_erased_is_not_registered_again_under_the_same_id():
    given(registered(), erased()).when(REGISTER).then_nothing()
