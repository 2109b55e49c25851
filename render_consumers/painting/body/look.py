"""What skin, eyes, lashes and teeth look like, decided at each sample from its template place."""

import torch
from torch import Tensor

from render_consumers.painting.body.texture import BROW_SHEET, brow, pores
from render_consumers.painting.hair.look import grown_over
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import Samples, Surface, blend, blob, noise, smooth
from render_consumers.painting.vectors import unit

EYE = (0.03078, -0.12454, 0.72842)  # the middle of the left eye on the template
IRIS, PUPIL, BALL = 0.0059, 0.0020, 0.0140  # metres
CORNEA = 0.75  # how much more the cornea is bent than the ball
LIPS, EYELIDS, EARS, NAILS = range(4)  # columns of the marks, as in preparation.MARKS
LIGHT = 0  # the column of an eyeball's marks: how much light its lids let on it
FINE, COARSE = 0.00028, 0.00060  # metres between samples: pores are seen in full, and no more
NECK = 0.615  # height on the template above which pores are drawn
TEETH = (0.0, 0.0084, 0.0146, 0.0202, 0.0248, 0.0285)  # metres from the middle to the gaps
DARK_IRIS: Colour = (0.060, 0.026, 0.012)
BROWN_IRISES: tuple[Colour, ...] = ((0.10, 0.045, 0.020), (0.17, 0.085, 0.035), (0.16, 0.11, 0.04))
LIGHT_IRISES: tuple[Colour, ...] = (
    (0.11, 0.21, 0.33), (0.20, 0.25, 0.28), (0.13, 0.20, 0.12), (0.20, 0.14, 0.055),
)  # fmt: skip


def iris(tone: Colour, hair: Colour) -> Colour:
    """The colour of the eyes that goes with skin and hair: the contract has no field for it."""
    pick = int(1000 * (hair[0] + 2 * hair[1] + 3 * hair[2] + tone[1]))
    if sum(tone) < 0.75 or sum(hair) < 0.03:
        return DARK_IRIS
    irises = LIGHT_IRISES if sum(hair) > 0.25 else BROWN_IRISES
    return irises[pick % len(irises)]


def skin(samples: Samples, tone: Colour, hair: Colour, woman: float, scalp: float) -> Surface:
    at, marks = samples.template, samples.marks
    base, dark = at.new_tensor(tone), at.new_tensor(hair)
    lips = smooth(0.25, 0.75, marks[:, LIPS])
    close = _closeness(samples) * (1 - lips) * (1 - marks[:, EYELIDS])
    slopes, depth = _pores(samples)
    albedo = base * (1 + 0.02 * noise(at.roll(1, 1), 41.0) + 0.015 * noise(at, 130.0))[:, None]
    albedo = _flushed(at, marks, albedo, base)
    front = (at[:, 1] < -0.09).float()
    beard = front * blob(at[:, 2], 0.640, 0.024) * smooth(0.668, 0.656, at[:, 2]) * (1 - woman)
    stubble = (0.26 * beard * (1 + 0.8 * close * depth)).clamp(0, 1)
    albedo = blend(albedo, stubble, 0.42 * base + 0.30 * dark)
    albedo = albedo * (1 - 0.10 * close * depth)[:, None]
    albedo = _mouth(at, lips, albedo, base, woman)
    albedo = _round_the_eyes(at, marks, albedo, base, woman)
    nails = marks[:, NAILS]
    albedo = blend(albedo, 0.6 * nails, base * at.new_tensor([1.0, 0.80, 0.78]) + 0.035)
    albedo = blend(
        albedo, _brow(samples, woman) * front, torch.minimum(0.75 * dark + 0.002, 0.45 * base)
    )
    grain = scalp - 0.5 * (1 - scalp) * noise(at, 5200.0).abs()
    hairs = grain.clamp(min=0) * grown_over(at) * (1 - marks[:, EARS])
    albedo = blend(albedo, hairs, 0.45 * dark)
    slopes = (0.16 * close * _coarseness(at))[:, None] * slopes + lips[:, None] * _lip_lines(
        samples
    )
    normal = _bumped(samples.normal, slopes)
    shine = 0.034 * front * (blob(at[:, 0], 0.0, 0.016) + 0.6 * blob(at[:, 2], 0.775, 0.020))
    gloss = (
        (0.038 + shine) * (1 - 0.25 * close * depth) + 0.075 * lips + 0.10 * nails - 0.03 * hairs
    )
    return Surface(albedo, normal, gloss.clamp(min=0), sharpness=18.0, softness=0.1, scatter=1.0)


