"""Lays a sewn pattern loosely around a body at rest: where the cloth starts before it falls.

Around trunk and legs it lies in level rings as long as the pattern's girths, or just off the body
where that needs more; over the shoulders in arches; around the arms in tubes.
"""

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from render_consumers.painting.body.assets import Assets
from render_consumers.painting.clothes.sewing.pattern import Flags, Floats, Indices, Sewn
from render_consumers.painting.clothes.size_chart import Cut

OFF = 0.008  # metres that cloth starts off the body at least
SLIP = 0.04  # metres that a wide waistband slips down before a belt would hold it
RAYS = 96
SLAB = 0.025  # metres: half the height of the slice of the body that a ring goes around
ARMS = ("upperarm", "lowerarm", "wrist", "metac", "finger")
LEGS = ("upperleg", "lowerleg", "foot", "toe")
ANGLES = np.arange(RAYS) * (2 * np.pi / RAYS)
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


class Form:
    """What of the body model each kind of ring goes around."""

    def __init__(self, assets: Assets, skin: Tensor) -> None:
        heaviest = assets.bone_weight.argmax(dim=1, keepdim=True)
        bone = assets.bone_of.gather(1, heaviest)[:, 0].cpu().numpy()
        stems = np.array([name.partition(".")[0] for name in assets.bone_names])[bone]
        body = np.zeros(len(bone), bool)
        body[torch.unique(assets.parts["body"]).cpu().numpy()] = True
        left = assets.template[:, 0].cpu().numpy() > 0
        arms, legs = _starts(stems, ARMS), _starts(stems, LEGS)
        head = _starts(stems, ("head", "jaw", "neck02", "neck03"))
        self.names = assets.bone_names
        self.arm = body & arms & left
        self.right_arm = body & arms & ~left
        self.trunk = body & ~arms & ~legs & ~head
        self.hips = body & ~arms & ~head
        self.left_leg = body & legs & left
        pairs = assets.parts["body"].cpu().numpy()
        mixed = pairs[(arms[pairs].any(1)) & (self.trunk[pairs].any(1)) & left[pairs].all(1)]
        self.armpit = int(mixed.flatten()[np.argmin(assets.template.cpu().numpy()[mixed, 2])])
        middle = body & (np.abs(assets.template[:, 0].cpu().numpy()) < 0.004)
        z = assets.template[:, 2].cpu().numpy()
        y = assets.template[:, 1].cpu().numpy()
        under = middle & (z < 0.1) & (np.abs(y) < 0.08)
        self.crotch = int(np.flatnonzero(under)[np.argmin(z[under])])

        place = assets.template.cpu().numpy()[skin.cpu().numpy()]
        side = np.abs(place) * [1, 0, 0] + place * [0, 1, 1]
        pit = assets.template[self.armpit].cpu().numpy()
        self.under_arms = np.linalg.norm(side - pit, axis=1) < 0.065
        fork = place - assets.template[self.crotch].cpu().numpy()
        self.between_legs = np.linalg.norm(fork * [1, 0.6, 0.45], axis=1) < 0.065

    def joint(self, joints: Floats, name: str) -> Floats:
        place: Floats = joints[self.names.index(name)]
        return place


class Rest(msgspec.Struct, frozen=True):
    """A body at rest: all vertices (V, 3) and joints (J, 3) in metres."""

    form: Form
    places: Floats
    joints: Floats

    @property
    def armpit(self) -> float:
        return float(self.places[self.form.armpit, 2])

    @property
    def crotch(self) -> float:
        return float(self.places[self.form.crotch, 2])

    def joint(self, name: str) -> Floats:
        return self.form.joint(self.joints, name)

    def girth(self, z: float) -> float:
        """The body's girth at a height."""
        points = self.places[self.form.hips]
        near = points[np.abs(points[:, 2] - z) < SLAB, :2]
        return float((near @ DIRECTIONS.T).max(0).sum() * 2 * np.pi / RAYS)

    def narrowest(self) -> float:
        """How high the natural waist is."""
        heights = np.arange(self.crotch + 0.14, self.armpit - 0.12, 0.01)
        return float(heights[np.argmin([self.girth(float(z)) for z in heights])])

    def ring(self, part: Flags, z: float, girth: float) -> Floats:
        """A level ring (RAYS, 2) at a height, as long as ``girth`` or as the body needs."""
        points = self.places[part]
        near = points[np.abs(points[:, 2] - z) < SLAB, :2]
        return _outline(near, girth)

    def shoulder(self) -> float:
        """How high the shoulder's highest point is, beside the neck."""
        return float(self.over_shoulder(np.array([0.08]))[0, 1])

    def over_shoulder(self, x: Floats) -> Floats:
        """Depth and height (N, 2) of the highest point of trunk and arm at each x (N,)."""
        points = self.places[self.form.trunk | self.form.arm]
        sampled = np.arange(0.06, 0.34, 0.01)
        tops: list[Floats] = []
        for at in sampled:
            near = points[np.abs(points[:, 0] - at) < 0.012]
            tops.append(near[np.argmax(near[:, 2]), 1:] if len(near) else tops[-1])
        table = np.array(tops)
        table[:, 0] = np.convolve(np.pad(table[:, 0], 2, mode="edge"), np.ones(5) / 5, "valid")
        return np.stack([np.interp(x, sampled, table[:, i]) for i in (0, 1)], axis=1)


