"""Colours as asked for, in linear light."""

import torch
from PIL import ImageColor
from torch import Tensor

from domain.vocabulary import SKIN_TONES

DEFAULT_SKIN = 2
Colour = tuple[float, float, float]


def linear(srgb: Colour) -> Colour:
    """A colour in linear light from sRGB shares of 0 to 1."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb)
    return r, g, b


def encode(light: Tensor) -> Tensor:
    """sRGB shares of linear light, both of any shape."""
    light = light.clamp(0, 1)
    bright = 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, bright)


def named(label: str) -> Colour | None:
    """A CSS colour name or a hex code in linear light; None for one that nobody knows."""
    try:
        rgb = ImageColor.getrgb(label.strip().replace(" ", "").lower())
    except ValueError:
        return None
    return linear((rgb[0] / 255, rgb[1] / 255, rgb[2] / 255))


def from_hex(code: str) -> Colour:
    """RRGGBB or RRGGBBAA laid over white, in linear light."""
    digits = code.removeprefix("#")
    r, g, b, a = (int(digits[i : i + 2] or "FF", 16) / 255 for i in (0, 2, 4, 6))
    return linear((1 - a + a * r, 1 - a + a * g, 1 - a + a * b))


def skin(tone: int) -> Colour:
    colour = named(SKIN_TONES[tone])
    assert colour is not None
    return colour
