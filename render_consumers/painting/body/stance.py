"""Puts a body into a pose: feet on the ground, and arms where this body's girths let them be."""

import math
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from domain.vocabulary import Arm, Leg, Pose
from render_consumers.painting.body.assets import Assets
from render_consumers.painting.body.skeleton import SIDES, Skeleton, Vector, about, mirrored
from render_consumers.painting.mesh import Mesh

TRUNK = ("spine", "pelvis", "breast", "root", "upperleg", "clavicle")
ARM = ("upperarm02", "lowerarm", "wrist", "metacarpal", "finger")
ABOVE_ELBOW = 0.10  # metres of the upper arm that must be clear of the trunk as well
STRAIGHT = 0.997  # of its length, as far as a leg may stretch
BENT = 0.92  # of its length, as far as an arm stretches that is bent in the pose
SHOULDER = 0.13  # metres around a shoulder where arm and trunk are one
AIR = 0.022  # metres between the skins of arm and trunk, for the clothes
LAID = 0.012  # metres between the skins of a hand and of the hip that it is laid on
FOREARM = 0.05  # metres from the bones of a forearm to what it lies on
SKIPPED = 4  # one vertex of an arm in so many is looked at; they lie millimetres apart
ROUNDS = 8
CLOSE = 0.002  # metres that are near enough
FAR = 0.12  # metres from which on nothing can touch


class Obstacle(msgspec.Struct, frozen=True):
    """Points (N, 3) of a surface and the normals there."""

    places: Tensor
    normals: Tensor

    def and_also(self, other: "Obstacle") -> "Obstacle":
        places = torch.cat([self.places, other.places])
        return Obstacle(places, torch.cat([self.normals, other.normals]))


class Touch(NamedTuple):
    """The place of an arm that is deepest in something or nearest to it, and the way out there."""

    gap: float
    place: Vector
    out: Vector


