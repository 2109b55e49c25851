"""Hair in the pose: grown once for each style, carried by the head, kept out of what is worn."""

from functools import lru_cache
from zlib import crc32

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.body.preparation import MARKS
from render_consumers.painting.hair import cards, knots
from render_consumers.painting.hair.knots import Braid, Bun, Swept, Tail
from render_consumers.painting.hair.scalp import Obstacle, Roots, Scalp, thinned
from render_consumers.painting.hair.strands import Cut, Strands, grown
from render_consumers.painting.hair.styles import STYLES, Part
from render_consumers.painting.picture.scene import Layer, Material

KEPT = 6  # styles that are kept grown: some megabytes each
SHOULDERS = 0.66  # height on the template under which hair may meet what is worn
SHOULDER = -0.02  # y of the shoulders on the template
CASTING = 4  # of so many cards one casts a shadow: they lie close
ROOM = 0.006  # metres between cloth and hair


class Lain(msgspec.Struct, frozen=True):
    """Hair as it is drawn: vertices (V, ...) and triangles (F, 3) of all cards."""

    faces: Tensor
    places: Tensor
    facing: Tensor
    tangents: Tensor
    texture: Tensor  # (V, 3) across a card in metres, along it from 0 to 1, tint
    depth: Tensor  # (V,)
    casts: Tensor  # (F,) every so many cards

    def normals(self, _places: Tensor) -> Tensor:
        return self.facing


class Hair:
    """Grows every style on the template's head, and lays it on a head in the pose."""

    def __init__(self, body: Tensor, template: Tensor, ears: Tensor) -> None:
        self._device = template.device
        self._scalp = Scalp(body.cpu(), template.cpu(), ears.cpu())
        self._head = (template[:, 2] > 0.67).nonzero()[:, 0]
        self._template = template
        self._grown = lru_cache(KEPT)(self._grow)

    def worn(self, style: str, posed: Tensor, beside: list[Layer]) -> Layer | None:
        """The hair of a posed body (V, 3), outside of the other layers; None where none grows."""
        grown = self._grown(style)
        if not grown:
            return None
        affine = _affine(self._template[self._head], posed[self._head])
        chin = float((_extended(self._template.new_tensor([0.0, -0.05, SHOULDERS])) @ affine)[2])
        obstacles = _obstacles(beside, chin)
        return _layer(_together([self._laid(part, posed, affine, obstacles) for part in grown]))

    def _grow(self, style: str) -> tuple[Strands, ...]:
        chance = torch.Generator().manual_seed(crc32(style.encode()))
        return tuple(_moved(self._part(part, chance), self._device) for part in STYLES[style].parts)

    def _part(self, part: Part, chance: torch.Generator) -> Strands:
        match part:
            case Cut():
                return grown(part, self._scalp, chance)
            case Swept():
                return knots.swept(part, self._scalp, chance)
            case Tail():
                roots = self._below(part.path[0], part.strands)
                return knots.hanging(part, roots, chance)
            case Bun():
                return knots.wound(part, self._below(part.middle, part.strands), chance)
            case Braid():
                return knots.plaited(part, self._below(part.path[0], part.strands), chance)

    def _below(self, knot: knots.Place, count: int) -> Roots:
        """The root next to a knot, so many times."""
        roots = self._scalp.roots(2000, torch.Generator().manual_seed(1))
        near = (roots.place - torch.tensor(knot)).norm(dim=1).argmin()
        return roots.some(near.expand(count))

    def _laid(self, strands: Strands, posed: Tensor, affine: Tensor, obstacles: Obstacle) -> Lain:
        places = _extended(strands.points) @ affine
        roots = strands.roots
        off = roots.on(posed) - _extended(roots.on(self._template)) @ affine
        places = places + off[:, None]
        low = strands.points[..., 2] < SHOULDERS
        if bool(low.any()):
            places = _over(places, low, strands.lock, obstacles, _behind(strands, affine))
        outward = torch.nn.functional.normalize(strands.outward @ affine[:3], dim=2)
        scale = affine[:3].det().abs() ** (1 / 3)
        lain = msgspec.structs.replace(
            strands, points=places, outward=outward, width=strands.width * scale
        )
        return _carded(lain)


def _obstacles(layers: list[Layer], chin: float) -> Obstacle:
    """What hair may meet: everything that shows below the chin, down to the hips."""
    shown = [layer.field > 0 for layer in layers]
    places = torch.cat([each.places[at] for each, at in zip(layers, shown, strict=True)])
    normals = torch.cat(
        [each.mesh.normals(each.places)[at] for each, at in zip(layers, shown, strict=True)]
    )
    high = (places[:, 2] > 0.66 * chin) & (places[:, 2] < chin)
    return thinned(places[high], normals[high], 0.015)


