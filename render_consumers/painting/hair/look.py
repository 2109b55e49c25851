"""What hair looks like, decided at each sample from its place on its card."""

import torch
from torch import Tensor

from render_consumers.painting.hair.scalp import hairline
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import Samples, Surface, noise, smooth
from render_consumers.painting.vectors import unit

HAIR = 0.0006  # metres from one of the finer hairs on a card to the next


def strands(samples: Samples, colour: Colour) -> Surface:
    """Fibres along their cards: darker at the root and deep inside, each strand of its own tint."""
    across, along, tint = samples.template.unbind(1)
    depth = samples.marks[:, 0]
    at = across / HAIR + 97.0 * tint
    fine = torch.sin(6.28 * at) * 0.5 + torch.sin(6.28 * 0.37 * at + 3 * along + 40 * tint) * 0.5
    shade = (0.62 + 0.38 * depth) * (0.72 + 0.28 * smooth(0.0, 0.30, along))
    shade = shade * (1 + 0.26 * fine + 0.30 * (tint - 0.5))
    base = samples.template.new_tensor(colour)
    warm = base * base.new_tensor([1.10, 1.0, 0.88])
    albedo = torch.lerp(base.expand_as(samples.normal), warm, (tint * along)[:, None])
    normal = unit(samples.normal)
    gloss = (0.35 + 0.65 * depth) * (0.75 + 0.45 * fine)
    way = unit(samples.tangent + 0.10 * (fine * 0.5 + tint - 0.5)[:, None] * normal)
    return Surface(albedo * shade[:, None], normal, gloss, softness=0.3, fibres=way)


def grown_over(at: Tensor) -> Tensor:
    """How much of the skin (N,) at places (N, 3) of the template hair covers."""
    rise = hairline(at) + 0.004 * noise(at, 900.0) + 0.003 * noise(at, 2300.0)
    return smooth(-0.004, 0.008, rise) * (at[:, 2] > 0.64)
