"""Every hairstyle, grown on one woman's body and drawn small, half from behind."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from domain.measurements import Measurements
from domain.vocabulary import HAIRSTYLES, POSES
from render_consumers.painting.body import assets
from render_consumers.painting.body.assets import Assets
from render_consumers.painting.body.body import Body
from render_consumers.painting.body.fit import start_from
from render_consumers.painting.body.look import EARS
from render_consumers.painting.clothes.hanging.wardrobe import Pose, Wardrobe
from render_consumers.painting.clothes.outfit import GarmentLook, outfit
from render_consumers.painting.hair.hair import Hair
from render_consumers.painting.hair.styles import STYLES
from render_consumers.painting.mesh import Mesh
from render_consumers.painting.picture.camera import Camera
from render_consumers.painting.picture.scene import Layer, Material, together
from render_consumers.painting.picture.studio import materials_seen

SIZE = (144, 192)
UNDER_HAIR = {"bald", "stubble"}  # of which nothing stands off the skin
FRINGES = {"bob_fringe", "fringe", "shag", "french_crop", "curls", "pixie"}
ALIKE = ("buzz", "crew", "afro", "long_curly", "ponytail", "bun", "box_braids", "pigtails")


class Sitter:
    """A woman in a top, who stays the same under every hairstyle."""

    def __init__(self) -> None:
        data = assets.load(torch.device("cpu"))
        body = Body(data)
        self.template, self.parts, self.ears = data.template, data.parts, data.marks[:, EARS]
        self.hair = self.barber()
        self.places: dict[str, Tensor] = {}  # of the hairstyles worn so far
        shaped = body.shaped(start_from(body, 1.0, Measurements()))
        stance = body.stance(shaped, POSES["i-pose"])
        posed = body.carried(shaped, *stance)
        self.posed = posed.vertices
        self.layers = self.clothed(data, Pose(shaped, posed, *body.carriers(*stance)))

    def worn(self, style: str) -> Layer | None:
        hair = self.hair.worn(style, self.posed, self.layers)
        self.places[style] = hair.places if hair else self.posed[:0]
        return hair

    def barber(self) -> Hair:
        return Hair(self.parts["body"], self.template, self.ears)

    def clothed(self, data: Assets, pose: Pose) -> list[Layer]:
        posed = pose.posed.vertices
        skin, eyes = (
            Mesh(self.parts["body"]),
            Mesh(torch.cat([self.parts["helper-l-eye"], self.parts["helper-r-eye"]])),
        )
        look = GarmentLook(size="M")
        dressed = Wardrobe(data, skin).dressed(b"sitter", lambda: pose, outfit(look, 1.0))
        [top] = [each for each in dressed.worn if each.piece.field == "size"]
        return [
            layer(Material.SKIN, skin, posed[skin.vertices], dressed.bare),
            layer(Material.EYES, eyes, posed[eyes.vertices]),
            layer(Material.TOP, top.made.panels, top.places, top.field),
        ]

    def seen(self, style: str, degrees: float) -> np.ndarray:
        """The material (H, W) at each sample, -1 for none, of the sitter turned by so much."""
        hair = self.worn(style)
        scene = together([*self.layers, *([hair] if hair else [])]).turned(degrees)
        tall = float(self.posed[:, 2].max())
        view = Camera((0.0, 0.0, 0.87 * tall), 0.36 * tall, SIZE)
        return materials_seen(scene, view).numpy()


def layer(material: Material, mesh: Mesh, places: Tensor, field: Tensor | None = None) -> Layer:
    whole = torch.ones_like(places[:, 0])
    blank = torch.zeros(len(places), 4)
    return Layer(material, mesh, places, places, blank, whole if field is None else field)


@pytest.fixture(scope="module")
def sitter() -> Sitter:
    return Sitter()


@pytest.fixture(scope="module")
def aside(sitter: Sitter) -> dict[str, np.ndarray]:
    """What shows under each hairstyle, half from behind."""
    return {name: sitter.seen(name, 100.0) for name in STYLES}


def tilt(degrees: float) -> Tensor:
    """A rotation (3, 3) of rows about an oblique axis."""
    x, y, z = math.radians(degrees) * np.array([0.6, 0.48, 0.64])
    cross = torch.tensor([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]], dtype=torch.float32)
    return torch.linalg.matrix_exp(cross)


def hairy(view: np.ndarray) -> np.ndarray:
    return view == int(Material.HAIR)


def _around(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) and a pixel around it, which a strand may have a share of."""
    return (
        torch.nn.functional.max_pool2d(torch.tensor(mask)[None].float(), 3, 1, 1)[0].bool().numpy()
    )


