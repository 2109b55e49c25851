"""Each thing that can be asked for changes the picture, and nothing that it should not."""

from typing import Any

import msgspec
import numpy as np
import pytest

from domain.measurements import Measurements
from domain.picture import UserDetails
from render_consumers.painting.painter import GarmentLook, Painter
from render_consumers.painting.picture.scene import Material

SIZE = (144, 192)
PERSON = UserDetails(
    real_world_measurements=Measurements(height=176, bust=94, waist=74, hips=100),
    background_color_hex="FFE4DBFF",
    view_mode=1,
)
RED = GarmentLook("Red", "L")
CLOTHES = {Material.TOP, Material.BOTTOM, Material.SHOES}
ALL = set(Material)


class Drawn:
    """A picture (H, W, 3), and which material each pixel shows (H, W)."""

    def __init__(self, painter: Painter, look: GarmentLook = RED, **details: Any) -> None:
        model = painter.dress(msgspec.structs.replace(PERSON, **details), look)
        self.pixels = painter.draw(model, size=SIZE).pixels.astype(int)
        self.shown = painter.materials(model, size=SIZE)

    def inside(self, materials: set[Material]) -> np.ndarray:
        """Where (H, W) a pixel and all its neighbours show some of these."""
        mask = np.isin(self.shown, list(materials))
        whole = np.zeros_like(mask)
        whole[1:-1, 1:-1] = np.lib.stride_tricks.sliding_window_view(mask, (3, 3)).all((2, 3))
        return whole

    def rows(self) -> tuple[int, int]:
        """The first and the last row in which the person is seen."""
        found = np.flatnonzero((self.shown != -1).any(1))
        return int(found[0]), int(found[-1])


@pytest.fixture(scope="module")
def plain(painter: Painter) -> Drawn:
    return Drawn(painter)


@pytest.mark.parametrize(
    ("asked", "changes", "keeps"),
    [
        ({"skin_tone": 9}, Material.SKIN, CLOTHES),
        ({"hair_color": "D8C08AFF"}, Material.HAIR, CLOTHES),
        ({"look": GarmentLook("Blue", "L")}, Material.TOP, ALL - {Material.TOP}),
    ],
    ids=["skin tone", "hair colour", "garment's colour"],
)
def test_a_colour_changes_what_bears_it_and_nothing_moves(
    painter: Painter, plain: Drawn, asked: dict[str, Any], changes: Material, keeps: set[Material]
) -> None:
    other = Drawn(painter, **asked)
    assert (other.shown == plain.shown).all()
    apart = np.abs(other.pixels - plain.pixels).max(2)
    assert (apart[plain.inside({changes})] > 8).mean() > 0.9
    assert apart[plain.inside(keeps)].max() == 0
    assert apart[:, :2].max() == 0  # the background


def test_an_expression_changes_the_face_and_no_clothes(painter: Painter, plain: Drawn) -> None:
    smiling = Drawn(painter, expression="Smile")
    assert (smiling.shown[:, :10] == plain.shown[:, :10]).all()
    apart = np.abs(smiling.pixels - plain.pixels).max(2)
    assert apart[plain.inside({Material.SKIN})].max() > 20
    assert apart[plain.inside(CLOTHES)].max() <= 6  # the shadow of the chin


def test_a_view_shows_another_side_at_the_same_height(painter: Painter, plain: Drawn) -> None:
    faces = {}
    for view in ("back", "left", "right", "three_quarter"):
        other = Drawn(painter, camera_view=view)
        assert other.rows() == pytest.approx(plain.rows(), abs=3)
        assert (other.shown != plain.shown).mean() > 0.03
        faces[view] = int((other.shown[:80] == Material.SKIN).sum())
    assert faces["back"] < 0.3 * faces["three_quarter"]
    assert faces["left"] == pytest.approx(faces["right"], rel=0.1)


def test_a_view_mode_shows_more_of_less(painter: Painter, plain: Drawn) -> None:
    whole, face = Drawn(painter, view_mode=0), Drawn(painter, view_mode=2)
    assert Material.SHOES in whole.shown
    assert Material.SHOES not in plain.shown
    assert Material.BOTTOM not in face.shown
    hair = [int((each.shown == Material.HAIR).sum()) for each in (whole, plain, face)]
    assert hair[0] < 0.6 * hair[1] < 0.4 * hair[2]


def test_a_larger_picture_is_the_same_picture(painter: Painter, plain: Drawn) -> None:
    model = painter.dress(PERSON, RED)
    larger = painter.draw(model, size=(288, 384)).pixels.astype(float)
    halved = larger.reshape(192, 2, 144, 2, 3).mean((1, 3))
    apart = np.abs(halved - plain.pixels).max(2)
    assert apart[plain.inside(CLOTHES)].mean() < 4
    assert np.median(apart[plain.inside({Material.SKIN})]) < 6
