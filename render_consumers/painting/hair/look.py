"""What hair looks like, decided at each sample from its place on the template."""

import torch

from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import Samples, Surface
from render_consumers.painting.vectors import unit


def strands(samples: Samples, colour: Colour) -> Surface:
    """Fine streaks that run from the crown down, with a band of light across them."""
    at = samples.template
    around = torch.atan2(at[:, 0], -(at[:, 1] + 0.05))
    warp = 1.6 * torch.sin(5 * around + 34 * at[:, 2]) + 24 * at[:, 2]
    fade = 0.6 + 0.4 * torch.sin(17 * around + 90 * at[:, 2])
    streak = (
        0.6 * torch.sin(around * 71 + warp) + 0.8 * fade * torch.sin(around * 163 - 1.3 * warp)
        + 0.8 * torch.sin(around * 331 + 2.1 * warp)
    ) / 2.2  # fmt: skip
    albedo = at.new_tensor(colour) * (1.0 + 0.42 * streak)[:, None]
    tangent = torch.stack([around.cos(), around.sin(), torch.zeros_like(around)], dim=1)
    normal = unit(samples.normal + 0.22 * streak[:, None] * tangent)
    return Surface(albedo, normal, 0.10 + 0.06 * streak, sharpness=14.0, softness=0.1)
