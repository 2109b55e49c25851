"""One table of measurements: where the tape lies, and what it reads on any body.

Each measurement looks at a few points that are fixed on the mesh and move linearly with the
body's shapes, so that hundreds of bodies are measured in one product of matrices.
"""

import math
from collections.abc import Callable
from typing import Literal

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.body.assets import Assets
from render_consumers.painting.mesh import distinct

DIRECTIONS = 96
Axis = tuple[float, float, float]
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Girth(msgspec.Struct, frozen=True):
    """A tape around the bones named in ``around``, without the ones in ``without``.

    It lies level at ``height`` on the template (metres), or across the limb from one joint to
    another at a share of the way. ``left`` keeps it to the left limb.
    """

    around: tuple[str, ...]
    height: float = 0.0
    across: tuple[str, str, float] | None = None
    left: bool = False
    without: tuple[str, ...] = ()


class JointDistance(msgspec.Struct, frozen=True):
    """The distance from one joint to another, or to the point furthest out near the second."""

    start: str
    end: str
    out: Axis | None = None


class Extent(msgspec.Struct, frozen=True):
    """How far the body between two heights of the template reaches along one axis."""

    axis: Axis
    around: tuple[str, ...]


TRUNK = ("spine", "pelvis", "breast", "clavicle", "root", "upperleg", "neck01", "shoulder01")
LEG, ARM, HAND = ("upperleg", "lowerleg"), ("upperarm", "lowerarm"), ("wrist", "metac", "finger")
FOOT, HEAD = ("foot", "toe"), ("neck", "head", "spine01", "clavicle", "jaw")
BODY = ("",)

TABLE: dict[str, Girth | JointDistance | Extent] = {
    "Height": Extent(Z, BODY),
    "Thigh Length": JointDistance("upperleg01.L", "lowerleg01.L"),
    "Calf Length": JointDistance("lowerleg01.L", "foot.L", out=(0.0, 0.0, -1.0)),
    "Feet Length": Extent(Y, FOOT),
    "Neck Length": JointDistance("neck01", "head"),
    "Shoulder Width": JointDistance("upperarm01.R", "upperarm01.L", out=(1.0, 0.0, 1.0)),
    "Upper Arm Length": JointDistance("upperarm01.L", "lowerarm01.L"),
    "Forearm Length": JointDistance("lowerarm01.L", "wrist.L"),
    "Hand Length": JointDistance("wrist.L", "finger3-3.L", out=(0.2, -0.7, -0.7)),
    "Neck Thickness": Girth(HEAD, height=0.6),
    "Bust": Girth(TRUNK, height=0.405),
    "Underbust": Girth(TRUNK, height=0.345),
    "Waist": Girth(TRUNK, height=0.25),
    "Belly": Girth(TRUNK, height=0.16),
    "Hips": Girth(TRUNK, height=0.03),
    "Thigh Size": Girth(LEG, height=-0.06, left=True),
    "Calf Size": Girth(LEG, height=-0.47, left=True),
    "Upper Arm Size": Girth(ARM, across=("upperarm01.L", "lowerarm01.L", 0.45), left=True),
    "Forearm Size": Girth(ARM, across=("lowerarm01.L", "wrist.L", 0.18), left=True),
    "Hand Size": Girth(
        HAND, across=("wrist.L", "finger3-1.L", 0.7), left=True, without=("finger1",)
    ),
}
REACH = {"upperarm01": 0.06, "foot": 0.12, "finger3-3": 0.06}  # metres from the joint
DERIVED: dict[str, tuple[str, str]] = {"Cup": ("Bust", "Underbust")}
NAMES: tuple[str, ...] = (*TABLE, *DERIVED)

Reading = Callable[[Tensor], Tensor]