def laid(sewn: Sewn, cut: Cut, rest: Rest) -> Floats:
    """Where a piece (V, 3) starts, in metres."""
    if cut.chest is not None:
        return _around_trunk(sewn, rest)
    if cut.inseam is None:
        return _around_waist(sewn, rest, waist(cut, rest))
    return _around_legs(sewn, rest, waist(cut, rest))


def nearest(sewn: Sewn, start: Floats, rest: Rest) -> Indices:
    """For each vertex (V,) the body's vertex that carries it: an arm's only for sleeves."""
    found = np.zeros(sewn.count, np.int64)
    arms = {"left sleeve": rest.form.arm, "right sleeve": rest.form.right_arm}
    for index, panel in enumerate(sewn.pattern.panels):
        mine = np.unique(sewn.vertex[sewn.panel == index])
        among = np.flatnonzero(arms.get(panel.name, rest.form.hips))
        apart = torch.cdist(torch.from_numpy(start[mine]), torch.from_numpy(rest.places[among]))
        found[mine] = among[apart.argmin(1).numpy()]
    return found


def waist(cut: Cut, rest: Rest) -> float:
    """How high the waistband of a bottom sits: it slips down to where the body fills it."""
    top = rest.narrowest()
    if cut.inseam is not None:
        top = min(top, rest.crotch - 0.012 + (cut.length - cut.inseam) / 100)
    for z in np.arange(top, top - SLIP, -0.01):
        if rest.girth(float(z)) >= _need(cut.waist) / 100:
            return float(z)
    return top - SLIP


def _around_trunk(sewn: Sewn, rest: Rest) -> Floats:
    """A bodice: rings below the armholes, arches above, tubes along the arms."""
    places, armhole = np.zeros((sewn.count, 3)), sewn.pattern.panels[0].turn
    by_name = {panel.name: i for i, panel in enumerate(sewn.pattern.panels)}
    for name, behind in (("back", True), ("front", False)):
        mine = sewn.panel == by_name[name]
        flat = sewn.flat[mine] / 100
        row, column = sewn.row[mine], sewn.column[mine]
        places[sewn.vertex[mine]] = _bodice_half(flat, row, column, rest, armhole, behind)
    for name in ("left sleeve", "right sleeve"):
        if name in by_name:
            _lay_sleeve(places, sewn, rest, name)
    return places


def _bodice_half(
    flat: Floats, row: Indices, column: Indices, rest: Rest, armhole: int, behind: bool
) -> Floats:
    last = column.max()
    share = column / last
    places = np.zeros((len(flat), 3))
    underarm = flat[(row == armhole) & (column == last), 1][0]
    start = min(rest.armpit - 0.02, rest.shoulder() + 0.01 + underarm)
    for r in range(armhole + 1):
        on = row == r
        z = start + (flat[on, 1] - underarm)
        girth = 2 * np.ptp(flat[on, 0])
        ring = rest.ring(rest.form.hips, max(float(z.mean()), 0.02), girth)
        places[on, :2] = _half(ring, share[on], behind)
        places[on, 2] = z
    above = row > armhole
    base = places[row == armhole][np.argsort(column[row == armhole])]
    places[above] = _arch(flat[above], column[above], base, underarm, rest, behind)
    return places


