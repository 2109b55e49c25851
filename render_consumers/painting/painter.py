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
from render_consumers.painting.body.fit import Fitted, fit, start_from
from render_consumers.painting.body.look import EARS
from render_consumers.painting.body.measure import Tape
from render_consumers.painting.body.preparation import MARKS
from render_consumers.painting.clothes.hanging.wardrobe import Dressed, Pose, Wardrobe, Worn
from render_consumers.painting.clothes.outfit import GarmentLook
from render_consumers.painting.clothes.piece import Cloth
from render_consumers.painting.hair.hair import Hair
from render_consumers.painting.mesh import Mesh
from render_consumers.painting.order import Order, understand
from render_consumers.painting.picture.scene import Layer, Material, Scene, together
from render_consumers.painting.picture.studio import filmed, photographed

__all__ = ["GarmentLook", "Model", "Painter", "Painting", "Pixels", "Stopped"]

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
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
        self._assets = assets.load(self.device)
        self._body = Body(self._assets)
        self._tape = Tape(self._assets)
        parts, template = self._assets.parts, self._assets.template
        self._skin = Mesh(parts["body"])
        self._eyes = Mesh(torch.cat([parts["helper-l-eye"], parts["helper-r-eye"]]))
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

    def _posed(self, order: Order, fitted: Fitted) -> Skin:
        """The person in the pose, with the face asked for."""
        controls = fitted.controls.clone()
        for action, strength in order.actions.items():
            for side in ("Left", "Right"):
                controls[self._body.index[action + side]] = strength
        return self._body.posed(self._at_rest(controls, fitted.scale), order.pose)

    def _dressed(self, order: Order, fitted: Fitted) -> Dressed:
        """The clothes; they know nothing of the face."""

        def body() -> Pose:
            rest = self._at_rest(fitted.controls, fitted.scale)
            return Pose(
                rest,
                self._body.posed(rest, order.pose),
                *self._body.carriers(rest, order.pose),
            )

        key = repr((fitted.controls.tolist(), fitted.scale, sorted(order.pose.items())))
        return self._wardrobe.dressed(key.encode(), body, order.outfit)

    def _layers(self, order: Order, fitted: Fitted) -> list[Layer]:
        posed = self._posed(order, fitted).vertices
        dressed = self._dressed(order, fitted)
        layers = [
            self._layer(Material.SKIN, self._skin, posed, dressed.bare),
            self._layer(Material.EYES, self._eyes, posed),
            self._layer(Material.TEETH, self._teeth, posed),
        ]
        if order.hairstyle != "bald":
            cap = self._hair.over_scalp(posed, volume=0.016)
            layers.append(self._cut(Material.HAIR, self._hair.cap, cap))
        if order.hairstyle == "bob":
            layers.append(self._cut(Material.HAIR, self._hair.curtain, self._hair.bob(posed)))
        sole = self._wardrobe.shoes.mesh.to(self.device)
        layers.append(self._cut(Material.SHOES, sole, dressed.shoes))
        return layers + [_worn(each, order) for each in dressed.worn]

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
