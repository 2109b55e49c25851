"""One table of measurements: where the tape lies on a person who stands, and what it reads.

docs/measurements.md says the same in words. The person stands in the I-pose, and a girth is that
of a true plane, found anew on each body where its definition asks for the largest or smallest.
"""

import math
from collections.abc import Callable
from typing import Literal

import msgspec
import torch
from torch import Tensor

from domain.vocabulary import POSES
from render_consumers.painting.body.assets import Assets
from render_consumers.painting.body.body import Body, standing
from render_consumers.painting.mesh import distinct

DIRECTIONS = 48
PLANES = 12  # how many are tried where the largest or smallest girth of a zone is asked for
# How far skin moves along a tape's axis, as seen from its landmarks, in metres: as a rule, and
# where breasts hang from a landmark.
SLIP, SAG = 0.05, 0.12
UPRIGHT = standing(POSES["i-pose"])
Axis = tuple[float, float, float]
Y, Z = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Girth(msgspec.Struct, frozen=True):
    """A tape around the skin on the bones named in ``around``, without those in ``without``.

    ``share`` is where on the way from one landmark to the other: two shares bound a zone, of
    which the ``pick`` is read. The tape lies level, or ``across`` the line between the landmarks.
    ``left`` keeps it to the left limb.
    """

    around: tuple[str, ...]
    way: tuple[str, str]
    share: tuple[float, float]
    pick: Literal["largest", "smallest"] = "largest"
    across: bool = False
    left: bool = False
    without: tuple[str, ...] = ()


class Distance(msgspec.Struct, frozen=True):
    """In a straight line from one landmark to another."""

    start: str
    end: str


class Extent(msgspec.Struct, frozen=True):
    """How far the skin on the bones named in ``around``, and a landmark, reach along one axis."""

    axis: Axis
    around: tuple[str, ...]
    landmark: str = ""


Rule = Girth | Distance | Extent

FOLD = "under the breast"

# Landmarks are the heads of bones, by name, and points of the skin: the vertex that is nearest to
# a place on the template, in metres. Of several the one that is lowest on the body counts.
SKIN: dict[str, tuple[Axis, ...]] = {
    "crotch": tuple(
        (0.0, y, z)
        for y, z in (
            (0.0063, -0.0366), (-0.0086, -0.042), (-0.0248, -0.0413), (-0.0426, -0.0419),
            (-0.0634, -0.0416), (-0.0862, -0.0366), (-0.1024, -0.025),
        )
    ),
    "navel": ((0.0, -0.1362, 0.184),),
    FOLD: ((0.073, -0.152, 0.358), (0.071, -0.149, 0.354), (0.069, -0.149, 0.346)),
    "armpit": ((0.152, -0.003, 0.439),),
    "acromion.L": ((0.209, -0.007, 0.545),),
    "acromion.R": ((-0.209, -0.007, 0.545),),
    "fingertip": ((0.481, -0.302, 0.132),),
}  # fmt: skip

TRUNK = ("spine", "pelvis", "breast", "clavicle", "root", "upperleg", "neck01", "shoulder01")
LEG, ARM = ("pelvis", "root", "spine05", "upperleg", "lowerleg"), ("upperarm", "lowerarm", "wrist")
HAND, FOOT = ("wrist", "metac", "finger"), ("foot", "toe")
NECK = ("neck", "head", "spine01", "clavicle", "jaw")
BODY = ("",)

TABLE: dict[str, Rule] = {
    "Height": Extent(Z, BODY),
    "Thigh Length": Distance("upperleg01.L", "lowerleg01.L"),
    "Calf Length": Extent(Z, FOOT, "lowerleg01.L"),
    "Feet Length": Extent(Y, FOOT),
    "Neck Length": Distance("neck01", "head"),
    "Shoulder Width": Distance("acromion.R", "acromion.L"),
    "Upper Arm Length": Distance("upperarm01.L", "lowerarm01.L"),
    "Forearm Length": Distance("lowerarm01.L", "wrist.L"),
    "Hand Length": Distance("wrist.L", "fingertip"),
    "Neck Thickness": Girth(NECK, ("neck01", "neck03"), (0.2, 0.8), "smallest", across=True),
    "Bust": Girth(TRUNK, (FOLD, "armpit"), (0.0, 1.0)),
    "Underbust": Girth(TRUNK, (FOLD, "crotch"), (0.02, 0.02), without=("breast",)),
    "Waist": Girth(TRUNK, ("spine03", "spine02"), (0.0, 1.0), "smallest"),
    "Belly": Girth(TRUNK, ("navel", "spine02"), (0.0, 0.0)),
    "Hips": Girth(TRUNK, ("crotch", "spine05"), (0.0, 1.0)),
    "Thigh Size": Girth(LEG, ("crotch", "lowerleg01.L"), (0.06, 0.06), left=True),
    "Calf Size": Girth(LEG, ("lowerleg01.L", "foot.L"), (0.2, 0.5), left=True),
    "Upper Arm Size": Girth(
        ARM, ("upperarm01.L", "lowerarm01.L"), (0.45, 0.45), across=True, left=True
    ),
    "Forearm Size": Girth(ARM, ("lowerarm01.L", "wrist.L"), (0.1, 0.5), across=True, left=True),
    "Hand Size": Girth(
        HAND, ("wrist.L", "finger3-1.L"), (0.9, 0.9), across=True, left=True, without=("finger1",)
    ),
}
DERIVED: dict[str, tuple[str, str]] = {"Cup": ("Bust", "Underbust")}
NAMES: tuple[str, ...] = (*TABLE, *DERIVED)