def test_every_hairstyle_with_a_name_can_be_grown() -> None:
    assert {style.name for style in HAIRSTYLES} == set(STYLES)
    assert [style.number for style in HAIRSTYLES] == [str(n) for n in range(40)]


def test_every_hairstyle_shows_hair(aside: dict[str, np.ndarray]) -> None:
    for name, view in aside.items():
        assert hairy(view).any() == (name not in UNDER_HAIR), name
    assert STYLES["bald"].scalp < STYLES["stubble"].scalp < STYLES["buzz"].scalp


def test_no_two_hairstyles_have_the_same_outline(aside: dict[str, np.ndarray]) -> None:
    masks = {name: hairy(view) for name, view in aside.items() if name not in UNDER_HAIR}
    apart = {(a, b): int((masks[a] ^ masks[b]).sum()) for a, b in itertools.combinations(masks, 2)}
    closest = min(apart, key=lambda pair: apart[pair])
    assert apart[closest] > 150, (closest, apart[closest])


def test_hair_changes_nothing_where_there_is_none(aside: dict[str, np.ndarray]) -> None:
    for name, view in aside.items():
        # Of a pixel at an edge a strand may tip the scales.
        assert (view != aside["bald"])[~_around(hairy(view))].sum() <= 4, name


@pytest.mark.usefixtures("aside")
def test_only_a_fringe_hangs_over_the_eyes(sitter: Sitter) -> None:
    eyes = sitter.layers[1].places
    low, high = eyes.amin(0), eyes.amax(0)
    for name in set(STYLES) - FRINGES - UNDER_HAIR:
        x, y, z = sitter.places[name].unbind(1)
        over = (x.abs() < high[0] - 0.004) & (y < high[1]) & (z > low[2]) & (z < high[2])
        assert int(over.sum()) == 0, (name, int(over.sum()))


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_combed_alike_on_both_sides_looks_alike(sitter: Sitter, name: str) -> None:
    mask = hairy(sitter.seen(name, 0.0))
    around = torch.nn.functional.max_pool2d(torch.tensor(mask)[None].float(), 7, 1, 3)[0].bool()
    assert (around & around.flip(1)).sum() > 0.85 * (around | around.flip(1)).sum()


def test_hair_grows_alike_every_time(sitter: Sitter) -> None:
    other = sitter.barber()
    for name in ("pigtails", "bob"):
        first, second = (
            hair.worn(name, sitter.posed, sitter.layers) for hair in (sitter.hair, other)
        )
        assert first is not None
        assert second is not None
        assert torch.equal(first.places, second.places)


def test_hair_moves_with_the_head(sitter: Sitter) -> None:
    turn = tilt(40.0)
    before = sitter.hair.worn("quiff", sitter.posed, sitter.layers)
    after = sitter.hair.worn("quiff", sitter.posed @ turn, sitter.layers)
    assert before is not None
    assert after is not None
    assert (after.places - before.places @ turn).abs().max() < 1e-4


def test_long_hair_stays_outside_of_the_top(sitter: Sitter) -> None:
    top = sitter.layers[2]
    hair = sitter.hair.worn("long_straight", sitter.posed, sitter.layers)
    assert hair is not None
    shown = top.field > 0
    surface, normals = top.places[shown], top.mesh.normals(top.places)[shown]
    low = hair.places[hair.places[:, 2] < surface[:, 2].max()][::5]
    near = torch.cdist(low, surface).argmin(1)
    height = ((low - surface[near]) * normals[near]).sum(1)
    assert (height < -0.004).float().mean() < 0.02
