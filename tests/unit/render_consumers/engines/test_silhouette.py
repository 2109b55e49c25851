"""Whether two pictures show the same outline."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from render_consumers.engines.silhouette import LIKE, likeness, outline
from tests.support.sketches import sketch


def test_a_picture_is_like_itself_in_other_colours_and_softer_lines():
    ours = sketch()
    assert likeness(ours, ours) == 1
    assert likeness(ours, sketch(cloth="teal")) == 1
    assert likeness(ours, ours.filter(ImageFilter.GaussianBlur(2))) > 0.95
    assert likeness(ours, ours.resize((1_024, 1_365))) > 0.98


def test_another_body_is_not_like_it():
    assert likeness(sketch(), sketch(width=1.05)) > LIKE
    assert likeness(sketch(), sketch(width=1.15)) < LIKE
    assert likeness(sketch(), Image.new("RGB", (768, 1_024), "white")) == 0


def test_clothes_in_the_background_s_colour_belong_to_the_person():
    assert likeness(sketch(), sketch(cloth="white")) > 0.95


@pytest.mark.parametrize("background", ["white", "black", "#3c6e8f"])
def test_the_background_is_found_by_its_colour(background):
    mask = outline(sketch(background=background))
    assert 0.15 < np.count_nonzero(mask) / mask.size < 0.4


def test_a_soft_shadow_on_the_ground_is_background():
    ours = np.array(sketch()).astype(int)
    shaded = ours.copy()
    shaded[960:] -= 30 * (ours[960:].min(axis=-1, keepdims=True) > 250)
    assert likeness(sketch(), Image.fromarray(shaded.astype(np.uint8))) > 0.99
