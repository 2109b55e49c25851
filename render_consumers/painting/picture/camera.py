"""Where the picture is taken from, and how the person is framed."""

import math

import msgspec
import torch
from torch import Tensor

from domain.vocabulary import FULL, VIEW_MODES

DISTANCE = 5.2  # frame heights away: a long lens, so that nothing bulges


class Camera(msgspec.Struct, frozen=True):
    """Looks along y at the point ``centre``, ``span`` metres of it from the top to the bottom."""

    centre: tuple[float, float, float]
    span: float
    size: tuple[int, int]

    def project(self, places: Tensor) -> Tensor:
        """Pixel coordinates x, y and the reciprocal of the distance (V, 3), in frame heights."""
        width, height = self.size
        seen = (places - places.new_tensor(self.centre)) / self.span
        nearness = 1 / (seen[:, 1] + DISTANCE)
        scale = DISTANCE * nearness * height
        return torch.stack(
            [width / 2 + seen[:, 0] * scale, height / 2 - seen[:, 2] * scale, nearness], dim=1
        )

    def pixel(self) -> float:
        """How many metres of the person a pixel is wide."""
        return self.span / self.size[1]

    def eye(self) -> tuple[float, float, float]:
        return (self.centre[0], self.centre[1] - DISTANCE * self.span, self.centre[2])

    def ground(self, height: float) -> tuple[Tensor, Tensor]:
        """For each sample where its ray meets the ground (H, W, 2), and whether it does (H, W)."""
        width, tall = self.size
        x = ((torch.arange(width) + 0.5) - width / 2) / tall / DISTANCE
        z = (tall / 2 - (torch.arange(tall) + 0.5)) / tall / DISTANCE
        drop = (height - self.centre[2]) / self.span
        down = z < -1e-4
        reach = torch.where(down, drop / torch.where(down, z, 1.0), 0.0)
        side = x[None, :] * reach[:, None]
        depth = (reach - DISTANCE)[:, None].expand(tall, width)
        place = torch.stack([side, depth], dim=2) * self.span
        return place + torch.tensor(self.centre[:2]), (down & (reach > 0))[:, None].expand_as(depth)


def frame(mode: int, size: tuple[int, int], low: Tensor, high: Tensor) -> Camera:
    """A camera for a body between two corners (3,): the whole of it fits in mode 0."""
    tall = float(high[2])
    bottom, top = VIEW_MODES[mode]
    span = (top - bottom) * tall
    if mode == FULL:
        reach = 2 * max(abs(float(low[0])), abs(float(high[0]))) * 1.08
        span = max(span, reach * size[1] / size[0])
    centre = (bottom + top) / 2 * tall if mode != FULL else 0.495 * tall
    return Camera((0.0, 0.0, centre), span, size)


def turned(places: Tensor, degrees: float) -> Tensor:
    """Places (V, 3) turned about the upright axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return places @ places.new_tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