class Stances:
    """Poses any body of these assets; made once."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._main = assets.bone_of.gather(1, assets.bone_weight.argmax(1, keepdim=True))[:, 0]
        faces = assets.parts["body"]
        self._body = torch.unique(faces)
        self._trunk = Mesh(faces[self._on(TRUNK)[faces].all(1)])
        self._arm = {side: Mesh(faces[self._free(side)[faces].all(1)]) for side in SIDES}
        self._foot = {side: self._on(("foot",), side).nonzero()[:, 0] for side in SIDES}

    def take(self, vertices: Tensor, heads: Tensor, pose: Pose) -> tuple[Tensor, Tensor]:
        """For each bone a rotation (J, 3, 3) and a translation (J, 3) from rest to pose."""
        skeleton = Skeleton(self._assets, heads.double().cpu().numpy())
        skeleton.bend(pose.bends)
        self._plant(skeleton, vertices, pose)
        trunk = self._obstacle(skeleton, vertices, self._trunk)
        for side, arm in (("L", pose.left), ("R", pose.right)):
            self._lay(skeleton, vertices, side, arm, trunk)
            trunk = trunk.and_also(self._obstacle(skeleton, vertices, self._arm[side]))
        # The head is in the middle of a portrait, wherever the hips went.
        skeleton.move(np.array([-skeleton.place("head")[0], 0.0, 0.0]))
        return _transforms(skeleton, vertices)

    def skinned(
        self, vertices: Tensor, turns: Tensor, moves: Tensor, which: Tensor | None = None
    ) -> Tensor:
        """Vertices (V, 3), or some of them, carried along by their bones."""
        chosen = slice(None) if which is None else which
        turn, move = self.carriers(turns, moves, which)
        carried: Tensor = (turn @ vertices[chosen][:, :, None])[:, :, 0] + move
        return carried

    def carriers(
        self, turns: Tensor, moves: Tensor, which: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What its bones do to each vertex: rotations (V, 3, 3) and translations (V, 3)."""
        chosen = slice(None) if which is None else which
        bones, weight = self._assets.bone_of[chosen], self._assets.bone_weight[chosen]
        turn = (turns[bones] * weight[:, :, None, None]).sum(1)
        return turn, (moves[bones] * weight[:, :, None]).sum(1)

    # Legs.

    def _plant(self, skeleton: Skeleton, vertices: Tensor, pose: Pose) -> None:
        legs = {"L": pose.left_leg, "R": pose.right_leg}
        ankles = {side: self._ankle(skeleton, vertices, side, leg) for side, leg in legs.items()}
        length = _leg(skeleton, "L")
        skeleton.move(np.array([pose.shift * length, 0.0, 0.0]))
        drop = min(_drop(skeleton, side, ankle) for side, ankle in ankles.items())
        skeleton.move(np.array([0.0, 0.0, min(drop, 0.0)]))
        for side, leg in legs.items():
            skeleton.stand(side, leg, ankles[side])

    def _ankle(self, skeleton: Skeleton, vertices: Tensor, side: str, leg: Leg) -> Vector:
        """Where an ankle is when its foot stands on the ground."""
        rest, length = skeleton.rest(f"foot.{side}"), _leg(skeleton, side)
        away = abs(float(skeleton.rest(f"upperleg01.{side}")[0])) + leg.out * length
        height = float(rest[2])
        if leg.heel:
            tilt = about(np.array([1.0, 0.0, 0.0]), math.radians(leg.heel))
            sole = vertices[self._foot[side]].double().cpu().numpy() - rest
            height = -float((sole @ tilt.T)[:, 2].min())
        return np.array([SIDES[side] * away, rest[1] - leg.forward * length, height])

    # Arms.

    def _lay(
        self, skeleton: Skeleton, vertices: Tensor, side: str, arm: Arm, trunk: Obstacle
    ) -> None:
        """Move the wrist until the arm is clear of the body, or lies on it where it shall."""
        shoulder = skeleton.place(f"upperarm01.{side}")
        length = skeleton.length(
            *(f"{bone}.{side}" for bone in ("upperarm01", "lowerarm01", "wrist"))
        )
        way, pole = length * mirrored(arm.wrist, side), mirrored(arm.elbow, side)
        if arm.on_hip:
            way = self._hip(skeleton, side, trunk) - shoulder
        elif arm.folded:
            way = _before(trunk, shoulder, way, length)
        for _ in range(ROUNDS):
            skeleton.reach(side, arm, shoulder + way, pole)
            touch = self._touch(skeleton, vertices, side, trunk, shoulder)
            need = (LAID if arm.on_hip else AIR) - touch.gap
            if need < CLOSE and not (arm.on_hip and need < -CLOSE):
                return
            elbow, wrist = (skeleton.place(f"{bone}.{side}") for bone in ("lowerarm01", "wrist"))
            if arm.folded and apart(touch.place, elbow) < apart(touch.place, wrist):
                pole = pole / float(np.linalg.norm(pole)) + need / (0.3 * length) * touch.out
            else:
                way = _moved(way, arm, length, shoulder, touch, need)

    def _hip(self, skeleton: Skeleton, side: str, trunk: Obstacle) -> Vector:
        """The wrist of a hand on the hip: beside the widest place at the height of the crest."""
        crest = float(skeleton.place("spine04")[2])
        places = trunk.places.double().cpu().numpy()
        level = places[abs(places[:, 2] - crest) < 0.035]
        widest = level[(SIDES[side] * level[:, 0]).argmax()]
        return np.array([widest[0] + SIDES[side] * 0.045, widest[1] + 0.03, crest + 0.035])

    def _touch(
        self, skeleton: Skeleton, vertices: Tensor, side: str, trunk: Obstacle, shoulder: Vector
    ) -> Touch:
        turns, moves = _transforms(skeleton, vertices)
        arm = self.skinned(vertices, turns, moves, self._arm[side].vertices[::SKIPPED])
        free = (trunk.places - trunk.places.new_tensor(shoulder)).norm(dim=1) > SHOULDER
        low, high = arm.amin(0) - FAR, arm.amax(0) + FAR
        free &= ((trunk.places > low) & (trunk.places < high)).all(1)
        if not free.any():
            return Touch(FAR, shoulder, np.zeros(3))
        places, normals = trunk.places[free], trunk.normals[free]
        apart, nearest = torch.cdist(arm, places).min(1)
        gaps = ((arm - places[nearest]) * normals[nearest]).sum(1)
        gaps = torch.where(apart < FAR, gaps, FAR)
        deepest = int(gaps.argmin())
        out = normals[nearest[deepest]].double().cpu().numpy() * [1.0, 1.0, 0.0]
        place = arm[deepest].double().cpu().numpy()
        return Touch(float(gaps[deepest]), place, out / max(float(np.linalg.norm(out)), 1e-6))

    def _obstacle(self, skeleton: Skeleton, vertices: Tensor, mesh: Mesh) -> Obstacle:
        places = self.skinned(vertices, *_transforms(skeleton, vertices), mesh.vertices)
        return Obstacle(places, mesh.normals(places))

    def _free(self, side: str) -> Tensor:
        """Which vertices (V,) belong to the arm from a little above the elbow on."""
        joints, names = self._assets.joints, self._assets.bone_names
        elbow = joints[names.index(f"lowerarm01.{side}")]
        along = elbow - joints[names.index(f"upperarm01.{side}")]
        beyond = (self._assets.template - elbow) @ (along / along.norm()) > -ABOVE_ELBOW
        return self._on(ARM, side).logical_and(beyond)

    def _on(self, stems: tuple[str, ...], side: str = "") -> Tensor:
        """Which vertices (V,) hang mainly on bones whose names start so, on that side."""
        names = self._assets.bone_names
        matches = [name.startswith(stems) and name.endswith(side) for name in names]
        return torch.tensor(matches, device=self._main.device)[self._main]


