"""The skeleton: bones that are bent, pointed and faced, and where that takes their joints."""

import itertools
import math

import numpy as np
import numpy.typing as npt

from domain.vocabulary import Arm, Direction, Leg
from render_consumers.painting.body.assets import Assets

Vector = npt.NDArray[np.float64]  # (3,)
Matrix = npt.NDArray[np.float64]  # (3, 3)
SIDES = {"L": 1.0, "R": -1.0}
_STILL: Matrix = np.eye(3)
GIVE = 0.10  # share of the upper arm's swing that collarbone and shoulder blade each take over
SHOULDER_TWIST = 0.4  # share of the upper arm's twist that is taken near the shoulder
# Degrees that each joint of a relaxed finger bends by, from thumb to little finger.
CURLS = {1: (0, 8, 12), 2: (3, 12, 8), 3: (6, 15, 10), 4: (9, 17, 11), 5: (11, 18, 12)}
CLOSED = {1: 0.30, 2: 0.5, 3: 0.0, 4: 0.5, 5: 0.6}  # share that fingers give up of their spread


class Skeleton:
    """Rotations (J, 3, 3) and translations (J, 3) of the bones from rest ``heads`` (J, 3)."""

    def __init__(self, assets: Assets, heads: npt.NDArray[np.float64]) -> None:
        self.heads = heads
        self._parents = assets.bone_parents
        self._index = {name: i for i, name in enumerate(assets.bone_names)}
        self._bent: dict[int, Matrix] = {}  # in relation to the parent
        self._faced: dict[int, Matrix] = {}  # in relation to the room
        self._shift = np.zeros(3)
        self.turns = np.tile(np.eye(3), (len(heads), 1, 1))
        self.moves = np.zeros((len(heads), 3))

    def place(self, bone: str) -> Vector:
        """Where the head of a bone now is."""
        at = self._index[bone]
        place: Vector = self.turns[at] @ self.heads[at] + self.moves[at]
        return place

    def rest(self, bone: str) -> Vector:
        head: Vector = self.heads[self._index[bone]]
        return head

    def length(self, *bones: str) -> float:
        """From joint to joint at rest, in metres."""
        places = [self.rest(bone) for bone in bones]
        return sum(float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(places))

    def bend(self, bends: dict[str, Direction]) -> None:
        """Turn bones in relation to their parents, by rotation vectors in degrees."""
        for bone, degrees in bends.items():
            vector = np.radians(degrees)
            self._bent[self._index[bone]] = about(vector, float(np.linalg.norm(vector)))
        self._follow()

    def move(self, shift: Vector) -> None:
        self._shift = self._shift + shift
        self._follow()

    def _follow(self) -> None:
        for bone, parent in enumerate(self._parents):
            above, held = _STILL, self._shift
            if parent >= 0:
                above, held = self.turns[parent], self.moves[parent]
            turn = self._faced.get(bone, above)
            if bone in self._bent and bone not in self._faced:
                turn = above @ self._bent[bone]
            self.turns[bone] = turn
            self.moves[bone] = held + (above - turn) @ self.heads[bone]

    # Limbs.

    def stand(self, side: str, leg: Leg, ankle: Vector) -> None:
        """Put an ankle there, the knee forward in line with the toes."""
        hip, knee, foot = f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}"
        yaw = about(np.array([0.0, 0.0, 1.0]), SIDES[side] * math.radians(leg.toes))
        upper, lower = self._limb(hip, knee, foot, ankle, yaw @ np.array([0.0, -1.0, 0.0]))
        self._face(f"upperleg01.{side}", upper)
        self._face(f"upperleg02.{side}", upper)
        self._face(f"lowerleg01.{side}", lower)
        self._face(foot, yaw @ about(np.array([1.0, 0.0, 0.0]), math.radians(leg.heel)))
        for toe in range(1, 6) if leg.heel > 0 else ():
            self._face(f"toe{toe}-1.{side}", yaw)
        self._follow()

    def reach(self, side: str, arm: Arm, wrist: Vector, pole: Vector) -> None:
        """Put a wrist there, the elbow towards the pole and the palm facing as the arm has it."""
        shoulder, elbow, hand = f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}"
        for giving in (f"clavicle.{side}", f"shoulder01.{side}"):
            self._bent.pop(self._index[giving], None)
        self._follow()
        upper, _ = self._limb(shoulder, elbow, hand, wrist, pole)
        along = self.rest(elbow) - self.rest(shoulder)
        swing = swing_of(along, upper @ along)
        for giving in (f"clavicle.{side}", f"shoulder01.{side}"):
            self._bent[self._index[giving]] = share_of(swing, GIVE)
        self._follow()
        upper, lower = self._limb(shoulder, elbow, hand, wrist, pole)
        self._twist(upper, along, f"upperarm01.{side}", f"upperarm02.{side}", SHOULDER_TWIST)
        palm = self._palm(side, arm)
        self._face(elbow, lower)
        fore = self.rest(hand) - self.rest(elbow)
        half = share_of(twist_of(palm @ lower.T, lower @ fore), 0.5) @ lower
        self._face(f"lowerarm02.{side}", half)
        self._face(hand, palm)
        self._curl(side, arm.curl)
        self._follow()

    def _limb(
        self, top: str, middle: str, end: str, target: Vector, pole: Vector
    ) -> tuple[Matrix, Matrix]:
        """Rotations of the upper and the lower bone so that the end comes to the target."""
        first, second = self.rest(middle) - self.rest(top), self.rest(end) - self.rest(middle)
        start = self.place(top)
        joint, target = elbow_of(
            start, target, pole, float(np.linalg.norm(first)), float(np.linalg.norm(second))
        )
        upper, lower = joint - start, target - joint
        hinge, now = np.cross(first, second), np.cross(upper, lower)
        return between(first, hinge, upper, now), between(second, hinge, lower, now)

    def _twist(self, turn: Matrix, along: Vector, upper: str, lower: str, share: float) -> None:
        swing = swing_of(along, turn @ along)
        twist = twist_of(turn @ swing.T, turn @ along)
        self._face(upper, share_of(twist, share) @ swing)
        self._face(lower, turn)

    def _palm(self, side: str, arm: Arm) -> Matrix:
        along, palm = self.hand(side)
        return between(along, palm, mirrored(arm.fingers, side), mirrored(arm.palm, side))

    def hand(self, side: str) -> tuple[Vector, Vector]:
        """Where a hand points and its palm faces at rest."""
        wrist, index, middle, little = (
            self.rest(f"{bone}.{side}") for bone in ("wrist", "finger2-1", "finger3-1", "finger5-1")
        )
        palm = SIDES[side] * np.cross(little - wrist, index - wrist)
        return middle - wrist, palm / np.linalg.norm(palm)

    def _curl(self, side: str, curl: float) -> None:
        """Bend the fingers towards the palm, and lay them closer to their neighbours."""
        _, palm = self.hand(side)
        for finger, degrees in CURLS.items():
            along = self._finger(finger, side)
            for joint, angle in enumerate(degrees, start=1):
                bone = self._index[f"finger{finger}-{joint}.{side}"]
                self._bent[bone] = about(np.cross(along, palm), curl * math.radians(angle))
            neighbour = self._finger(2 if finger == 1 else 3, side)
            closed = share_of(swing_of(along, neighbour), curl * CLOSED[finger])
            base = self._index[f"finger{finger}-1.{side}"]
            self._bent[base] = closed @ self._bent[base]

    def _finger(self, finger: int, side: str) -> Vector:
        return self.rest(f"finger{finger}-2.{side}") - self.rest(f"finger{finger}-1.{side}")

    def _face(self, bone: str, turn: Matrix) -> None:
        self._faced[self._index[bone]] = turn


