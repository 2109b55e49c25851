"""Triangle meshes whose normals and smoothing are gathers, so that they never depend on order."""

from copy import copy

import torch
from torch import Tensor

from render_consumers.painting.vectors import unit


class Mesh:
    """The triangles (F, 3) of one part, and for each of its V vertices what lies around it."""

    def __init__(self, faces: Tensor) -> None:
        self.vertices = torch.unique(faces)  # (V,) where they lie in the whole model
        place = torch.zeros(int(faces.max()) + 1, dtype=torch.long, device=faces.device)
        place[self.vertices] = torch.arange(len(self.vertices), device=faces.device)
        self.faces = place[faces]
        owner = torch.arange(len(faces), device=faces.device).repeat_interleave(3)
        self._around = _padded(self.faces.flatten(), owner, len(self.vertices), len(faces))
        pairs = torch.cat([self.faces[:, [i, (i + 1) % 3]] for i in range(3)])
        edges, _, _ = distinct(torch.cat([pairs, pairs.flip(1)]))
        count = len(self.vertices)
        self._next = _padded(edges[:, 0], edges[:, 1], count, count)
        self._degree = (self._next < count).sum(1, keepdim=True)
        self.rim = _rim(pairs, count)

    def to(self, device: torch.device) -> "Mesh":
        """The same mesh where a device has it."""
        if self.faces.device == device:
            return self
        moved = copy(self)
        for name, value in vars(self).items():
            setattr(moved, name, value.to(device))
        return moved

    def normals(self, places: Tensor) -> Tensor:
        """Unit normals (V, 3), each the mean of the triangles around, large ones counting more."""
        a, b, c = places[self.faces].unbind(1)
        faces = torch.linalg.cross(b - a, c - a)
        return unit(_with_zero(faces)[self._around].sum(1))

    def smoothed(self, values: Tensor, rounds: int, share: float = 0.5) -> Tensor:
        """Values (V, K), each drawn towards the mean of its neighbours; the rim stays put."""
        fixed = self.rim[:, None]
        for _ in range(rounds):
            mean = _with_zero(values)[self._next].sum(1) / self._degree
            values = torch.where(fixed, values, values + share * (mean - values))
        return values

    def averaged(self, values: Tensor, rounds: int) -> Tensor:
        """Values (V, K), each drawn half of the way to the mean of its neighbours, rim and all."""
        for _ in range(rounds):
            values = values + 0.5 * (_with_zero(values)[self._next].sum(1) / self._degree - values)
        return values

    def eroded(self, share: Tensor, rings: int) -> Tensor:
        """Shares (V,), each the lowest within so many edges."""
        for _ in range(rings):
            around = torch.cat([share, torch.ones_like(share[:1])])[self._next]
            share = torch.minimum(share, around.amin(1))
        return share


def split(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Each triangle in four (4 F, 3), and the two vertices (V', 2) that each new one is between.

    A vertex that was there before is between itself and itself.
    """
    corners = torch.unique(faces)
    place = torch.zeros(int(faces.max()) + 1, dtype=torch.long, device=faces.device)
    place[corners] = torch.arange(len(corners), device=faces.device)
    pairs = torch.cat([faces[:, [i, (i + 1) % 3]] for i in range(3)]).sort(dim=1).values
    edges, which, _ = distinct(pairs)
    ab, bc, ca = (which + len(corners)).view(3, -1).unbind(0)
    a, b, c = place[faces].unbind(1)
    rows = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    parents = torch.cat([corners[:, None].expand(-1, 2), edges])
    return torch.cat([torch.stack(row, dim=1) for row in rows]), parents


def distinct(pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct pairs (E, 2) in order, which of them each one is, and how often each comes.

    Torch sorts rows many times slower than the numbers that stand for them here.
    """
    base = int(pairs.max()) + 1
    numbers, which, times = torch.unique(
        pairs[:, 0] * base + pairs[:, 1], return_inverse=True, return_counts=True
    )
    return torch.stack([numbers // base, numbers % base], dim=1), which, times


def _with_zero(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.zeros_like(rows[:1])])


def _padded(keys: Tensor, values: Tensor, count: int, filler: int) -> Tensor:
    """For each key below ``count`` its values in one row (count, K), filled up with ``filler``."""
    order = keys.argsort(stable=True)
    sizes = torch.bincount(keys, minlength=count)
    first = sizes.cumsum(0) - sizes
    column = torch.arange(len(keys), device=keys.device) - first[keys[order]]
    table = torch.full((count, int(sizes.max())), filler, device=keys.device)
    table[keys[order], column] = values[order]
    return table


def _rim(pairs: Tensor, count: int) -> Tensor:
    """Which vertices (V,) lie on an open border: on an edge that only one triangle has."""
    _, which, times = distinct(pairs.sort(dim=1).values)
    rim = torch.zeros(count, dtype=torch.bool, device=pairs.device)
    rim[pairs[times[which] == 1].flatten()] = True
    return rim
