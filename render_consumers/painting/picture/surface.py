"""What a surface looks like at each sample: its terms, and what looks are mixed from.

The template stands still whatever the body's shape and pose, so it serves as the texture.
"""

import msgspec
import torch
from torch import Tensor


class Samples(msgspec.Struct, frozen=True):
    """N samples of one material: on the template, in the pose, and what the mesh knows there."""

    template: Tensor  # (N, 3)
    place: Tensor  # (N, 3)
    normal: Tensor  # (N, 3)
    marks: Tensor  # (N, M)
    tangent: Tensor  # (N, 3) which way fibres run, 0 where none do
    spacing: float = 0.001  # metres from sample to sample: finer detail cannot be seen


class Surface(msgspec.Struct, frozen=True):
    """Albedo (N, 3) in linear light, the bent normal (N, 3), and how it shines."""

    albedo: Tensor
    normal: Tensor
    gloss: Tensor  # (N,) share of light that is mirrored where it falls straight on
    sharpness: float = 24.0  # of what is mirrored, as Blinn's exponent
    softness: float = 0.0  # how far light creeps round into the shade
    fibres: Tensor | None = None  # (N, 3) which way they run, where it is made of fibres
    scatter: float = 0.0  # how much of it goes through flesh, red the furthest
    sheen: float = 0.0  # the bright rim of fibres that stand up from cloth


def smooth(low: float, high: float, value: Tensor) -> Tensor:
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def blend(albedo: Tensor, share: Tensor, colour: Tensor) -> Tensor:
    return albedo + share[:, None] * (colour - albedo)


def blob(value: Tensor, centre: float, width: float) -> Tensor:
    return torch.exp(-(((value - centre) / width) ** 2))


def line(distance: Tensor, width: float) -> Tensor:
    return smooth(width, 0.4 * width, distance.abs())


def noise(at: Tensor, rate: float) -> Tensor:
    """A cheap mottle (N,) from -1 to 1 that looks the same on every machine."""
    x, y, z = (at * rate).unbind(1)
    return torch.sin(x + 1.7 * torch.sin(1.3 * y)) * torch.sin(y + 1.9 * torch.sin(0.9 * z + x))
