from typing import Any

import msgspec
import pytest

from domain.picture import ApparelDetails, ImageOptions, TaskOptions, UserDetails, Value

# The contract's own example, without its measurements.
EXAMPLE: dict[type[Value], dict[str, Any]] = {
    UserDetails: {
        "face_shape": "long",
        "skin_tone": 2,
        "pose": "I-Pose",
        "hairstyle": "30",
        "hair_color": "6B4F30FF",
        "camera_view": "front",
        "view_mode": 0,
        "expression": "Smile",
        "background_color_hex": "FFE4DBFF",
        "gender": "Female",
    },
    ApparelDetails: {
        "brand": "gymshark",
        "item_id": "Hoodie",
        "color": "Red",
        "size": "L",
        "size2": "L",
    },
    ImageOptions: {"quality": 100, "thumbnail_width": 128},
    TaskOptions: {"vip": True, "limit": 5},
}


@pytest.mark.parametrize("kind", EXAMPLE, ids=lambda kind: kind.__name__)
def test_the_example_of_the_contract_is_read_in_full(kind):
    value = msgspec.convert(EXAMPLE[kind], kind)
    assert {name: getattr(value, name) for name in EXAMPLE[kind]} == EXAMPLE[kind]


@pytest.mark.parametrize("kind", EXAMPLE, ids=lambda kind: kind.__name__)
def test_everything_may_be_left_out(kind):
    assert msgspec.convert({}, kind) == kind()


@pytest.mark.parametrize("colour", ["FFE4DB", "#FFE4DB", "ffe4db80", "#ffe4db80"])
def test_a_colour_may_carry_a_sharp_and_an_alpha(colour):
    assert msgspec.convert({"hair_color": colour}, UserDetails).hair_color == colour


@pytest.mark.parametrize("colour", ["", "red", "#FFF", "FFE4DBF", "FFE4DBFF0", "FFE4DB\n"])
def test_what_is_no_colour_is_refused(colour):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"hair_color": colour}, UserDetails)


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        (ImageOptions, {"quality": 0}),
        (ImageOptions, {"quality": 101}),
        (ImageOptions, {"thumbnail_width": 15}),
        (ImageOptions, {"thumbnail_width": 1025}),
        (TaskOptions, {"limit": 0}),
        (UserDetails, {"skin_tone": -1}),
        (UserDetails, {"pose": "x" * 65}),
    ],
)
def test_what_is_out_of_range_is_refused(kind, member):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(member, kind)
