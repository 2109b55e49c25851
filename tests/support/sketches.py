"""People of a few strokes, for what has to do with pictures and not with painting them."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from render_consumers.painting.order import understand
from render_consumers.painting.painter import Model, Painter, Painting


def sketch(
    width: float = 1.0,
    *,
    cloth: str = "#b01818",
    background: str = "white",
    size: tuple[int, int] = (768, 1_024),
) -> Image.Image:
    """Somebody standing, so many times as wide, with ink around."""
    picture = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(picture)

    def part(left: float, top: float, right: float, bottom: float, colour: str) -> None:
        x = [size[0] * (0.5 + width * each) for each in (left, right)]
        y = [size[1] * each for each in (top, bottom)]
        draw.rectangle((x[0], y[0], x[1], y[1]), fill=colour, outline="#141414", width=8)

    part(-0.06, 0.05, 0.06, 0.18, "#c99878")
    part(-0.19, 0.18, 0.19, 0.5, cloth)
    part(-0.14, 0.5, -0.02, 0.95, "#262b36")
    part(0.02, 0.5, 0.14, 0.95, "#262b36")
    return picture


class Sketcher(Painter):
    """Draws the same few strokes for everybody, at once."""

    def __init__(self) -> None:
        self.drawn = 0

    def works(self) -> bool:
        return True

    def dress(self, details, garment, **options) -> Model:
        order = understand(details, garment, flat=options["flat"])
        nothing: Any = None
        return Model(order=order, scene=nothing, achieved={"Height": 180.0})

    def draw(self, model, **_) -> Painting:
        self.drawn += 1
        return Painting(np.asarray(sketch()), model.order.ignored, model.achieved)
