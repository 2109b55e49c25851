"""Light on hair: two highlights and soft shade around each fibre.

After Kajiya and Kay (1989), with Marschner's (2003) two lobes as Scheuermann (2004) shades them:
a white one shifted to the tip, and one of the hair's colour shifted to the root.
"""

import math

import torch
from torch import Tensor

from render_consumers.painting.picture.light import GROUND, LAMPS, SKY
from render_consumers.painting.picture.surface import Surface
from render_consumers.painting.vectors import unit

FIRST, SECOND = (0.24, 70.0, -0.08), (0.7, 16.0, 0.14)  # strength, sharpness, shift


def light(surface: Surface, fibres: Tensor, lit: Tensor, towards: Tensor) -> Tensor:
    """Light (N, 3) that leaves fibres (N, 3) towards the camera, but for exposure."""
    normal, albedo = surface.normal, surface.albedo
    way = unit(fibres)
    new = normal.new_tensor
    up = (0.5 + 0.5 * normal[:, 2:]) * lit[:, 3:]
    soft = up * new(SKY) + (0.25 + 0.75 * lit[:, 3:]) * (0.5 - 0.5 * normal[:, 2:]) * new(GROUND)
    white, tinted = torch.zeros_like(albedo), torch.zeros_like(albedo)
    for k, (lamp, colour) in enumerate(LAMPS):
        to_lamp = new(lamp) / math.hypot(*lamp)
        facing = normal @ to_lamp
        around = (1 - (way @ to_lamp).square()).clamp(min=0).sqrt()
        wrapped = ((facing + 0.45) / 1.45).clamp(min=0) * (0.35 + 0.65 * around)
        reaches = lit[:, k : k + 1] * new(colour)
        soft += wrapped[:, None] * reaches
        open_ = ((facing + 0.30) / 0.6).clamp(0, 1)[:, None] * reaches
        half = unit(to_lamp + towards)
        white += _lobe(way, normal, half, FIRST, surface.gloss)[:, None] * open_
        tinted += _lobe(way, normal, half, SECOND, surface.gloss)[:, None] * open_
    through = albedo.clamp(min=1e-4) ** 0.7
    return albedo * soft + white + through * tinted * (0.30 + 0.5 * through.mean(1, keepdim=True))


def _lobe(
    way: Tensor, normal: Tensor, half: Tensor, lobe: tuple[float, float, float], gloss: Tensor
) -> Tensor:
    strength, sharpness, shift = lobe
    along = (unit(way + shift * normal) * half).sum(1)
    across = (1 - along.square()).clamp(min=0)
    return strength * gloss * across ** (sharpness / 2)
