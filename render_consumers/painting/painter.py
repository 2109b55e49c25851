"""Paints a person: the one door into this package."""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from domain.picture import UserDetails
from render_consumers.painting.body import assets
from render_consumers.painting.body.body import Body, Skin
from render_consumers.painting.body.eyes import Eyes
from render_consumers.painting.body.fit import Fitted, fit, start_from
from render_consumers.painting.body.look import EARS
from render_consumers.painting.body.measure import Tape
from render_consumers.painting.body.preparation import MARKS
from render_consumers.painting.clothes.hanging.wardrobe import Pose, Wardrobe, Worn
from render_consumers.painting.clothes.outfit import GarmentLook
from render_consumers.painting.clothes.piece import Cloth
from render_consumers.painting.hair.hair import Hair
from render_consumers.painting.mesh import Mesh
from render_consumers.painting.order import Order, understand
from render_consumers.painting.picture.kernels.running import prepare
from render_consumers.painting.picture.scene import Layer, Material, Scene, together
from render_consumers.painting.picture.studio import filmed, materials, photographed

__all__ = ["GarmentLook", "Model", "Painter", "Painting", "Pixels", "Stopped"]

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
Materials = npt.NDArray[np.int64]  # (H, W)
PICTURE = (768, 1024)  # width and height in pixels
VIDEO = (540, 720)  # the same view, small enough to draw many of


class Painting(msgspec.Struct, frozen=True):
    """Pixels (H, W, 3); the fields that were asked for and could not be drawn; centimetres."""

    pixels: Pixels
    ignored: tuple[str, ...]
    achieved: dict[str, float]


class Model(msgspec.Struct, frozen=True):
    """A person who is measured, posed and dressed, and can be drawn from all sides."""

    order: Order
    scene: Scene
    achieved: dict[str, float]


class Stopped(Exception):
    """The caller no longer wants the picture."""


