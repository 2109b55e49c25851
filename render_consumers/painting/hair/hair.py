"""Hair: a cap over the scalp that ends in a soft hairline, and a curtain that falls from it."""

import math

import torch
from torch import Tensor

from render_consumers.painting.clothes.piece import Cloth
from render_consumers.painting.mesh import Mesh, split

# The hairline on the template, from the forehead over the ear to the nape: (y, z) in metres.
HAIRLINE = (
    (-0.16, 0.806), (-0.14, 0.800), (-0.122, 0.786), (-0.105, 0.765), (-0.092, 0.738),
    (-0.084, 0.712), (-0.074, 0.704), (-0.066, 0.728), (-0.055, 0.742), (-0.036, 0.740),
    (-0.026, 0.715), (-0.015, 0.690), (0.0, 0.674), (0.06, 0.660),
)  # fmt: skip


def hairline(place: Tensor) -> Tensor:
    """How far above the hairline (N,) places (N, 3) on the template lie, in metres."""
    knots = place.new_tensor(HAIRLINE)
    y = place[:, 1].contiguous()
    after = torch.searchsorted(knots[:, 0].contiguous(), y).clamp(1, len(knots) - 1)
    low, high = knots[after - 1], knots[after]
    share = ((y - low[:, 0]) / (high[:, 0] - low[:, 0])).clamp(0, 1)
    return place[:, 2] - (low[:, 1] + share * (high[:, 1] - low[:, 1]))


class Hair:
    """The cap that every hairstyle starts from, and the curtain that makes it a bob."""

    def __init__(self, body: Tensor, template: Tensor, ears: Tensor) -> None:
        coarse = _cap_faces(body, template, ears)
        once, first = split(coarse)
        twice, second = split(once)
        self.cap = Mesh(twice)
        self._parents = first[second].flatten(1)  # (V, 4)
        self._cap_template = self._fine(template)
        self._rise = hairline(self._cap_template)
        self.curtain = Mesh(_grid_faces(template.device))
        self._curtain_template = _curtain(template)
        self._head = (template[:, 2] > 0.67).nonzero()[:, 0]
        self._head_template = template[self._head]

    def over_scalp(self, posed: Tensor, volume: float) -> Cloth:
        """The cap, ``volume`` metres thick at most, thinning out to the hairline."""
        local = self._cap_template
        crown = ((local[:, 2] - 0.74) / 0.09).clamp(0, 1)
        off = 0.0015 + volume * (self._rise / 0.06).clamp(0, 1).sqrt() * (0.55 + 0.6 * crown)
        places = self._fine(posed)
        places = places + self.cap.normals(places) * self.cap.smoothed(off[:, None], 6)
        return Cloth(self.cap.smoothed(places, 3), local, self._rise)

    def bob(self, posed: Tensor) -> Cloth:
        """Hair that falls from the cap to the chin, carried along by the head as a whole."""
        local = self._curtain_template
        carried = _affine(self._head_template, posed[self._head])
        tips = 0.004 * torch.sin(local[:, 0] * 310) + 0.003 * torch.sin(local[:, 1] * 530)
        return Cloth(_extended(local) @ carried, local, local[:, 2] - 0.640 - tips)

    def _fine(self, values: Tensor) -> Tensor:
        """Values (V, K) of the whole model on the cap, smoothed where it was split."""
        return self.cap.smoothed(values[self._parents].mean(1), 2)


def _cap_faces(body: Tensor, template: Tensor, ears: Tensor) -> Tensor:
    """The triangles of the head that hair may grow on, with a margin to fade out over."""
    place = template[body]
    scalp = (place[:, :, 2].amin(1) > 0.65) & (place[:, :, 1].amax(1) > -0.17)
    near = (hairline(template)[body] > -0.02).any(1)
    return body[scalp & near & (ears[body] < 0.2).all(1)]


# The curtain's half width and depth behind the middle of the head, by height on the template.
FALL = (
    (0.822, 0.066, 0.072), (0.805, 0.080, 0.089), (0.785, 0.089, 0.100), (0.760, 0.094, 0.106),
    (0.730, 0.0965, 0.107), (0.695, 0.098, 0.105), (0.660, 0.097, 0.101), (0.635, 0.092, 0.094),
    (0.618, 0.084, 0.086),
)  # fmt: skip
ROWS, COLUMNS = 30, 97
MIDDLE = -0.05  # y of the middle of the head on the template
FRONT = math.radians(112)  # how far round from the back the curtain reaches


def _curtain(like: Tensor) -> Tensor:
    """The places (ROWS * COLUMNS, 3) of the curtain on the template."""
    knots = torch.tensor(FALL)
    row = torch.linspace(0, len(FALL) - 1.0001, ROWS)
    share = (row - row.floor())[:, None]
    z, wide, deep = torch.lerp(knots[row.long()], knots[row.long() + 1], share).unbind(1)
    angle = torch.linspace(-FRONT, FRONT, COLUMNS)
    x = wide[:, None] * angle.sin()
    y = MIDDLE + deep[:, None] * angle.cos()
    places = torch.stack([x, y, z[:, None].expand_as(x)], dim=2)
    return places.reshape(-1, 3).to(like)


def _grid_faces(device: torch.device) -> Tensor:
    corner = torch.arange(ROWS * COLUMNS, device=device).view(ROWS, COLUMNS)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = [torch.stack(row, dim=2).reshape(-1, 3) for row in ((a, b, c), (b, d, c))]
    return torch.cat(triangles)


def _affine(start: Tensor, end: Tensor) -> Tensor:
    """The affine map (4, 3) that best takes places (N, 3) to other places."""
    solved: Tensor = torch.linalg.lstsq(_extended(start).double(), end.double()).solution
    return solved.to(start)


def _extended(places: Tensor) -> Tensor:
    return torch.cat([places, torch.ones_like(places[:, :1])], dim=1)
