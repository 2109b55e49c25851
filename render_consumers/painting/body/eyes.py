"""Eyes: balls fine enough to be round, the shade of the lids on them, and single lashes."""

import torch
from torch import Tensor

from render_consumers.painting.body.assets import Assets
from render_consumers.painting.mesh import Mesh, split
from render_consumers.painting.vectors import unit

UPPER, LOWER = 52, 20  # lashes on the lids of one eye
SEGMENTS = 4  # of a lash
THICK = 0.00023  # metres from the middle of a lash to its edge, at the root
CURL = 0.16  # how far a lash bends away from the straight line, as a share of its length
SHADE, DEEP = 0.0038, 0.52  # metres that a lid's shade reaches, and how dark it is


class Eyes:
    """Both eyeballs as one mesh, and the lashes of all four lids as another."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._balls = [assets.parts[f"helper-{side}-eye"] for side in "lr"]
        once, first = split(torch.cat(self._balls))
        twice, second = split(once)
        self.mesh = Mesh(twice)
        self._parents = first[second].flatten(1)  # (V, 4)
        self._of_left = assets.template[self._parents[:, 0], 0] > 0
        self.template = self._round(assets.template)
        self.lids = [Lid(assets, side, upper) for side in "lr" for upper in (True, False)]
        count = sum(lid.count for lid in self.lids)
        self.lashes = Mesh(_ribbons(count, assets.template.device))

    def balls(self, posed: Tensor) -> tuple[Tensor, Tensor]:
        """Places (V, 3) of the eyeballs, and how much light (V,) the lids let on them."""
        places = self._round(posed)
        light = torch.ones_like(places[:, 0])
        for lid in self.lids:
            edge = lid.roots(posed)
            reach = SHADE if lid.upper else 0.5 * SHADE
            apart = torch.cdist(places, edge).amin(1)
            light = light * (1 - DEEP * torch.exp(-((apart / reach) ** 2)))
        return places, light

    def fringes(self, posed: Tensor, length: float) -> Tensor:
        """Places (V, 3) of the lashes, longer or shorter than drawn in the model."""
        return torch.cat([lid.lashes(posed, length, self._middle(posed, lid)) for lid in self.lids])

    def _round(self, values: Tensor) -> Tensor:
        """The vertices on the ball that the coarse ones lie on."""
        corners = values[self._parents]
        middles = torch.stack([_middle(values[torch.unique(ball)]) for ball in self._balls])
        centre = torch.where(self._of_left[:, None], middles[0], middles[1])
        off = corners - centre[:, None]
        places: Tensor = centre + unit(off.mean(1)) * off.norm(dim=2).mean(1, keepdim=True)
        return places

    def _middle(self, posed: Tensor, lid: "Lid") -> Tensor:
        return _middle(posed[torch.unique(self._balls["lr".index(lid.side)])])


class Lid:
    """The row of lashes of one lid, from its two outlines in the model's own fringe."""

    def __init__(self, assets: Assets, side: str, upper: bool) -> None:
        self.side, self.upper, self.count = side, upper, UPPER if upper else LOWER
        mesh = Mesh(assets.parts[f"helper-{side}-eyelashes-{2 if upper else 1}"])
        rim = mesh.vertices[mesh.rim]
        x, y, z = assets.template[rim].unbind(1)
        x = x.abs()
        if upper:
            root, tip = (x < 0.0436) & (y > -0.1392), y < -0.1396
        else:
            root, tip = (x < 0.043) & (y > -0.1392) & (z > 0.7241), z < 0.7240
        self._root, self._tip = (rim[at][x[at].argsort()] for at in (root, tip))
        shares = torch.linspace(0.03, 0.985, self.count, device=x.device)
        jitter = torch.sin(torch.arange(self.count, device=x.device) * 2.4)
        self._shares = shares + 0.006 * jitter
        self._uneven = 0.88 + 0.12 * torch.sin(torch.arange(self.count, device=x.device) * 5.1)

    def roots(self, posed: Tensor) -> Tensor:
        """Places (L, 3) along the edge of the lid, from the nose outwards."""
        return _along(posed[self._root], self._shares)

    def lashes(self, posed: Tensor, length: float, eye: Tensor) -> Tensor:
        """Places (L * 2 * 2 * (SEGMENTS + 1), 3): two ribbons across each other for each lash."""
        root = self.roots(posed)
        tip = root + (_along(posed[self._tip], self._shares) - root) * (
            length * self._uneven[:, None]
        )
        way = tip - root
        along = unit(way)
        out = unit(root - eye)
        out = unit(out - (out * along).sum(1, keepdim=True) * along)
        side = torch.linalg.cross(along, out)
        step = torch.linspace(0, 1, SEGMENTS + 1, device=posed.device)[None, :, None]
        bow = CURL * way.norm(dim=1)[:, None, None] * 4 * step * (1 - step)
        spine = root[:, None] + step * way[:, None] + bow * out[:, None]
        width = (THICK if self.upper else 0.6 * THICK) * (1 - 0.6 * step)
        rows = [spine + sign * width * axis[:, None] for axis in (side, out) for sign in (-1, 1)]
        return torch.stack(rows, dim=2).reshape(-1, 3)


def _middle(places: Tensor) -> Tensor:
    return (places.amin(0) + places.amax(0)) / 2


def _along(line: Tensor, shares: Tensor) -> Tensor:
    """Places (N, 3) at shares of the length of a line (P, 3)."""
    steps = (line[1:] - line[:-1]).norm(dim=1)
    reached = torch.cat([steps.new_zeros(1), steps.cumsum(0)]) / steps.sum()
    after = torch.searchsorted(reached, shares).clamp(1, len(line) - 1)
    low, high = reached[after - 1], reached[after]
    share = ((shares - low) / (high - low))[:, None]
    return torch.lerp(line[after - 1], line[after], share)


def _ribbons(count: int, device: torch.device) -> Tensor:
    """Triangles (F, 3) of so many lashes; each has rows of four places from root to tip."""
    row = torch.arange(count * (SEGMENTS + 1), device=device).view(count, SEGMENTS + 1) * 4
    start, end = row[:, :-1].flatten(), row[:, 1:].flatten()
    triangles = []
    for first, second in ((0, 1), (2, 3)):
        triangles.append(torch.stack([start + first, start + second, end + first], dim=1))
        triangles.append(torch.stack([start + second, end + second, end + first], dim=1))
    return torch.cat(triangles)
