"""A second tape, to hold the first one against: it cuts the finished mesh by planes.

Written from docs/measurements.md with numpy alone. It knows triangles and the heads of the bones,
in centimetres, of somebody who stands in the I-pose, and nothing of the shapes behind them.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
STEP = 0.5  # centimetres from one cut to the next
UP = np.array([0.0, 0.0, 1.0])


class Loop:
    """One closed line in which a plane cuts the skin: points (P, 3) in no order."""

    def __init__(self, points: Points, normal: Points) -> None:
        self.points = points
        side = np.cross(normal, [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        self._flat = points @ np.stack([side, np.cross(normal, side)], axis=1)
        self.middle = (points.min(0) + points.max(0)) / 2

    def girth(self) -> float:
        """The length of the convex hull's edge."""
        corners = hull(self._flat)
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).sum())


def hull(points: Points) -> Points:
    """The corners of the convex hull in order, by Andrew's monotone chain."""
    ordered = sorted(map(tuple, points.tolist()))
    halves = []
    for run in (ordered, ordered[::-1]):
        chain: list[tuple[float, ...]] = []
        for x, y in run:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], (x, y)) <= 0:
                chain.pop()
            chain.append((x, y))
        halves += chain[:-1]
    return np.array(halves)


def _turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


class SecondTape:
    """Measures triangles (F, 3) over vertices (V, 3) with bones' heads by name; soles at z = 0.

    ``skin`` are the points of the skin that the page names.
    """

    def __init__(
        self,
        vertices: Points,
        faces: npt.NDArray[np.int64],
        joints: Mapping[str, Points],
        skin: Mapping[str, Points],
    ) -> None:
        self._vertices, self._faces = vertices, faces
        self._joints, self._skin = joints, skin

    def read(self) -> dict[str, float]:
        """Every measurement of the page, and the girth under the bust, in centimetres."""
        joints, skin, z = self._joints, self._skin, self._vertices[:, 2]
        foot = self._vertices[(z < joints["foot.L"][2]) & (self._vertices[:, 0] > 0)]
        lengths = {
            "Height": np.ptp(z),
            "Thigh Length": _apart(joints["upperleg01.L"], joints["lowerleg01.L"]),
            "Calf Length": joints["lowerleg01.L"][2] - z.min(),
            "Feet Length": np.ptp(foot[:, 1]),
            "Neck Length": _apart(joints["neck01"], joints["head"]),
            "Shoulder Width": _apart(skin["acromion.L"], skin["acromion.R"]),
            "Upper Arm Length": _apart(joints["upperarm01.L"], joints["lowerarm01.L"]),
            "Forearm Length": _apart(joints["lowerarm01.L"], joints["wrist.L"]),
            "Hand Length": _apart(joints["wrist.L"], skin["fingertip"]),
        }
        girths = {
            "Neck Thickness": min(self._along("neck01", "neck03", 0.2, 0.8)),
            "Waist": min(self._trunk(joints["spine03"][2], joints["spine02"][2])),
            "Belly": self._trunk_at(skin["navel"][2]),
            "Hips": max(self._trunk(self._crotch(), joints["spine05"][2])),
            "Thigh Size": self._thigh(),
            "Calf Size": max(self._calf()),
            "Upper Arm Size": next(self._along("upperarm01.L", "lowerarm01.L", 0.45, 0.45)),
            "Forearm Size": max(self._along("lowerarm01.L", "wrist.L", 0.1, 0.5)),
            "Hand Size": next(self._along("wrist.L", "finger3-1.L", 0.9, 0.9)),
        }
        fold = skin["under the breast"][2]
        bust = max(self._trunk(fold, self._armpit()))
        under = self._trunk_at(fold + 0.02 * (self._crotch() - fold))
        girths |= {"Bust": bust, "Underbust": under, "Cup": bust - under}
        return {name: float(value) for name, value in (lengths | girths).items()}

    def _trunk(self, low: float, high: float) -> Iterator[float]:
        """Girths of the trunk from one height to another."""
        return (self._trunk_at(height) for height in _heights(low + 0.05, high))

    def _trunk_at(self, height: float) -> float:
        return min(self._level(height), key=lambda loop: abs(loop.middle[0])).girth()

    def _thigh(self) -> float:
        crotch, knee = self._crotch(), self._joints["lowerleg01.L"][2]
        return self._left_leg(crotch + 0.06 * (knee - crotch)).girth()

    def _calf(self) -> Iterator[float]:
        knee, ankle = (self._joints[name][2] for name in ("lowerleg01.L", "foot.L"))
        low, high = knee + 0.5 * (ankle - knee), knee + 0.2 * (ankle - knee)
        return (self._left_leg(height).girth() for height in _heights(low, high))

    def _left_leg(self, height: float) -> Loop:
        """What is cut on the left, and is no hand: of two loops the one nearer to the middle."""
        left = [loop for loop in self._level(height) if loop.middle[0] > 0]
        return min(left, key=lambda loop: loop.middle[0])

    def _along(self, start: str, end: str, first: float, last: float) -> Iterator[float]:
        """Girths across a limb, from one share to another of the way between two joints."""
        way = self._joints[end] - self._joints[start]
        length = np.linalg.norm(way)
        for share in np.linspace(first, last, 1 + round((last - first) * length / STEP)):
            middle = self._joints[start] + share * way
            loops = self._cut(middle, way / length)
            yield min(loops, key=lambda loop: _apart(loop.middle, middle)).girth()

    def _crotch(self) -> float:
        """The lowest height at which anything lies in the middle, between the legs."""
        knee, hips = self._joints["lowerleg01.L"][2], self._joints["spine05"][2]
        return _bisected(
            knee, hips, lambda z: all(abs(loop.middle[0]) > 3 for loop in self._level(z, 3))
        )

    def _armpit(self) -> float:
        """As high as a tape goes under the arms: two fingers below where they join."""
        ribs, shoulder = self._joints["spine02"][2], self._joints["upperarm01.L"][2]
        joined = _bisected(
            ribs, shoulder, lambda height: any(loop.middle[0] > 12 for loop in self._level(height))
        )
        return joined - 3.0

    def _level(self, height: float, least: int = 9) -> list[Loop]:
        return self._cut(np.array([0.0, 0.0, height]), UP, least)

    def _cut(self, origin: Points, normal: Points, least: int = 9) -> list[Loop]:
        """The loops in which the plane cuts the skin, those with few points aside."""
        above = (self._vertices - origin) @ normal > 0
        mixed = above[self._faces]
        faces = self._faces[mixed.any(1) & ~mixed.all(1)]
        sides = np.sort(np.stack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]], 1), 2)
        crossed = sides[above[sides[..., 0]] != above[sides[..., 1]]]  # two of three sides
        count = len(self._vertices)
        edges, at = np.unique(crossed[:, 0] * count + crossed[:, 1], return_inverse=True)
        a, b = (self._vertices[end] for end in np.divmod(edges, count))
        ha, hb = (a - origin) @ normal, (b - origin) @ normal
        points = a + (ha / (ha - hb))[:, None] * (b - a)
        label = _components(at.reshape(-1, 2), len(edges))
        loops = (Loop(points[label == one], normal) for one in np.unique(label))
        return [loop for loop in loops if len(loop.points) >= least]


def _heights(low: float, high: float) -> Points:
    """Both ends, and between them at most a step from one to the next."""
    return np.linspace(low, high, 2 + int((high - low) / STEP))


def _apart(a: Points, b: Points) -> float:
    return float(np.linalg.norm(a - b))


def _bisected(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """Where what holds below ends to hold, to a tenth of a millimetre."""
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _components(pairs: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The smallest member of each one's component: labels run along pairs, and jump."""
    label = np.arange(count)
    while True:
        least = label[pairs].min(1)
        new = label.copy()
        np.minimum.at(new, pairs.ravel(), np.repeat(least, 2))
        new = new[new]
        if (new == label).all():
            return label
        label = new