class _Spots:
    """Numbers what is read of a body: first all joints, then what is kept of the skin."""

    def __init__(self, assets: Assets) -> None:
        self.assets, self.device = assets, assets.template.device
        self._skin: Tensor = torch.unique(assets.parts["body"])
        self._edges = _edges(assets.parts["body"])
        heaviest = assets.bone_weight.argmax(dim=1, keepdim=True)
        self._bone = assets.bone_of.gather(1, heaviest)[:, 0]
        self._number = torch.full_like(self._bone, -1)
        self._count = len(assets.joints)
        self._kept: list[Tensor] = []

    def kept(self) -> Tensor:
        """The vertices (K - J,) of the skin in the order of their numbers."""
        return torch.cat(self._kept)

    def landmark(self, name: str) -> Tensor:
        if name not in SKIN:
            return self._bone.new_tensor([self.assets.bone_names.index(name)])
        return self._keep(self._nearest(name))

    def edges(self, rule: Girth) -> Tensor:
        """The edges (E, 2) of the skin that a tape may lie on, on any body."""
        allowed = self._on(rule.around) & ~self._on(rule.without)
        if rule.left:
            allowed &= self.assets.template[:, 0] > -1e-4
        start, end = (self._place(name) for name in rule.way)
        normal = _normal(rule, start, end)
        zone = [((start + share * (end - start)) @ normal) for share in rule.share]
        slip = SAG if FOLD in rule.way else SLIP
        height = self.assets.template @ normal
        allowed &= (height > min(zone) - slip) & (height < max(zone) + slip)
        return self._keep(self._edges[allowed[self._edges].all(1)])

    def ends(self, rule: Extent) -> Tensor:
        """The skin that may reach furthest one way or the other along the axis."""
        left = self.assets.template[self._skin, 0] > -1e-4
        chosen = self._skin[self._on(rule.around)[self._skin] & left]
        place = self.assets.template[chosen, rule.axis.index(1.0)]
        return self._keep(chosen[(place > place.max() - 0.01) | (place < place.min() + 0.01)])

    def _nearest(self, name: str) -> Tensor:
        places = self.assets.template.new_tensor(SKIN[name])
        skin = self.assets.template[self._skin]
        apart = (places[:, None] - skin).norm(dim=2)
        return self._skin[apart.argmin(1)]

    def _place(self, name: str) -> Tensor:
        """Where a landmark is on the template."""
        if name in SKIN:
            return self.assets.template[self._nearest(name)[0]]
        return self.assets.joints[self.assets.bone_names.index(name)]

    def _keep(self, vertices: Tensor) -> Tensor:
        new = torch.unique(vertices[self._number[vertices] < 0])
        self._number[new] = torch.arange(self._count, self._count + len(new), device=new.device)
        self._count += len(new)
        self._kept.append(new)
        return self._number[vertices]

    def _on(self, stems: tuple[str, ...]) -> Tensor:
        """Which vertices (V,) hang mainly on bones whose names start so."""
        matches = [name.startswith(stems) for name in self.assets.bone_names]
        return torch.tensor(matches, device=self._bone.device)[self._bone]