def eyes(samples: Samples, colour: Colour) -> Surface:
    at = samples.template
    off = torch.stack([at[:, 0].abs() - EYE[0], at[:, 1] - EYE[1], at[:, 2] - EYE[2]], dim=1)
    out = torch.hypot(off[:, 0], off[:, 2])
    white = at.new_tensor([0.70, 0.67, 0.65]).expand_as(at)
    veins = smooth(0.55, 0.95, noise(at.roll(1, 1), 900.0).abs()) * smooth(0.007, 0.012, out)
    red = 0.38 * smooth(0.0080, 0.0145, off[:, 0].abs()) + 0.16 * veins
    albedo = blend(white, red.clamp(0, 1), at.new_tensor([0.60, 0.30, 0.26]))
    inside = smooth(IRIS + 0.0004, IRIS - 0.0005, out)
    albedo = blend(albedo, inside, _iris(off, out, at.new_tensor(colour)))
    pupil = smooth(PUPIL + 0.00025, PUPIL - 0.00025, out)
    albedo = blend(albedo, pupil, at.new_tensor([0.004, 0.004, 0.004]))
    gloss = 0.14 + 0.50 * smooth(IRIS + 0.001, IRIS, out)
    shade = samples.marks[:, LIGHT]
    return Surface(albedo * shade[:, None], _cornea(samples, off, out), gloss * shade, 420.0)


def lashes(samples: Samples, hair: Colour) -> Surface:
    albedo = 0.12 * samples.template.new_tensor(hair) + samples.template.new_tensor(
        [0.010, 0.008, 0.007]
    )
    albedo = albedo.expand_as(samples.template)
    return Surface(albedo, samples.normal, torch.full_like(albedo[:, 0], 0.01))


def teeth(samples: Samples) -> Surface:
    at = samples.template
    gap = (at[:, :1].abs() - at.new_tensor(TEETH)).abs().amin(1)
    upper = at[:, 2] > 0.6595 + 0.0016 * (at[:, 0].abs() > 0.0084)
    gum = torch.where(upper, smooth(0.6735, 0.6755, at[:, 2]), smooth(0.6535, 0.6515, at[:, 2]))
    albedo = at.new_tensor([1.06, 0.99, 0.87]) * (1 - 0.30 * smooth(0.0004, 0.0001, gap))[:, None]
    albedo = blend(albedo, gum, at.new_tensor([0.45, 0.16, 0.15]))
    within = smooth(-0.118, -0.146, at[:, 1]) * smooth(0.0255, 0.0150, at[:, 0].abs())
    arch = torch.stack([at[:, 0] * 1.3, at[:, 1] + 0.105, 0.3 * (0.660 - at[:, 2])], dim=1)
    normal = _turned(unit(arch), unit(arch), samples.normal)
    return Surface(albedo * (0.06 + 0.94 * within)[:, None], normal, 0.10 * within, 60.0, 0.5)


def _turned(vectors: Tensor, rest: Tensor, seen: Tensor) -> Tensor:
    """Vectors (N, 3) turned about the upright axis as directions at rest are to be seen turned."""
    sine = (rest[:, 0] * seen[:, 1] - rest[:, 1] * seen[:, 0]).sum()
    cosine = (rest[:, :2] * seen[:, :2]).sum()
    size = torch.hypot(sine, cosine).clamp(min=1e-9)
    c, s = cosine / size, sine / size
    x, y, z = vectors.unbind(1)
    return torch.stack([c * x - s * y, s * x + c * y, z], dim=1)


# Skin.


