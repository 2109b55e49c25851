import torch

from render_consumers.painting.picture.flat import BRUSH, _rounded
from render_consumers.painting.picture.raster import Visible

SIZE = (300, 4 * BRUSH)  # width and height; the brush reaches 4 samples
MIDDLE = (slice(400, 600), slice(100, 200))


def rounded(shade: tuple[slice, slice], shown: int = SIZE[0] * SIZE[1]) -> torch.Tensor:
    """The brightness (H, W) of what was bright but for one place; the rest shows nothing."""
    bright = torch.ones(SIZE[1], SIZE[0])
    bright[shade] = 0
    one = torch.zeros(shown)
    visible = Visible(
        face=one, weight=torch.zeros(shown, 3), sample=torch.arange(shown), spot=one, share=one
    )
    grid = torch.full((SIZE[0] * SIZE[1],), torch.nan)
    grid[:shown] = _rounded(bright.flatten()[:shown], visible, SIZE)
    return grid.view(SIZE[1], SIZE[0])


def test_specks_in_a_crease_are_painted_over():
    assert rounded((slice(500, 516), slice(150, 153))).min() == 1


def test_a_shade_stays_as_large_as_it_is():
    tones = rounded(MIDDLE)
    assert tones[MIDDLE][5:-5, 5:-5].max() == 0
    assert abs((tones < 0.5).sum() - 200 * 100) < 40  # but for its corners
    assert tones[:395].min() == 1


def test_where_the_picture_ends_nothing_grows_dark():
    shown = 500 * SIZE[0]
    tones = rounded((slice(0, 0), slice(0, 0)), shown)
    assert tones[:500].min() == 1
