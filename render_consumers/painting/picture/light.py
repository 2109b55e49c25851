"""Light: three soft lamps and a bright sky, with the shadows that the person casts on itself."""

import math

import torch
from torch import Tensor

from render_consumers.painting.picture.raster import nearest
from render_consumers.painting.vectors import unit

MAP = 208  # samples along each side of one shadow map
BIAS = 0.014  # metres that a surface must be behind another to lie in its shadow
Direction = tuple[float, float, float]

# Towards each lamp (x to the right of the picture, y away from the camera, z up), and its light.
LAMPS: tuple[tuple[Direction, tuple[float, float, float]], ...] = (
    ((-0.55, -0.75, 0.62), (1.62, 1.55, 1.46)),
    ((0.80, -0.62, 0.18), (0.50, 0.52, 0.56)),
    ((0.62, 0.72, 0.52), (0.62, 0.64, 0.68)),
)
SKY, GROUND = (0.62, 0.64, 0.68), (0.34, 0.31, 0.29)
SPREAD = 0.16  # how wide a lamp is, as a share of its distance
RAYS_PER_LAMP, RAYS_OF_SKY = [4, 2, 2], 10


def rays() -> Tensor:
    """Unit vectors (R, 3) that shadows are looked up along: the lamps' first, then the sky's."""
    found = []
    for (lamp, _), count in zip(LAMPS, RAYS_PER_LAMP, strict=True):
        centre = torch.tensor(lamp) / math.hypot(*lamp)
        side = torch.linalg.cross(centre, torch.tensor([0.0, 0.0, 1.0]))
        side = side / side.norm()
        up = torch.linalg.cross(side, centre)
        for k in range(count):
            angle = 2 * math.pi * (k + 0.5) / count
            found.append(centre + SPREAD * (math.cos(angle) * side + math.sin(angle) * up))
    for k in range(RAYS_OF_SKY):  # a spiral of even density from overhead to a little below level
        z = 1 - 1.25 * (k + 0.5) / RAYS_OF_SKY
        angle, flat = k * math.pi * (3 - math.sqrt(5)), math.sqrt(1 - z * z)
        found.append(torch.tensor([flat * math.cos(angle), flat * math.sin(angle), z]))
    return unit(torch.stack(found))


def reached(places: Tensor, normals: Tensor, faces: Tensor, which: Tensor) -> Tensor:
    """How much of each lamp and of the sky (N, 4) reaches some vertices (N,), from 0 to 1."""
    every = rays().to(places.device)
    centre = (places.amin(0) + places.amax(0)) / 2
    radius = float((places - centre).norm(dim=1).max()) * 1.02
    lit = torch.stack([_lit(places, centre, radius, faces, ray, which) for ray in every], dim=1)
    lamps = torch.stack(
        [part.mean(1) for part in torch.split(lit[:, :-RAYS_OF_SKY], RAYS_PER_LAMP, 1)], 1
    )
    sky = every[-RAYS_OF_SKY:]
    facing = (normals[which] @ sky.T + 0.15).clamp(min=0)
    open_sky = (lit[:, -RAYS_OF_SKY:] * facing).sum(1) / facing.sum(1).clamp(min=1e-3)
    return torch.cat([0.08 + 0.92 * lamps, 0.20 + 0.80 * open_sky[:, None]], dim=1)


def _lit(
    places: Tensor, centre: Tensor, radius: float, faces: Tensor, ray: Tensor, which: Tensor
) -> Tensor:
    """How far one distant point lights vertices (N,), softened over four samples of its map."""
    up = ray.new_tensor([0.0, 0.0, 1.0] if abs(float(ray[2])) < 0.9 else [0.0, 1.0, 0.0])
    side = torch.linalg.cross(up, ray)
    side = side / side.norm()
    axes = torch.stack([side, torch.linalg.cross(side, ray), ray], dim=1)
    seen = (places - centre) @ axes / (2 * radius) + 0.5
    screen = torch.cat([seen[:, :2] * MAP, 0.1 + 0.8 * seen[:, 2:]], dim=1)
    depth = nearest(screen, faces, (MAP, MAP))
    screen = screen[which]
    mine = screen[:, 2] + 0.8 * BIAS / (2 * radius)
    x, y = screen[:, 0] - 0.5, screen[:, 1] - 0.5
    lit = torch.zeros_like(mine)
    for dx in (0, 1):
        for dy in (0, 1):
            u, v = x.floor().long() + dx, y.floor().long() + dy
            share = (1 - (x - u).abs()) * (1 - (y - v).abs())
            there = depth[v.clamp(0, MAP - 1) * MAP + u.clamp(0, MAP - 1)]
            lit += share * (there <= mine)
    return lit
