"""What is sewn to a neckline: ribs, collars and hoods, shaped along it when the cloth hangs.

Each is a strip whose columns follow the neckline once around from the middle of the front, by the
wearer's left. Its rows follow a profile: how far up and out of the neckline they lie.
"""

import msgspec
import numpy as np
import torch
from torch import Tensor

from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.sewing.pattern import Floats, Indices, Sewn
from render_consumers.painting.mesh import Mesh
from render_consumers.painting.vectors import unit

Profile = tuple[tuple[float, float], ...]  # up and out, centimetres

RIB: Profile = ((0, 0), (0.7, 0.12), (1.4, 0.12), (2.0, 0.0))
TURTLE: Profile = ((0, 0), (0.8, 0.2), (1.7, 0.25), (2.6, 0.0))
STAND: Profile = ((0, 0), (1.5, 0.1), (3, 0.15), (4.4, 0.3), (5.4, 0.5), (5.5, 0.75), (5.2, 0.8))
COLLAR_BACK: Profile = (
    (0, 0), (1.2, 0.0), (2.4, 0.05), (3.3, 0.2), (3.6, 0.6), (3.2, 1.1), (2.0, 1.7), (0.8, 2.2),
    (-0.4, 2.6), (-1.2, 2.8),
)  # fmt: skip
COLLAR_FRONT: Profile = (
    (0, 0), (0.7, 0.1), (1.4, 0.2), (1.9, 0.4), (2.0, 0.8), (1.4, 1.2), (-0.2, 1.4), (-2.0, 1.3),
    (-4.2, 1.0), (-6.0, 0.7),
)  # fmt: skip
HOOD_BACK: Profile = (
    (0, 0), (2.0, 0.2), (3.8, 0.8), (4.8, 2.2), (4.8, 4.2), (3.4, 6.2), (0.4, 7.6), (-5.0, 8.2),
    (-12, 7.4), (-18, 5.6), (-21.5, 3.8), (-22, 2.0), (-20.5, 0.8),
)  # fmt: skip
HOOD_FRONT: Profile = (
    (0, 0), (1.0, 0.1), (2.0, 0.4), (2.8, 1.0), (3.0, 1.8), (2.6, 2.6), (1.6, 3.0), (0.4, 3.0),
    (-0.8, 2.6), (-1.8, 2.0), (-2.2, 1.5), (-2.3, 1.0), (-2.2, 0.6),
)  # fmt: skip
SIDES = 0.36  # share of the way to the nape that a hood lies flat on the shoulders
NARROWS = 0.45  # by which a hood is narrower at its point than at the neck
OPENS = 1.1  # centimetres that the points of a collar stand off the middle of the front
PLACE = 9  # what stands for the number of a panel


class Strip(msgspec.Struct, frozen=True):
    """R rows along N vertices of the neckline: an open one bears its first vertex twice."""

    loop: Indices  # (N,)
    profile: Floats  # (R, N, 3) up, out and along, centimetres
    upright: Floats  # (N,) from 0, rises as the cloth below it does, to 1, towards the sky
    narrows: float
    faces: Indices  # (F, 3) of its own places, row by row
    flat: Floats  # (R N, 3) along and across in centimetres, and PLACE
    closed: bool
    folded: bool  # over itself, so that its inside is seen


def strip(kind: Kind, sewn: Sewn, shoulder: int) -> Strip | None:
    """What belongs on a neckline; ``shoulder`` is how many columns a shoulder has."""
    if kind in (Kind.TSHIRT, Kind.LONG_SLEEVE):
        return _strip(sewn, shoulder, RIB, RIB)
    if kind is Kind.SWEATER:
        return _strip(sewn, shoulder, TURTLE, TURTLE)
    if kind is Kind.JACKET:
        return _strip(sewn, shoulder, STAND, STAND, closed=False)
    if kind in (Kind.SHIRT, Kind.POLO):
        return _strip(sewn, shoulder, COLLAR_FRONT, COLLAR_BACK, closed=False)
    if kind is Kind.HOODIE:
        return _strip(sewn, shoulder, HOOD_FRONT, HOOD_BACK, closed=False)
    return None


