"""Seams, stitches, pockets, zips and buttons, drawn into the pattern; all lengths in centimetres.

Bodices have their origin at the shoulder's height, bottoms at the waistband's top; x is 0 in the
middle of the body.
"""

from collections.abc import Callable

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.sewing.bodice import SHORT
from render_consumers.painting.clothes.sewing.tailor import HEM, NECK, RIBS, SEAM, STRAIN
from render_consumers.painting.clothes.sewing.trim import PLACE
from render_consumers.painting.clothes.size_chart import Cut
from render_consumers.painting.picture.colours import Colour
from render_consumers.painting.picture.surface import Samples, line, smooth

FRONT, BACK = 0, 1  # panels of a bodice or a skirt
LEFT_FRONT, LEFT_BACK = 0, 2  # of trousers, before the right ones
BAND = 3.8  # how high a waistband is
STITCH: Colour = (0.42, 0.20, 0.05)  # of jeans
BUTTON: Colour = (0.72, 0.70, 0.66)
METAL: Colour = (0.40, 0.40, 0.41)
CORD: Colour = (0.70, 0.69, 0.66)


class Spot:
    """Where N samples lie in the pattern, each (N,)."""

    def __init__(self, samples: Samples) -> None:
        self.flat = samples.template
        self.x, self.y, self.panel = samples.template.unbind(1)
        self.panel = self.panel.round()
        self.neck, self.hem = samples.marks[:, NECK], samples.marks[:, HEM]
        self.seam, self.strain = samples.marks[:, SEAM], samples.marks[:, STRAIN]
        self.side = self.x.abs()

    def on(self, *panels: int) -> Tensor:
        return torch.isin(self.panel, self.panel.new_tensor(panels)).float()


class Drawn(msgspec.Struct):
    """How dark lines are, how an edge leans and what is metal (N,); and what is painted over."""

    dark: Tensor
    edge: Tensor
    metal: Tensor
    paints: list[tuple[Tensor, Colour]]

    def seam(self, where: Tensor, depth: float = 0.45) -> None:
        self.dark = torch.maximum(self.dark, depth * where.clamp(0, 1))

    def paint(self, where: Tensor, colour: Colour, metal: float = 0.0) -> None:
        self.paints.append((where.clamp(0, 1), colour))
        self.metal = torch.maximum(self.metal, metal * where.clamp(0, 1))


def drawn(spot: Spot, cut: Cut) -> Drawn:
    """All that is drawn on a piece."""
    none = torch.zeros_like(spot.x)
    found = Drawn(none, none, none, [])
    found.seam(line(spot.seam, 0.16) * (spot.panel < PLACE), 0.40)
    DETAILS[cut.kind](spot, cut, found)
    return found


def _plain(spot: Spot, cut: Cut, found: Drawn) -> None:
    """Hems with a line of stitches; a binding where nothing else is sewn to a neckline."""
    inside = spot.panel < PLACE
    found.seam(line(spot.hem - 2.0, 0.13) * inside, 0.28)
    found.seam(line(spot.neck - 0.9, 0.13) * inside, 0.18)
    found.seam(line(spot.seam, 0.18) * (spot.panel == PLACE), 0.35)


def _bound(spot: Spot, cut: Cut, found: Drawn) -> None:
    """Bindings around neck and armholes."""
    found.seam(line(torch.minimum(spot.neck, spot.hem) - 1.1, 0.14), 0.32)


def _bra(spot: Spot, cut: Cut, found: Drawn) -> None:
    """A wide elastic band under the bust."""
    _bound(spot, cut, found)
    low = -cut.length + 4.0
    found.seam(line(spot.y - low, 0.16), 0.4)
    found.edge = found.edge + 0.1 * smooth(0.3, 0.0, (spot.y - low).abs())


def _ribs(spot: Spot, cut: Cut, found: Drawn) -> None:
    found.seam(line(spot.hem - RIBS[cut.kind], 0.16) * (spot.panel < PLACE), 0.45)
    found.seam(line(spot.seam, 0.2) * (spot.panel == PLACE), 0.4)


def _hoodie(spot: Spot, cut: Cut, found: Drawn) -> None:
    """Ribs, a pouch pocket, a hemmed hood and its cord."""
    _ribs(spot, cut, found)
    front = spot.on(FRONT)
    low = -cut.length + RIBS[Kind.HOODIE]
    high = low + 19.0
    edge = 15.5 - 6.0 * ((spot.y - low - 4) / (high - low - 4)).clamp(0, 1)
    inside = front * (spot.y > low) * (spot.y < high + 0.3)
    found.seam(inside * line(spot.side - edge, 0.22), 0.6)
    found.seam(inside * line(spot.side - edge + 0.8, 0.12) * (spot.y < high), 0.3)
    found.seam(front * line(spot.y - high, 0.18) * (spot.side < 9.6), 0.5)
    found.seam(line(spot.hem - 2.2, 0.14) * spot.on(PLACE), 0.3)
    _cords(spot, found, front)


