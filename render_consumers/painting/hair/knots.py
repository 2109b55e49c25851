"""Hair that is tied: drawn back to a knot, and what hangs or sits there."""

import math

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.hair.scalp import CENTRE, Roots, Scalp, beside_face, sideburn
from render_consumers.painting.hair.strands import Strands, along, finished, outwards, tangents
from render_consumers.painting.picture.surface import smooth
from render_consumers.painting.vectors import unit

Place = tuple[float, float, float]


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """Hair combed flat from its roots to a knot; of one ``side`` only (1: left), if not 0."""

    knot: Place
    strands: int = 1900
    side: int = 0
    above: float | None = None  # height over which hair is drawn, behind lower than in front
    parted: float = 0.0  # metres by which hair between two knots keeps off the middle
    volume: float = 0.0020


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """Hair that hangs from a knot along ``path``, at most ``radius`` metres thick."""

    path: tuple[Place, ...]
    strands: int = 420
    radius: float = 0.026
    wave: float = 0.004
    curl: float = 0.0


class Bun(msgspec.Struct, frozen=True, kw_only=True):
    """Hair wound around ``axis``."""

    middle: Place
    axis: Place
    radius: float = 0.036
    strands: int = 420


class Braid(msgspec.Struct, frozen=True, kw_only=True):
    """Three strands plaited along ``path``, ``width`` metres from side to side."""

    path: tuple[Place, ...]
    width: float = 0.028
    crossings: float = 7.0
    strands: int = 360


def swept(knot: Swept, scalp: Scalp, chance: torch.Generator) -> Strands:
    roots = scalp.roots(knot.strands, chance)
    place = roots.place
    kept = ~sideburn(place)
    if knot.side:
        kept &= place[:, 0] * knot.side > 0.0
    if knot.above is not None:
        kept &= place[:, 2] - 0.25 * (place[:, 1] + 0.05) > knot.above
    roots = roots.some(kept.nonzero()[:, 0])
    rank = torch.rand(len(roots.place), generator=chance)
    points = _over_skull(roots, place.new_tensor(knot.knot), 10)
    points = _risen(points, scalp, 0.0008 + knot.volume * rank.sqrt())
    size = 0.004 * torch.randn(len(points), 1, 3, generator=chance)
    share = torch.linspace(0, 1, 10)
    points = points + size * smooth(0.5, 1.0, share)[None, :, None]
    width = (
        0.0030
        * (0.35 + 0.65 * smooth(0.0, 0.12, share))
        * (1 - 0.55 * share)
        * (0.75 + 0.5 * torch.rand(len(points), 1, generator=chance))
    )
    depth = (0.45 + 0.55 * rank[:, None]) * (1 - 0.35 * smooth(0.6, 1.0, share))
    return finished(points, outwards(points), width, depth, _alone(points), roots, chance)


def hanging(tail: Tail, near: Roots, chance: torch.Generator) -> Strands:
    count, many = tail.strands, 18
    path = curve(torch.tensor(tail.path), many)
    down = torch.linspace(0, 1, many)
    angle = 2 * math.pi * torch.rand(count, 1, generator=chance)
    share = torch.rand(count, 1, generator=chance).sqrt()
    radius = tail.radius * (0.28 + 0.72 * smooth(0.0, 0.35, down)) * (1 - 0.45 * down**2)
    side, out = _frame(path)
    turn = angle.cos()[:, :, None] * side + angle.sin()[:, :, None] * out
    end = 1 - 0.22 * torch.rand(count, 1, generator=chance) ** 2
    points = path + (share * radius)[:, :, None] * turn
    phase = 2 * math.pi * torch.rand(count, 1, generator=chance)
    sway = torch.sin((2.5 + 2 * share) * 2 * down + phase) * tail.wave * down
    points = points + sway[:, :, None] * side
    if tail.curl:
        spin = 2 * math.pi * (3.5 * down + (phase / 7).floor() / 5)
        points = points + tail.curl * smooth(0.1, 0.4, down)[None, :, None] * (
            spin.cos()[:, :, None] * side + spin.sin()[:, :, None] * out
        )
    points = _shortened(points, end)
    width = (0.0042 * (1 - down**3).clamp(min=0) ** 0.8).expand(count, -1)
    depth = 0.35 + 0.65 * share.expand(-1, many)
    return finished(points, turn.expand_as(points), width, depth, _alone(points), near, chance)