def _closeness(samples: Samples) -> Tensor:
    """From 0 to 1 (N,): whether the camera is so near that pores show on the head."""
    near = (COARSE - samples.spacing) / (COARSE - FINE)
    return min(max(near, 0.0), 1.0) * smooth(NECK - 0.03, NECK, samples.template[:, 2])


def _pores(samples: Samples) -> tuple[Tensor, Tensor]:
    """Slopes (N, 2) to the person's left and up, and depths (N,), laid round the head."""
    at = samples.template
    if samples.spacing >= COARSE:
        return torch.zeros_like(at[:, :2]), torch.zeros_like(at[:, 0])
    around = 0.085 * torch.atan2(at[:, 0], -(at[:, 1] + 0.05))
    across, down, depth = pores(at.device).repeated(around, -at[:, 2], samples.spacing)
    return torch.stack([across, -down], dim=1), depth


def _coarseness(at: Tensor) -> Tensor:
    """Pores are largest on nose and cheeks, and hardly seen at the temples."""
    side = at[:, 0].abs()
    return 0.55 + 0.6 * blob(side, 0.0, 0.035) * blob(at[:, 2], 0.69, 0.03)


def _bumped(normal: Tensor, slopes: Tensor) -> Tensor:
    """Normals (N, 3) of a surface that falls off by slopes (N, 2) to the left and up."""
    upright = normal.new_tensor([0.0, 0.0, 1.0]).expand_as(normal)
    left = unit(torch.linalg.cross(upright, normal))
    up = torch.linalg.cross(normal, left)
    return unit(normal + slopes[:, :1] * left + slopes[:, 1:] * up)


def _flushed(at: Tensor, marks: Tensor, albedo: Tensor, base: Tensor) -> Tensor:
    """Blood near the surface: cheeks, nose, chin, ears, knuckles; less to be seen in dark skin."""
    redness = at.new_tensor([1.02, 0.74, 0.70])
    red, side, strong = base * redness, at[:, 0].abs(), 0.6 + 0.5 * float(base.mean())
    uneven = 1 + 0.35 * noise(at.roll(1, 1), 150.0)
    front = (at[:, 1] < -0.09).float() * uneven
    cheeks = blob(side, 0.045, 0.020) * blob(at[:, 2], 0.697, 0.018)
    nose = blob(side, 0.0, 0.014) * blob(at[:, 2], 0.690, 0.012)
    chin = blob(side, 0.0, 0.012) * blob(at[:, 2], 0.628, 0.010)
    share = front * (0.46 * cheeks + 0.42 * nose + 0.22 * chin) + 0.38 * marks[:, EARS]
    share = share + 0.24 * smooth(0.40, 0.48, side) * (at[:, 2] < 0.4)
    return blend(albedo, (strong * share).clamp(0, 1), red)


def _mouth(at: Tensor, lips: Tensor, albedo: Tensor, base: Tensor, woman: float) -> Tensor:
    light = float(base.mean())
    pale = base * base.new_tensor([0.84, 0.50, 0.49]) + base.new_tensor([0.02, 0.0, 0.004])
    deep = base * base.new_tensor([0.92, 0.60, 0.62]) + base.new_tensor([0.022, 0.006, 0.008])
    rouge = torch.lerp(deep, pale, min(light / 0.4, 1.0))
    seam = 0.30 * blob(at[:, 2] - 0.6 * (at[:, 1] + 0.15), 0.6655, 0.0016)
    albedo = blend(albedo, (0.48 + 0.36 * woman) * lips, rouge)
    albedo = albedo * (1 - seam * lips)[:, None]
    side = at[:, 0].abs()
    inside = smooth(-0.1385, -0.1325, at[:, 1]) * (at[:, 1] < -0.05) * (side < 0.025)
    floor = 0.633 + 0.35 * (side - 0.018).clamp(min=0)
    inside = inside * (at[:, 2] > floor) * (at[:, 2] < 0.692)
    return blend(albedo, inside, at.new_tensor([0.060, 0.014, 0.013]))


