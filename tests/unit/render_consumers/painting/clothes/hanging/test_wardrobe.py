"""Clothes hang as their size, the body and gravity have it, and hide what they cover."""

import numpy as np
import pytest
import torch
from torch import Tensor

from domain import vocabulary
from domain.measurements import Measurements
from domain.picture import UserDetails
from render_consumers.painting.body import assets
from render_consumers.painting.body.body import Body, Skin
from render_consumers.painting.body.fit import fit, start_from
from render_consumers.painting.body.measure import Tape
from render_consumers.painting.clothes.hanging.wardrobe import Dressed, Pose, Wardrobe, Worn
from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.outfit import GarmentLook, outfit
from render_consumers.painting.clothes.sewing.tailor import STRAIN, carried
from render_consumers.painting.mesh import Mesh
from render_consumers.painting.painter import Painter

SMALL = Measurements(height=175, bust=84, waist=70, hips=90)
MEDIUM = Measurements(height=175, bust=98, waist=86, hips=99)
LARGE = Measurements(height=175, bust=120, waist=112, hips=118)
WOMAN = Measurements(height=168, bust=86, waist=68, hips=94)
BODIES = {"small": SMALL, "medium": MEDIUM, "large": LARGE, "woman": WOMAN}


class Shop:
    """Dresses bodies in a pose, each outfit once."""

    def __init__(self) -> None:
        self.model = assets.load(torch.device("cpu"))
        self._body = Body(self.model)
        self._tape = Tape(self._body)
        self.wardrobe = self.another()

    def another(self) -> Wardrobe:
        return Wardrobe(self.model, Mesh(self.model.parts["body"]))

    def body(self, name: str) -> Pose:
        wanted = BODIES[name]
        start = start_from(self._body, _gender(name), wanted)
        fitted = fit(self._body, self._tape, start, wanted)
        rest = self._body.shaped(fitted.controls)
        rest = Skin(fitted.scale * rest.vertices, fitted.scale * rest.joints)
        stance = self._body.stance(rest, vocabulary.POSES["i-pose"])
        return Pose(rest, self._body.carried(rest, *stance), *self._body.carriers(*stance))

    def dressed(self, name: str, kind: Kind, size: str) -> Dressed:
        look = GarmentLook(size=size, kind=kind, size2=size if name == "woman" else "M")
        return self.wardrobe.dressed(
            name.encode(), lambda: self.body(name), outfit(look, _gender(name))
        )

    def worn(self, name: str, kind: Kind, size: str) -> Worn:
        [found] = [each for each in self.dressed(name, kind, size).worn if not each.piece.plain]
        return found


def _gender(name: str) -> float:
    return 1.0 if name == "woman" else 0.5


@pytest.fixture(scope="module")
def shop() -> Shop:
    with torch.inference_mode():
        return Shop()


def row(worn: Worn, panel: str, at: int) -> Tensor:
    """The places (C, 3) of a row of a panel."""
    return worn.hung[torch.from_numpy(worn.made.sewn.at(panel, at, slice(None)))]


def around(worn: Worn, at: int) -> float:
    """How long a row of front and back is, in centimetres."""
    rows = [row(worn, panel, at) for panel in ("front", "back")]
    return 100 * float(sum((each[1:] - each[:-1]).norm(dim=1).sum() for each in rows))


def drop(worn: Worn) -> float:
    """How far the hem is below the shoulders, in metres."""
    hem = torch.cat([row(worn, panel, 0) for panel in ("front", "back")])
    return float(row(worn, "front", -1)[:, 2].max() - hem[:, 2].mean())


def crumpled(worn: Worn) -> float:
    """How much the cloth's direction changes from place to place."""
    normals = worn.made.mesh.normals(worn.hung)
    return float((1 - (normals * worn.made.mesh.averaged(normals, 3)).sum(1)).mean())


def test_the_same_size_is_the_same_piece_of_cloth_on_two_bodies(shop: Shop) -> None:
    small, medium = (shop.worn(name, Kind.TSHIRT, "XXL") for name in ("small", "medium"))
    assert small.made is medium.made
    for worn in (small, medium):
        assert around(worn, 0) == pytest.approx(worn.piece.cut.hem, rel=0.1)
        ends = worn.hung[worn.made.edges]
        longer = (ends[:, 0] - ends[:, 1]).norm(dim=1) / worn.made.rest
        assert float(longer.mean()) == pytest.approx(1, abs=0.03)


def test_what_is_too_small_is_stretched_and_rides_up(shop: Shop) -> None:
    medium, large = (shop.worn(name, Kind.TSHIRT, "M") for name in ("medium", "large"))
    assert drop(large) < drop(medium) - 0.01
    strains = [float(worn.marks[:, STRAIN].clamp(min=0).mean()) for worn in (medium, large)]
    assert strains[1] > 2 * strains[0]