class Painter:
    """Holds the body model on one device; made once per process."""

    def __init__(self, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        prepare(self.device)
        self._assets = assets.load(self.device)
        self._body = Body(self._assets)
        self._tape = Tape(self._body)
        parts, template = self._assets.parts, self._assets.template
        self._skin = Mesh(parts["body"])
        self._eyes = Eyes(self._assets)
        self._teeth = Mesh(torch.cat([parts["helper-upper-teeth"], parts["helper-lower-teeth"]]))
        self._wardrobe = Wardrobe(self._assets, self._skin)
        ears = self._assets.marks[:, EARS]
        self._hair = Hair(parts["body"], template, ears)

    def works(self) -> bool:
        """Whether the device still computes: after some faults it never does again."""
        try:
            return bool(torch.ones(1, device=self.device).sum().item() == 1)
        except RuntimeError:
            return False

    def paint(
        self,
        details: UserDetails,
        garment: GarmentLook,
        *,
        size: tuple[int, int] = PICTURE,
        turn: float = 0.0,
        flat: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Painting:
        """A picture of ``size`` (width, height), the person turned by ``turn`` degrees."""
        model = self.dress(details, garment, flat=flat, should_stop=should_stop)
        return self.draw(model, size=size, turn=turn, should_stop=should_stop)

    def dress(
        self,
        details: UserDetails,
        garment: GarmentLook,
        *,
        flat: bool = False,
        fit_map: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Model:
        """The person in these clothes, to be drawn solid or flat, facing as the camera view has it.

        A ``fit_map`` shows how far the cloth is stretched, instead of its colour. This is what
        drawing the same person again need not do again.
        """
        go_on = _until(should_stop)
        with torch.inference_mode():
            go_on()
            order = understand(details, garment, flat=flat, fit_map=fit_map)
            wanted = details.real_world_measurements
            start = start_from(self._body, order.gender, wanted)
            fitted = fit(self._body, self._tape, start, wanted)
            go_on()
            scene = together(self._layers(order, fitted)).turned(order.degrees)
            return Model(order, scene, fitted.achieved)

    def draw(
        self,
        model: Model,
        *,
        size: tuple[int, int] = PICTURE,
        turn: float = 0.0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Painting:
        """A picture of somebody who is dressed, turned by ``turn`` degrees."""
        go_on = _until(should_stop)
        with torch.inference_mode():
            go_on()
            scene = model.scene.turned(turn) if turn else model.scene
            pixels = photographed(scene, model.order, size, go_on)
        return Painting(pixels.cpu().numpy(), model.order.ignored, model.achieved)

    def materials(self, model: Model, *, size: tuple[int, int] = PICTURE) -> Materials:
        """Which `Material` each pixel of the picture mostly shows, or -1 for the background."""
        with torch.inference_mode():
            return materials(model.scene, model.order, size).cpu().numpy()

    def film(
        self,
        model: Model,
        frames: int,
        *,
        size: tuple[int, int] = VIDEO,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Pixels]:
        """One turn around in so many pictures, each drawn when it is asked for."""
        pictures = filmed(model.scene, model.order, size, frames, _until(should_stop))
        for _ in range(frames):
            with torch.inference_mode():  # not across a yield: the caller has torch of its own
                picture = next(pictures)
            yield picture.cpu().numpy()

    def _at_rest(self, controls: Tensor, scale: float) -> Skin:
        skin = self._body.shaped(controls)
        return Skin(scale * skin.vertices, scale * skin.joints)

    def _faced(self, order: Order, fitted: Fitted) -> Skin:
        """The person at rest, with the face asked for."""
        controls = self._body.faced(self._body.faced(fitted.controls, order.face), order.actions)
        return self._at_rest(controls, fitted.scale)

    def _layers(self, order: Order, fitted: Fitted) -> list[Layer]:
        rest = self._at_rest(fitted.controls, fitted.scale)
        turns, moves = self._body.stance(rest, order.pose)

        def body() -> Pose:
            carried = self._body.carried(rest, turns, moves)
            return Pose(rest, carried, *self._body.carriers(turns, moves))

        # Clothes know nothing of the face.
        key = repr((fitted.controls.tolist(), fitted.scale, order.pose))
        dressed = self._wardrobe.dressed(key.encode(), body, order.outfit)
        posed = self._body.carried(self._faced(order, fitted), turns, moves).vertices
        layers = [
            self._layer(Material.SKIN, self._skin, posed, dressed.bare),
            *self._eye_layers(posed, order),
            self._layer(Material.TEETH, self._teeth, posed),
        ]
        sole = self._wardrobe.shoes.mesh.to(self.device)
        layers.append(self._cut(Material.SHOES, sole, dressed.shoes))
        layers += [_worn(each, order) for each in dressed.worn]
        hair = self._hair.worn(order.hairstyle, posed, layers)
        return layers if hair is None else [*layers, hair]

    def _eye_layers(self, posed: Tensor, order: Order) -> list[Layer]:
        """The eyeballs and, unless lines are drawn around everything, the lashes."""
        balls, light = self._eyes.balls(posed)
        ball = self._cut(Material.EYES, self._eyes.mesh, Cloth(balls, self._eyes.template, light))
        marks = torch.nn.functional.pad(light[:, None], (0, len(MARKS) - 1))
        ball = msgspec.structs.replace(ball, marks=marks, open=False)
        if order.flat:
            return [ball]
        places = self._eyes.fringes(posed, 0.85 + 0.35 * order.gender)
        lashes = Cloth(places, places, torch.ones_like(places[:, 0]))
        return [ball, self._cut(Material.LASHES, self._eyes.lashes, lashes)]

    def _layer(
        self, material: Material, mesh: Mesh, posed: Tensor, field: Tensor | None = None
    ) -> Layer:
        at = mesh.vertices
        whole = torch.ones_like(posed[at, 0])
        return Layer(
            material=material,
            mesh=mesh,
            places=posed[at],
            template=self._assets.template[at],
            marks=self._assets.marks[at],
            field=whole if field is None else field,
        )

    def _cut(self, material: Material, mesh: Mesh, cloth: Cloth) -> Layer:
        return Layer(
            material=material,
            mesh=mesh,
            places=cloth.places,
            template=cloth.template,
            marks=torch.zeros_like(cloth.places[:, :1]).expand(-1, len(MARKS)),
            field=cloth.field,
            open=True,
        )


def _worn(worn: Worn, order: Order) -> Layer:
    """Cloth, whose template is its pattern and whose marks are those of cloth."""
    marks = worn.places.new_zeros(len(worn.places), len(MARKS))
    marks[:, : worn.marks.shape[1]] = worn.marks
    return Layer(
        material=Material.TOP if worn.piece == order.outfit.top else Material.BOTTOM,
        mesh=worn.made.panels.to(worn.places.device),
        places=worn.places,
        template=worn.made.flat.to(worn.places.device),
        marks=marks,
        field=worn.field,
        normals=worn.normals,
        open=True,
    )


def _until(should_stop: Callable[[], bool]) -> Callable[[], None]:
    """What raises `Stopped` as soon as the caller wants no more."""

    def go_on() -> None:
        if should_stop():
            raise Stopped

    return go_on
