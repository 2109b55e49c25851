"""Strands: curves that grow from the scalp, combed, curled and gathered into locks.

Lengths are metres on the template. A strand is K points from root to tip.
"""

import math

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.hair.scalp import CENTRE, Roots, Scalp, beside_face, sideburn, zones
from render_consumers.painting.picture.surface import smooth
from render_consumers.painting.vectors import unit

CROWN = (0.006, 0.012, 0.840)  # where the whorl is
NEAR = 0.025  # metres from the skin within which hair is combed, and beyond which it falls
LOCK = 11  # strands for each lock
ROLL = 0.40  # radians by which strands are turned out of line


class Strands(msgspec.Struct, frozen=True):
    """N strands of K points; what faces outward, where each is rooted and what it is drawn as."""

    points: Tensor  # (N, K, 3)
    outward: Tensor  # (N, K, 3)
    width: Tensor  # (N, K) metres
    depth: Tensor  # (N, K) from 0, deep inside the hair, to 1, where light reaches it
    lock: Tensor  # (N,) index of the strand that leads the lock
    roll: Tensor  # (N,) radians by which it is turned about itself
    tint: Tensor  # (N,) from 0 to 1, by which strands differ in colour
    roots: Roots


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A haircut: how long hair is by zone, which way it is combed, and how it curls."""

    strands: int = 1700
    points: int = 9
    top: float = 0.06
    fringe: float | None = None  # as the top
    sides: float = 0.02
    back: float | None = None  # as the sides
    fall: float | None = None  # height on the template that hair of any zone is cut at
    ragged: float = 0.25  # share by which lengths differ
    width: float = 0.0038
    lift: float = 0.5  # how steeply hair leaves the skin
    volume: float = 0.012  # how far over the skin it lies at most
    stiff: float = 0.55  # how long it keeps its direction
    weight: float = 0.35  # how much it hangs
    whorl: float = 0.0  # combed away from the crown
    backward: float = 0.0
    forward: float = 0.0
    up: float = 0.0  # at the front only
    part: float | None = None  # x of the parting
    sweep: float = 1.0  # how far away from the parting
    curl: float = 0.0  # radius of a curl
    pitch: float = 0.06  # length of a curl
    flat: float = 1.0  # 1 for ringlets, 0 for waves that stay in the plane
    clump: float = 0.5
    frizz: float = 0.002
    rope: float = 0.0  # radius of the ropes that whole locks are twisted to
    over_face: bool = False  # a fringe that may hang over the forehead
    dense: float = 1.0  # over 1: points lie denser near the root
    graded: float = 0.0  # share by which the top is shorter towards the sides
    strip: float | None = None  # metres from the middle beyond which all is as the sides
    below: float | None = None  # height under which hair grows, behind lower than in front


def grown(cut: Cut, scalp: Scalp, chance: torch.Generator) -> Strands:
    """The strands of a haircut, without what is tied up."""
    roots = scalp.roots(cut.strands, chance, cut.part)
    length = _lengths(cut, roots.place, chance)
    roots, length = _long_enough(roots, length)
    rank = torch.rand(len(length), generator=chance)
    lock = locks(roots.place, cut.part)
    points = _combed(cut, scalp, roots, length, rank, lock)
    if cut.fall is not None:
        points = _cut_at(points, cut.fall, cut.ragged, chance)
    if cut.rope:
        points, outward = roped(points[lock], cut.rope, chance)
    else:
        points = _gathered(points, lock, cut.clump)
        points = _frizzy(_curled(cut, points, lock, chance), cut.frizz, chance)
        outward = outwards(points)
    along = torch.linspace(0, 1, cut.points)
    width = cut.width * (0.7 + 0.6 * torch.rand(len(lock), 1, generator=chance)) * taper(along)
    depth = (0.30 + 0.70 * rank[:, None]) * (0.55 + 0.45 * smooth(0.0, 0.35, along))
    return finished(points, outward, width, depth, lock, roots, chance)


def finished(
    points: Tensor,
    outward: Tensor,
    width: Tensor,
    depth: Tensor,
    lock: Tensor,
    roots: Roots,
    chance: torch.Generator,
) -> Strands:
    """Strands with what sets each apart from the next."""
    roll = ROLL * torch.randn(len(points), generator=chance)
    own, shared = torch.rand(2, len(points), generator=chance)
    return Strands(points, outward, width, depth, lock, roll, 0.6 * own + 0.4 * shared[lock], roots)


def taper(along: Tensor) -> Tensor:
    """The width (K,) of a strand by its length: narrow at the root, pointed at the tip."""
    return (0.40 + 0.60 * smooth(0.0, 0.15, along)) * (1 - along**3).clamp(min=0) ** 0.8


def outwards(points: Tensor) -> Tensor:
    """What faces away (N, K, 3) from the middle of the head, and below it from its axis."""
    middle = points.new_tensor(CENTRE).expand_as(points).clone()
    middle[..., 2] = torch.minimum(middle[..., 2], points[..., 2])
    return unit(points - middle)


def _lengths(cut: Cut, place: Tensor, chance: torch.Generator) -> Tensor:
    top, fringe, back, side = zones(place)
    of_fringe = cut.top if cut.fringe is None else cut.fringe
    of_back = cut.sides if cut.back is None else cut.back
    away = place[:, 0].abs()
    on_top = cut.top * (1 - cut.graded * smooth(0.025, 0.065, away))
    length = on_top * top + of_fringe * fringe + of_back * back + cut.sides * side
    if cut.strip is not None:
        length = torch.lerp(
            length, 0 * length + cut.sides, smooth(cut.strip - 0.012, cut.strip, away)
        )
    length = torch.where(sideburn(place), length.clamp(max=0.012), length)
    if cut.below is not None:
        length = length * (place[:, 2] - 0.25 * (place[:, 1] + 0.05) <= cut.below)
    return length * (1 - cut.ragged * torch.rand(len(place), generator=chance))


def _long_enough(roots: Roots, length: Tensor) -> tuple[Roots, Tensor]:
    kept = (length > 0.0015).nonzero()[:, 0]
    return roots.some(kept), length[kept]


def _combed(
    cut: Cut, scalp: Scalp, roots: Roots, length: Tensor, rank: Tensor, lock: Tensor
) -> Tensor:
    """Points (N, K, 3), each step drawn on by the comb and by weight, and kept off the skin."""
    at, normal = roots.place, roots.normal
    ends = torch.linspace(0, 1, cut.points) ** cut.dense
    height = torch.zeros_like(length)
    way = unit(normal * (0.15 + cut.lift) + _comb(cut, at, roots.place, normal))
    points = [at + 0.0005 * normal]
    for k in range(1, cut.points):
        share, step = float(ends[k]), ((ends[k] - ends[k - 1]) * length)[:, None]
        near = torch.exp(-((height / NEAR) ** 2))[:, None]
        want = near * _comb(cut, at, roots.place, normal) + cut.lift * (1 - share) * normal
        want = want + (cut.weight * (1 + 2.5 * (1 - near))) * at.new_tensor([0.0, 0.0, -1.0])
        aside = _past_shoulders(at, roots.place[lock])
        want = unit(want) + aside
        way = unit(cut.stiff * way + (1 - cut.stiff) * want)
        moved = at + step * way
        rise = 0.001 + cut.volume * rank.sqrt() * (share * length / 0.035).clamp(max=1)
        normal, height = scalp.skin.nearest(moved)
        push = unit(normal + 1.5 * normal[:, 2:].clamp(min=0) * aside)
        moved = moved + push * (rise - height).clamp(min=0, max=0.05)[:, None]
        way = unit(way + unit(moved - at))
        if cut.fall is not None or length.max() > 0.12:
            moved = _eased(moved, beside_face(moved, cut.over_face), 0.8 * step)
        at = at + step * unit(moved - at)
        height = height.clamp(min=0)
        points.append(at)
    return torch.stack(points, dim=1)


def _eased(start: Tensor, end: Tensor, most: Tensor) -> Tensor:
    """Places (N, 3) on the way from one to another, at most so far (N, 1)."""
    way = end - start
    far: Tensor = way.norm(dim=1, keepdim=True)
    return start + way * (most / far.clamp(min=1e-9)).clamp(max=1)


def _comb(cut: Cut, at: Tensor, root: Tensor, normal: Tensor) -> Tensor:
    """Which way (N, 3) hair is combed at places (N, 3): along the skin."""
    new = at.new_tensor
    way = cut.whorl * unit(at - new(CROWN)) + new([0.0, cut.backward - cut.forward, 0.0])
    front = smooth(-0.06, -0.12, root[:, 1])[:, None] * smooth(0.77, 0.80, root[:, 2])[:, None]
    way = way + cut.up * front * new([0.0, 0.35, 1.0])
    if cut.part is not None:
        side = torch.where(root[:, 0] > cut.part, 1.0, -1.0)[:, None]
        above = smooth(0.70, 0.80, at[:, 2])[:, None] * smooth(0.03, -0.03, at[:, 1])[:, None]
        way = way + cut.sweep * above * side * new([1.0, 0.0, -0.25])
    way = way - (way * normal).sum(1, keepdim=True) * normal
    return way


def _past_shoulders(at: Tensor, root: Tensor) -> Tensor:
    """What draws (N, 3) long hair in front of the shoulders or behind them, by where it grows."""
    front = root[:, 1] < -0.060 + 0.02 * torch.sin(root[:, 2] * 900)
    goal = torch.where(front, -0.125, 0.060)
    pull = 18.0 * smooth(0.76, 0.66, at[:, 2]) * (goal - at[:, 1])
    return pull[:, None] * at.new_tensor([0.0, 1.0, 0.0])


def locks(place: Tensor, part: float | None) -> Tensor:
    """For each root (N, 3) the strand that leads its lock, on its own side of the parting."""
    leaders = place[: max(1, len(place) // LOCK)]
    apart = torch.cdist(place, leaders)
    if part is not None:
        apart = apart + ((place[:, :1] > part) != (leaders[:, 0] > part))
    return apart.argmin(1)


def _gathered(points: Tensor, lock: Tensor, clump: float) -> Tensor:
    """Points drawn towards those of the strand that leads, more so to the tip."""
    along = torch.linspace(0, 1, points.shape[1])[None, :, None]
    return torch.lerp(points, points[lock], clump * along**1.3)


def _cut_at(points: Tensor, fall: float, ragged: float, chance: torch.Generator) -> Tensor:
    """The same strands, cut at a height and parted into as many points again."""
    level = fall + 0.12 * ragged * torch.rand(len(points), generator=chance)
    below = points[:, :, 2] < level[:, None]
    count = points.shape[1]
    index = torch.arange(count)
    first = torch.where(below & (index > 0), index, count - 1).amin(1)
    high = points.gather(1, (first - 1)[:, None, None].expand(-1, 1, 3))[:, 0, 2]
    low = points.gather(1, first[:, None, None].expand(-1, 1, 3))[:, 0, 2]
    share = ((high - level) / (high - low).clamp(min=1e-6)).clamp(0.02, 1)
    end = first - 1 + torch.where(below.any(1), share, 1.0)
    return along(points, torch.linspace(0, 1, count)[None] * end[:, None])


def along(points: Tensor, where: Tensor) -> Tensor:
    """Points (N, L, 3) of strands (N, K, 3) at places (N, L) counted in points from the root."""
    before = where.floor().long().clamp(0, points.shape[1] - 2)
    share = (where - before)[:, :, None]
    low = points.gather(1, before[:, :, None].expand(-1, -1, 3))
    high = points.gather(1, before[:, :, None].expand(-1, -1, 3) + 1)
    return torch.lerp(low, high, share)


def tangents(points: Tensor) -> Tensor:
    """Which way (N, K, 3) strands run at their points."""
    ahead = torch.cat([points[:, 1:], 2 * points[:, -1:] - points[:, -2:-1]], dim=1)
    behind = torch.cat([2 * points[:, :1] - points[:, 1:2], points[:, :-1]], dim=1)
    return unit(ahead - behind)


def _curled(cut: Cut, points: Tensor, lock: Tensor, chance: torch.Generator) -> Tensor:
    """Strands wound around where they ran, all of a lock alike but for a little."""
    phase = 2 * math.pi * torch.rand(len(points), generator=chance)
    pace = 0.8 + 0.4 * torch.rand(len(points), generator=chance)
    own = 0.9 * torch.randn(len(points), generator=chance) * (1 - cut.clump)
    if not cut.curl:
        return points
    step = (points[:, 1:] - points[:, :-1]).norm(dim=2)
    run = torch.cat([torch.zeros_like(step[:, :1]), step.cumsum(1)], dim=1)
    angle = (phase[lock] + own)[:, None] + 2 * math.pi * run / (cut.pitch * pace[lock])[:, None]
    out = outwards(points)
    side = unit(torch.linalg.cross(tangents(points), out))
    grows = cut.curl * smooth(0.0, 1.6 * cut.pitch, run)
    turn = angle.cos()[:, :, None] * side + cut.flat * (0.6 + angle.sin())[:, :, None] * out
    return points + grows[:, :, None] * turn


def roped(middle: Tensor, radius: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (N, K, 3) twisted around curves (N, K, 3), and what faces outward there."""
    out = outwards(middle)
    side = unit(torch.linalg.cross(tangents(middle), out))
    out = torch.linalg.cross(side, tangents(middle))
    step = (middle[:, 1:] - middle[:, :-1]).norm(dim=2)
    run = torch.cat([torch.zeros_like(step[:, :1]), step.cumsum(1)], dim=1)
    angle = 2 * math.pi * torch.rand(len(middle), 1, generator=chance) + run / (3 * radius)
    turn = angle.cos()[:, :, None] * side + angle.sin()[:, :, None] * out
    return middle + radius * turn, turn


def _frizzy(points: Tensor, size: float, chance: torch.Generator) -> Tensor:
    """Each strand a little out of line by slow waves of its own."""
    count, many, _ = points.shape
    along = torch.linspace(0, 1, many)[None, :, None]
    phase = 2 * math.pi * torch.rand(count, 1, 3, generator=chance)
    pace = 2 + 5 * torch.rand(count, 1, 3, generator=chance)
    lean = torch.randn(count, 1, 3, generator=chance)
    return points + size * along * (torch.sin(pace * along + phase) + 0.6 * lean)