class _Length:
    """A distance or an extent, and the spots (K,) that it is read from."""

    def __init__(self, rule: Distance | Extent, spots: _Spots) -> None:
        if isinstance(rule, Distance):
            self._axis = None
            self.spots = torch.cat([spots.landmark(name) for name in (rule.start, rule.end)])
        else:
            self._axis = rule.axis.index(1.0)
            landmark = [spots.landmark(rule.landmark)] if rule.landmark else []
            self.spots = torch.cat([spots.ends(rule), *landmark])

    def read(self, places: Tensor) -> Tensor:
        """Metres (N,), from where the spots (K, N, 3) are."""
        if self._axis is None:
            length: Tensor = (places[1] - places[0]).norm(dim=1)
            return length
        along = places[:, :, self._axis]
        return along.amax(0) - along.amin(0)


class Laid(msgspec.Struct, frozen=True):
    """L points at a share (L,) of the way between two spots (L, 2), each of a ring (L,).

    ``flat`` (R, 3, 2) are two axes in the plane of each ring.
    """

    ends: Tensor
    share: Tensor
    ring: Tensor
    flat: Tensor


class _Rings:
    """All girths at once: R tapes, each in one of P planes."""

    def __init__(self, rules: list[Girth], spots: _Spots) -> None:
        self._rules = rules
        self._way = [[spots.landmark(name) for name in rule.way] for rule in rules]
        edges = [spots.edges(rule) for rule in rules]
        self._edges = torch.cat(edges)
        self._ring = torch.cat([torch.full_like(e[:, 0], i) for i, e in enumerate(edges)])
        self._share = torch.stack([_shares(rule) for rule in rules]).to(self._edges.device)
        self._sign = self._share.new_tensor([1 if r.pick == "largest" else -1 for r in rules])
        angle = torch.arange(DIRECTIONS, device=self._edges.device) * (2 * math.pi / DIRECTIONS)
        self._rays = torch.stack([angle.cos(), angle.sin()])

    def girths(self, laid: Laid, ends: Tensor) -> list[Tensor]:
        """The girths (N,) of each tape, where its ends (2 L, N, 3) are on N bodies."""
        start, end = ends.view(-1, 2, *ends.shape[1:]).unbind(1)
        points = torch.lerp(start, end, laid.share[:, None, None]) @ laid.flat[laid.ring]
        counts = torch.bincount(laid.ring, minlength=len(self._rules)).tolist()
        return [girth(reach) for reach in torch.split(points @ self._rays, counts)]

    def laid(self, body: Tensor) -> Laid:
        """Each tape in its plane of one body (K, 3)."""
        planes, normals, flat = self._planes(body)
        height = (body @ normals.T)[self._edges, self._ring[:, None]]
        tried = torch.where(planes.isnan(), planes[:, :1], planes)
        low, high = tried.amin(1)[self._ring], tried.amax(1)[self._ring]
        near = ((height.amax(1) > low) & (height.amin(1) <= high)).nonzero()[:, 0]
        ends, ring, height = self._edges[near], self._ring[near], height[near]
        above = height[:, :, None] > planes[ring, None]
        edge, plane = (above[:, 0] != above[:, 1]).nonzero().unbind(1)
        ends, ring, height = ends[edge], ring[edge], height[edge]
        share = (planes[ring, plane] - height[:, 0]) / height.diff(dim=1)[:, 0]
        points = torch.lerp(body[ends[:, 0]], body[ends[:, 1]], share[:, None])
        chosen = plane == self._picked((points[:, :, None] * flat[ring]).sum(1), ring, plane)[ring]
        return Laid(ends[chosen], share[chosen], ring[chosen], flat)

    def _planes(self, body: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heights (R, P) along normals (R, 3), and two axes in each plane (R, 3, 2)."""
        ways = [[spots[body[spots, 2].argmin()] for spots in way] for way in self._way]
        start, end = body[torch.stack([torch.stack(way) for way in ways])].unbind(1)
        normals = torch.stack(
            [_normal(rule, a, b) for rule, a, b in zip(self._rules, start, end, strict=True)]
        )
        low, high = (start * normals).sum(1), (end * normals).sum(1)
        side = torch.linalg.cross(normals, normals.new_tensor(Y).expand_as(normals))
        side = side / side.norm(dim=1, keepdim=True)
        flat = torch.stack([side, torch.linalg.cross(normals, side)], dim=2)
        return low[:, None] + self._share * (high - low)[:, None], normals, flat

    def _picked(self, flat: Tensor, ring: Tensor, plane: Tensor) -> Tensor:
        """The plane (R,) of the largest or smallest girth, from points (L, 2) in their planes."""
        reach = flat @ self._rays
        furthest = reach.new_full((len(self._rules) * PLANES, DIRECTIONS), -torch.inf)
        index = (ring * PLANES + plane)[:, None].expand_as(reach)
        furthest.scatter_reduce_(0, index, reach, "amax")
        girths = furthest.mean(1).view(-1, PLANES)
        wanted = (girths * self._sign[:, None]).where(girths.isfinite(), -torch.inf)
        return wanted.argmax(1)


class Reading(msgspec.Struct, frozen=True):
    """What a tape reads on the body that it is laid on, in the order of ``NAMES``; centimetres.

    ``near`` reads bodies (N, S) that are near that one, along the same skin.
    """

    measured: Tensor
    near: Callable[[Tensor], Tensor]


class Tape:
    """Reads every measurement of the table, in centimetres, from the shapes' weights."""

    def __init__(self, body: Body) -> None:
        self._body, assets = body, body.assets
        spots = _Spots(assets)
        self._rings = _Rings([r for r in TABLE.values() if isinstance(r, Girth)], spots)
        self._lengths = [_Length(r, spots) for r in TABLE.values() if not isinstance(r, Girth)]
        skin, bones = spots.kept(), torch.eye(len(assets.joints), device=spots.device)
        self._base = torch.cat([assets.joints, assets.template[skin]])
        self._basis = torch.cat([assets.joint_shapes, assets.shapes[:, skin]], dim=1)
        blend = torch.zeros(len(skin), len(bones), device=spots.device)
        blend.scatter_add_(1, assets.bone_of[skin], assets.bone_weight[skin])
        self._blend = torch.cat([bones, blend])

    def lay(self, weights: Tensor) -> Reading:
        """Lay the tape on the body of weights (S,)."""
        rest = self._at_rest(weights[None], slice(None))[0]
        turns, moves = self._body.bones_in(UPRIGHT, rest[: self._blend.shape[1]])
        blended = self._blend @ torch.cat([turns.flatten(1), moves], dim=1)
        turn, move = blended[:, :9].view(-1, 3, 3), blended[:, 9:]
        body = (turn @ rest[:, :, None])[:, :, 0] + move
        tapes = self._rings.laid(body)
        spots = torch.cat([tapes.ends.flatten(), *(length.spots for length in self._lengths)])
        turn, move = turn[spots].mT, move[spots, None]

        def near(weights: Tensor) -> Tensor:
            at_rest = self._at_rest(weights, spots).transpose(0, 1)
            return self._measured(tapes, at_rest @ turn + move)

        return Reading(self._measured(tapes, body[spots, None])[0], near)

    def _measured(self, tapes: Laid, places: Tensor) -> Tensor:
        """Centimetres (N, M) in the order of ``NAMES``, from where the spots (K, N, 3) are."""
        sizes = [tapes.ends.numel(), *(len(length.spots) for length in self._lengths)]
        ends, *others = torch.split(places, sizes)
        around = iter(self._rings.girths(tapes, ends))
        long = iter([length.read(at) for length, at in zip(self._lengths, others, strict=True)])
        read = {
            name: 100 * next(around if isinstance(rule, Girth) else long)
            for name, rule in TABLE.items()
        }
        read |= {name: read[more] - read[less] for name, (more, less) in DERIVED.items()}
        return torch.stack([read[name] for name in NAMES], dim=1)

    def _at_rest(self, weights: Tensor, spots: Tensor | slice) -> Tensor:
        """Spots (N, K, 3) of bodies in the rest pose."""
        used = weights.any(0).nonzero()
        shapes = self._basis[used, spots] if isinstance(spots, Tensor) else self._basis[used[:, 0]]
        moved = weights[:, used[:, 0]] @ shapes.flatten(1)
        return self._base[spots] + moved.view(len(weights), -1, 3)


def girth(reach: Tensor) -> Tensor:
    """The length (N,) of a tape pulled tight, from how far its points (L, N, D) reach each way.

    By Cauchy: the mean width of the outline times pi.
    """
    mean: Tensor = reach.amax(0).mean(1)
    return mean * (2 * math.pi)


def _shares(rule: Girth) -> Tensor:
    """Where planes (P,) are tried; what is not a number is crossed by nothing."""
    if rule.share[0] != rule.share[1]:
        return torch.linspace(*rule.share, PLANES)
    return torch.tensor([rule.share[0], *[math.nan] * (PLANES - 1)])


def _normal(rule: Girth, start: Tensor, end: Tensor) -> Tensor:
    return (end - start) / (end - start).norm() if rule.across else start.new_tensor(Z)


def _edges(faces: Tensor) -> Tensor:
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges, _, _ = distinct(pairs.sort(dim=1).values)
    return edges