def _cords(spot: Spot, found: Drawn, front: Tensor) -> None:
    """Two ends that hang from the hood, with tips."""
    middle = 4.2 + 0.35 * torch.sin(0.33 * spot.y + 1.4 * torch.sign(spot.x))
    hangs = front * (spot.y < -6) * (spot.y > -27 - 1.5 * torch.sign(spot.x))
    found.seam(hangs * line(spot.side - middle - 0.45, 0.45), 0.35)
    found.paint(hangs * smooth(0.34, 0.22, (spot.side - middle).abs()), CORD)
    tip = hangs * (spot.y < -24.5 - 1.5 * torch.sign(spot.x))
    found.paint(tip * smooth(0.36, 0.26, (spot.side - middle).abs()), METAL, 0.8)


def _buttons(spot: Spot, found: Drawn, top: float, gap: float, count: int) -> None:
    below = (top - spot.y) / gap
    nearest = (below.round().clamp(0, count - 1) - below) * gap
    from_middle = torch.hypot(spot.x, nearest)
    front = spot.on(FRONT)
    found.seam(front * line(from_middle - 0.62, 0.22), 0.5)
    found.paint(front * smooth(0.62, 0.5, from_middle), BUTTON)
    holes = (from_middle - 0.18).abs()
    found.seam(front * smooth(0.12, 0.04, holes), 0.3)


def _placket(spot: Spot, found: Drawn, low: float, wide: float = 1.6) -> None:
    """A strip of doubled cloth in the middle of the front, down to a height."""
    front = spot.on(FRONT) * (spot.y > low)
    found.seam(front * line(spot.side - wide, 0.16) * (spot.x > 0), 0.55)
    found.seam(front * line(spot.side - wide + 0.35, 0.1), 0.22)
    found.seam(front * line(spot.x + wide, 0.12), 0.3)


def _shirt(spot: Spot, cut: Cut, found: Drawn) -> None:
    """A placket with buttons, a chest pocket, cuffs and a yoke."""
    _placket(spot, found, -cut.length)
    _buttons(spot, found, -11.0, 8.6, 7)
    found.seam(line(spot.hem - 0.7, 0.1) * (spot.panel < 2), 0.25)
    if (cut.sleeve or 0.0) > SHORT:
        found.seam(line(spot.hem - 6.0, 0.16) * (spot.panel > 1) * (spot.panel < PLACE), 0.45)
    found.seam(spot.on(BACK) * line(spot.y + 11.0, 0.14), 0.35)
    found.seam(line(spot.hem - 0.6, 0.1) * spot.on(PLACE), 0.3)
    _pocket(spot, found, spot.on(FRONT), (10.5, -27.0), (5.2, 6.0))


def _polo(spot: Spot, cut: Cut, found: Drawn) -> None:
    _plain(spot, cut, found)
    _placket(spot, found, -23.0)
    found.seam(spot.on(FRONT) * line(spot.y + 23.0, 0.16) * (spot.side < 1.6), 0.5)
    _buttons(spot, found, -11.5, 4.6, 3)


def _jacket(spot: Spot, cut: Cut, found: Drawn) -> None:
    """A zip from hem to collar, and welt pockets."""
    _ribs(spot, cut, found)
    front = spot.on(FRONT)
    found.seam(front * line(spot.side - 1.5, 0.14), 0.35)
    found.seam(front * smooth(0.75, 0.65, spot.side), 0.45)
    teeth = front * smooth(0.42, 0.3, spot.side) * (0.6 + 0.4 * torch.sin(15 * spot.y))
    found.paint(teeth, METAL, 0.9)
    low = -cut.length + 11.0
    along = ((spot.y - low) / 15.0).clamp(0, 1)
    welt = (spot.side - (15.0 - 4.0 * along)).abs()
    there = front * (spot.y > low) * (spot.y < low + 15)
    found.seam(there * line(welt - 0.6, 0.16), 0.55)
    found.seam(there * smooth(0.5, 0.3, welt), 0.18)


def _pocket(
    spot: Spot, found: Drawn, where: Tensor, middle: tuple[float, float], half: tuple[float, float]
) -> None:
    """A patch pocket with a pointed bottom, on the wearer's left."""
    x, y = spot.x - middle[0], spot.y - middle[1]
    drop = 1.4 * (1 - x.abs() / half[0]).clamp(0, 1)
    out = torch.maximum(x.abs() - half[0], torch.maximum(y - half[1], -half[1] - drop - y))
    found.seam(where * line(out, 0.16), 0.5)
    found.seam(where * line(out + 0.5, 0.1), 0.2)
    found.seam(where * line(y - half[1] + 2.0, 0.12) * (out < 0), 0.3)


