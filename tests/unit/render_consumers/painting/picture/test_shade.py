import colorsys
from typing import Any

import pytest
import torch

from render_consumers.painting.picture.light import LAMPS
from render_consumers.painting.picture.shade import rolled_off, shaded
from render_consumers.painting.picture.surface import Samples, Surface
from render_consumers.painting.vectors import unit

GREY = torch.full((1, 3), 0.4)
KEY = unit(torch.tensor(LAMPS[0][0]))
CAMERA = torch.tensor([0.0, -1, 0])


def leaving(
    normal: torch.Tensor,
    reach: float = 1.0,
    towards: torch.Tensor = CAMERA,
    gloss: float = 0.0,
    **more: Any,
) -> torch.Tensor:
    """The light (3,) that leaves one place which the key lamp reaches, and nothing else does."""
    surface = Surface(GREY, unit(normal)[None], torch.tensor([gloss]), **more)
    nothing = torch.zeros(1, 3)
    samples = Samples(nothing, nothing, surface.normal, nothing, nothing)
    lit = torch.tensor([[reach, 0.0, 0.0, 0.0]])
    return shaded(surface, samples, lit, unit(towards)[None])[0]


def test_light_falls_off_with_the_angle_and_ends_at_level() -> None:
    across = unit(torch.linalg.cross(KEY, torch.tensor([0.0, 0, 1])))
    angles = [0.0, 0.6, 1.2, 1.6]
    found = [leaving(KEY * torch.tensor(a).cos() + across * torch.tensor(a).sin()) for a in angles]
    brightness = [float(each[1]) for each in found]
    assert brightness == sorted(brightness, reverse=True)
    assert brightness[-1] == 0


def test_light_creeps_round_under_skin_and_is_red_there() -> None:
    across = unit(torch.linalg.cross(KEY, torch.tensor([0.0, 0, 1])))
    past_level = across - 0.1 * KEY
    assert leaving(past_level).sum() == 0
    red, green, blue = leaving(past_level, scatter=1.0).tolist()
    assert red > 2 * green > 0
    assert green > blue


def test_the_edge_of_a_shadow_on_skin_is_red_too() -> None:
    plain, skin = leaving(KEY, 0.3), leaving(KEY, 0.3, scatter=1.0)
    assert skin[0] / skin[2] > 1.2 * plain[0] / plain[2]


def test_gloss_mirrors_a_lamp_where_it_is_and_most_at_the_edge() -> None:
    half = unit(KEY + CAMERA)
    there = leaving(half, gloss=0.04, sharpness=200) - leaving(half)
    elsewhere = leaving(KEY - 0.5 * CAMERA, gloss=0.04, sharpness=200) - leaving(KEY - 0.5 * CAMERA)
    assert there.min() > 5 * elsewhere.max()
    behind = KEY * torch.tensor([-1.0, -1.0, 1.0])  # seen against the light
    grazing = unit(torch.tensor([0.0, 0, 1]) + 0.2 * KEY)
    low = torch.tensor([0.55, 0.75, 0.1])
    assert (leaving(grazing, towards=low, gloss=0.04) - leaving(grazing, towards=low)).max() > (
        leaving(grazing, towards=KEY, gloss=0.04) - leaving(grazing, towards=KEY)
    ).max()
    assert bool(torch.isfinite(leaving(behind, gloss=0.04)).all())


def test_sheen_brightens_cloth_at_its_rim() -> None:
    rim = unit(torch.tensor([-1.0, -0.15, 0.3]))
    gained = leaving(rim, sheen=0.5) - leaving(rim)
    front = leaving(CAMERA, sheen=0.5) - leaving(CAMERA)
    assert gained.min() > front.max() > 0


@pytest.mark.parametrize("colour", [(2.0, 0.1, 0.05), (0.1, 1.6, 1.2), (0.9, 0.9, 3.0)])
def test_what_is_too_bright_keeps_its_hue_and_does_not_clip(
    colour: tuple[float, float, float],
) -> None:
    fitting = rolled_off(torch.tensor([colour]))[0]
    assert fitting.max() < 1
    hue, saturation, _ = colorsys.rgb_to_hsv(*colour)
    assert colorsys.rgb_to_hsv(*fitting.tolist())[:2] == pytest.approx((hue, saturation), abs=1e-5)


def test_what_is_not_too_bright_stays() -> None:
    light = torch.tensor([[0.7, 0.2, 0.1]])
    assert torch.equal(rolled_off(light), light)
