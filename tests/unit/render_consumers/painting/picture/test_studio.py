"""Backgrounds, shadows on them, and that threads do not matter: on a person in a small picture."""

import msgspec
import numpy as np
import pytest
import torch

from domain.picture import UserDetails
from render_consumers.painting.painter import GarmentLook, Model, Painter, Pixels
from render_consumers.painting.picture.colours import from_hex
from render_consumers.painting.picture.scene import Material

SIZE = (144, 192)
BACKGROUNDS = ("FFFFFF", "000000", "FFE4DB", "00A651", "E4007F", "808080", "0B1026", "FFF200")


@pytest.fixture(scope="module")
def model(painter: Painter) -> Model:
    return painter.dress(UserDetails(), GarmentLook("Red", "M"))


@pytest.fixture(scope="module")
def shown(painter: Painter, model: Model) -> np.ndarray:
    return painter.materials(model, size=SIZE)


def before(painter: Painter, model: Model, backdrop: str) -> Pixels:
    order = msgspec.structs.replace(model.order, backdrop=from_hex(backdrop))
    return painter.draw(msgspec.structs.replace(model, order=order), size=SIZE).pixels


def rgb(code: str) -> list[int]:
    return [int(code[i : i + 2], 16) for i in (0, 2, 4)]


@pytest.mark.parametrize("backdrop", BACKGROUNDS)
def test_the_background_is_the_colour_asked_for_down_to_the_bit(
    painter: Painter, model: Model, shown: np.ndarray, backdrop: str
) -> None:
    picture = before(painter, model, backdrop)
    rows = slice(0, int(0.85 * SIZE[1]))  # above the shadow on the ground
    empty = _away_from_edges(shown == -1)[rows]
    assert (picture[rows][empty] == rgb(backdrop)).all()
    assert (picture[:, :2] == rgb(backdrop)).all()
    assert (picture[-2:] == rgb(backdrop)).all()


def test_the_shadow_on_the_ground_is_a_darker_background_of_the_same_hue(
    painter: Painter, model: Model, shown: np.ndarray
) -> None:
    share = [
        from_hex(before(painter, model, code)[182, 72].tobytes().hex())[channel]
        / from_hex(code)[channel]
        for code, channel in (("FFFFFF", 0), ("FFFFFF", 2), ("E4007F", 0), ("E4007F", 2))
    ]
    assert shown[182, 72] == -1  # between the feet
    assert max(share) < 0.8
    assert share == pytest.approx([share[0]] * 4, abs=0.03)


def test_the_person_is_the_same_before_every_background(
    painter: Painter, model: Model, shown: np.ndarray
) -> None:
    white, green = before(painter, model, "FFFFFF"), before(painter, model, "00A651")
    inside = _away_from_edges(shown != -1)
    assert (white[inside] == green[inside]).mean() > 0.995  # gaps at the arms are a pixel wide


def test_no_light_depends_on_the_number_of_threads(painter: Painter, model: Model) -> None:
    alone = painter.draw(model, size=SIZE).pixels
    try:
        torch.set_num_threads(3)
        together = painter.draw(model, size=SIZE).pixels
    finally:
        torch.set_num_threads(1)
    assert alone.tobytes() == together.tobytes()


def test_every_material_is_told_where_it_is(shown: np.ndarray) -> None:
    height, width = shown.shape
    assert shown[0, 0] == -1
    assert shown[int(0.32 * height), width // 2] == Material.TOP
    assert shown[int(0.12 * height), width // 2] == Material.SKIN
    assert shown[int(0.06 * height), width // 2] == Material.HAIR
    feet = np.argwhere(shown == Material.SHOES)[:, 0]
    assert feet.min() > 0.85 * height


def test_the_background_changes_nothing_of_what_is_where(
    painter: Painter, model: Model, shown: np.ndarray
) -> None:
    order = msgspec.structs.replace(model.order, backdrop=from_hex("00A651"), garment=(0, 0, 1))
    other = painter.materials(msgspec.structs.replace(model, order=order), size=SIZE)
    assert (other == shown).all()


def _away_from_edges(mask: np.ndarray) -> np.ndarray:
    """Where (H, W) a mask holds at a pixel and at all that are at most two away."""
    whole = np.zeros_like(mask)
    whole[2:-2, 2:-2] = np.lib.stride_tricks.sliding_window_view(mask, (5, 5)).all((2, 3))
    return whole