def wound(bun: Bun, near: Roots, chance: torch.Generator) -> Strands:
    """Strands in turns over a flattened ball, like yarn: each on a circle of its own tilt."""
    count, many = bun.strands, 16
    axis = unit(torch.tensor(bun.axis))
    side = unit(torch.linalg.cross(axis, torch.tensor([0.31, 0.17, 0.9])))
    front = torch.linalg.cross(axis, side)
    start = 2 * math.pi * torch.rand(count, 1, generator=chance)
    turn = start + torch.linspace(0, 2.6, many)
    level = 2 * torch.rand(count, 1, generator=chance) - 1
    slope = level + 0.55 * torch.linspace(-0.5, 0.5, many)
    up = 0.5 * math.pi * slope.clamp(-0.97, 0.97)
    lump = 1 + 0.05 * torch.sin(3 * turn + 5 * up) + 0.03 * torch.randn(count, 1, generator=chance)
    ring = up.cos()[:, :, None] * (turn.cos()[:, :, None] * side + turn.sin()[:, :, None] * front)
    out = ring + 0.80 * up.sin()[:, :, None] * axis
    points = torch.tensor(bun.middle) + bun.radius * lump[:, :, None] * out
    share = torch.linspace(0, 1, many)
    width = (0.0055 * (0.4 + 0.6 * torch.sin(math.pi * share))).expand(count, -1)
    groove = 0.5 + 0.5 * torch.sin(3 * turn + 5 * up)
    depth = 0.45 + 0.55 * groove
    return finished(points, unit(out), width, depth, _alone(points), near, chance)


def plaited(braid: Braid, near: Roots, chance: torch.Generator) -> Strands:
    count, many = braid.strands, 44
    path = curve(torch.tensor(braid.path), many)
    down = torch.linspace(0, 1, many)
    side, out = _frame(path)
    which = torch.arange(count) % 3
    angle = 2 * math.pi * (braid.crossings * down / 1.5 + which[:, None] / 3)
    wide = 0.5 * braid.width * (1 - 0.35 * down)
    middle = path + (0.62 * wide * angle.sin())[:, :, None] * side
    middle = middle + (0.42 * wide * (2 * angle).sin())[:, :, None] * out
    spin = 2 * math.pi * torch.rand(count, 1, generator=chance) + 2.0 * down
    across = unit(torch.linalg.cross(tangents(middle), out.expand_as(middle)))
    up = torch.linalg.cross(across, tangents(middle))
    turn = spin.cos()[:, :, None] * across + spin.sin()[:, :, None] * up
    points = middle + (0.46 * wide)[None, :, None] * turn
    tuft = smooth(0.90, 1.0, down)[None, :, None]
    points = torch.lerp(points, path + 0.006 * turn, tuft)
    width = (0.0040 * (1 - smooth(0.93, 1.0, down))).expand(count, -1)
    depth = 0.55 + 0.45 * (turn * out).sum(2)
    return finished(points, turn, width, depth, _alone(points), near, chance)


def curve(knots: Tensor, count: int) -> Tensor:
    """A smooth curve (count, 3) through knots (J, 3): Catmull-Rom."""
    ends = torch.cat([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    where = torch.linspace(0, len(knots) - 1, count)
    first = where.floor().long().clamp(0, len(knots) - 2)
    t = (where - first)[:, None]
    a, b, c, d = (ends[first + i] for i in range(4))
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3
    )


def _over_skull(roots: Roots, knot: Tensor, many: int) -> Tensor:
    """Paths (N, many, 3) from the roots to the knot, turning about the middle of the skull."""
    middle = knot.new_tensor(CENTRE)
    start, end = roots.place - middle, (knot - middle).expand_as(roots.place)
    first, last = unit(start)[:, None], unit(end)[:, None]
    across = smooth(0.4, -0.8, (first * last).sum(2, keepdim=True))  # over the top, not the face
    over = unit(first + last + across * knot.new_tensor([0.0, 0.0, 0.9]))
    share = torch.linspace(0, 1, many)[:, None]
    way = unit((1 - share) ** 2 * first + 2.4 * share * (1 - share) * over + share**2 * last)
    reach = torch.lerp(start.norm(dim=1)[:, None, None], end.norm(dim=1)[:, None, None], share)
    return middle + way * reach


def _risen(points: Tensor, scalp: Scalp, rise: Tensor) -> Tensor:
    """The same points (N, K, 3), each at least ``rise`` (N,) over the skin but at the root."""
    for k in range(points.shape[1]):
        normal, height = scalp.skin.nearest(points[:, k])
        wanted = rise * min(1.0, 0.1 + 0.3 * k)
        points[:, k] += normal * (wanted - height).clamp(min=0, max=0.05)[:, None]
        points[:, k] = beside_face(points[:, k], fringe=True)
    return points


def _frame(path: Tensor) -> tuple[Tensor, Tensor]:
    """What is beside (K, 3) a path and what faces away from the head there."""
    way = tangents(path[None])[0]
    side = unit(torch.linalg.cross(way, outwards(path[None])[0]))
    return side, torch.linalg.cross(side, way)


def _shortened(points: Tensor, end: Tensor) -> Tensor:
    many = points.shape[1]
    return along(points, torch.linspace(0, many - 1, many)[None] * end)


def _alone(points: Tensor) -> Tensor:
    return torch.arange(len(points))
