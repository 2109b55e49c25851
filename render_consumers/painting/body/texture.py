"""Fine detail that is worked out once and looked up: pores, the hairs of brows."""

import functools
import itertools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]

PITCH = 0.0001  # metres from texel to texel
TILE = 512  # texels along each side of the pores, which repeat
PORE, FOLD = 0.0009, 0.0017  # metres between pores, and between the finest lines of the skin
LEVELS = 4  # each half as fine as the one before


class Texture:
    """Values (C, H, W) at a distance of `PITCH`, and coarser ones for looking from afar."""

    def __init__(self, values: Floats, device: torch.device) -> None:
        image = torch.from_numpy(values).float().to(device)[None]
        self._levels = [image]
        for _ in range(LEVELS - 1):
            self._levels.append(torch.nn.functional.avg_pool2d(self._levels[-1], 2))

    def at(self, u: Tensor, v: Tensor, spacing: float) -> Tensor:
        """Values (C, N) for metres u to the right and v down, samples so many metres apart."""
        level = min(max(round(math.log2(max(spacing, 1e-9) / PITCH)), 0), LEVELS - 1)
        height, width = self._levels[0].shape[2:]
        grid = torch.stack([u / (width * PITCH), v / (height * PITCH)], dim=1) * 2 - 1
        found = torch.nn.functional.grid_sample(
            self._levels[level], grid[None, None], padding_mode="border", align_corners=False
        )
        return found[0, :, 0]

    def repeated(self, u: Tensor, v: Tensor, spacing: float) -> Tensor:
        """Likewise, of a tile that repeats in both directions."""
        size = TILE * PITCH
        return self.at(u.remainder(size), v.remainder(size), spacing)


@functools.lru_cache(maxsize=4)
def pores(device: torch.device) -> Texture:
    """Slopes to the right and down, and how deep it is (3, TILE, TILE)."""
    pit, _ = _cells(PORE, 1)
    inner, outer = _cells(FOLD, 2)
    depth = np.exp(-((pit / 0.00021) ** 2)) + 0.55 * np.exp(-(((outer - inner) / 0.00022) ** 2))
    across, down = (np.roll(depth, -1, axis) - np.roll(depth, 1, axis) for axis in (1, 0))
    return Texture(np.stack([across, down, depth - depth.mean()]), device)


def _cells(size: float, seed: int) -> tuple[Floats, Floats]:
    """How far each texel of a tile is from the nearest and second nearest of scattered points."""
    count = round(TILE * PITCH / size)
    step = TILE / count
    jitter = np.random.default_rng(seed).random((count, count, 2))
    y, x = np.mgrid[:TILE, :TILE] + 0.5
    row, column = (y / step).astype(int), (x / step).astype(int)
    near = np.full((2, TILE, TILE), np.inf)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            point = jitter[(row + dy) % count, (column + dx) % count]
            off_y = (row + dy + point[..., 0]) * step - y
            off_x = (column + dx + point[..., 1]) * step - x
            distance = np.hypot(off_x, off_y)
            near = np.sort(np.concatenate([near, distance[None]]), axis=0)[:2]
    return near[0] * PITCH, near[1] * PITCH


class Strokes:
    """A sheet (H, W) that thin hairs are drawn on, from 0 to 1."""

    def __init__(self, height: int, width: int) -> None:
        self.bare = np.ones((height, width))

    def hair(self, path: Floats, thick: float, dark: float) -> None:
        """One hair along a path (P, 2) in texels, as thick as that at its root."""
        for i, (start, end) in enumerate(itertools.pairwise(path)):
            low = np.floor(np.minimum(start, end) - 2 * thick - 1).astype(int).clip(0)
            high = np.ceil(np.maximum(start, end) + 2 * thick + 2).astype(int)
            part = self.bare[low[1] : high[1], low[0] : high[0]]
            y, x = np.mgrid[low[1] : low[1] + part.shape[0], low[0] : low[0] + part.shape[1]] + 0.5
            way = end - start
            share = ((x - start[0]) * way[0] + (y - start[1]) * way[1]) / max(way @ way, 1e-9)
            share = share.clip(0, 1)
            off = np.hypot(x - start[0] - share * way[0], y - start[1] - share * way[1])
            width = thick * (1 - 0.75 * (i + share) / (len(path) - 1))
            part *= 1 - dark * (width + 0.5 - off).clip(0, 1)


# The middle of a brow on the template, from the nose outwards: (x, z) in metres.
BROW = (
    (0.0105, 0.7428), (0.016, 0.7446), (0.022, 0.7462), (0.029, 0.7478), (0.036, 0.7489),
    (0.042, 0.7487), (0.047, 0.7474), (0.052, 0.7452), (0.0565, 0.7424),
)  # fmt: skip
BROW_SHEET = (0.0, 0.764, 0.068, 0.034)  # x and z of its upper left corner, width and height


@functools.lru_cache(maxsize=8)
def brow(device: torch.device, woman: bool) -> Texture:
    """How much of the skin (1, H, W) the hairs of one brow cover."""
    left, top, width, height = BROW_SHEET
    sheet = Strokes(round(height / PITCH), round(width / PITCH))
    random = np.random.default_rng(3)
    count, half = (330, 0.0029) if woman else (420, 0.0040)
    knots = np.array(BROW)
    for k in range(count):
        along = (k + random.random()) / count
        across, tilt, grow, dark = random.random(4) * 2 - 1
        x = np.interp(along, np.linspace(0, 1, len(knots)), knots[:, 0])
        body = half * math.sqrt(max(min(along / 0.10, 1.0, (1.04 - along) / 0.62), 0.05))
        z = np.interp(x, knots[:, 0], knots[:, 1]) + across * body - 0.0006 * (not woman)
        angle = 72 - 48 * min(along / 0.35, 1) ** 0.8 - 20 * along - 52 * max(along - 0.4, 0)
        angle = math.radians(angle + 8 * tilt)
        angle -= math.radians(22) * max(across, 0) - math.radians(12) * max(-across, 0)
        length = (0.0046 + 0.0024 * math.sin(math.pi * along)) * (1 + 0.25 * grow)
        steps = np.arange(5)
        bends = angle - math.radians(7) * steps
        path = np.cumsum(np.stack([np.cos(bends), -np.sin(bends)], 1) * length / 4, axis=0)
        path = (
            path
            - path[0]
            + [x - left - 0.4 * length * math.cos(angle), top - z + 0.4 * length * math.sin(angle)]
        )
        sheet.hair(path / PITCH, 0.95 if woman else 1.05, 0.72 + 0.2 * dark)
    return Texture((1 - sheet.bare)[None], device)