def _waistband(spot: Spot, cut: Cut, found: Drawn) -> None:
    found.seam(line(spot.neck - BAND, 0.18), 0.5)
    found.seam(line(spot.hem - 2.6, 0.13), 0.25)


def _elastic(spot: Spot, cut: Cut, found: Drawn) -> None:
    found.seam(line(spot.neck - 7.0, 0.16), 0.4)
    found.seam(line(spot.hem - 1.8, 0.13), 0.25)


def _trousers(spot: Spot, cut: Cut, found: Drawn) -> None:
    """A waistband with loops and a button, a fly, slanted pockets, and pockets behind."""
    _waistband(spot, cut, found)
    _fly(spot, found)
    front = (spot.panel < LEFT_BACK).float()
    out = _outer(cut)
    there = front * (spot.y < -BAND) * (spot.y > -19)
    found.seam(there * line(spot.side - (out - 4.0) + 0.30 * (-BAND - spot.y) * -1, 0.18), 0.55)
    _loops(spot, found)
    back = (spot.panel >= LEFT_BACK).float()
    welt = back * line(spot.y + 9.0, 0.25) * (spot.side > 6) * (spot.side < 18)
    found.seam(welt, 0.55)


def _jeans(spot: Spot, cut: Cut, found: Drawn) -> None:
    """Five pockets, sewn in another colour, with a metal button."""
    _waistband(spot, cut, found)
    _fly(spot, found)
    front, back = (spot.panel < LEFT_BACK).float(), (spot.panel >= LEFT_BACK).float()
    out = _outer(cut)
    scoop = torch.hypot((spot.side - out - 1.0) / 11.0, (spot.y + BAND - 0.5) / 9.0) - 1
    below = front * (spot.y < -BAND)
    found.seam(below * line(scoop, 0.03), 0.6)
    x, y = spot.side - 11.5, spot.y + 15.0
    drop = 1.8 * (1 - x.abs() / 7.2).clamp(0, 1)
    pocket = torch.maximum(x.abs() - 7.2 - 0.05 * y, torch.maximum(y - 7.0, -6.5 - drop - y))
    found.seam(back * line(pocket, 0.18), 0.55)
    threads = [
        below * (line(scoop - 0.07, 0.016) + line(scoop - 0.13, 0.016)),
        back * line(pocket + 0.5, 0.13),
        line(spot.seam - 0.55, 0.11) * (spot.neck > BAND),
        line(spot.neck - BAND + 0.5, 0.12) + line(spot.neck - 0.5, 0.12),
        line(spot.hem - 1.2, 0.13),
    ]
    for thread in threads:
        found.paint(
            0.75 * thread.clamp(0, 1) * (0.7 + 0.3 * torch.sin(16 * (spot.x + spot.y))), STITCH
        )
    _loops(spot, found)
    from_button = torch.hypot(spot.x, spot.neck - 1.9)
    found.paint(front * smooth(0.85, 0.7, from_button), METAL, 1.0)


def _fly(spot: Spot, found: Drawn) -> None:
    """A seam shaped like a J on the wearer's left."""
    straight = line(spot.x - 3.4, 0.14) * (spot.y > -15) * (spot.y < -BAND)
    curve = torch.hypot(spot.x / 3.4, (spot.y + 15) / 4.0) - 1
    found.seam(spot.on(LEFT_FRONT) * (straight + line(curve, 0.04) * (spot.y <= -15)), 0.4)


def _loops(spot: Spot, found: Drawn) -> None:
    """Loops for a belt."""
    apart = torch.minimum((spot.side - 7.5).abs(), (spot.side - 16.0).abs())
    high = (spot.neck < BAND + 0.6).float()
    found.seam(high * line(apart - 0.55, 0.22), 0.55)


def _outer(cut: Cut) -> float:
    """How far out of the middle the side's seam begins at the waistband."""
    assert cut.hip is not None
    assert cut.waist is not None
    return cut.hip / 4 - 0.75 * (cut.hip - cut.waist) / 4


DETAILS: dict[Kind, Callable[[Spot, Cut, Drawn], None]] = {
    Kind.TSHIRT: _plain,
    Kind.LONG_SLEEVE: _plain,
    Kind.SHIRT: _shirt,
    Kind.POLO: _polo,
    Kind.HOODIE: _hoodie,
    Kind.JACKET: _jacket,
    Kind.SWEATER: _ribs,
    Kind.TANK_TOP: _bound,
    Kind.SPORTS_BRA: _bra,
    Kind.DRESS: _bound,
    Kind.SKIRT: _waistband,
    Kind.SHORTS: _trousers,
    Kind.LEGGINGS: _elastic,
    Kind.TROUSERS: _trousers,
    Kind.JEANS: _jeans,
}
