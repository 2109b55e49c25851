"""What skin, eyes and teeth look like, decided at each sample from its place on the template."""

import torch
from torch import Tensor

from render_consumers.painting.hair.hair import hairline
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import Samples, Surface, blend, blob, noise, smooth

EYE = (0.03078, -0.12454, 0.72842)  # the middle of the left eye on the template
IRIS, PUPIL = 0.0058, 0.0023  # metres
BROW = (
    (0.012, 0.7420), (0.018, 0.7448), (0.025, 0.7472), (0.032, 0.7489),
    (0.038, 0.7494), (0.044, 0.7484), (0.049, 0.7462), (0.054, 0.7430),
)  # fmt: skip
LIPS, EYELIDS, EARS, NAILS = range(4)  # columns of the marks, as in preparation.MARKS


def skin(samples: Samples, tone: Colour, hair: Colour, woman: float, hairy: bool) -> Surface:
    at = samples.template
    base = at.new_tensor(tone)
    albedo = base * (1 + 0.05 * noise(at, 90.0)[:, None])
    flushed = base * at.new_tensor([1.0, 0.74, 0.70])
    side = at[:, 0].abs()
    cheeks = blob(side, 0.043, 0.017) * blob(at[:, 2], 0.697, 0.015)
    nose = blob(side, 0.0, 0.012) * blob(at[:, 2], 0.692, 0.010)
    front = (at[:, 1] < -0.09).float()
    albedo = blend(albedo, front * (0.42 * cheeks + 0.35 * nose).clamp(0, 1), flushed)
    albedo = blend(albedo, 0.35 * samples.marks[:, EARS], flushed)
    albedo = blend(albedo, 0.30 * smooth(0.40, 0.48, side) * (at[:, 2] < 0.4), flushed)
    beard = front * blob(at[:, 2], 0.640, 0.022) * smooth(0.664, 0.655, at[:, 2])
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
    return Surface(albedo, samples.normal, gloss, sharpness=18.0, softness=0.1, scatter=1.0)


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
