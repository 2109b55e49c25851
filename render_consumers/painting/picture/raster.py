"""What is seen where: sixteen samples of each pixel, gathered into what is shaded.

A *spot* is what a pixel shows of one surface: light is looked up once for it. Its *parts* are the
quarters of the pixel that it is seen in, or in a close view the whole pixel: texture and shine are
worked out for each. A part counts by how many of the samples it has, so that edges are as fine as
the samples are.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.picture.kernels import samples
from render_consumers.painting.picture.kernels.running import bands, launch, side_by_side

SAMPLES = 16  # of a pixel
NOTHING = (1 << 63) - 1
SAME_SURFACE = 0.0005  # of nearness: about 3 cm where the whole body is seen
Size = tuple[int, int]


class Window(NamedTuple):
    """The pixels from left and top up to right and bottom."""

    left: int
    right: int
    top: int
    bottom: int

    def pixels(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)


class Spots(msgspec.Struct, frozen=True):
    """A triangle each, and how much of its corners is seen, corrected for perspective."""

    face: Tensor  # (N,)
    weight: Tensor  # (N, 3) sums to 1

    def mix(self, faces: Tensor, values: Tensor) -> Tensor:
        """Values (V, K) of the vertices, mixed at each spot (N, K)."""
        corners = faces[self.face]
        mixed = values[corners[:, 0]] * self.weight[:, 0:1]
        mixed += values[corners[:, 1]] * self.weight[:, 1:2]
        return mixed.add_(values[corners[:, 2]] * self.weight[:, 2:3])


class Visible(Spots, frozen=True):
    """The parts of all spots, in the order of the pixels."""

    sample: Tensor  # (N,) index into a picture with a place for each part of each pixel
    spot: Tensor  # (N,)
    share: Tensor  # (N,) of the pixel

    def some(self, which: Tensor) -> "Visible":
        columns = (self.face, self.weight, self.sample, self.spot, self.share)
        return Visible(*(column[which] for column in columns))

    def pieces(self, most: int) -> Iterator["Visible"]:
        """The same parts in order, at most so many at a time."""
        columns = (self.face, self.weight, self.sample, self.spot, self.share)
        for piece in zip(*(torch.split(column, most) for column in columns), strict=True):
            yield Visible(*piece)


class Seen(msgspec.Struct, frozen=True):
    """All that a picture shows: where a pixel's spots and parts begin, and they themselves."""

    size: Size
    fine: int  # parts along each side of a pixel
    window: Window
    starts: Tensor  # (P + 1, 2) for the pixels of the window
    spots: Spots
    parts: Visible

    def grid(self) -> Size:
        """The size of a picture with a place for each part of each pixel."""
        return self.fine * self.size[0], self.fine * self.size[1]

    def pixels(self) -> Tensor:
        """Which pixel (N,) of the picture each part is in."""
        wide = self.fine * self.size[0]
        row, column = self.parts.sample // wide, self.parts.sample % wide
        return row // self.fine * self.size[0] + column // self.fine


def rasterise(
    screen: Tensor,
    faces: Tensor,
    size: Size,
    *,
    keep: Tensor,
    one_sided: Tensor,
    surface: Tensor,
    fine: int = 2,
) -> Seen:
    """Find the nearest triangle (F, 3) under each sample of a picture of (width, height).

    ``screen`` (V, 3) holds pixel coordinates x, y and the reciprocal of the distance. Where the
    mixed ``keep`` (V,) is not above 0 a triangle is cut away: hems are cut through triangles.
    Triangles marked in ``one_sided`` (F,) are passed over when seen from behind. What a pixel shows
    of one ``surface`` (F,) at one depth becomes one spot, of up to ``fine`` by ``fine`` parts.
    """
    window = _window(screen, faces, keep, size)
    numbers = faces.new_empty  # whole, and where the triangles are
    best = torch.full_like(numbers(window.pixels(), SAMPLES), NOTHING)
    groups = numbers(window.pixels())
    counts = numbers(window.pixels(), 2, dtype=torch.int32)
    wide = window.right - window.left

    def find(top: int, bottom: int) -> None:
        rows = slice((top - window.top) * wide, (bottom - window.top) * wide)
        edges = (window.left, window.right, top, bottom)
        launch(
            samples.draw, len(faces), screen, faces, keep, one_sided, *edges, best[rows].flatten()
        )
        launch(
            samples.group,
            (bottom - top) * wide,
            best[rows].flatten(),
            surface,
            SAME_SURFACE,
            fine,
            groups[rows],
            counts[rows],
        )

    ranges = list(bands(window.top, window.bottom, screen.device))
    side_by_side(find, ranges)
    starts = torch.nn.functional.pad(counts.cumsum(0), (0, 0, 1, 0))
    spots, parts = _rooms(starts, screen)

    def write(top: int, bottom: int) -> None:
        first, last = (top - window.top) * wide, (bottom - window.top) * wide
        launch(
            samples.gather,
            last - first,
            screen,
            faces,
            best[first:last].flatten(),
            groups[first:last],
            starts[first : last + 1],
            *(window.left, window.right, top, size[0], fine),
            *(spots.face, spots.weight),
            *(parts.sample, parts.face, parts.weight, parts.spot, parts.share),
        )

    side_by_side(write, ranges)
    return Seen(size, fine, window, starts, spots, parts)


def _window(screen: Tensor, faces: Tensor, keep: Tensor, size: Size) -> Window:
    """Where in the picture anything can be seen."""
    shown = screen[faces[(keep[faces] > 0).any(1)].flatten()]
    if not len(shown):
        return Window(0, 0, 0, 0)
    low, high = shown[:, :2].amin(0).floor().tolist(), shown[:, :2].amax(0).ceil().tolist()
    left, right = (int(min(max(x, 0), size[0])) for x in (low[0], high[0]))
    top, bottom = (int(min(max(y, 0), size[1])) for y in (low[1], high[1]))
    return Window(left, right, top, bottom) if right > left else Window(0, 0, 0, 0)


def _rooms(starts: Tensor, screen: Tensor) -> tuple[Spots, Visible]:
    """Empty rows for all that was counted."""
    spots, parts = starts[-1].tolist()
    number, share = starts.new_empty, screen.new_empty
    return Spots(number(spots), share(spots, 3)), Visible(
        face=number(parts),
        weight=share(parts, 3),
        sample=number(parts),
        spot=number(parts),
        share=share(parts),
    )