def mirrored(direction: Direction | Vector, side: str) -> Vector:
    """A direction of the left side on that side."""
    x, y, z = direction
    return np.array([SIDES[side] * x, y, z])


def elbow_of(
    start: Vector, target: Vector, pole: Vector, upper: float, lower: float
) -> tuple[Vector, Vector]:
    """Where the joint between two bones is, bent towards the pole, and where the end gets to."""
    way = target - start
    distance = float(np.linalg.norm(way))
    near = min(max(distance, abs(upper - lower) + 1e-3), 0.9995 * (upper + lower))
    along = way / distance
    share = (upper**2 + near**2 - lower**2) / (2 * upper * near)
    out = pole - (pole @ along) * along
    out = out / np.linalg.norm(out)
    joint = start + upper * (share * along + math.sqrt(max(1 - share**2, 0.0)) * out)
    return joint, start + near * along


def about(axis: Vector, angle: float) -> Matrix:
    """The rotation by an angle about an axis of any length (Rodrigues)."""
    length = float(np.linalg.norm(axis))
    x, y, z = axis / length if length else axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Matrix = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    return turn


def between(along: Vector, beside: Vector, new_along: Vector, new_beside: Vector) -> Matrix:
    """The rotation that takes one pair of directions to another; the first ones exactly."""
    turn: Matrix = _frame(new_along, new_beside) @ _frame(along, beside).T
    return turn


def _frame(along: Vector, beside: Vector) -> Matrix:
    first = along / np.linalg.norm(along)
    third = np.cross(first, beside)
    third = third / np.linalg.norm(third)
    return np.stack([first, np.cross(third, first), third], axis=1)


def swing_of(start: Vector, end: Vector) -> Matrix:
    """The smallest rotation that takes one direction to another."""
    axis = np.cross(start, end)
    return about(axis, math.atan2(float(np.linalg.norm(axis)), float(start @ end)))


def twist_of(turn: Matrix, axis: Vector) -> Matrix:
    """The part of a rotation that is about an axis."""
    axis = axis / np.linalg.norm(axis)
    vector = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return about(axis, 2 * math.atan2(float(vector @ axis), 1 + float(np.trace(turn))))


def share_of(turn: Matrix, share: float) -> Matrix:
    """The same rotation, only so far."""
    vector = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine, cosine = float(np.linalg.norm(vector)), float(np.trace(turn)) - 1
    return about(vector, share * math.atan2(sine, cosine))
