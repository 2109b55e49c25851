import pytest

from tests.integration.api.conftest import Client

NOTHING = dict.fromkeys(
    (
        "face_shape",
        "skin_tone",
        "body_dimensions",
        "real_world_measurements",
        "hair_style",
        "hair_color",
    )
)


def test_before_any_update_every_field_is_null(ada: Client):
    answer = ada.get("/get_user_details")
    assert answer.status_code == 200
    assert answer.json() == NOTHING


def test_an_update_sets_what_is_given_and_leaves_the_rest(ada: Client):
    assert ada.post("/update_user_details", {"skin_tone": 0, "hair_style": "30"}).json().keys() == {
        "message"
    }
    ada.post("/update_user_details", {"hair_style": "31", "face_shape": "long", "hair_color": None})
    assert ada.get("/get_user_details").json() == NOTHING | {
        "skin_tone": 0,
        "hair_style": "31",
        "face_shape": "long",
    }


@pytest.mark.parametrize(
    "text",
    ["", '{"Height": 180}', " \n\t ", "\x00\x01\x7f", "ß\u2028\U0001f642e\u0301", "x" * 16_384],
    ids=["empty", "json", "blank", "control", "unicode", "longest"],
)
def test_opaque_texts_come_back_as_they_were(ada: Client, text: str):
    body = {"body_dimensions": text, "real_world_measurements": text[::-1]}
    assert ada.post("/update_user_details", body).status_code == 200
    shown = ada.get("/get_user_details").json()
    assert {name: shown[name] for name in body} == body


def test_two_of_the_longest_texts_may_be_escaped(ada: Client):
    text = "ß" * 8_192
    body = {"body_dimensions": text, "real_world_measurements": text}
    assert ada.post("/update_user_details", body).status_code == 200  # json escapes: 98 KB
    assert ada.get("/get_user_details").json()["body_dimensions"] == text


def test_the_same_update_twice_writes_nothing_more(ada: Client):
    first = ada.post("/update_user_details", {"skin_tone": 3})
    second = ada.post("/update_user_details", {"skin_tone": 3})
    assert second.status_code == 200
    assert second.headers["X-Event-Position"] == first.headers["X-Event-Position"]


def test_every_violation_is_told_at_once(ada: Client):
    body = {
        "face_shape": "x" * 65,
        "skin_tone": "2",
        "body_dimensions": "ß" * 8_193,
        "real_world_measurements": {"Height": 180},
        "hair_style": "a\x00b",
        "shoe_size": 40,
    }
    answer = ada.post("/update_user_details", body)
    assert answer.status_code == 422
    told = {each["field"] for each in answer.json()["details"]}
    assert told == {*body}
    assert ada.get("/get_user_details").json() == NOTHING


def test_a_body_that_is_too_large_is_refused(ada: Client):
    answer = ada.post("/update_user_details", {"body_dimensions": "x" * 300_000})
    assert answer.status_code == 413
