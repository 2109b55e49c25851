"""From surfaces and light to a finished picture: everything in linear light until the last line."""

import math

import torch
from torch import Tensor

from render_consumers.painting.picture import fibre
from render_consumers.painting.picture.camera import Camera
from render_consumers.painting.picture.colours import Colour, encode
from render_consumers.painting.picture.light import GROUND, LAMPS, SKY
from render_consumers.painting.picture.surface import Samples, Surface

EXPOSURE = 0.50
SHOULDER = 0.72  # light above this is rolled off instead of clipped


def shaded(surface: Surface, _samples: Samples, lit: Tensor, towards: Tensor) -> Tensor:
    """Light (N, 3) that leaves the surface towards the camera, ``lit`` (N, 4) as in ``reached``."""
    if surface.fibres is not None:
        return EXPOSURE * fibre.light(surface, surface.fibres, lit, towards)
    normal, soft = surface.normal, surface.softness
    up = (0.5 + 0.5 * normal[:, 2:]) * lit[:, 3:]
    new = normal.new_tensor
    light = up * new(SKY) + (0.35 + 0.65 * lit[:, 3:]) * (0.5 - 0.5 * normal[:, 2:]) * new(GROUND)
    shine = torch.zeros_like(light)
    for k, (lamp, colour) in enumerate(LAMPS):
        to_lamp = new(lamp) / math.hypot(*lamp)
        facing = normal @ to_lamp
        wrapped = ((facing + soft) / (1 + soft)).clamp(min=0)
        light += (wrapped * lit[:, k])[:, None] * new(colour)
        half = to_lamp + towards
        half = half / half.norm(dim=1, keepdim=True)
        mirrored = (normal * half).sum(1).clamp(min=0) ** surface.sharpness
        shine += (mirrored * lit[:, k] * (facing > 0))[:, None] * new(colour)
    edge = (1 - (normal * towards).sum(1).clamp(0, 1)) ** 4
    gloss = surface.gloss * (1 + 2.0 * edge)
    strength = gloss * (0.4 + 0.05 * surface.sharpness)
    return EXPOSURE * (surface.albedo * light + strength[:, None] * shine)


def rolled_off(light: Tensor) -> Tensor:
    over = (light - SHOULDER).clamp(min=0)
    room = 1 - SHOULDER
    return torch.minimum(light, torch.full_like(light, SHOULDER)) + room * over / (over + room)


def contact_shadow(camera: Camera, feet: Tensor, ground: float) -> Tensor:
    """How dark (H, W) the ground is under the lowest places (P, 3) of a person."""
    width, height = camera.size
    small = Camera(camera.centre, camera.span, (width // 8, height // 8))
    at, below = small.ground(ground)
    at, below = at.to(feet.device), below.to(feet.device)
    where = below.flatten().nonzero()[:, 0]
    dark = torch.zeros(below.numel(), device=feet.device)
    spread = 0.035 + 0.9 * (feet[:, 2] - ground)
    apart = torch.cdist(at.reshape(-1, 2)[where], feet[:, :2])
    near = torch.exp(-((apart / spread) ** 2)) * (0.035 / spread) ** 1.2
    dark[where] = 0.62 * (1 - torch.exp(-near.sum(1) * 14 / len(feet)))
    image = dark.view(1, 1, *below.shape)
    return torch.nn.functional.interpolate(
        image, size=(height, width), mode="bilinear", align_corners=False
    )[0, 0]


def developed(
    light: Tensor, sample: Tensor, camera: Camera, fine: int, backdrop: Colour, dark: Tensor
) -> Tensor:
    """The picture (H, W, 3) in bytes: samples averaged in linear light, over the backdrop."""
    width, height = camera.size
    layers = torch.zeros(width * height * fine * fine, 4, device=light.device)
    layers[sample] = torch.cat([rolled_off(light), torch.ones_like(light[:, :1])], dim=1)
    image = layers.view(height, fine, width, fine, 4).mean((1, 3))
    behind = light.new_tensor(backdrop) * (1 - dark[:, :, None])
    whole = image[:, :, :3] + (1 - image[:, :, 3:]) * behind
    return (encode(whole) * 255 + 0.5).to(torch.uint8)
