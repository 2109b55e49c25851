import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.demo import example
from api.edge import wire
from api.edge.errors import Invalid, MalformedJson
from api.edge.wire import MOST_DETAILS, decode
from api.resources.account import InfoUpdate, Registration
from api.resources.render import PictureRequest
from domain.picture import UserDetails

PERSON = {
    "email": "ada@example.com",
    "full_name": "Ada",
    "date_of_birth": 0,
    "ethnicity": "",
    "gender": "",
}


def violations(body: Any, kind: type[msgspec.Struct] = PictureRequest) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        decode(json.dumps(body).encode(), kind)
    return {each.field: each.message for each in caught.value.details}


def test_the_contracts_example_is_read_as_it_is_written():
    read = decode(example(), PictureRequest)
    assert read.user_details.real_world_measurements.upper_arm_length == 25.20014
    assert read.apparel_details.item_id == "Hoodie"
    assert read.image_options.thumbnail_width == 128
    assert read.task_options.vip is True
    assert read.render_mode == "2D_Kling"


def test_what_is_left_out_gets_the_defaults_of_the_domain():
    assert decode(b"{}", PictureRequest).user_details == UserDetails()


def test_all_violations_come_at_once_each_with_its_path():
    assert violations(
        {
            "user_details": {
                "real_world_measurements": {"Height": "tall", "Waist": 1, "Wings": 2},
                "skin_tone": True,
                "hair_color": "brown",
                "tail": "long",
            },
            "image_options": {"quality": 101},
            "task_options": [],
            "render_mode": "4D",
            "extra": None,
        }
    ) == {
        "extra": "is unknown",
        "user_details.tail": "is unknown",
        "user_details.skin_tone": "must be a whole number from 0 to 100",
        "user_details.hair_color": "must be RRGGBB or RRGGBBAA, with or without #",
        "user_details.real_world_measurements.Wings": "is unknown",
        "user_details.real_world_measurements.Height": "must be a number from 100 to 250",
        "user_details.real_world_measurements.Waist": "must be a number from 35 to 220",
        "image_options.quality": "must be a whole number from 1 to 100",
        "task_options": "must be an object",
        "render_mode": "must be one of 2D_Kling, 3D",
    }


def test_required_members_are_asked_for():
    assert violations({}, Registration) == dict.fromkeys(PERSON, "is required")


@pytest.mark.parametrize("body", [[], None, "text", 1, True])
def test_a_body_that_is_no_object_is_refused(body: Any):
    assert violations(body) == {"": "must be an object"}


@pytest.mark.parametrize("name", ["height", "thigh_length", "THIGH LENGTH"])
def test_only_the_wires_own_names_are_known(name: str):
    body = {"user_details": {"real_world_measurements": {name: 180}}}
    assert violations(body) == {f"user_details.real_world_measurements.{name}": "is unknown"}


def test_a_whole_number_does_for_a_number_but_not_the_other_way_round():
    measured = {"user_details": {"real_world_measurements": {"Height": 180}}}
    read = decode(json.dumps(measured).encode(), PictureRequest)
    assert read.user_details.real_world_measurements.height == 180.0
    assert "image_options.quality" in violations({"image_options": {"quality": 90.0}})