def _layer(hair: Lain) -> Layer:
    blank = torch.zeros_like(hair.places[:, :1]).expand(-1, len(MARKS) - 1)
    return Layer(
        material=Material.HAIR,
        mesh=hair,
        places=hair.places,
        template=hair.texture,
        marks=torch.cat([hair.depth[:, None], blank], dim=1),
        field=torch.ones_like(hair.depth),
        open=True,
        tangents=hair.tangents,
        casts=hair.casts,
    )


def _behind(strands: Strands, affine: Tensor) -> Tensor:
    """Which way (N, 3) is past the shoulders: to the back or to the front, as the strand hangs."""
    back = torch.where(strands.points[:, -1, 1:2] > SHOULDER, 1.0, -1.0)
    return back * torch.nn.functional.normalize(affine[1], dim=0)


def _over(places: Tensor, low: Tensor, lock: Tensor, obstacles: Obstacle, past: Tensor) -> Tensor:
    """Hair (N, K, 3) held outside of what is worn where it is ``low``, whole locks at a time.

    What meets the top of a shoulder slides ``past`` (N, 3) it instead of standing up there.
    """
    leaders, member = torch.unique(lock, return_inverse=True)
    rest = places[leaders]
    held = rest.clone()
    step = rest[:, 1:] - rest[:, :-1]
    for k in range(1, rest.shape[1]):
        at = held[:, k - 1] + step[:, k - 1]
        for _ in range(2):
            normal, height = obstacles.nearest(at)
            near = (height > -0.10) & (height < ROOM) & low[leaders, k]
            level = normal[:, 2:].clamp(min=0)
            push = torch.nn.functional.normalize(normal + 1.5 * level * past[leaders], dim=1)
            far = ((ROOM - height) / (push * normal).sum(1).clamp(min=0.3)).clamp(max=0.08)
            at = at + push * torch.where(near, far, 0.0)[:, None]
            way = at - held[:, k - 1]
            at = held[:, k - 1] + torch.nn.functional.normalize(way, dim=1) * step[:, k - 1].norm(
                dim=1, keepdim=True
            )
        held[:, k] = at
    return _lifted(places + (held - rest)[member], low, obstacles)


def _lifted(places: Tensor, low: Tensor, obstacles: Obstacle) -> Tensor:
    """The same hair, each point by itself out of what it would still pass through."""
    which = low.nonzero(as_tuple=True)
    normal, height = obstacles.nearest(places[which])
    inside = (height > -0.06) & (height < ROOM)
    places[which] += normal * torch.where(inside, ROOM - height, 0.0)[:, None]
    return places


def _carded(strands: Strands) -> Lain:
    count, points, _ = strands.points.shape
    made = cards.ribbons(strands)
    along = torch.linspace(0, 1, points, device=strands.points.device).expand(count, -1)
    half = 0.5 * strands.width
    tint = strands.tint[:, None].expand(-1, points)
    left = torch.stack([-half, along, tint], dim=2)
    right = torch.stack([half, along, tint], dim=2)
    return Lain(
        faces=cards.faces(count, points).to(strands.points.device),
        places=made.places,
        facing=made.normals,
        tangents=made.tangents,
        texture=torch.stack([left, right], dim=2).view(-1, 3),
        casts=torch.arange(count * 2 * (points - 1), device=along.device)
        // (2 * (points - 1))
        % CASTING
        == 0,
        depth=strands.depth.expand(count, points).repeat_interleave(2, dim=1).flatten(),
    )


def _together(parts: list[Lain]) -> Lain:
    sizes = [len(part.places) for part in parts]
    first = [sum(sizes[:i]) for i in range(len(sizes))]

    def joined(name: str) -> Tensor:
        columns = [getattr(part, name) for part in parts]
        if name == "faces":  # which count vertices
            columns = [each + start for each, start in zip(columns, first, strict=True)]
        return torch.cat(columns)

    return Lain(**{name: joined(name) for name in Lain.__struct_fields__})


def _moved(strands: Strands, device: torch.device) -> Strands:
    roots = Roots(*(getattr(strands.roots, n).to(device) for n in Roots.__struct_fields__))
    rest = {
        name: getattr(strands, name).to(device)
        for name in Strands.__struct_fields__
        if name != "roots"
    }
    return Strands(**rest, roots=roots)


def _affine(start: Tensor, end: Tensor) -> Tensor:
    """The affine map (4, 3) that best takes places (N, 3) to other places."""
    solved: Tensor = torch.linalg.lstsq(_extended(start).double(), end.double()).solution
    return solved.to(start)


def _extended(places: Tensor) -> Tensor:
    return torch.cat([places, torch.ones_like(places[..., :1])], dim=-1)