def _lip_lines(samples: Samples) -> Tensor:
    """Slopes (N, 2) of the fine upright lines on lips, fanning out to the corners."""
    x, _, z = samples.template.unbind(1)
    fan = x * (1 - 6 * (z - 0.666).abs())
    near = min(max((COARSE - samples.spacing) / (COARSE - FINE), 0.0), 1.0)
    lines = torch.cos(fan * 5200 + 1.2 * torch.sin(z * 800)) + 0.7 * torch.cos(fan * 3100 + 1)
    return torch.stack([0.10 * near * lines, torch.zeros_like(lines)], dim=1)


def _round_the_eyes(
    at: Tensor, marks: Tensor, albedo: Tensor, base: Tensor, woman: float
) -> Tensor:
    front = (at[:, 1] < -0.09).float()
    lids = smooth(0.2, 0.9, marks[:, EYELIDS])
    albedo = blend(albedo, 0.30 * lids, base * at.new_tensor([0.74, 0.56, 0.52]))
    below = front * blob(at[:, 0].abs(), 0.030, 0.012) * blob(at[:, 2], 0.714, 0.0055)
    albedo = blend(albedo, 0.16 * below, base * at.new_tensor([0.78, 0.70, 0.74]))
    line = (0.42 + 0.36 * woman) * _ring(at) * front
    return blend(albedo, line, 0.10 * base + at.new_tensor([0.006, 0.003, 0.002]))


def _brow(samples: Samples, woman: float) -> Tensor:
    """How much of each place (N,) the hairs of a brow cover."""
    at = samples.template
    left, top, _, _ = BROW_SHEET
    sheet = brow(at.device, woman > 0.5)
    across, down = at[:, 0].abs() - left, top - at[:, 2]
    hairs, shade = sheet.at(across, down, samples.spacing)[0], sheet.at(across, down, 0.0008)[0]
    return (hairs + 0.35 * shade).clamp(max=0.95)


def _ring(at: Tensor) -> Tensor:
    """The dark line (N,) that lashes grow from, heavier on the upper lid."""
    across, up = (at[:, 0].abs() - 0.0322) / 0.0125, (at[:, 2] - 0.7279) / 0.0047
    edge = torch.hypot(across, up)
    upper = smooth(-0.2, 0.5, up)
    near = smooth(1.30, 1.08, edge) * upper + 0.35 * smooth(1.2, 1.02, edge) * (1 - upper)
    return near * (across.abs() < 1.25)


# Eyes.


def _iris(off: Tensor, out: Tensor, colour: Tensor) -> Tensor:
    """Fibres that run out from the pupil, a lighter ring around it and a dark limbus (N, 3)."""
    angle = torch.atan2(off[:, 2], off[:, 0])
    turn = angle + 0.05 * torch.sin(out * 3000)
    fibres = torch.sin(turn * 37) + torch.sin(turn * 61 + 2 * torch.sin(turn * 5)) * 0.8
    fibres = fibres + 0.6 * torch.sin(turn * 97 + out * 900)
    share = ((out - PUPIL) / (IRIS - PUPIL)).clamp(0, 1)
    ring = blob(share, 0.22, 0.14)
    lit = 1 - 0.45 * off[:, 2] / IRIS  # light from above falls through onto the lower half
    bright = (0.85 + 0.16 * fibres + 0.55 * ring) * lit
    limbus = 1 - 0.80 * smooth(0.70, 1.0, share)
    warm = blend(
        colour.expand(len(out), 3), 0.5 * ring, colour * colour.new_tensor([1.5, 1.1, 0.7])
    )
    return warm * (bright * limbus)[:, None]


def _cornea(samples: Samples, off: Tensor, out: Tensor) -> Tensor:
    """Normals (N, 3) of a ball with a cornea, turned as the head is turned."""
    mirror = torch.where(samples.template[:, :1] < 0, -1.0, 1.0)
    ball = off * torch.cat([mirror, torch.ones_like(off[:, 1:])], dim=1)
    bulge = CORNEA * smooth(IRIS + 0.0016, IRIS - 0.0010, out)
    bent = ball * torch.stack([1 + bulge, torch.ones_like(bulge), 1 + bulge], dim=1)
    return _turned(unit(bent), unit(ball), samples.normal)