@pytest.mark.parametrize("wrong", [1, 0, "true", None])
def test_only_true_and_false_are_booleans(wrong: Any):
    assert violations({"task_options": {"vip": wrong}}) == {
        "task_options.vip": "must be true or false"
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"nonsense",
        b'{"task_options": {"limit": NaN}}',
        b'{"task_options": {"limit": Infinity}}',
        b'{"task_options": {"limit": 1e999}}',
        b'{"render_mode": "\xff"}',
        b'{"render_mode": "\\ud800"}',
        b"[" * 50_000,
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_what_is_not_json_is_malformed(body: bytes):
    with pytest.raises(MalformedJson):
        decode(body, PictureRequest)


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9f"])
def test_control_characters_are_refused(character: str):
    body = PERSON | {"full_name": f"Ada{character}"}
    assert violations(body, Registration) == {
        "full_name": "must be text without control characters"
    }


@pytest.mark.parametrize("name", ["Ada\u200dLovelace", "艾達", "Ada\nLovelace", "👩‍🔬"])
def test_names_of_all_scripts_are_taken(name: str):
    body = json.dumps(PERSON | {"full_name": name}).encode()
    assert decode(body, Registration).full_name == name


@pytest.mark.parametrize(
    "email", ["ada@example.com", "ada@localhost", " ada@example.com ", "a+b@c"]
)
def test_plausible_addresses_are_taken(email: str):
    assert decode(json.dumps(PERSON | {"email": email}).encode(), Registration).email == email


@pytest.mark.parametrize(
    "email", ["", "ada", "@", "ada@", "@example.com", "a@b@c", "a b@c", f"{'a' * 250}@b.cd"]
)
def test_implausible_addresses_are_refused(email: str):
    assert set(violations(PERSON | {"email": email}, Registration)) == {"email"}


@pytest.mark.parametrize("moment", [-2_208_988_801, 32_503_680_000, 10**30, -(10**30)])
def test_birth_dates_lie_between_1900_and_now(moment: int):
    assert set(violations(PERSON | {"date_of_birth": moment}, Registration)) == {"date_of_birth"}
    assert set(violations({"date_of_birth": moment}, InfoUpdate)) == {"date_of_birth"}


@pytest.mark.parametrize("moment", [-2_208_988_800, -1, 1_731_754_271])
def test_birth_dates_before_1970_are_negative(moment: int):
    body = json.dumps(PERSON | {"date_of_birth": moment}).encode()
    assert decode(body, Registration).date_of_birth == moment


def test_a_flood_of_unknown_members_gets_a_bounded_answer():
    body = json.dumps({f"{n}{'x' * 1_000}": n for n in range(1_000)}).encode()
    with pytest.raises(Invalid) as caught:
        decode(body, PictureRequest)
    assert len(caught.value.details) == MOST_DETAILS
    assert all(len(each.field) <= 100 for each in caught.value.details)
    assert str(caught.value).endswith("(and 999 more)")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
MEMBERS = ("user_details", "apparel_details", "image_options", "task_options", "render_mode")


@given(st.dictionaries(st.sampled_from(MEMBERS), ANYTHING) | ANYTHING)
def test_any_json_is_either_read_or_refused_by_name(body: Any):
    with contextlib.suppress(Invalid, MalformedJson):
        decode(json.dumps(body).encode(), PictureRequest)


@given(st.fixed_dictionaries(dict.fromkeys(PERSON, ANYTHING)))
def test_any_person_is_either_read_or_refused_by_name(body: Any):
    with contextlib.suppress(Invalid, MalformedJson):
        decode(json.dumps(body).encode(), Registration)


@given(st.binary())
def test_any_bytes_are_either_read_or_refused_by_name(body: bytes):
    with contextlib.suppress(Invalid, MalformedJson):
        decode(body, PictureRequest)


def outcome(body: bytes, kind: type[msgspec.Struct]) -> object:
    """What a body is read as, or all that is wrong with it."""
    try:
        return decode(body, kind)
    except Invalid as refused:
        return refused.details
    except MalformedJson as refused:
        return str(refused)


EXAMPLE = json.loads(example())
LEAVES = st.sampled_from([0, 1, 180, 90.5, True, None, "", "Red", "Ada\x7f", "ü", "a\nb", "\x00"])
CHANGES = st.dictionaries(st.sampled_from([*MEMBERS, *EXAMPLE["user_details"], "extra"]), LEAVES)


@given(CHANGES, st.sampled_from([None, *MEMBERS]))
def test_what_is_read_at_once_is_what_is_read_field_by_field(
    changes: dict[str, Any], where: str | None
):
    body = json.loads(example())
    part = body[where] if where else body
    if isinstance(part, dict):
        part.update(changes)
    sent = json.dumps(body, ensure_ascii=False).encode()
    at_once = outcome(sent, PictureRequest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_is_faultless", lambda *_: False)
        assert outcome(sent, PictureRequest) == at_once


@pytest.mark.parametrize("name", ["\u200b", " \u2060\u00a0", "\u202e\u202c", "\ufeff", "\u200d\n"])
def test_a_name_is_text_that_shows(name):
    assert violations(PERSON | {"full_name": name}, Registration) == {
        "full_name": "must be text that shows"
    }


@pytest.mark.parametrize(
    "name", ["O'Brien", "李", "A\u0301da", "می\u200cخواهم", "Ada \U0001f600", "\ufeffAda", "<b>"]
)
def test_names_that_people_have_are_taken(name):
    assert decode(json.dumps(PERSON | {"full_name": name}).encode(), Registration).full_name == name


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"render_mode": "3D", "render_mode": "2D_Kling"}', "render_mode"),
        (b'{"render_mode": "3D", "render\\u005fmode": "3D"}', "render_mode"),
        (b'{"apparel_details": {"color": "Red", "size": "L", "color": ":"}}', "color"),
        (b'{"task_options": {}, "task_options": {}}', "task_options"),
        (b'{"x": [{"y": 1, "y": 1}]}', "y"),
    ],
)
def test_a_member_that_is_there_twice_is_refused(body, name):
    with pytest.raises(MalformedJson, match=f"it has the member {name} twice"):
        decode(body, PictureRequest)


def test_colons_and_equal_names_in_different_objects_are_no_repetition():
    body = example().replace(b'"Hoodie"', b'"A: B"')
    assert decode(body, PictureRequest).apparel_details.item_id == "A: B"


LIMIT = "must be a whole number from 1 to 1000"


@pytest.mark.parametrize("limit", ["123456789012345678901234567890", "1.0", '"5"', "true", "-0"])
def test_a_number_is_what_it_says(limit):
    with pytest.raises(Invalid) as refused:
        decode(b'{"task_options": {"limit": %b}}' % limit.encode(), PictureRequest)
    assert [each.message for each in refused.value.details] == [LIMIT]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"x": NaN}', "invalid character"),
        (b'{"x": Infinity}', "invalid character"),
        (b'{"x": 1e999}', "out of range"),
        (b'{"x": "\\ud800"}', "half a surrogate pair"),
        (b'{"x"', "ends too early"),
        (b"   ", "ends too early"),
        (b'{"x": 05}', "invalid number"),
        (b'{"x": 1,}', "trailing comma"),
        (b"{} {}", "trailing characters"),
        (b"/* x */ {}", "invalid character"),
        (b"{'x': 1}", "must be strings"),
        (b'{"x": "R\xe9d"}', "not UTF-8"),
        ("{}".encode("utf-16"), "invalid character"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_said_to_be_none(body, reason):
    with pytest.raises(MalformedJson, match=reason):
        decode(body, PictureRequest)
