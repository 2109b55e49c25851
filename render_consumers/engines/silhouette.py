"""Whether two pictures show the same outline: how far what stands before the background agrees."""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

Mask = npt.NDArray[np.bool_]  # (H, W)

SIZE: Final = (192, 256)  # width and height at which outlines are compared
# How far a colour may be from the background's, of 255 in the channel that differs most: a soft
# shadow on the ground belongs to the background.
NEAR: Final = 40
EDGE: Final = 4  # pixels along the upper border that show the background whatever the view
LIKE: Final = 0.9  # below that it is another body


def likeness(one: Image.Image, other: Image.Image) -> float:
    """The intersection of both outlines over their union, from 0 to 1."""
    masks = outline(one), outline(other)
    union = np.count_nonzero(masks[0] | masks[1])
    return float(np.count_nonzero(masks[0] & masks[1]) / union) if union else 0.0


def outline(picture: Image.Image) -> Mask:
    """What the background does not reach from the borders, at the size of the comparison.

    So clothes in the background's colour count as long as something surrounds them.
    """
    small = picture.convert("RGB").resize(SIZE, Image.Resampling.BOX)
    pixels = np.asarray(small).astype(np.int16)
    upper = (pixels[:EDGE].reshape(-1, 3), *(pixels[: SIZE[1] // 4, at] for at in (0, -1)))
    background = np.median(np.concatenate(upper), axis=0)
    near = np.abs(pixels - background).max(axis=-1) < NEAR
    return ~_reached(near)


def _reached(near: Mask) -> Mask:
    """The part of a mask that hangs together with its border."""
    reached = near.copy()
    reached[1:-1, 1:-1] = False
    before, count = -1, 0
    while count != before:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        reached = grown & near
        before, count = count, int(np.count_nonzero(reached))
    return reached
