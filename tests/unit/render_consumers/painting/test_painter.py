"""Pictures are judged by what a customer would see: colours in their places, and the labels."""

import msgspec
import numpy as np
import pytest

from domain.measurements import Measurements
from domain.picture import UserDetails
from render_consumers.painting.painter import GarmentLook, Painter, Painting, Stopped

SIZE = (192, 256)
RED = GarmentLook(colour="Red", size="L")
PERSON = UserDetails(
    real_world_measurements=Measurements(height=180, bust=96, waist=72, hips=102),
    background_color_hex="FFE4DBFF",
    hair_color="6B4F30FF",
)


@pytest.fixture(scope="module")
def red(painter: Painter) -> Painting:
    return painter.paint(PERSON, RED, size=SIZE)


def at(painting: Painting, right: float, down: float) -> np.ndarray:
    """The mean colour around a place given in shares of the picture."""
    height, width = painting.pixels.shape[:2]
    x, y = int(right * width), int(down * height)
    return painting.pixels[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0)


def changed(details: UserDetails, **fields: object) -> UserDetails:
    return msgspec.structs.replace(details, **fields)


def test_the_picture_has_the_size_asked_for(red: Painting) -> None:
    assert red.pixels.shape == (SIZE[1], SIZE[0], 3)
    assert red.pixels.dtype == np.uint8


def test_the_background_is_the_colour_asked_for(red: Painting) -> None:
    for corner in (red.pixels[0, 0], red.pixels[0, -1], red.pixels[-1, 0]):
        assert corner.tolist() == [0xFF, 0xE4, 0xDB]


def test_a_transparent_background_lies_over_white(painter: Painter) -> None:
    painting = painter.paint(changed(PERSON, background_color_hex="00000000"), RED, size=SIZE)
    assert painting.pixels[0, 0].tolist() == [255, 255, 255]


def test_the_chest_wears_the_garments_colour(red: Painting) -> None:
    r, g, b = at(red, 0.5, 0.32)
    assert r > 170
    assert max(g, b) < 70


def test_a_hex_colour_is_seen_too(painter: Painter) -> None:
    painting = painter.paint(PERSON, GarmentLook("#0000FF", "M"), size=SIZE)
    r, g, b = at(painting, 0.5, 0.32)
    assert b > 150
    assert max(r, g) < 70
    assert painting.ignored == ()


def test_the_face_is_skin_and_follows_the_tone(painter: Painter) -> None:
    portrait = changed(PERSON, view_mode=2)
    light, dark = (
        at(painter.paint(changed(portrait, skin_tone=tone), RED, size=SIZE), 0.5, 0.44)
        for tone in (1, 9)
    )
    assert light[0] > light[1] > light[2] > 120
    assert light.min() > dark.max()


def test_the_legs_are_dark_and_the_ground_has_a_shadow(red: Painting) -> None:
    assert at(red, 0.42, 0.7).max() < 90
    below = red.pixels[int(0.965 * SIZE[1]), SIZE[0] // 2]
    assert int(below[0]) < 0xFF


def test_the_back_shows_no_face(painter: Painter, red: Painting) -> None:
    back = painter.paint(changed(PERSON, camera_view="back"), RED, size=SIZE)
    face, hair = at(red, 0.5, 0.11), at(back, 0.5, 0.11)
    assert hair.mean() < 0.7 * face.mean()


def test_the_same_request_gives_the_same_bytes(painter: Painter, red: Painting) -> None:
    again = painter.paint(PERSON, RED, size=SIZE)
    assert again.pixels.tobytes() == red.pixels.tobytes()


def test_turning_the_person_changes_the_picture(painter: Painter, red: Painting) -> None:
    turned = painter.paint(PERSON, RED, size=SIZE, turn=40)
    assert turned.pixels.tobytes() != red.pixels.tobytes()


def test_a_larger_size_hangs_wider(painter: Painter) -> None:
    def reds(size: str) -> int:
        pixels = painter.paint(PERSON, GarmentLook("Red", size), size=SIZE).pixels.astype(int)
        return int(((pixels[..., 0] > 120) & (pixels[..., 1] < 80)).sum())

    assert reds("XS") < reds("M") < reds("XXL")


def test_arms_are_out_in_a_t_pose(painter: Painter) -> None:
    posed = painter.paint(changed(PERSON, pose="T-Pose"), RED, size=SIZE)
    spread = (posed.pixels != np.array([0xFF, 0xE4, 0xDB])).any(2).any(0)
    assert spread.mean() > 0.8
    assert posed.ignored == ()


def test_what_cannot_be_drawn_is_named(painter: Painter) -> None:
    odd = UserDetails(
        face_shape="dodecahedral",
        skin_tone=99,
        pose="handstand",
        hairstyle="30",
        camera_view="from the moon",
        view_mode=77,
        expression="perplexed",
        gender="robot",
    )
    painting = painter.paint(odd, GarmentLook("no such colour", "huge"), size=SIZE)
    assert set(painting.ignored) == {
        "user_details.face_shape",
        "user_details.skin_tone",
        "user_details.pose",
        "user_details.hairstyle",
        "user_details.camera_view",
        "user_details.view_mode",
        "user_details.expression",
        "user_details.gender",
        "apparel_details.color",
        "apparel_details.size",
    }


def test_it_stops_when_told_to(painter: Painter) -> None:
    with pytest.raises(Stopped):
        painter.paint(PERSON, RED, size=SIZE, should_stop=lambda: True)


def test_it_stops_between_stages_too(painter: Painter) -> None:
    answers = iter([False, False, True])
    with pytest.raises(Stopped):
        painter.paint(PERSON, RED, size=SIZE, should_stop=lambda: next(answers))
