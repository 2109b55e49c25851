"""Paints a person: the one door into this package."""

from collections.abc import Callable

import msgspec
import numpy as np
import torch
from torch import Tensor

from domain.picture import UserDetails

from . import assets, camera, colours, garment, hair, light, materials, shade
from .body import Body, Skin
from .colours import Colour
from .fit import fit, start_from
from .garment import Cloth, GarmentLook, Wardrobe
from .materials import Samples, Surface
from .measure import Tape
from .mesh import Mesh
from .order import Order, understand
from .raster import rasterise
from .scene import Layer, Material, Scene, together

FINE = 2  # samples along each side of a pixel
TROUSERS: Colour = (0.022, 0.026, 0.038)
SNEAKERS: Colour = (0.10, 0.105, 0.115)
IRIS: Colour = (0.17, 0.085, 0.04)


class Painting(msgspec.Struct, frozen=True):
    """Pixels (H, W, 3); the fields that were asked for and could not be drawn; centimetres."""

    pixels: np.ndarray
    ignored: tuple[str, ...]
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
        self._wardrobe = Wardrobe(Mesh(parts["helper-tights"]), template)
        ears = self._assets.marks[:, materials.EARS]
        self._cap = Mesh(hair.cap_faces(parts["body"], template, ears))

    def paint(
        self,
        details: UserDetails,
        garment: GarmentLook,
        *,
        size: tuple[int, int] = (768, 1024),
        turn: float = 0.0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Painting:
        """A picture of ``size`` (width, height), the person turned by ``turn`` degrees."""

        def go_on() -> None:
            if should_stop():
                raise Stopped

        with torch.inference_mode():
            go_on()
            order = understand(details, garment)
            wanted = details.real_world_measurements
            start = start_from(self._body, order.gender, wanted)
            fitted = fit(self._body, self._tape, start, wanted)
            go_on()
            skin = self._posed(order, fitted.controls, fitted.scale, turn)
            scene = together(self._layers(order, skin))
            go_on()
            lit = light.reached(scene.places, scene.normals, scene.solid())
            go_on()
            pixels = self._pictured(order, scene, lit, size, go_on)
        return Painting(pixels.cpu().numpy(), order.ignored, fitted.achieved)

    def _posed(self, order: Order, controls: Tensor, scale: float, turn: float) -> Skin:
        """The person in the pose, with the face asked for, turned towards the camera."""
        for action, strength in order.actions.items():
            for side in ("Left", "Right"):
                controls[self._body.index[action + side]] = strength
        skin = self._body.posed(self._body.shaped(controls), order.pose)
        degrees = order.degrees + turn
        return Skin(*(camera.turned(scale * places, degrees) for places in (skin.vertices, skin.joints)))

    def _layers(self, order: Order, skin: Skin) -> list[Layer]:
        posed, template = skin.vertices, self._assets.template
        covered = garment.bare(template[self._skin.vertices])
        layers = [
            self._layer(Material.SKIN, self._skin, posed, covered),
            self._layer(Material.EYES, self._eyes, posed),
            self._layer(Material.TEETH, self._teeth, posed),
        ]
        if order.hairstyle != "bald":
            places, field = hair.cap(self._cap, posed, template, volume=0.016)
            layers.append(self._dressed(Material.HAIR, self._cap, Cloth(places, field)))
        wear, mesh = self._wardrobe, self._wardrobe.mesh
        return [
            *layers,
            self._dressed(Material.TROUSERS, mesh, wear.trousers(posed, order.ease)),
            self._dressed(Material.SHOES, mesh, wear.shoes(posed)),
            self._dressed(Material.TOP, mesh, wear.top(posed, order.ease)),
        ]

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

    def _dressed(self, material: Material, mesh: Mesh, cloth: Cloth) -> Layer:
        return Layer(
            material=material,
            mesh=mesh,
            places=cloth.places,
            template=self._assets.template[mesh.vertices],
            marks=self._assets.marks[mesh.vertices],
            field=cloth.field,
            open=True,
        )

    def _pictured(
        self,
        order: Order,
        scene: Scene,
        lit: Tensor,
        size: tuple[int, int],
        go_on: Callable[[], None],
    ) -> Tensor:
        shown = scene.places[scene.solid().flatten()]
        low, high = shown.amin(0), shown.amax(0)
        view = camera.frame(order.mode, size, low, high)
        fine = msgspec.structs.replace(view, size=(size[0] * FINE, size[1] * FINE))
        visible = rasterise(
            fine.project(scene.places), scene.faces, fine.size, scene.field, scene.one_sided
        )
        go_on()
        place, normal, template, light_there, marks = scene.seen(visible, lit)
        towards = _unit(place.new_tensor(fine.eye()) - place)
        normal = _unit(normal)
        material = scene.material[visible.face]
        out = torch.zeros_like(place)
        for kind in Material:
            at = (material == kind).nonzero()[:, 0]
            if len(at):
                samples = Samples(template[at], place[at], _facing(normal[at], towards[at]), marks[at])
                surface = self._surface(kind, samples, order, float(low[2]))
                out[at] = shade.shaded(surface, light_there[at], towards[at])
            go_on()
        feet = shown[shown[:, 2] < low[2] + 0.30][::7]
        dark = shade.contact_shadow(view, feet, float(low[2]))
        return shade.developed(out, visible.sample, view, FINE, order.backdrop, dark)

    def _surface(self, kind: Material, samples: Samples, order: Order, ground: float) -> Surface:
        if kind is Material.SKIN:
            grown = 0.0 if order.hairstyle == "bald" else 1.0
            stubble = 0.22 * max(0.0, 1 - 2 * order.gender)
            return materials.skin(samples, order.skin, order.hair, grown, stubble)
        if kind is Material.HAIR:
            return materials.strands(samples, order.hair)
        if kind is Material.EYES:
            return materials.eyes(samples, IRIS)
        if kind is Material.TEETH:
            return materials.teeth(samples)
        if kind is Material.TOP:
            return materials.hoodie(samples, order.garment)
        if kind is Material.TROUSERS:
            return materials.trousers(samples, TROUSERS)
        return materials.shoes(samples, SNEAKERS, ground)


def _facing(normal: Tensor, towards: Tensor) -> Tensor:
    """Normals that never point far away from the viewer: the inside of cloth is lit as seen."""
    return torch.where((normal * towards).sum(1, keepdim=True) < -0.2, -normal, normal)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