def _strip(
    sewn: Sewn, shoulder: int, front: Profile, back: Profile, *, closed: bool = True
) -> Strip:
    folded = front is not back
    loop, along = _neckline(sewn, shoulder, closed)
    behind = 1 - np.abs(2 * along / along[-1] - 1)  # 0 at the front, 1 at the back
    start = SIDES if front is HOOD_FRONT else 0.15  # where the front's profile goes over
    share = np.clip((behind - start) / 0.55, 0, 1)
    share = (share * share * (3 - 2 * share))[None, :, None]
    mixed = np.array(front)[:, None] * (1 - share) + np.array(back)[:, None] * share
    side = np.zeros((*mixed.shape[:2], 1))
    if not closed and len(front) == len(COLLAR_FRONT):
        fall = np.clip((np.arange(len(front)) - 3) / 6, 0, 1)[:, None]
        near = np.clip(1 - behind / 0.35, 0, 1)[None]
        side[:, :, 0] = OPENS * fall * near * np.where(along < along[-1] / 2, 1, -1)
    rows = np.concatenate([[0], np.hypot(*np.diff(np.array(back), axis=0).T).cumsum()])
    grid = np.stack(np.broadcast_arrays(along[None], rows[:, None], float(PLACE)), axis=2)
    return Strip(
        loop=loop,
        profile=np.concatenate([mixed, side], axis=2),
        upright=share[0, :, 0] if not closed else np.zeros(len(loop)),
        narrows=NARROWS if front is HOOD_FRONT else 0.0,
        faces=_faces(len(rows), len(loop), closed, folded),
        flat=grid.reshape(-1, 3),
        closed=closed,
        folded=folded,
    )


def _neckline(sewn: Sewn, shoulder: int, closed: bool) -> tuple[Indices, Floats]:
    """The vertices once around and how far along each is; the last is the first if not closed."""
    front, back = (sewn.at(name, -1, slice(None)) for name in ("front", "back"))
    last = len(front) - 1
    middle, end = last // 2, last - shoulder
    around = [front[middle : end + 1], back[shoulder:end][::-1], front[shoulder : middle + 1]]
    loop = np.concatenate([around[0], around[1], around[2][1:]])
    where = np.empty((sewn.count, 2))
    where[sewn.vertex] = sewn.flat
    apart = np.linalg.norm(np.diff(where[loop], axis=0), axis=1)
    along = np.concatenate([[0], apart.cumsum()])
    return (loop[:-1], along[:-1]) if closed else (loop, along)


def _faces(rows: int, columns: int, closed: bool, folded: bool) -> Indices:
    corner = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        corner = np.concatenate([corner, corner[:, :1]], axis=1)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    both = [np.stack([a, b, c], 2).reshape(-1, 3), np.stack([a, c, d], 2).reshape(-1, 3)]
    faces = np.concatenate(both)
    return np.ascontiguousarray(faces[:, ::-1]) if folded else faces


def shaped(trim: Strip, hung: Tensor, mesh: Mesh) -> Tensor:
    """The places (R N, 3) of a strip along the neckline of hung cloth (V, 3)."""
    loop = torch.from_numpy(trim.loop if trim.closed else trim.loop[:-1]).to(hung.device)
    edge = hung[loop]
    at = _smoothed(edge)
    along = unit(at.roll(-1, 0) - at.roll(1, 0))
    normal = _smoothed(mesh.normals(hung)[loop])
    flat = at.new_tensor([1.0, 1.0, 0.0])
    share = torch.from_numpy(trim.upright[: len(loop), None]).to(hung)
    out = unit(torch.lerp(normal, unit(_smoothed(unit((at - at.mean(0)) * flat))), share))
    sky = at.new_tensor([0.0, 0.0, 1.0]).expand_as(at)
    up = unit(torch.lerp(unit(torch.linalg.cross(out, along)), sky, share))
    if not trim.closed:
        edge, at, along, out, up = (
            torch.cat([each, each[:1]]) for each in (edge, at, along, out, up)
        )
    profile = torch.from_numpy(trim.profile / 100).to(hung)
    # The first row is sewn on; the others need not follow its every step.
    sewn = (torch.arange(len(profile)) / 2).clamp(0, 1).to(at)[:, None, None]
    places = torch.lerp(edge.expand_as(profile), at.expand_as(profile), sewn)
    places = places + profile[..., :1] * up + profile[..., 1:2] * out + profile[..., 2:] * along
    if trim.narrows:
        low = (-profile[..., 0] / 0.22).clamp(0, 1) ** 1.5
        narrow = 1 - trim.narrows * low
        places = torch.cat([places[..., :1] * narrow[..., None], places[..., 1:]], dim=2)
    return places.reshape(-1, 3)


def _smoothed(values: Tensor, rounds: int = 3) -> Tensor:
    """Values (N, K) around a loop, each drawn towards its neighbours."""
    for _ in range(rounds):
        values = 0.5 * values + 0.25 * (values.roll(1, 0) + values.roll(-1, 0))
    return values
