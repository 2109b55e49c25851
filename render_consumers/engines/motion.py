"""A still picture in gentle motion, as of a camera that breathes: its end is its beginning."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)

LONGEST = 960  # pixels along the longer side
SMALLEST = 16
ZOOM = 0.045  # how much larger the picture is when the camera is nearest
SWAY = 0.005  # how far the camera goes aside, as a share of the picture's width
ROOM = 1.012  # the picture is always this much larger than the frame, so no border shows


def size_of(picture: Image.Image) -> tuple[int, int]:
    """Width and height of the video: even numbers, the picture's shape, not larger than it."""
    share = min(1.0, LONGEST / max(picture.size))
    width, height = (max(SMALLEST, 2 * int(side * share / 2)) for side in picture.size)
    return width, height


def moving(picture: Image.Image, frames: int) -> Iterator[Pixels]:
    """So many views of the picture; the view after the last is the first again."""
    width, height = size_of(picture)
    largest = ROOM + ZOOM
    wide, high = round(width * largest), round(height * largest)
    whole = picture.convert("RGB").resize((wide, high), Image.Resampling.LANCZOS)
    for frame in range(frames):
        angle = 2 * math.pi * frame / frames
        seen = largest / (ROOM + ZOOM * (1 - math.cos(angle)) / 2)  # samples of `whole` in a pixel
        left = (wide - width * seen) / 2 + SWAY * width * math.sin(angle)
        top = (high - height * seen) / 2
        view = whole.transform(
            (width, height),
            Image.Transform.AFFINE,
            (seen, 0, left, 0, seen, top),
            Image.Resampling.BICUBIC,
        )
        yield np.asarray(view)
