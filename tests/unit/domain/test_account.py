import pytest

from domain.account import (
    AccountDetails,
    AccountDetailsUpdated,
    AccountInfo,
    AccountInfoUpdated,
    VipGranted,
    VipWithdrawn,
    evolve,
    initial,
)
from tests.support.scenario import avatar_keys, avatar_uploaded, erased, registered, requested

ADA = evolve(initial, registered())


def test_nobody_is_there_before_they_register():
    assert initial.number == 0


def test_a_registration_tells_all_that_is_known():
    assert ADA.number == 33
    assert ADA.info == AccountInfo(
        email="ada@example.org",
        full_name="Ada Lovelace",
        date_of_birth=-4868208000,
        ethnicity="British",
        gender="Female",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [("full_name", "Ada King"), ("date_of_birth", 0), ("ethnicity", ""), ("gender", "Other")],
)
def test_an_update_changes_what_it_gives_and_leaves_the_rest(field, value):
    state = evolve(ADA, AccountInfoUpdated(**{field: value}))
    assert getattr(state.info, field) == value
    others = {"email", "full_name", "date_of_birth", "ethnicity", "gender"} - {field}
    assert all(getattr(state.info, name) == getattr(ADA.info, name) for name in others)
    assert state.number == 33


def test_nothing_is_known_of_the_looks_of_somebody_new():
    assert ADA.details == AccountDetails()
    assert ADA.avatar == ()


def test_details_change_as_far_as_they_are_given():
    state = evolve(ADA, AccountDetailsUpdated(skin_tone=0, body_dimensions="a"))
    state = evolve(state, AccountDetailsUpdated(body_dimensions="b", hair_style=""))
    assert state.details == AccountDetails(skin_tone=0, body_dimensions="b", hair_style="")
    assert state.info == ADA.info


def test_the_newest_avatar_counts():
    state = evolve(evolve(ADA, avatar_uploaded(1)), avatar_uploaded(2, replaced=1))
    assert tuple(file.key for file in state.avatar) == avatar_keys(2)


def test_the_vip_lane_is_granted_until_it_is_withdrawn_or_the_account_erased():
    granted = evolve(ADA, VipGranted())
    assert [ADA.vip, granted.vip] == [False, True]
    assert evolve(granted, VipWithdrawn()) == ADA
    assert not evolve(granted, erased()).vip


def test_an_account_of_which_nothing_is_readable_any_more_keeps_its_number():
    fields = ("email", "full_name", "date_of_birth", "ethnicity", "gender")
    unreadable = evolve(initial, registered(**dict.fromkeys(fields)))
    assert unreadable.number == 33
    assert unreadable.info == AccountInfo()


def test_events_of_other_aggregates_change_nothing():
    assert evolve(ADA, requested()) == ADA
