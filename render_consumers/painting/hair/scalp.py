"""Where hair grows and what it must keep off, on the template: scalp, ears, face and shoulders."""

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.mesh import Mesh
from render_consumers.painting.vectors import unit

# The hairline on the template, from the forehead over the ear to the nape: (y, z) in metres.
HAIRLINE = (
    (-0.16, 0.806), (-0.14, 0.800), (-0.122, 0.786), (-0.105, 0.765), (-0.092, 0.738),
    (-0.084, 0.712), (-0.074, 0.704), (-0.066, 0.728), (-0.055, 0.742), (-0.036, 0.740),
    (-0.026, 0.715), (-0.015, 0.690), (0.0, 0.674), (0.06, 0.660),
)  # fmt: skip
CENTRE = (0.0, -0.05, 0.755)  # of the skull
CELL = 0.015  # metres between the places that stand for a surface
EAR, EAR_SIZE = (0.074, -0.050, 0.709), (0.020, 0.024, 0.034)  # an ellipsoid around the left ear
FACE, FACE_SIZE = (0.0, -0.120, 0.700), (0.070, 0.075, 0.085)  # and one around the face


def hairline(place: Tensor) -> Tensor:
    """How far above the hairline (N,) places (N, 3) on the template lie, in metres."""
    knots = place.new_tensor(HAIRLINE)
    y = place[:, 1].contiguous()
    after = torch.searchsorted(knots[:, 0].contiguous(), y).clamp(1, len(knots) - 1)
    low, high = knots[after - 1], knots[after]
    share = ((y - low[:, 0]) / (high[:, 0] - low[:, 0])).clamp(0, 1)
    return place[:, 2] - (low[:, 1] + share * (high[:, 1] - low[:, 1]))


class Roots(msgspec.Struct, frozen=True):
    """N places on the skin: the triangles' corners (N, 3), how much of each, place and normal."""

    corners: Tensor
    weight: Tensor  # (N, 3)
    place: Tensor  # (N, 3)
    normal: Tensor  # (N, 3)

    def on(self, body: Tensor) -> Tensor:
        """Where (N, 3) the roots lie on another shape or pose (V, 3) of the body."""
        return (body[self.corners] * self.weight[:, :, None]).sum(1)

    def some(self, which: Tensor) -> "Roots":
        return Roots(*(getattr(self, name)[which] for name in self.__struct_fields__))


