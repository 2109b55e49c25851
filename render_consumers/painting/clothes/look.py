"""What clothes look like, decided at each sample from its place on the template."""

import torch
from torch import Tensor

from render_consumers.painting.clothes.garment import HEM, collar, cuff, hem
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import (
    Samples,
    Surface,
    blend,
    blob,
    line,
    noise,
    smooth,
)
from render_consumers.painting.vectors import unit

SOLE = 0.024  # metres above the ground


def hoodie(samples: Samples, colour: Colour) -> Surface:
    """Plain jersey with ribbed cuffs, hem and collar, a pouch pocket and soft folds."""
    at = samples.template
    low, end, neck = hem(at), cuff(at), collar(at)
    torso = at[:, 0].abs() < 0.19
    side = at[:, 0].abs()
    around = torch.atan2(at[:, 0], at[:, 1] + 0.03)
    rib_hem = smooth(0.047, 0.044, low) * torso
    rib_cuff = smooth(0.047, 0.044, end) * ~torso
    rib_neck = smooth(0.021, 0.018, neck)
    ribbed = torch.maximum(torch.maximum(rib_hem, rib_cuff), rib_neck)
    phase = torch.where(torso, around * 90, torch.atan2(at[:, 1] - at[:, 0], at[:, 2]) * 260)
    knit = ribbed * torch.sin(phase)
    seam = line(low - 0.046, 0.0016) * torso + line(end - 0.046, 0.0016) * ~torso
    seam = seam + line(neck - 0.020, 0.0016) + _pocket(at, side)
    seam = (seam + line(side - 0.168 - 0.25 * (at[:, 2] - 0.5), 0.0012) * (at[:, 2] > 0.40)).clamp(
        0, 1
    )
    shade = (1 - 0.16 * ribbed + 0.12 * knit) * (1 - 0.42 * seam) * (1 + 0.03 * noise(at, 420.0))
    albedo = (0.84 * at.new_tensor(colour) + 0.006) * shade[:, None]
    return Surface(
        albedo,
        _folded(samples, 1 - ribbed, 0.20),
        torch.full_like(side, 0.012),
        8.0,
        0.12,
        sheen=0.2,
    )


def trousers(samples: Samples, colour: Colour) -> Surface:
    at = samples.template
    seam = line(at[:, 1] + 0.02, 0.0013) * (at[:, 0].abs() > 0.1)
    shade = (1 - 0.3 * seam) * (1 + 0.05 * noise(at, 500.0))
    albedo = at.new_tensor(colour) * shade[:, None]
    return Surface(
        albedo, _folded(samples, torch.ones_like(seam), 0.18), 0.014 + 0 * seam, 9.0, 0.1, sheen=0.2
    )


def shoes(samples: Samples, colour: Colour, ground: float) -> Surface:
    at = samples.template
    height = samples.place[:, 2] - ground
    sole = smooth(SOLE + 0.001, SOLE - 0.001, height)
    groove = line(height - SOLE, 0.0018) + line(height - 0.008, 0.001)
    albedo = blend(at.new_tensor(colour).expand_as(at), sole, at.new_tensor([0.78, 0.77, 0.75]))
    lace = (torch.sin(at[:, 1] * 420) > 0.2) & (at[:, 1] < -0.035) & (at[:, 1] > -0.105)
    middle = 0.195 - 0.12 * (at[:, 1] + 0.07)
    laced = (
        lace * smooth(0.017, 0.014, (at[:, 0].abs() - middle).abs()) * (samples.normal[:, 2] > 0.35)
    )
    albedo = blend(albedo, 0.9 * laced.float(), at.new_tensor([0.75, 0.75, 0.74]))
    albedo = albedo * (1 - 0.4 * groove.clamp(0, 1))[:, None]
    return Surface(albedo, samples.normal, torch.full_like(height, 0.05), 20.0)


def _pocket(at: Tensor, side: Tensor) -> Tensor:
    """The outline of a pouch pocket on the front."""
    low, high = HEM + 0.046, 0.215
    edge = 0.118 - 0.052 * ((at[:, 2] - 0.115) / (high - 0.115)).clamp(0, 1)
    front = ((at[:, 1] < -0.02) & (at[:, 2] > low)).float()
    upper = line(at[:, 2] - high, 0.0018) * (side < edge)
    return front * (upper + line(side - edge, 0.0018) * (at[:, 2] < high)).clamp(0, 1)


def _folded(samples: Samples, where: Tensor, depth: float) -> Tensor:
    """Normals bent by broad soft folds, strongest at elbows, knees and just above hems."""
    at = samples.template
    wave = torch.sin(at[:, 2] * 46 + 9 * at[:, 0] + 2.2 * torch.sin(at[:, 0] * 23 + at[:, 1] * 31))
    cross = torch.sin(
        at[:, 2] * 21 - 34 * at[:, 0] + 1.7 * torch.sin(at[:, 1] * 27 + at[:, 2] * 17)
    )
    busy = 0.35 + 0.8 * blob(at[:, 2], 0.10, 0.06) + 0.9 * blob(at[:, 0].abs(), 0.33, 0.06)
    busy = busy + 0.6 * blob(at[:, 2], -0.37, 0.06) + 0.8 * blob(at[:, 2], -0.70, 0.05)
    bend = torch.stack([0.5 * cross, 0.2 * cross, wave + 0.4 * cross], dim=1)
    return unit(samples.normal + depth * (where * busy)[:, None] * bend)