def _moved(
    way: Vector, arm: Arm, length: float, shoulder: Vector, touch: Touch, need: float
) -> Vector:
    """The wrist moved so that what touches gets free by so much: a straight arm swings out."""
    if arm.on_hip:
        return way + min(max(need, -0.03), 0.03) * touch.out
    reach = float(np.linalg.norm(way))
    lever = reach / max(apart(touch.place, shoulder), 0.3 * length)
    way = way + need * lever * touch.out
    return way * min(max(reach, BENT * length) / float(np.linalg.norm(way)), 1.0)


def _before(trunk: Obstacle, shoulder: Vector, way: Vector, length: float) -> Vector:
    """The wrist of a forearm that lies across the trunk, as far across as the arm reaches."""
    places = trunk.places.double().cpu().numpy() - shoulder
    level = places[abs(places[:, 2] - way[2]) < 0.06]
    forward = min(float(way[1]), float(level[:, 1].min()) - FOREARM)
    across = math.sqrt(max((BENT * length) ** 2 - forward**2 - float(way[2]) ** 2, 0.0))
    return np.array([min(max(way[0], -across), across), forward, way[2]])


def apart(first: Vector, second: Vector) -> float:
    return float(np.linalg.norm(first - second))


def _transforms(skeleton: Skeleton, like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(skeleton.turns).to(like), torch.from_numpy(skeleton.moves).to(like)


def _leg(skeleton: Skeleton, side: str) -> float:
    return skeleton.length(*(f"{bone}.{side}" for bone in ("upperleg01", "lowerleg01", "foot")))


def _drop(skeleton: Skeleton, side: str, ankle: Vector) -> float:
    """How far the hips must come down for a leg to reach the ground; above 0: not at all."""
    hip = skeleton.place(f"upperleg01.{side}")
    aside = float(np.linalg.norm(hip[:2] - ankle[:2]))
    reach = STRAIGHT * _leg(skeleton, side)
    return math.sqrt(max(reach**2 - aside**2, 0.0)) + float(ankle[2] - hip[2])