class Obstacle(msgspec.Struct, frozen=True):
    """A surface as places and normals (V, 3), dense enough to take for planes."""

    places: Tensor
    normals: Tensor

    def nearest(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """For places (N, 3) the surface's normal (N, 3) there and the height (N,) above it."""
        near = torch.cdist(at, self.places).argmin(1)
        normal = self.normals[near]
        return normal, ((at - self.places[near]) * normal).sum(1)


def thinned(places: Tensor, normals: Tensor, cell: float = CELL) -> Obstacle:
    """One place of a surface for each cell of space."""
    cells = (places / cell).floor().long()
    key = (cells[:, 0] * 4096 + cells[:, 1]) * 4096 + cells[:, 2]
    order = key.argsort(stable=True)
    key = key[order]
    first = torch.ones_like(key, dtype=torch.bool)
    first[1:] = key[1:] != key[:-1]
    kept = order[first].sort().values
    return Obstacle(places[kept], normals[kept])


class Scalp:
    """The template's head, on the processor whatever the device: hair grows alike everywhere."""

    def __init__(self, body: Tensor, template: Tensor, ears: Tensor) -> None:
        self._template = template
        mesh = Mesh(body)
        places = template[mesh.vertices]
        outside = (places[:, 2] > 0.35) & (places[:, 0].abs() < 0.26) & ~_at_ear(places)
        self.skin = thinned(places[outside], mesh.normals(places)[outside])
        self._faces, self._normals = _hairy(body, template, ears)

    def roots(self, count: int, chance: torch.Generator, part: float | None = None) -> Roots:
        """So many roots, evenly over the scalp down to a soft line, and more along a parting."""
        area = _areas(self._template[self._faces])
        many = count * 3  # of which those under the hairline are dropped
        face = torch.multinomial(area, many, replacement=True, generator=chance)
        a, b = torch.rand(2, many, generator=chance)
        root = a.sqrt()
        weight = torch.stack([1 - root, root * (1 - b), root * b], dim=1)
        corners = self._faces[face]
        mixed = (self._template[corners] * weight[:, :, None]).sum(1)
        normal = unit((self._normals[corners] * weight[:, :, None]).sum(1))
        kept = hairline(mixed) > 0.010 * torch.rand(many, generator=chance)
        wanted = kept & (kept.cumsum(0) <= count)
        if part is not None:
            wanted |= kept & _along_parting(mixed, part)
        kept = wanted.nonzero()[:, 0]
        return Roots(corners[kept], weight[kept], mixed[kept], normal[kept])


def _hairy(body: Tensor, template: Tensor, ears: Tensor) -> tuple[Tensor, Tensor]:
    """The triangles (F, 3) of the head that hair may grow on, and normals (V, 3) smoothed there."""
    place = template[body]
    scalp = (place[:, :, 2].amin(1) > 0.65) & (place[:, :, 1].amax(1) > -0.17)
    near = (hairline(template)[body] > -0.01).any(1)
    faces = body[scalp & near & (ears[body] < 0.2).all(1)]
    mesh = Mesh(faces)
    normals = torch.zeros_like(template)
    normals[mesh.vertices] = mesh.smoothed(mesh.normals(template[mesh.vertices]), 6)
    return faces, normals


def sideburn(place: Tensor) -> Tensor:
    """Which places (N, 3) lie in front of an ear, where hair is not combed but kept short."""
    return (place[:, 2] < 0.738) & (place[:, 1] < -0.052)


def _at_ear(place: Tensor) -> Tensor:
    off = (place.abs() - place.new_tensor(EAR).abs()) / place.new_tensor(EAR_SIZE)
    inside: Tensor = off.norm(dim=1) < 1.25
    return inside


def _along_parting(place: Tensor, part: float) -> Tensor:
    return ((place[:, 0] - part).abs() < 0.008) & (place[:, 1] < 0.0) & (place[:, 2] > 0.79)


def _areas(corners: Tensor) -> Tensor:
    a, b, c = corners.unbind(1)
    areas: Tensor = torch.linalg.cross(b - a, c - a).norm(dim=1)
    return areas


def beside_face(at: Tensor, fringe: bool = False) -> Tensor:
    """Places (N, 3), each moved sideways as far as it takes to clear the ears and the face."""
    at = _aside(at, EAR, EAR_SIZE)
    return at if fringe else _aside(at, FACE, FACE_SIZE)


def _aside(
    at: Tensor, middle: tuple[float, float, float], size: tuple[float, float, float]
) -> Tensor:
    mx, my, mz = middle
    sx, sy, sz = size
    room = 1 - ((at[:, 1] - my) / sy) ** 2 - ((at[:, 2] - mz) / sz) ** 2
    edge = mx + sx * room.clamp(min=0).sqrt()
    side = at[:, 0].sign()
    inside = (room > 0) & (at[:, 0].abs() < edge) & (at[:, 0].abs() > mx - sx)
    x = torch.where(inside, side * edge, at[:, 0])
    return torch.stack([x, at[:, 1], at[:, 2]], dim=1)


def zones(place: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How much (N,) of a root at places (N, 3) is top, fringe, back and side; sums to 1."""
    top = _ramp(0.760, 0.822, place[:, 2] - 0.10 * (place[:, 1] + 0.05).clamp(min=0))
    fringe = _ramp(0.758, 0.785, place[:, 2]) * _ramp(-0.082, -0.108, place[:, 1])
    top = torch.maximum(top, fringe)
    back = (1 - top) * _ramp(-0.035, 0.010, place[:, 1])
    return top - fringe, fringe, back, 1 - top - back


def _ramp(low: float, high: float, value: Tensor) -> Tensor:
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)
