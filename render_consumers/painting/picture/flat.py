"""The flat look: each surface in two tones of its own colour, and drawn lines around all parts."""

import math

import torch
from torch import Tensor

from render_consumers.painting.picture.light import LAMPS
from render_consumers.painting.picture.raster import Visible
from render_consumers.painting.picture.scene import Material, Scene
from render_consumers.painting.picture.surface import Samples, Surface, smooth

SHADE = (0.50, 0.45, 0.55)  # of a colour in the shade: a little cooler, as cartoonists paint it
LINE = 0.10  # of a colour in the lines around it
STEP = 0.020  # metres that one part must be behind another for a line between them
BRUSH = 250  # rows of samples for each by which the brush that lays the tones is wide
FINE_LINE = 1500  # rows of samples for each sample that a line is wider than two
# Parts that have no line between them: eyes and teeth are drawn by their own colours.
PARTS = {Material.EYES: Material.SKIN, Material.TEETH: Material.SKIN}


def shaded(surface: Surface, samples: Samples, lit: Tensor, _towards: Tensor) -> Tensor:
    """Colour and brightness (N, 4), both without texture; `drawn` makes light of them."""
    lamp = samples.normal.new_tensor(LAMPS[0][0])
    facing = (samples.normal @ lamp) / math.hypot(*LAMPS[0][0])
    bright = smooth(0.10, 0.16, facing) * smooth(0.42, 0.54, lit[:, 0])
    return torch.cat([surface.albedo, bright[:, None]], dim=1)


def drawn(painted: Tensor, visible: Visible, scene: Scene, size: tuple[int, int]) -> Tensor:
    """The light (N, 3) of the samples: two tones with a soft rim between them, and lines."""
    is_cloth = scene.material[visible.face] >= int(Material.TOP)  # a face needs its fine shades
    bright = torch.where(is_cloth, _rounded(painted[:, 3], visible, size), painted[:, 3])
    tone = painted.new_tensor(SHADE)
    light = painted[:, :3] * (tone + (1 - tone) * bright[:, None])
    return _outlined(light, visible, scene, size)


def _rounded(bright: Tensor, visible: Visible, size: tuple[int, int]) -> Tensor:
    """The brightness (N,) with rounder edges, and without the specks that a crease leaves."""
    reach = max(1, round(size[1] / BRUSH))
    grids = torch.stack(
        [_grid(each, visible, size, 0.0) for each in (bright, torch.ones_like(bright))]
    )
    around, there = torch.nn.functional.avg_pool2d(grids, 2 * reach + 1, 1, reach)
    share = (around / there.clamp(min=1e-6)).flatten()[visible.sample]
    return smooth(0.40, 0.60, share)


def _outlined(colour: Tensor, visible: Visible, scene: Scene, size: tuple[int, int]) -> Tensor:
    """The light (N, 3) of the samples, with lines where one part of the picture ends."""
    part = _parts(colour.device)[scene.material[visible.face]].float()
    depth = visible.mix(scene.faces, scene.places[:, 1:2])[:, 0]
    parts = _grid(part, visible, size, -1.0)
    ends = _ends(parts, 0.5)  # between strands there are none: hair would be all lines
    ends |= _ends(_grid(depth, visible, size, math.inf), STEP) & (parts != int(Material.HAIR))
    reach = 2 + round(size[1] / FINE_LINE)  # the outermost samples may hardly count
    wide = torch.nn.functional.max_pool2d(ends.float()[None], 2 * reach - 1, 1, reach - 1)
    line = wide.flatten()[visible.sample].bool()[:, None]
    return torch.where(line, LINE * colour, colour)


def _grid(values: Tensor, visible: Visible, size: tuple[int, int], nothing: float) -> Tensor:
    """Values (N,) of the samples in the whole picture (H, W)."""
    grid = torch.full((size[0] * size[1],), nothing, device=values.device)
    grid[visible.sample] = values
    return grid.view(size[1], size[0])


def _ends(grid: Tensor, step: float) -> Tensor:
    """Where (H, W) a neighbour differs by more than a step."""
    ends = torch.zeros_like(grid, dtype=torch.bool)
    across = (grid[:, :-1] - grid[:, 1:]).abs() > step
    down = (grid[:-1] - grid[1:]).abs() > step
    ends[:, :-1] |= across
    ends[:, 1:] |= across
    ends[:-1] |= down
    ends[1:] |= down
    return ends


def _parts(device: torch.device) -> Tensor:
    return torch.tensor([int(PARTS.get(kind, kind)) for kind in Material], device=device)