def _arch(
    flat: Floats, column: Indices, base: Floats, underarm: float, rest: Rest, behind: bool
) -> Floats:
    """From the ring under the arms up over the shoulder, each place at its share of the rise."""
    wide = np.abs(flat[:, 0])
    x_low = base[column, 0]
    neck = 0.075
    top = rest.over_shoulder(np.maximum(wide, neck))
    seam = -0.30 * np.maximum(wide - neck, 0)
    rise = np.clip((flat[:, 1] - underarm) / (seam - underarm), 0, 1)
    angle = rise * np.pi / 2
    x = np.sign(flat[:, 0]) * (wide * rise + np.abs(x_low) * (1 - rise))
    y = top[:, 0] + (base[column, 1] - top[:, 0]) * np.cos(angle) ** 0.7
    z = base[column, 2] + (top[:, 1] + 0.012 - base[column, 2]) * rise
    return _clear_of_neck(np.stack([x, y, z], axis=1), behind, rest)


def _clear_of_neck(places: Floats, behind: bool, rest: Rest) -> Floats:
    """Places moved off to the front or the back as far as the body under them needs."""
    body = rest.places[rest.form.trunk | rest.form.arm | rest.form.right_arm]
    body = body[body[:, 2] > rest.armpit - 0.05]
    near = (np.abs(places[:, None, 0] - body[None, :, 0]) < 0.015) & (
        np.abs(places[:, None, 2] - body[None, :, 2]) < 0.015
    )
    if behind:
        most = np.where(near, body[None, :, 1], -np.inf).max(1) + OFF
        places[:, 1] = np.maximum(places[:, 1], most)
    else:
        most = np.where(near, body[None, :, 1], np.inf).min(1) - OFF
        places[:, 1] = np.minimum(places[:, 1], most)
    return places


def _lay_sleeve(places: Floats, sewn: Sewn, rest: Rest, name: str) -> None:
    """A tube along the arm; from the armhole on it takes a few centimetres to become round."""
    index = [panel.name for panel in sewn.pattern.panels].index(name)
    mine = sewn.panel == index
    row, column = sewn.row[mine], sewn.column[mine]
    flat = sewn.flat[mine] / 100
    top, last = row.max(), column.max()
    side = 1.0 if name.startswith("left") else -1.0
    turned = column if side > 0 else last - column
    head = places[sewn.at(name, int(top), slice(None))][column]
    below = (top - row) / top
    length = -flat[:, 1].min()
    angle = 2 * np.pi * turned / last
    for r in range(top):
        on = row == r
        along = float(below[on][0]) * length
        radius = np.ptp(flat[on, 0]) / (2 * np.pi)
        ring = _arm_ring(rest, along, radius, angle[on])
        share = min(1.0, along / 0.10)
        share = share * share * (3 - 2 * share)
        places[sewn.vertex[mine][on]] = share * ring * [side, 1, 1] + (1 - share) * head[on]


def _arm_ring(rest: Rest, along: float, radius: float, angle: Floats) -> Floats:
    """Around the left arm, so many metres from the shoulder's tip; angles from below by front."""
    shoulder, elbow, wrist = (
        rest.joint(name) for name in ("upperarm01.L", "lowerarm01.L", "wrist.L")
    )
    upper = float(np.linalg.norm(elbow - shoulder))
    first, second = _unit(elbow - shoulder), _unit(wrist - elbow)
    bend = np.clip((along - upper) / 0.06 + 0.5, 0, 1)
    axis = _unit(first + bend * (second - first))
    centre = shoulder + first * min(along, upper) + second * max(along - upper, 0.0)
    up = _unit(np.array([0.0, 0.0, 1.0]) - axis[2] * axis)
    front = np.cross(up, axis)
    front = front if front[1] < 0 else -front
    points = rest.places[rest.form.arm] - centre
    near = points[np.abs(points @ axis) < SLAB]
    across = np.stack([near @ front, near @ up], axis=1)
    ring = _outline(across, 2 * np.pi * radius) if len(near) else radius * DIRECTIONS
    turned = ((angle - np.pi / 2) * RAYS / (2 * np.pi)) % RAYS
    low = np.floor(turned).astype(int) % RAYS
    part = (turned - np.floor(turned))[:, None]
    flat = ring[low] * (1 - part) + ring[(low + 1) % RAYS] * part
    placed: Floats = centre + flat[:, :1] * front + flat[:, 1:] * up
    return placed


