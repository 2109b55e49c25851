"""Which triangle is in front at each sample: spans of rows in plain torch, on any device.

Every step is a gather, a scan or a minimum over integers, so the same scene gives the same
bytes however the work is scheduled.
"""

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

NOTHING = 1 << 62
DEPTH_STEPS = float(1 << 30)
ROWS = 1 << 14  # drawn at a time: what a processor's cache holds


class Visible(msgspec.Struct, frozen=True):
    """The N samples that show something: which, which triangle, and how much of each corner."""

    sample: Tensor  # (N,) index into the rows of the picture
    face: Tensor  # (N,)
    weight: Tensor  # (N, 3) sums to 1, corrected for perspective

    def pieces(self, most: int) -> Iterator["Visible"]:
        """The same samples in order, at most so many at a time."""
        columns = (self.sample, self.face, self.weight)
        for piece in zip(*(torch.split(column, most) for column in columns), strict=True):
            yield Visible(*piece)

    def some(self, which: Tensor) -> "Visible":
        return Visible(self.sample[which], self.face[which], self.weight[which])

    def mix(self, faces: Tensor, values: Tensor) -> Tensor:
        """Values (V, K) of the vertices, mixed at each sample (N, K)."""
        corners = faces[self.face]
        mixed = values[corners[:, 0]] * self.weight[:, 0:1]
        mixed += values[corners[:, 1]] * self.weight[:, 1:2]
        return mixed.add_(values[corners[:, 2]] * self.weight[:, 2:3])


def rasterise(
    screen: Tensor,
    faces: Tensor,
    size: tuple[int, int],
    keep: Tensor | None = None,
    one_sided: Tensor | None = None,
) -> Visible:
    """Find the nearest triangle (F, 3) under each sample of a picture of (width, height).

    ``screen`` (V, 3) holds sample coordinates x, y and the reciprocal of the distance. Where the
    mixed ``keep`` (V,) is not above 0 a triangle is cut away: hems are cut through triangles.
    Triangles marked in ``one_sided`` (F,) are passed over when seen from behind.
    """
    xyz = screen[faces].double()
    area = _doubled_area(xyz)
    drawn = (area.abs() > 1e-9) & (xyz[:, :, 2] > 0).all(1)
    if one_sided is not None:
        drawn &= ~(one_sided & (area > 0))
    if keep is not None:
        drawn &= (keep[faces] > 0).any(1)
    chosen = drawn.nonzero()[:, 0]
    xyz, area = xyz[chosen], area[chosen]
    cut = None if keep is None else _plane(xyz, area, keep[faces[chosen]].double())
    best = _best(xyz, area, cut, size)
    hit = (best != NOTHING).nonzero()[:, 0]
    local = best[hit] & 0xFFFFFFFF
    return Visible(hit, chosen[local], _weights(xyz[local], area[local], hit, size[0]))


def nearest(screen: Tensor, faces: Tensor, size: tuple[int, int]) -> Tensor:
    """How near (W * H,) the nearest triangle that faces the viewer is, 0 where there is none."""
    xyz = screen[faces].double()
    area = _doubled_area(xyz)
    chosen = (area < -1e-9).nonzero()[:, 0]
    best = _best(xyz[chosen], area[chosen], None, size)
    return torch.where(best == NOTHING, 0.0, 1 - (best >> 32) / DEPTH_STEPS).float()


def _best(xyz: Tensor, area: Tensor, cut: Tensor | None, size: tuple[int, int]) -> Tensor:
    """For each sample (W * H,) the packed depth and triangle of the nearest, or NOTHING."""
    width, height = size
    near = _plane(xyz, area, xyz[:, :, 2])
    face, y = _expand(
        (xyz[:, :, 1].amin(1) - 0.5).ceil().clamp(0, height).long(),
        (xyz[:, :, 1].amax(1) - 0.5).ceil().clamp(0, height).long(),
    )
    left, right = _crossings(xyz, face, y + 0.5)
    start, stop = ((edge - 0.5).ceil().clamp(0, width).long() for edge in (left, right))
    rows = (stop > start).nonzero()[:, 0]
    best = torch.full((width * height,), NOTHING, device=xyz.device)
    for some in torch.split(rows, ROWS):
        _draw(best, face[some], y[some], start[some], stop[some], near, cut, width)
    return best


