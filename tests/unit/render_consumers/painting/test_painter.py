"""Pictures are judged by what a customer would see: colours in their places, and the labels."""

import msgspec
import numpy as np
import pytest
from torch import Tensor

from domain.measurements import Measurements
from domain.picture import UserDetails
from render_consumers.painting.painter import GarmentLook, Painter, Painting, Stopped
from render_consumers.painting.picture.scene import Material

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


def test_hair_has_the_colour_asked_for(painter: Painter) -> None:
    back = changed(PERSON, view_mode=2, camera_view="back", hairstyle="long_straight")
    black, blond, blue = (
        at(painter.paint(changed(back, hair_color=colour), RED, size=SIZE), 0.5, 0.40)
        for colour in ("0B0A0AFF", "D9B36CFF", "3050C0FF")
    )
    assert black.max() < 70
    assert blond[0] > blond[1] > blond[2] + 30
    assert blue[2] > 1.5 * blue[0]


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


def test_shoes_are_below_a_person_who_is_as_tall_as_asked(painter: Painter) -> None:
    scene = painter.dress(PERSON, RED).scene

    def heights(material: Material) -> Tensor:
        return scene.places[scene.faces[scene.material == material].flatten(), 2]

    assert float(heights(Material.SKIN).max()) == pytest.approx(1.80, abs=0.001)
    assert float(heights(Material.SKIN).min()) == pytest.approx(0, abs=0.001)
    assert -0.03 < float(heights(Material.SHOES).min()) < -0.005


# What a word changes, and what it leaves alone.

CLOSE = changed(PERSON, view_mode=2)
COLLAR = 0.70  # share of a portrait's height from which on there is no head


@pytest.fixture(scope="module")
def portrait(painter: Painter) -> Painting:
    return painter.paint(CLOSE, RED, size=SIZE)


def apart(one: Painting, other: Painting) -> np.ndarray:
    """How far (H, W) two pictures are apart, in the steps of a colour."""
    return np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max(2)


@pytest.mark.parametrize(
    ("field", "word"),
    [("face_shape", "square"), ("expression", "kiss")],
)
def test_a_face_changes_pixels_of_the_head_alone(
    painter: Painter, portrait: Painting, field: str, word: str
) -> None:
    painting = painter.paint(changed(CLOSE, **{field: word}), RED, size=SIZE)
    rows = apart(painting, portrait).max(1)
    neck = int(COLLAR * SIZE[1])
    assert painting.ignored == ()
    assert rows[:neck].max() > 40
    assert rows[neck:].max() <= 25  # the soft shadow that the jaw casts
    assert painting.achieved == portrait.achieved


def test_a_big_smile_shows_teeth(painter: Painter, portrait: Painting) -> None:
    def white(painting: Painting) -> int:
        mouth = painting.pixels[int(0.50 * SIZE[1]) : int(0.60 * SIZE[1]), 80:112].astype(int)
        return int(((mouth.min(2) > 140) & (mouth.max(2) - mouth.min(2) < 40)).sum())

    smiling = painter.paint(changed(CLOSE, expression="big_smile"), RED, size=SIZE)
    assert white(portrait) == 0
    assert white(smiling) > 10
    assert apart(smiling, portrait)[int(COLLAR * SIZE[1]) :].max() <= 25