def _around_legs(sewn: Sewn, rest: Rest, top: float) -> Floats:
    """Trousers whose crotch lies just under the body's, and whose waist is ``top`` metres high."""
    places = np.zeros((sewn.count, 3))
    start, crotch_row = rest.crotch - 0.012, sewn.pattern.panels[0].turn
    for index, panel in enumerate(sewn.pattern.panels):
        mine = sewn.panel == index
        row, column = sewn.row[mine], sewn.column[mine]
        flat = sewn.flat[mine] / 100
        last = column.max()
        side = 1.0 if panel.name.startswith("left") else -1.0
        out = column / last if side > 0 else 1 - column / last
        fork = flat[(row == crotch_row), 1].mean()
        for r in range(row.max() + 1):
            on = row == r
            girth = 4 * float(np.abs(flat[on, 0]).max())
            y = flat[on, 1]
            if r <= crotch_row:
                z = float(start + (y.mean() - fork) * 0.985)
                ring = rest.ring(rest.form.left_leg, max(z, 0.03), 4 * np.ptp(flat[on, 0]) / 2)
                place = _half(ring, out[on], panel.behind)
                height = np.full(on.sum(), z)
            else:
                share = (y - fork) / (0 - fork)
                height = start + share * (top - start)
                ring = rest.ring(rest.form.hips, float(height.mean()), girth)
                place = _half(ring, 0.5 + 0.5 * out[on], panel.behind)
            vertices = sewn.vertex[mine][on]
            places[vertices, :2] = place * [side, 1]
            places[vertices, 2] = height
    middle = np.concatenate(
        [sewn.at(f"left {face}", slice(crotch_row, None), 0) for face in ("front", "back")]
    )
    places[middle, 0] = 0.0
    return places


def _around_waist(sewn: Sewn, rest: Rest, top: float) -> Floats:
    """A skirt that hangs from a height."""
    places = np.zeros((sewn.count, 3))
    for index, panel in enumerate(sewn.pattern.panels):
        mine = sewn.panel == index
        row, column = sewn.row[mine], sewn.column[mine]
        flat = sewn.flat[mine] / 100
        for r in range(row.max() + 1):
            on = row == r
            z = top + flat[on, 1]
            ring = rest.ring(rest.form.hips, max(float(z.mean()), 0.02), 2 * np.ptp(flat[on, 0]))
            vertices = sewn.vertex[mine][on]
            places[vertices, :2] = _half(ring, column[on] / column.max(), panel.behind)
            places[vertices, 2] = z
    return places


def _outline(points: Floats, girth: float) -> Floats:
    """The points (RAYS, 2) of a convex curve around others, by the direction that it faces."""
    reach = (points @ DIRECTIONS.T).max(0)
    step = 2 * np.pi / RAYS
    reach = reach + OFF
    # What is over goes to front and back, where the arms are not in the way.
    more = max(0.0, girth - reach.sum() * step) / 4
    reach = reach + more * (0.85 * np.abs(DIRECTIONS[:, 1]) + 0.15 * np.pi / 2 * 0.64)
    off = 0.0
    slope = (np.roll(reach, -1) - np.roll(reach, 1)) / (2 * step)
    tangent = np.stack([-DIRECTIONS[:, 1], DIRECTIONS[:, 0]], axis=1)
    curve: Floats = (reach + off)[:, None] * DIRECTIONS + slope[:, None] * tangent
    return curve


def _half(ring: Floats, share: Floats, behind: bool) -> Floats:
    """Places (N, 2) on the front or back half of a ring: from the right side (0) to the left."""
    turns = np.arange(RAYS // 2, -1, -1) if behind else np.arange(RAYS // 2, RAYS + 1)
    half = ring[turns % RAYS]
    along = np.concatenate([[0], np.linalg.norm(np.diff(half, axis=0), axis=1).cumsum()])
    at = share * along[-1]
    return np.stack([np.interp(at, along, half[:, i]) for i in (0, 1)], axis=1)


def _starts(stems: npt.NDArray[np.str_], starts: tuple[str, ...]) -> Flags:
    found = np.zeros(len(stems), bool)
    for start in starts:
        found |= np.char.startswith(stems, start)
    return found


def _unit(vector: Floats) -> Floats:
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


def _need(centimetres: float | None) -> float:
    assert centimetres is not None
    return centimetres