def _draw(
    best: Tensor,
    face: Tensor,
    y: Tensor,
    start: Tensor,
    stop: Tensor,
    near: Tensor,
    cut: Tensor | None,
    width: int,
) -> None:
    """Lay some rows of triangles over what is there already; the nearest stays."""
    row, x = _expand(start, stop)
    if cut is not None:
        kept = (_along(cut, face, y, row, x) > 0).nonzero()[:, 0]
        row, x = row[kept], x[kept]
    depth = (1 - _along(near, face, y, row, x)).clamp_(0, 1).mul_(DEPTH_STEPS).long()
    best.scatter_reduce_(0, (y * width)[row] + x, (depth << 32) | face[row], "amin")


def _along(plane: Tensor, face: Tensor, y: Tensor, row: Tensor, x: Tensor) -> Tensor:
    """The value of px + qy + r (N,) at the samples x of rows that each belong to a triangle."""
    p, q, r = plane[face].unbind(1)
    return torch.addcmul((q * (y + 0.5) + r + 0.5 * p)[row], p[row], x.double())


def _doubled_area(xyz: Tensor) -> Tensor:
    """Twice the area (F,) of each triangle, below 0 where its outside faces the viewer."""
    a, b, c = xyz[:, :, :2].unbind(1)
    edge, other = b - a, c - a
    return edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]


def _plane(xyz: Tensor, area: Tensor, value: Tensor) -> Tensor:
    """Coefficients (F, 3) of value = px + qy + r through the corners of each triangle."""
    a, b, c = xyz[:, :, :2].unbind(1)
    u, v, w = value.unbind(1)
    p = ((v - u) * (c - a)[:, 1] - (w - u) * (b - a)[:, 1]) / area
    q = ((w - u) * (b - a)[:, 0] - (v - u) * (c - a)[:, 0]) / area
    return torch.stack([p, q, u - p * a[:, 0] - q * a[:, 1]], dim=1)


def _expand(start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """For each range (R,) its owner and its members, one after another."""
    count = (stop - start).clamp(min=0)
    owner = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    first = start - count.cumsum(0) + count
    return owner, first[owner] + torch.arange(len(owner), device=count.device)


def _crossings(xyz: Tensor, face: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row enters and leaves its triangle; neighbours agree to the last bit."""
    left = torch.full_like(y, torch.inf)
    right = torch.full_like(y, -torch.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        low, high = xyz[:, start, :2], xyz[:, end, :2]
        swap = (low[:, 1] > high[:, 1])[:, None]
        low, high = torch.where(swap, high, low), torch.where(swap, low, high)
        slope = (high[:, 0] - low[:, 0]) / (high[:, 1] - low[:, 1])
        x0, y0, y1, step = low[face, 0], low[face, 1], high[face, 1], slope[face]
        x = x0 + (y - y0) * step
        crossed = (y0 <= y) & (y < y1)
        left = torch.where(crossed, torch.minimum(left, x), left)
        right = torch.where(crossed, torch.maximum(right, x), right)
    empty = left > right
    return left.masked_fill(empty, 0.0), right.masked_fill(empty, 0.0)


def _weights(xyz: Tensor, area: Tensor, sample: Tensor, width: int) -> Tensor:
    """How much of each corner (N, 3) is seen at the samples, corrected for perspective."""
    x, y = sample % width + 0.5, sample // width + 0.5
    parts = []
    for first, second in ((1, 2), (2, 0), (0, 1)):
        a, b = xyz[:, first], xyz[:, second]
        parts.append((a[:, 0] - x) * (b[:, 1] - y) - (a[:, 1] - y) * (b[:, 0] - x))
    weight = torch.stack(parts, dim=1) / area[:, None] * xyz[:, :, 2]
    return (weight / weight.sum(1, keepdim=True)).float()