def test_what_is_too_large_hangs_off_the_body_in_folds(shop: Shop) -> None:
    fitting, wide = (shop.worn("small", Kind.TSHIRT, size) for size in ("S", "XXL"))
    off = [float((-worn.marks[:, STRAIN]).clamp(min=0).mean()) for worn in (fitting, wide)]
    assert off[1] > 1.5 * off[0]
    assert crumpled(wide) > 1.3 * crumpled(fitting)
    assert drop(wide) > drop(fitting) + 0.04


def test_a_wide_neckline_stays_on_the_shoulders(shop: Shop) -> None:
    neckline = row(shop.worn("small", Kind.TSHIRT, "XXL"), "front", -1)
    joint = shop.model.bone_names.index("upperarm01.L")
    assert float(neckline[len(neckline) // 2, 2]) > 1.2  # metres
    front = shop.worn("small", Kind.TSHIRT, "XXL").made.sewn.pattern.panels[0].grid[-1]
    opening = neckline[torch.from_numpy(np.abs(front[:, 1]) < 1e-6)]
    assert float(opening[:, 0].max()) < float(shop.body("small").posed.joints[joint, 0])


def test_trousers_that_are_too_wide_are_held_at_the_hips(shop: Shop) -> None:
    trousers = shop.worn("small", Kind.JEANS, "XXL")
    waist = row(trousers, "left front", -1)[:, 2]
    crotch = row(trousers, "left front", trousers.made.sewn.pattern.panels[0].turn)[0, 2]
    assert float(waist.min()) > 0.9
    assert float(crotch) > 0.6


def test_what_hangs_once_is_not_hung_again(shop: Shop) -> None:
    first = shop.dressed("small", Kind.TSHIRT, "XXL")
    before = shop.wardrobe.drapes
    assert shop.dressed("small", Kind.TSHIRT, "XXL") is first
    assert shop.wardrobe.drapes == before
    shop.dressed("small", Kind.TANK_TOP, "XS")
    assert shop.wardrobe.drapes == before + 1


def test_the_same_drape_has_the_same_bytes(shop: Shop) -> None:
    first = shop.worn("small", Kind.TANK_TOP, "XS")
    with torch.inference_mode():
        again = shop.another().dressed(
            b"", lambda: shop.body("small"), outfit(GarmentLook("", "XS", "M", Kind.TANK_TOP), 0.5)
        )
    assert again.worn[-1].places.numpy().tobytes() == first.places.numpy().tobytes()


def test_hands_and_face_are_never_left_out(shop: Shop) -> None:
    dressed = shop.dressed("medium", Kind.TSHIRT, "M")
    skin = torch.unique(shop.model.parts["body"])
    heaviest = shop.model.bone_weight.argmax(1, keepdim=True)
    bones = shop.model.bone_of.gather(1, heaviest)[skin, 0].tolist()
    names = [shop.model.bone_names[bone] for bone in bones]
    shown = [name.startswith(("finger", "head", "jaw", "oris")) for name in names]
    assert bool((dressed.bare[torch.tensor(shown)] > 0).all())
    spine = [name.startswith("spine04") for name in names]
    assert not bool((dressed.bare[torch.tensor(spine)] > 0).any())


# Pictures.

GRID = [
    ("I-Pose", "small", "XXL", Kind.TSHIRT),
    ("T-Pose", "large", "M", Kind.HOODIE),
    ("A-Pose", "large", "XS", Kind.LONG_SLEEVE),
]


@pytest.mark.parametrize(("pose", "name", "size", "kind"), GRID)
def test_no_skin_shows_through_cloth(
    painter: Painter, pose: str, name: str, size: str, kind: Kind
) -> None:
    details = UserDetails(
        real_world_measurements=BODIES[name],
        pose=pose,
        background_color_hex="FFFFFFFF",
        hair_color="404040FF",
    )
    model = painter.dress(details, GarmentLook("#2030E0", size, kind=kind))
    for turn in (0, 180):
        pixels = painter.draw(model, size=(288, 384), turn=turn).pixels.astype(int)
        assert holes(pixels) == 0


def holes(pixels: np.ndarray) -> int:
    """How many pixels of the colour of skin have cloth close by on all four sides.

    What much skin is around of is a hand.
    """
    skin = pixels[..., 0] > pixels[..., 2] + 12
    cloth = pixels[..., 2] > pixels[..., 0] + 3
    sides = [
        np.any([np.roll(cloth, step * far, axis) for far in range(1, 4)], axis=0)
        for axis in (0, 1)
        for step in (1, -1)
    ]
    much = sum(np.roll(skin, (y, x), (0, 1)) for y in range(-5, 6) for x in range(-5, 6)) > 16
    return int((skin & ~much & np.all(sides, axis=0)).sum())


def test_nothing_slides_off_the_shoulders_however_wide_it_is(shop: Shop) -> None:
    worn = shop.worn("woman", Kind.TANK_TOP, "4XL")
    neckline = worn.hung[torch.from_numpy(carried(worn.made.sewn, worn.piece.cut)), 2]
    assert neckline.min() > 0.72 * 1.68  # the fullest of the bust is lower
