"""What each surface looks like, decided at each sample from its place on the template.

The template stands still whatever the body's shape and pose, so it serves as the texture.
"""

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.colours import Colour
from render_consumers.painting.garment import HEM, collar, cuff, hem
from render_consumers.painting.hair import hairline
from render_consumers.painting.vectors import unit

EYE = (0.03078, -0.12454, 0.72842)  # the middle of the left eye on the template
IRIS, PUPIL = 0.0058, 0.0023  # metres
BROW = (
    (0.012, 0.7420), (0.018, 0.7448), (0.025, 0.7472), (0.032, 0.7489),
    (0.038, 0.7494), (0.044, 0.7484), (0.049, 0.7462), (0.054, 0.7430),
)  # fmt: skip
SOLE = 0.024  # metres above the ground
LIPS, EYELIDS, EARS, NAILS = range(4)  # columns of the marks, as in preparation.MARKS


class Samples(msgspec.Struct, frozen=True):
    """N samples of one material: on the template, in the pose, and what the mesh knows there."""

    template: Tensor  # (N, 3)
    place: Tensor  # (N, 3)
    normal: Tensor  # (N, 3)
    marks: Tensor  # (N, M)


class Surface(msgspec.Struct, frozen=True):
    """Albedo (N, 3) in linear light, the bent normal (N, 3), and how it shines."""

    albedo: Tensor
    normal: Tensor
    gloss: Tensor  # (N,) share of light that is mirrored
    sharpness: float = 24.0
    softness: float = 0.0  # how far light creeps round into the shade


def smooth(low: float, high: float, value: Tensor) -> Tensor:
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def blend(albedo: Tensor, share: Tensor, colour: Tensor) -> Tensor:
    return albedo + share[:, None] * (colour - albedo)


def skin(samples: Samples, tone: Colour, hair: Colour, woman: float, hairy: bool) -> Surface:
    at = samples.template
    base = at.new_tensor(tone)
    albedo = base * (1 + 0.05 * _noise(at, 90.0)[:, None])
    flushed = base * at.new_tensor([1.0, 0.74, 0.70])
    side = at[:, 0].abs()
    cheeks = _blob(side, 0.043, 0.017) * _blob(at[:, 2], 0.697, 0.015)
    nose = _blob(side, 0.0, 0.012) * _blob(at[:, 2], 0.692, 0.010)
    front = (at[:, 1] < -0.09).float()
    albedo = blend(albedo, front * (0.42 * cheeks + 0.35 * nose).clamp(0, 1), flushed)
    albedo = blend(albedo, 0.35 * samples.marks[:, EARS], flushed)
    albedo = blend(albedo, 0.30 * smooth(0.40, 0.48, side) * (at[:, 2] < 0.4), flushed)
    beard = front * _blob(at[:, 2], 0.640, 0.022) * smooth(0.664, 0.655, at[:, 2])
    albedo = blend(albedo, 0.22 * (1 - woman) * beard, 0.45 * base + 0.35 * at.new_tensor(hair))
    lips = smooth(0.25, 0.75, samples.marks[:, LIPS])
    rouge = base * at.new_tensor([0.80, 0.44, 0.44]) + at.new_tensor([0.035, 0.0, 0.003])
    albedo = blend(albedo, (0.40 + 0.45 * woman) * lips, rouge)
    lids = smooth(0.2, 0.9, samples.marks[:, EYELIDS])
    albedo = blend(albedo, 0.25 * lids, base * at.new_tensor([0.62, 0.46, 0.42]))
    liner = _ring(at)
    albedo = blend(
        albedo, (0.5 + 0.35 * woman) * liner * front, at.new_tensor([0.02, 0.013, 0.010])
    )
    albedo = blend(albedo, 0.55 * samples.marks[:, NAILS], flushed * 1.1)
    albedo = blend(albedo, _brow(at, 0.0040 - 0.0010 * woman), 0.8 * at.new_tensor(hair))
    scalp = smooth(-0.004, 0.010, hairline(at)) * (at[:, 2] > 0.64) * (1 - samples.marks[:, EARS])
    albedo = blend(albedo, (0.85 if hairy else 0.0) * scalp, 0.9 * at.new_tensor(hair))
    gloss = 0.045 + 0.10 * lips - 0.03 * scalp
    return Surface(albedo, samples.normal, gloss, sharpness=18.0, softness=0.22)


def eyes(samples: Samples, iris: Colour) -> Surface:
    at = samples.template
    across = at[:, 0].abs() - EYE[0]
    from_axis = torch.hypot(across, at[:, 2] - EYE[2])
    angle = torch.atan2(at[:, 2] - EYE[2], across)
    white = at.new_tensor([0.80, 0.77, 0.75])
    red = smooth(0.0095, 0.0145, from_axis)
    albedo = blend(white.expand_as(at), 0.45 * red, at.new_tensor([0.62, 0.33, 0.29]))
    rays = 0.85 + 0.3 * torch.sin(angle * 23) * torch.sin(angle * 9 + 1)
    depth = 0.55 + 0.75 * smooth(PUPIL, IRIS, from_axis)
    coloured = at.new_tensor(iris) * (rays * depth)[:, None]
    inside = smooth(IRIS + 0.0004, IRIS - 0.0005, from_axis)
    rim = 1 - 0.65 * smooth(IRIS - 0.0014, IRIS, from_axis)
    albedo = blend(albedo, inside, coloured * rim[:, None])
    pupil = smooth(PUPIL + 0.0003, PUPIL - 0.0003, from_axis)
    albedo = blend(albedo, pupil, at.new_tensor([0.004, 0.004, 0.004]))
    lid = 1 - 0.55 * smooth(0.0005, 0.0058, at[:, 2] - EYE[2])
    return Surface(albedo * lid[:, None], samples.normal, torch.full_like(red, 0.55), 260.0)


