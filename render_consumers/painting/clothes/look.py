"""What clothes look like, decided at each sample from its place in the pattern, in centimetres."""

import itertools

import torch
from torch import Tensor

from render_consumers.painting.clothes import details
from render_consumers.painting.clothes.details import Spot
from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.outfit import Piece
from render_consumers.painting.clothes.sewing.tailor import RIBS
from render_consumers.painting.clothes.sewing.trim import PLACE
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import Samples, Surface, blend, line, noise, smooth
from render_consumers.painting.vectors import unit

SOLE = 0.024  # metres above the ground
# How much of the light each material mirrors, and how deep its weave is.
GLOSS = {"elastane": 0.05, "shell": 0.045, "poplin": 0.02, "crepe": 0.025}
WEAVE = {"knit": 0.30, "fleece": 0.05, "pique": 0.06, "jersey": 0.03}
# The fit map, by how much longer the cloth is than cut, then by centimetres off what is below.
TIGHT: tuple[tuple[float, Colour], ...] = (
    (0.0, (0.05, 0.42, 0.08)), (0.03, (0.75, 0.62, 0.02)), (0.10, (0.70, 0.02, 0.02)),
)  # fmt: skip
LOOSE: tuple[tuple[float, Colour], ...] = (
    (0.0, (0.05, 0.42, 0.08)), (2.0, (0.05, 0.42, 0.08)), (6.0, (0.03, 0.12, 0.62)),
)  # fmt: skip


def cloth(samples: Samples, piece: Piece, colour: Colour, *, fit_map: bool = False) -> Surface:
    """A piece of clothing, or where it is tight and where loose."""
    spot, cut = Spot(samples), piece.cut
    base = 0.84 * spot.x.new_tensor(colour) + 0.006
    if fit_map:
        base = _fit(spot.strain)
    ribbed = _ribbed(spot, cut.kind)
    wave = _wave(spot, ribbed, cut.material.name)
    drawn = details.drawn(spot, cut)
    shade = (1 - 0.12 * ribbed) * (1 + 0.10 * wave) * (1 + 0.03 * noise(spot.flat, 3.1))
    albedo = base * (shade * (1 - drawn.dark))[:, None]
    if cut.kind is Kind.JEANS and not fit_map:
        albedo = _denim(spot, albedo)
    for share, paint in drawn.paints:
        albedo = blend(albedo, share, spot.x.new_tensor(paint))
    normal = _bent(samples.normal, 0.35 * wave + drawn.edge)
    gloss = torch.full_like(spot.x, GLOSS.get(cut.material.name, 0.012)) + 0.2 * drawn.metal
    return Surface(albedo, normal, gloss, 9.0, 0.12, sheen=0.2)


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


def _ribbed(spot: Spot, kind: Kind) -> Tensor:
    """Where (N,) the cloth is ribbed: hems and cuffs of some kinds, and bands at necklines."""
    rib = torch.zeros_like(spot.x)
    if kind in (Kind.HOODIE, Kind.SWEATER, Kind.JACKET):
        rib = smooth(RIBS[kind] + 0.1, RIBS[kind] - 0.1, spot.hem) * (spot.panel < PLACE)
    if kind in (Kind.TSHIRT, Kind.LONG_SLEEVE, Kind.SWEATER, Kind.JACKET):
        rib = torch.maximum(rib, (spot.panel == PLACE).float())
    if kind is Kind.POLO:
        rib = torch.maximum(rib, smooth(2.1, 1.9, spot.hem) * (spot.panel > 1))
    return rib


def _wave(spot: Spot, ribbed: Tensor, material: str) -> Tensor:
    """How the surface rises and falls (N,) from -1 to 1: ribs, and the weave of the material."""
    ribs = torch.sin(spot.x * 11.0)
    if material == "knit":
        weave = torch.sin(spot.x * 9.0) * (0.7 + 0.3 * torch.sin(spot.y * 7.0 + 2 * spot.x))
    else:
        weave = noise(spot.flat, 6.3)
    return ribbed * ribs + (1 - ribbed) * WEAVE.get(material, 0.02) * weave


def _denim(spot: Spot, albedo: Tensor) -> Tensor:
    """Twill, washed out where it is worn: along thighs and at the seat."""
    twill = 0.06 * torch.sin(14 * (spot.x + spot.y)) + 0.05 * noise(spot.flat, 1.7)
    thigh = torch.exp(-(((spot.y + 42) / 16) ** 2) - ((spot.x.abs() - 11) / 7) ** 2)
    worn = 0.38 * thigh * (spot.panel < 2) + 0.12
    pale = albedo.new_tensor([0.42, 0.50, 0.60])
    return blend(albedo, worn, pale) * (1 + twill)[:, None]


def _bent(normal: Tensor, slope: Tensor) -> Tensor:
    """Normals (N, 3) leaning sideways, as on the flanks of a rib."""
    up = normal.new_tensor([0.0, 0.0, 1.0]).expand_as(normal)
    return unit(normal + slope[:, None] * torch.linalg.cross(up, normal))


def _fit(strain: Tensor) -> Tensor:
    """The colours (N, 3) of the fit map: blue is loose, green good, yellow and red tight."""
    tight, loose = _scale(strain, TIGHT), _scale(-100 * strain, LOOSE)
    return torch.where((strain > 0)[:, None], tight, loose)


def _scale(value: Tensor, stops: tuple[tuple[float, Colour], ...]) -> Tensor:
    colours = value.new_tensor(stops[0][1]).expand(len(value), 3)
    for (low, _), (high, colour) in itertools.pairwise(stops):
        colours = blend(colours, smooth(low, high, value), value.new_tensor(colour))
    return colours