class Tape:
    """Reads every measurement of the table, in centimetres, from the shapes' weights."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._edges = _edges(assets.parts["body"])
        self._bone = _main_bones(assets)
        self._template: list[Tensor] = []
        self._shapes: list[Tensor] = []
        self._readings: list[tuple[slice, Reading]] = []
        for rule in TABLE.values():
            self._lay(rule)
        self._base = torch.cat(self._template)
        basis = torch.cat(self._shapes, dim=1).flatten(1)
        self._used = (basis.abs().amax(1) > 0).nonzero()[:, 0]
        self._basis = basis[self._used]

    def read(self, weights: Tensor) -> Tensor:
        """Measurements (N, M) in the order of ``NAMES`` for weights (N, S)."""
        points = self._base + (weights[:, self._used] @ self._basis).view(len(weights), -1, 3)
        read = [100.0 * reading(points[:, where]) for where, reading in self._readings]
        order = tuple(TABLE)
        read += [read[order.index(a)] - read[order.index(b)] for a, b in DERIVED.values()]
        return torch.stack(read, dim=1)

    def _lay(self, rule: Girth | JointDistance | Extent) -> None:
        start = sum(map(len, self._template))
        reading = (
            self._lay_girth(rule)
            if isinstance(rule, Girth)
            else self._lay_span(rule)
            if isinstance(rule, JointDistance)
            else self._lay_extent(rule)
        )
        self._readings.append((slice(start, sum(map(len, self._template))), reading))

    def _lay_girth(self, rule: Girth) -> Reading:
        origin, normal = self._plane(rule)
        allowed = self._on(rule.around) & ~self._on(rule.without)
        if rule.left:
            allowed &= self._assets.template[:, 0] > -1e-4
        edges = self._edges[allowed[self._edges].all(1)]
        above = (self._assets.template - origin) @ normal
        crossed = (above[edges[:, 0]] <= 0) != (above[edges[:, 1]] <= 0)
        first, second = edges[crossed].unbind(1)
        share = (above[first] / (above[first] - above[second]))[:, None]
        for kept, values in (
            (self._template, self._assets.template[None]),
            (self._shapes, self._assets.shapes),
        ):
            mixed = values[:, first] * (1 - share) + values[:, second] * share
            kept.append(mixed[0] if kept is self._template else mixed)
        return _girth(normal)

    def _plane(self, rule: Girth) -> tuple[Tensor, Tensor]:
        template = self._assets.template
        if rule.across is None:
            return template.new_tensor((0.0, 0.0, rule.height)), template.new_tensor(Z)
        start, end, share = rule.across
        along = self._joint(end) - self._joint(start)
        return self._joint(start) + share * along, along / along.norm()

    def _lay_span(self, rule: JointDistance) -> Reading:
        for name, out in ((rule.start, _mirrored(rule)), (rule.end, rule.out)):
            if out is None:
                bone = self._assets.bone_names.index(name)
                self._template.append(self._assets.joints[bone, None])
                self._shapes.append(self._assets.joint_shapes[:, bone, None])
            else:
                self._keep([self._furthest(name, out)])
        drop = rule.out == (0.0, 0.0, -1.0)
        axes: tuple[int, ...] = (2,) if drop else (0, 1, 2)
        return lambda points: (points[:, 1, axes] - points[:, 0, axes]).norm(dim=1)

    def _furthest(self, joint: str, out: Axis) -> int:
        """The vertex of the body within reach of a joint that lies furthest out."""
        template = self._assets.template
        near = (template - self._joint(joint)).norm(dim=1) < REACH[joint.partition(".")[0]]
        near[int(self._assets.parts["body"].max()) + 1 :] = False
        reach = (template @ template.new_tensor(out)).masked_fill(~near, -torch.inf)
        return int(reach.argmax())

    def _lay_extent(self, rule: Extent) -> Reading:
        body = torch.unique(self._assets.parts["body"])
        chosen = body[self._on(rule.around)[body] & (self._assets.template[body, 0] > -1e-4)]
        place = self._assets.template[chosen] @ self._assets.template.new_tensor(rule.axis)
        edge = (place > place.max() - 0.03) | (place < place.min() + 0.03)
        self._keep(chosen[edge].tolist())
        axis: Literal[1, 2] = 1 if rule.axis == Y else 2
        return lambda points: points[:, :, axis].amax(1) - points[:, :, axis].amin(1)

    def _keep(self, vertices: list[int]) -> None:
        self._template.append(self._assets.template[vertices])
        self._shapes.append(self._assets.shapes[:, vertices])

    def _joint(self, name: str) -> Tensor:
        return self._assets.joints[self._assets.bone_names.index(name)]

    def _on(self, stems: tuple[str, ...]) -> Tensor:
        """Which vertices (V,) hang mainly on bones whose names start so."""
        matches = [name.startswith(stems) if stems else False for name in self._assets.bone_names]
        return torch.tensor(matches, device=self._bone.device)[self._bone]


def _girth(normal: Tensor) -> Reading:
    """The length of a tape pulled tight, by Cauchy: the mean width of the outline times pi."""
    flat = torch.linalg.cross(normal, normal.new_tensor(Y))
    flat = flat / flat.norm()
    other = torch.linalg.cross(normal, flat)
    angle = torch.arange(DIRECTIONS, device=normal.device) * (2 * math.pi / DIRECTIONS)
    rays = flat[:, None] * angle.cos() + other[:, None] * angle.sin()

    def read(points: Tensor) -> Tensor:
        width: Tensor = (points @ rays).amax(1).mean(1)
        return width * (2 * math.pi)

    return read


def _mirrored(rule: JointDistance) -> Axis | None:
    if rule.out is None or not rule.start.endswith(".R"):
        return None
    return (-rule.out[0], rule.out[1], rule.out[2])


def _edges(faces: Tensor) -> Tensor:
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges, _, _ = distinct(pairs.sort(dim=1).values)
    return edges


def _main_bones(assets: Assets) -> Tensor:
    heaviest = assets.bone_weight.argmax(dim=1, keepdim=True)
    return assets.bone_of.gather(1, heaviest)[:, 0]