def teeth(samples: Samples) -> Surface:
    albedo = samples.template.new_tensor([0.72, 0.68, 0.60]).expand_as(samples.template)
    return Surface(albedo, samples.normal, torch.full_like(albedo[:, 0], 0.1), 60.0)


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
    seam = _line(low - 0.046, 0.0016) * torso + _line(end - 0.046, 0.0016) * ~torso
    seam = seam + _line(neck - 0.020, 0.0016) + _pocket(at, side)
    seam = (seam + _line(side - 0.168 - 0.25 * (at[:, 2] - 0.5), 0.0012) * (at[:, 2] > 0.40)).clamp(
        0, 1
    )
    shade = (1 - 0.16 * ribbed + 0.12 * knit) * (1 - 0.42 * seam) * (1 + 0.03 * _noise(at, 420.0))
    albedo = (0.84 * at.new_tensor(colour) + 0.006) * shade[:, None]
    return Surface(
        albedo, _folded(samples, 1 - ribbed, 0.20), torch.full_like(side, 0.012), 8.0, 0.12
    )


def trousers(samples: Samples, colour: Colour) -> Surface:
    at = samples.template
    seam = _line(at[:, 1] + 0.02, 0.0013) * (at[:, 0].abs() > 0.1)
    shade = (1 - 0.3 * seam) * (1 + 0.05 * _noise(at, 500.0))
    albedo = at.new_tensor(colour) * shade[:, None]
    return Surface(
        albedo, _folded(samples, torch.ones_like(seam), 0.18), 0.014 + 0 * seam, 9.0, 0.1
    )


def shoes(samples: Samples, colour: Colour, ground: float) -> Surface:
    at = samples.template
    height = samples.place[:, 2] - ground
    sole = smooth(SOLE + 0.001, SOLE - 0.001, height)
    groove = _line(height - SOLE, 0.0018) + _line(height - 0.008, 0.001)
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
    upper = _line(at[:, 2] - high, 0.0018) * (side < edge)
    return front * (upper + _line(side - edge, 0.0018) * (at[:, 2] < high)).clamp(0, 1)


def _folded(samples: Samples, where: Tensor, depth: float) -> Tensor:
    """Normals bent by broad soft folds, strongest at elbows, knees and just above hems."""
    at = samples.template
    wave = torch.sin(at[:, 2] * 46 + 9 * at[:, 0] + 2.2 * torch.sin(at[:, 0] * 23 + at[:, 1] * 31))
    cross = torch.sin(
        at[:, 2] * 21 - 34 * at[:, 0] + 1.7 * torch.sin(at[:, 1] * 27 + at[:, 2] * 17)
    )
    busy = 0.35 + 0.8 * _blob(at[:, 2], 0.10, 0.06) + 0.9 * _blob(at[:, 0].abs(), 0.33, 0.06)
    busy = busy + 0.6 * _blob(at[:, 2], -0.37, 0.06) + 0.8 * _blob(at[:, 2], -0.70, 0.05)
    bend = torch.stack([0.5 * cross, 0.2 * cross, wave + 0.4 * cross], dim=1)
    return unit(samples.normal + depth * (where * busy)[:, None] * bend)


def _brow(at: Tensor, thickness: float) -> Tensor:
    """How much of an eyebrow covers each place (N,): hairs that thin out to both ends."""
    knots = at.new_tensor(BROW)
    side = at[:, 0].abs().contiguous()
    after = torch.searchsorted(knots[:, 0].contiguous(), side).clamp(1, len(BROW) - 1)
    low, high = knots[after - 1], knots[after]
    share = (side - low[:, 0]) / (high[:, 0] - low[:, 0])
    off = at[:, 2] - (low[:, 1] + share * (high[:, 1] - low[:, 1]))
    along = (side - BROW[0][0]) / (BROW[-1][0] - BROW[0][0])
    half = thickness * (1 - 0.65 * along.clamp(0, 1))
    hairs = 0.85 + 0.15 * torch.sin(side * 4200 - 2600 * off)
    ends = smooth(-0.08, 0.15, along) * smooth(1.02, 0.75, along)
    return smooth(1.35, 0.35, off.abs() / half) * ends * hairs * (at[:, 1] < -0.09)


def _ring(at: Tensor) -> Tensor:
    """The dark line of lashes (N,) along the opening of the eyes, heavier on the upper lid."""
    across, up = (at[:, 0].abs() - 0.0322) / 0.0125, (at[:, 2] - 0.7279) / 0.0047
    edge = torch.hypot(across, up)
    upper = smooth(-0.2, 0.5, up)
    near = smooth(1.42, 1.08, edge) * upper + 0.35 * smooth(1.2, 1.02, edge) * (1 - upper)
    return near * (across.abs() < 1.25)


def _blob(value: Tensor, centre: float, width: float) -> Tensor:
    return torch.exp(-(((value - centre) / width) ** 2))


def _line(distance: Tensor, width: float) -> Tensor:
    return smooth(width, 0.4 * width, distance.abs())


def _noise(at: Tensor, rate: float) -> Tensor:
    """A cheap mottle (N,) from -1 to 1 that looks the same on every machine."""
    x, y, z = (at * rate).unbind(1)
    return torch.sin(x + 1.7 * torch.sin(1.3 * y)) * torch.sin(y + 1.9 * torch.sin(0.9 * z + x))
