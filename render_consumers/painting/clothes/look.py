"""What clothes look like, decided at each sample from its place on the template."""

import torch

from render_consumers.painting.clothes.outfit import Piece
from render_consumers.painting.clothes.tailor import SEAM
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import (
    Samples,
    Surface,
    blend,
    line,
    noise,
    smooth,
)

SOLE = 0.024  # metres above the ground


def cloth(samples: Samples, piece: Piece, colour: Colour) -> Surface:
    at = samples.template
    seam = samples.marks[:, SEAM]
    sewn = line(seam, 0.15)
    shade = (1 - 0.3 * sewn) * (1 + 0.03 * noise(at, 4.0))
    albedo = (0.84 * at.new_tensor(colour) + 0.006) * shade[:, None]
    return Surface(albedo, samples.normal, torch.full_like(seam, 0.012), 8.0, 0.12)


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
