import numpy as np
import pytest
from PIL import Image

from render_consumers.engines.motion import moving, size_of


@pytest.fixture(scope="module")
def picture():
    """Stripes of all colours inside, and a border that must never be seen to end."""
    across = np.linspace(0, 255, 200).astype(np.uint8)
    down = np.linspace(0, 255, 260).astype(np.uint8)[:, None]
    pixels = np.stack(np.broadcast_arrays(across, down, across[::-1]), axis=2)
    return Image.fromarray(np.ascontiguousarray(pixels))


def step(a, b):
    return np.abs(a.astype(int) - b.astype(int)).mean()


def test_the_picture_moves_gently_and_closes_its_loop(picture):
    views = list(moving(picture, 48))
    assert len(views) == 48
    steps = [step(a, b) for a, b in zip(views, [*views[1:], views[0]], strict=True)]
    assert min(steps) > 0
    assert steps[-1] <= 1.5 * max(steps[:-1])  # from the last to the first as between the others
    assert max(steps) < 2
    assert step(views[0], views[24]) > 3 * max(steps)


def test_no_border_ever_shows(picture):
    white = Image.new("RGB", picture.size, "white")
    assert all(view.min() == 255 for view in moving(white, 24))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((768, 1024), (720, 960)),
        ((101, 51), (100, 50)),
        ((3000, 30), (960, 16)),
        ((1, 1), (16, 16)),
    ],
)
def test_a_video_has_the_pictures_shape_in_even_numbers(given, expected):
    picture = Image.new("RGB", given)
    assert size_of(picture) == expected
    view = next(moving(picture, 24))
    assert view.shape == (expected[1], expected[0], 3)