def test_a_tone_changes_skin_and_neither_cloth_nor_hair(
    painter: Painter, portrait: Painting
) -> None:
    dark = painter.paint(changed(CLOSE, skin_tone=8), RED, size=SIZE)
    off = apart(dark, portrait)
    cloth = (portrait.pixels[..., 0] > 150) & (portrait.pixels[..., 1] < 60)
    assert cloth.sum() > 2000
    assert np.median(off[cloth]) == 0
    assert off[: int(0.2 * SIZE[1])].max() <= 16  # background, and a scalp between strands
    assert off[int(0.44 * SIZE[1]), SIZE[0] // 2] > 60


def test_a_pose_changes_the_outline(painter: Painter, red: Painting) -> None:
    waving = painter.paint(changed(PERSON, pose="Waving"), RED, size=SIZE)
    outline, before = person(waving.pixels.astype(int)), person(red.pixels.astype(int))
    assert (outline != before).sum() > 300
    legs = int(0.7 * SIZE[1])
    assert (outline[legs:] != before[legs:])[: int(0.17 * SIZE[1])].sum() < 60  # to the ankles


def test_a_face_close_up_is_the_same_to_the_byte(painter: Painter, portrait: Painting) -> None:
    assert painter.paint(CLOSE, RED, size=SIZE).pixels.tobytes() == portrait.pixels.tobytes()


def test_what_cannot_be_drawn_is_named(painter: Painter) -> None:
    odd = UserDetails(
        face_shape="dodecahedral",
        skin_tone=99,
        pose="handstand",
        hairstyle="beehive",
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


# Turning.


@pytest.fixture(scope="module")
def turn(painter: Painter) -> list[np.ndarray]:
    """All the way around."""
    model = painter.dress(PERSON, RED)
    return [frame.astype(int) for frame in painter.film(model, 24, size=SIZE)]


def person(frame: np.ndarray) -> np.ndarray:
    """Where (H, W) something other than the background shows, the shadow on the ground aside."""
    return np.abs(frame - [0xFF, 0xE4, 0xDB]).max(2) > 60


def test_a_turn_has_as_many_pictures_as_asked_for(turn: list[np.ndarray]) -> None:
    assert len(turn) == 24
    assert {frame.shape for frame in turn} == {(SIZE[1], SIZE[0], 3)}


def test_the_person_turns_once_around_and_the_loop_closes(turn: list[np.ndarray]) -> None:
    after = [*turn[1:], turn[0]]
    steps = [np.abs(a - b).mean() for a, b in zip(turn, after, strict=True)]
    assert steps[-1] <= 1.5 * max(steps[:-1])
    assert all(step > 0 for step in steps)
    face, hair = (turn[n][int(0.11 * SIZE[1]), SIZE[0] // 2] for n in (0, 12))
    assert hair.mean() < 0.7 * face.mean()


def test_the_person_is_seen_from_head_to_foot_all_the_way(turn: list[np.ndarray]) -> None:
    rows = [np.flatnonzero(person(frame).any(1)) for frame in turn]
    assert {int(row[0]) for row in rows} <= set(range(int(rows[0][0]) - 2, int(rows[0][0]) + 3))
    assert all(row[0] > 2 and row[-1] < SIZE[1] - 2 for row in rows)
    assert all(row[-1] - row[0] > 0.8 * SIZE[1] for row in rows)
    columns = [np.flatnonzero(person(frame).any(0)) for frame in turn]
    assert all(column[0] > 1 and column[-1] < SIZE[0] - 2 for column in columns)


def test_a_quarter_turn_shows_the_person_from_the_side(
    painter: Painter, turn: list[np.ndarray]
) -> None:
    front, side, other = (person(turn[n]).sum() for n in (0, 6, 18))
    assert side < 0.85 * front
    assert abs(side - other) < 0.05 * front


def test_a_turn_can_be_stopped_between_two_pictures(painter: Painter) -> None:
    drawn: list[np.ndarray] = []
    model = painter.dress(PERSON, RED)
    film = painter.film(model, 24, size=SIZE, should_stop=lambda: len(drawn) == 2)
    with pytest.raises(Stopped):
        drawn.extend(film)
    assert len(drawn) == 2


# The flat look.

LARGER = (384, 512)  # so that a line is as wide as a pixel


@pytest.fixture(scope="module")
def flat(painter: Painter) -> Painting:
    return painter.paint(PERSON, RED, size=LARGER, flat=True)


@pytest.fixture(scope="module")
def solid(painter: Painter) -> Painting:
    return painter.paint(PERSON, RED, size=LARGER)


def colours(painting: Painting) -> int:
    """How many colours the chest has."""
    rows, columns = slice(int(0.25 * LARGER[1]), int(0.4 * LARGER[1])), slice(160, 224)
    return len(np.unique(painting.pixels[rows, columns].reshape(-1, 3), axis=0))


def test_the_flat_look_differs_visibly(flat: Painting, solid: Painting) -> None:
    body = person(solid.pixels.astype(int))
    apart = np.abs(flat.pixels.astype(int) - solid.pixels.astype(int)).max(2)[body]
    assert (apart > 16).mean() > 0.15


def test_the_flat_look_paints_cloth_in_few_tones_of_its_colour(
    flat: Painting, solid: Painting
) -> None:
    assert colours(flat) < 0.3 * colours(solid)
    r, g, b = at(flat, 0.5, 0.32)
    assert r > 170
    assert max(g, b) < 70


def test_the_flat_look_draws_a_line_around_the_person(flat: Painting, solid: Painting) -> None:
    def edges(painting: Painting) -> np.ndarray:
        """The darkest place at the left end of each row of the chest."""
        rows = painting.pixels[int(0.26 * LARGER[1]) : int(0.34 * LARGER[1])].astype(int)
        found = []
        for row in rows:
            seen = np.flatnonzero(np.abs(row - [0xFF, 0xE4, 0xDB]).max(1) > 60)
            found.append(row[seen[0] : seen[0] + 4].max(1).min())
        return np.array(found)

    assert edges(flat).mean() < 130
    assert edges(solid).mean() > 150


def test_the_flat_look_keeps_the_background(flat: Painting) -> None:
    assert flat.pixels[0, 0].tolist() == [0xFF, 0xE4, 0xDB]
